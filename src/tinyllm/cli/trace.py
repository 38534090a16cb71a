"""`tinyllm trace`: the forward pass of a run as a waterfall, in text, JSON or one self-contained page."""

from collections.abc import Iterator
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import amount, cost_line, json_flag, note, print_json
from tinyllm.cli.stored import with_store
from tinyllm.errors import NotFound
from tinyllm.types import Span, Trace

if TYPE_CHECKING:
    from tinyllm.protocols import Store

_BAR = 24  # characters


@click.command()
@click.argument("run_id", metavar="RUN_ID|last")
@json_flag
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page.")
def trace(run_id: str, as_json: bool, html: Path | None) -> None:
    """Example: tinyllm trace last"""
    from tinyllm.engine.trace import fold

    async def events(store: "Store") -> Trace:
        found = run_id
        if run_id == "last":
            latest = await store.runs(limit=1)
            if not latest:
                raise NotFound("no run is kept yet", hint='ask something first: tinyllm ask "what is 2 + 2?"')
            found = latest[0].run_id
        return fold(await store.events(found))

    folded = with_store(events)
    if html:
        html.write_text(page(folded), encoding="utf-8")
        note(f"wrote {html}")
    elif as_json:
        print_json(asdict(folded))
    else:
        click.echo("\n".join(waterfall(folded)))


def waterfall(trace: Trace) -> Iterator[str]:
    """Yield the lines that people read in a terminal."""
    yield f"run {trace.run_id} [{trace.status}] network {trace.graph}"
    yield f"question: {_short(trace.question, 200)}"
    width = max((len(span.node) for span in trace.spans), default=0)
    total = _total(trace)
    for span in trace.spans:
        start = min(round(span.start_ms / total * _BAR), _BAR - 1)
        length = max(1, min(round((span.end_ms - span.start_ms) / total * _BAR), _BAR - start))
        bar = " " * start + "#" * length
        yield f"{span.node:<{width}} |{bar:<{_BAR}}| {span.end_ms - span.start_ms:8.2f} ms  {span.kind}"
        yield from (f"{'':<{width}}   {line}" for line in _facts(span))
    yield f"answer: {_short(trace.answer, 500)}"
    yield f"cost: {cost_line(trace.cost, trace.latency_ms)}"


def page(trace: Trace) -> str:
    """The waterfall as one HTML file without scripts or links; everything from the run is escaped."""
    total = _total(trace)
    rows = []
    for span in trace.spans:
        left = 100 * min(span.start_ms / total, 1)
        width = max(0.5, min(100 * (span.end_ms - span.start_ms) / total, 100 - left))
        facts = "".join(f"<li>{escape(line)}</li>" for line in _facts(span))
        rows.append(
            f"<tr><th>{escape(span.node)}<small>{escape(span.kind)}</small></th>"
            f'<td><div class="bar{" bad" if span.error else ""}" '
            f'style="margin-left:{left:.2f}%;width:{width:.2f}%"></div>'
            f"<ul>{facts}</ul></td><td>{span.end_ms - span.start_ms:.2f} ms</td></tr>"
        )
    return _PAGE.format(
        run=escape(trace.run_id),
        status=escape(trace.status),
        graph=escape(trace.graph),
        question=escape(trace.question),
        answer=escape(trace.answer),
        cost=escape(cost_line(trace.cost, trace.latency_ms)),
        rows="\n".join(rows),
    )


def _facts(span: Span) -> Iterator[str]:
    if span.choice is not None or span.probabilities:
        best = sorted(span.probabilities.items(), key=lambda item: -item[1])[:4]
        odds = ", ".join(f"{name} {share:.3f}" for name, share in best)
        yield f"chose {span.choice or 'nothing'} ({odds})"
    for run in span.tools:
        arguments = ", ".join(f"{name}={value!r}" for name, value in run.call.arguments.items())
        outcome = f"failed: {run.error}" if run.result is None else run.result.text
        yield _short(f"{run.call.name}({arguments}) -> {outcome}", 300)
    for check in span.checks:
        verdict = {True: "passed", False: "failed", None: "could not judge"}[check.passed]
        yield f"check {check.name}: {verdict}" + (f" ({check.reason})" if check.reason else "")
    if span.text:
        yield f"said: {_short(span.text, 200)}"
    if span.error:
        yield f"error: {_short(span.error, 300)}"
    if span.cost.macs or span.cost.tokens_out:
        yield f"cost: {amount(span.cost.macs)} macs, {span.cost.tokens_in}+{span.cost.tokens_out} tokens"


def _total(trace: Trace) -> float:
    return max([trace.latency_ms, *(span.end_ms for span in trace.spans), 0.001])


def _short(text: str, limit: int) -> str:
    """One line without control characters, which could otherwise steer the terminal."""
    line = "".join(c if c.isprintable() else " " for c in text[: limit + 1])
    return line if len(line) <= limit else line[: limit - 3] + "..."


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>run {run}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }}
table {{ width: 100%; border-collapse: collapse }}
th {{ text-align: left; vertical-align: top; width: 10rem }}
th small {{ display: block; font-weight: normal; color: #64748b }}
td {{ vertical-align: top; border-top: 1px solid #e2e8f0; overflow-wrap: anywhere }}
td:last-child {{ text-align: right; white-space: nowrap; width: 6rem }}
ul {{ margin: .2rem 0 .6rem; padding-left: 1rem; color: #334155 }}
.bar {{ height: .7rem; margin-top: .4rem; background: #2563eb; border-radius: .2rem }}
.bar.bad {{ background: #dc2626 }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere }}
</style></head><body>
<h1>Run {run} <small>[{status}]</small></h1>
<p>network {graph}; {cost}</p>
<h2>Question</h2><pre>{question}</pre>
<table>
{rows}
</table>
<h2>Answer</h2><pre>{answer}</pre>
</body></html>
"""
