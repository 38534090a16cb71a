"""`tinyllm trace`: the forward pass of a run as a waterfall, in text, JSON or one self-contained page."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import amount, cost_line, json_flag, note, print_json
from tinyllm.cli.stored import run_named, with_store
from tinyllm.types import Span, Trace

if TYPE_CHECKING:
    from tinyllm.protocols import Store

_BAR = 24  # characters
_VERDICTS = {True: ("good", "passed"), False: ("bad", "failed"), None: ("unsure", "no verdict")}


@click.command()
@click.argument("run_id", metavar="RUN_ID|last")
@json_flag
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page.")
def trace(run_id: str, as_json: bool, html: Path | None) -> None:
    """Example: tinyllm trace last"""
    from tinyllm.engine import fold

    async def work(store: "Store") -> tuple[Trace, Mapping[str, str]]:
        events = await store.events(await run_named(store, run_id))
        facts = await store.facts(user=events[0].data.get("user", "local"))
        return fold(events), {fact.id: fact.text for fact in facts}

    folded, known = with_store(work)
    if html:
        html.write_text(page(folded, known), encoding="utf-8")
        note(f"wrote {html}")
    elif as_json:
        print_json(asdict(folded))
    else:
        click.echo("\n".join(waterfall(folded, known)))


def waterfall(trace: Trace, known: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield the lines that people read in a terminal. `known` are the facts about the user by id."""
    yield f"run {trace.run_id} [{trace.status}] network {trace.graph}"
    yield f"question: {_short(trace.question, 200)}"
    width = max((len(span.node) for span in trace.spans), default=0)
    total = _total(trace)
    for span in trace.spans:
        start = min(round(span.start_ms / total * _BAR), _BAR - 1)
        length = max(1, min(round((span.end_ms - span.start_ms) / total * _BAR), _BAR - start))
        bar = " " * start + "#" * length
        yield f"{span.node:<{width}} |{bar:<{_BAR}}| {span.end_ms - span.start_ms:8.2f} ms  {span.kind}"
        yield from (f"{'':<{width}}   {line}" for _, line in _facts(span, known or {}))
    yield f"answer: {_short(trace.answer, 500)}"
    yield f"cost: {cost_line(trace.cost, trace.latency_ms)}"


def page(trace: Trace, known: Mapping[str, str] | None = None) -> str:
    """The waterfall as one HTML file without scripts or links; everything from the run is escaped."""
    total = _total(trace)
    rows = []
    for span in trace.spans:
        left = 100 * min(span.start_ms / total, 0.995)
        width = max(0.5, min(100 * (span.end_ms - span.start_ms) / total, 100 - left))
        listed = "".join(
            f'<li class="{look}">{escape(line)}</li>' for look, line in _facts(span, known or {})
        )
        rows.append(
            f'<li class="{"broken" if span.error else "whole"}">'
            f"<h3>{escape(span.node)} <small>{escape(span.kind)}</small></h3>"
            f"<output>{span.end_ms - span.start_ms:.2f} ms</output>"
            f'<div class="track"><i style="margin-left:{left:.2f}%;width:{width:.2f}%"></i></div>'
            f"<ul>{listed}</ul></li>"
        )
    return _PAGE.format(
        run=escape(trace.run_id),
        status=escape(trace.status),
        graph=escape(trace.graph),
        question=escape(trace.question),
        answer=escape(trace.answer),
        cost=escape(cost_line(trace.cost, trace.latency_ms)),
        total=f"{total:.1f} ms",
        rows="\n".join(rows),
    )


def _facts(span: Span, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what is known of a span as how it looks (a class of the page) and one line."""
    if span.choice is not None or span.probabilities:
        yield "choice", f"chose {span.choice or 'nothing'} ({_best(span.probabilities)})"
    if span.scores:
        yield "choice", f"{_sought(span)}: {_best(span.scores)}"
    if span.pace:
        spent, due, budget = (f"{span.pace[name]:.4g}" for name in ("spent", "due", "budget"))
        yield "choice", f"spent {spent} of the period's {budget}, {due} due by then"
    if span.facts:
        told = "; ".join(known.get(fact, f"{fact}, forgotten since") for fact in span.facts)
        yield "choice", f"as the user wants it: {_short(told, 300)} (without that: {_best(span.before)})"
    for run in span.tools:
        arguments = ", ".join(f"{name}={value!r}" for name, value in run.call.arguments.items())
        outcome = f"failed: {run.error}" if run.result is None else run.result.text
        yield "tool" if run.result else "bad", _short(f"{run.call.name}({arguments}) -> {outcome}", 300)
    for check in span.checks:
        look, verdict = _VERDICTS[check.passed]
        reason = f" ({_short(check.reason, 300)})" if check.reason else ""
        yield look, f"check {check.name}: {verdict}{reason}"
    if span.text and span.kind in ("specialist", "tool"):  # others hand on what these say
        yield "said", f"said: {_short(span.text, 200)}"
    if span.error:
        yield "bad", f"error: {_short(span.error, 300)}"
    if span.cost.macs or span.cost.tokens_out:
        tokens = f"{span.cost.tokens_in}+{span.cost.tokens_out} tokens"
        yield "cost", f"cost: {amount(span.cost.macs)} macs, {tokens}"


def _sought(span: Span) -> str:
    """What the scores of a choice are, and how they decided it."""
    if span.right is None:
        return "worth less price"
    if span.scores.get(str(span.choice), 0.0) < span.right:
        return f"the surest, for none is surely right in {span.right:.4g} of its answers"
    return f"the cheapest that is surely right in {span.right:.4g} of its answers"


def _best(shares: Mapping[str, float]) -> str:
    first = sorted(shares.items(), key=lambda item: -item[1])[:4]
    return ", ".join(f"{name} {share:.3f}" for name, share in first)


def _total(trace: Trace) -> float:
    return max([trace.latency_ms, *(span.end_ms for span in trace.spans), 0.001])


def _short(text: str, limit: int) -> str:
    """One line without control characters, which could otherwise steer the terminal."""
    line = "".join(c if c.isprintable() else " " for c in text[: limit + 1])
    return line if len(line) <= limit else line[: limit - 3] + "..."


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>run {run}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
:root {{ color-scheme: light dark; --text: #0f172a; --soft: #64748b; --line: #e2e8f0; --back: #fff;
  --good: #15803d; --bad: #b91c1c; --bar: #2563eb }}
@media (prefers-color-scheme: dark) {{ :root {{ --text: #e2e8f0; --soft: #94a3b8; --line: #334155;
  --back: #0f172a; --good: #4ade80; --bad: #f87171; --bar: #60a5fa }} }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: var(--text); background: var(--back) }}
h1 {{ font-size: 1.1rem; margin: 0; overflow-wrap: anywhere }}
h2 {{ font-size: .9rem; margin: 1.4rem 0 .2rem; color: var(--soft); font-weight: 600 }}
small, p, output {{ color: var(--soft) }}
p {{ margin: 0; overflow-wrap: anywhere }}
pre {{ font: inherit; font-size: 1.15rem; margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }}
strong {{ font-weight: 600; padding: 0 .5em; border-radius: .3em; border: 1px solid }}
.answered {{ color: var(--good) }}
.failed {{ color: var(--bad) }}
ol, ul {{ list-style: none; margin: 0; padding: 0 }}
ol > li {{ display: grid; grid-template: auto 1fr / 11rem 1fr 6rem; column-gap: 1rem;
  padding: .4rem 0; border-top: 1px solid var(--line) }}
h3 {{ grid-row: 1 / 3; font-size: 1rem; margin: 0; overflow-wrap: anywhere }}
h3 small {{ display: block; font-weight: normal }}
output {{ grid-column: 3; grid-row: 1; text-align: right; white-space: nowrap }}
.track {{ grid-column: 2; grid-row: 1; align-self: center; background: var(--line); border-radius: .2rem }}
.track i {{ display: block; height: .7rem; background: var(--bar); border-radius: .2rem }}
.broken .track i {{ background: var(--bad) }}
ul {{ grid-column: 2 / 4; grid-row: 2; font-size: .9rem; overflow-wrap: anywhere }}
.tool {{ font-family: ui-monospace, monospace }}
.cost, .unsure {{ color: var(--soft) }}
.good {{ color: var(--good) }}
.bad {{ color: var(--bad) }}
@media (max-width: 40rem) {{
  body {{ margin: 1rem auto }}
  ol > li {{ grid-template: auto auto auto / 1fr 6rem }}
  h3 {{ grid-row: 1 }}
  h3 small {{ display: inline }}
  output {{ grid-column: 2 }}
  .track {{ grid-column: 1 / 3; grid-row: 2; margin: .3rem 0 }}
  ul {{ grid-column: 1 / 3; grid-row: 3 }}
}}
</style></head><body>
<h1>Run {run} <strong class="{status}">{status}</strong></h1>
<p>network {graph}; {cost}</p>
<h2>Question</h2><pre>{question}</pre>
<h2>Answer</h2><pre>{answer}</pre>
<h2>Forward pass, {total}</h2>
<ol>
{rows}
</ol>
</body></html>
"""
