"""Failures by name: what went wrong with a graded run, as far as its trace and the right answer tell.

One table of rules, asked in order; the first that finds something names the failure. Some rules prove what
they say. The others name what was seen, and a replay may still find that another node is to blame. What no rule
can name but as a wrong answer, a judge may. Knows nothing about replays, or how a judge comes to its word.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

from tinyllm.errors import BackendError
from tinyllm.grading import REFUSED, compare, node_of, rule_for
from tinyllm.learning.items import Item
from tinyllm.slots import figure
from tinyllm.types import Span, ToolRun

Kind = Literal[
    "misroute",
    "bad plan",
    "wrong tool",
    "wrong arguments",
    "misread result",
    "malformed output",
    "wrong answer",
    "refused what it could do",
    "answered what it should refuse",
    "timeout",
    "backend error",
]

REST: Kind = "wrong answer"  # what is left when no rule tells more
MOST = 50  # of these, that a judge is asked about
ASKED: Mapping[str, str] = {
    "bad plan": "the steps that were taken could not lead to the answer, however well each was done",
    "wrong tool": "another tool was needed, or one where none was called",
    "wrong arguments": "the right tool was called, with wrong values or for the wrong operation",
    "misread result": "a tool gave what was needed, and the answer says something else",
    "answered what it should refuse": "the question cannot be answered",
    REST: "none of these: what it knew or reckoned by itself is wrong",
}

Says = Callable[[Mapping[str, str], Mapping[str, str]], Awaitable[tuple[str, str] | None]]
"""Says of material which of these kinds of fault it shows, and why; None where it cannot tell."""

_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed run by its kind, the node that carries the blame, and why. `settled` says that this is proven."""

    item: Item
    kind: Kind
    node: str
    why: str
    settled: bool = False


class Found(NamedTuple):
    """What a rule found: where, and what."""

    node: str
    why: str


class Rule(NamedTuple):
    """How one kind of failure is known; `proves` where nothing else can have been the cause."""

    kind: Kind
    find: Callable[[Item], Found | None]
    proves: bool = False


def failures(items: Iterable[Item]) -> list[Failure]:
    """The failed runs of the items, each by its name."""
    return [_named(item) for item in items if not item.passed]


async def judged(found: Sequence[Failure], says: Says) -> list[Failure]:
    """The failures, with those that no rule could name by the word of a judge, which proves nothing.

    At most `MOST` are asked about, the latest first; one that does not answer is not asked again.
    """
    named = list(found)
    asked = [at for at, failure in enumerate(found) if failure.kind == REST and not failure.settled]
    for at in asked[: -MOST - 1 : -1]:
        failure = found[at]
        try:
            said = await says(_material(failure.item), ASKED)
        except BackendError:
            break
        kinds: Sequence[Kind] = get_args(Kind)
        for kind in kinds:
            if said is not None and said[0] == kind:
                named[at] = replace(failure, kind=kind, why=f"a judge: {said[1]}")
    return named


def _material(item: Item) -> Mapping[str, str]:
    """What a judge sees of a failed run."""
    calls = "\n".join(
        f"{run.call.name} {dict(run.call.arguments)}: {run.result.text if run.result else run.error}"
        for run in _results(item)
    )
    material = {"question": item.trace.question, "answer": item.trace.answer, "calls": calls or "none"}
    return material if item.reference is None else {**material, "reference": item.reference}


def _named(item: Item) -> Failure:
    for rule in RULES:
        found = rule.find(item)
        if found is not None:
            return Failure(item, rule.kind, found.node, found.why, rule.proves)
    raise AssertionError("the last rule finds something in every run")


def _timeout(item: Item) -> Found | None:
    """The run ended before its nodes did, for want of time or of another budget."""
    spans, ended = item.trace.spans, ("BackendTimeout", "ToolTimeout", "BudgetExceeded")
    if item.trace.status != "failed":
        return None
    late = [span for span in spans if span.fault in ended or span.error == "cut short"]
    if not late and any(span.fault for span in spans):
        return None
    nodes = [span.node for span in late or spans]
    return Found(nodes[-1] if nodes else "-", item.trace.answer)


def _unreadable(item: Item) -> Found | None:
    """A model's reply could not be used at all."""
    return _broken(item, {"BadReply"})


def _backend(item: Item) -> Found | None:
    """A model or a program did not answer."""
    return _broken(item, {span.fault for span in item.trace.spans})


def _broken(item: Item, faults: set[str | None]) -> Found | None:
    if item.trace.status != "failed":
        return None
    spans = [span for span in item.trace.spans if span.fault is not None and span.fault in faults]
    return Found(spans[0].node, spans[0].error or "") if spans else None


def _should_refuse(item: Item) -> Found | None:
    """It was to be refused."""
    if item.reference != REFUSED:
        return None
    return Found(node_of(item.trace), f"it {item.trace.status}, and was to refuse")


def _rejected(item: Item) -> Found | None:
    """A gate turned the right answer away."""
    said: Span | None = None
    for span in item.trace.spans:
        if span.kind in ("specialist", "tool") and span.error is None:
            said = span if _tells(span.text, item) else None
        elif span.kind == "gate" and span.error is not None and said is not None:
            return Found(span.node, f"it turned away the right answer of {said.node!r}: {span.error}")
    return None


def _misread(item: Item) -> Found | None:
    """The tool gave the right answer, and the run said something else."""
    for run in _results(item):
        if run.result is not None and (_tells(run.result.text, item) or _tells(str(run.result.value), item)):
            return Found(node_of(item.trace), f"{run.call.name} gave {run.result.text!r}, and that was right")
    return None


def _wrong_tool(item: Item) -> Found | None:
    """The last call is of a tool that is not there, or gave another sort of thing than was asked for."""
    runs = _results(item)
    if not runs:
        return None
    node, last = node_of(item.trace), runs[-1]
    if last.error is not None and last.error.startswith("there is no tool"):
        return Found(node, last.error)
    if last.result is None or item.reference in (None, REFUSED):
        return None
    asked, reference = rule_for(item.reference or ""), item.reference or ""
    if asked == "numeric" and not _DIGIT.search(str(last.result.value)):
        return Found(node, f"{last.call.name} gave {last.result.text!r}, where a number was asked for")
    if asked == "exact" and not _DIGIT.search(reference) and figure(last.result.value) is not None:
        return Found(node, f"{last.call.name} gave {last.result.text!r}, where words were asked for")
    return None


def _failing_call(item: Item) -> Found | None:
    """The last call did not run."""
    runs = _results(item)
    if not runs or runs[-1].error is None:
        return None
    return Found(node_of(item.trace), f"its call of {runs[-1].call.name!r} failed: {runs[-1].error}")


def _bad_plan(item: Item) -> Found | None:
    """Call after call ran, and they led to no answer, or to a wrong one."""
    runs, span = _results(item), _worker(item)
    if span is None or not runs:
        return None
    if span.error is not None and "rounds of tool calls" in span.error:
        return Found(span.node, span.error)
    if len(runs) > 1 and item.trace.status == "answered":
        return Found(span.node, f"{len(runs)} calls ran, and none gave the answer")
    return None


def _malformed(item: Item) -> Found | None:
    """Nothing was said, or not in the form that was asked for."""
    if item.trace.status == "answered":
        return None
    checks = [check for span in item.trace.spans for check in span.checks]
    for check in checks:
        if check.name == "schema" and check.passed is False:
            return Found(node_of(item.trace), check.reason)
    span = _worker(item)
    # A refusal is said in words, which the span keeps; an answer that is none leaves nothing but the error.
    if span is None or span.kind != "specialist" or span.error is None or span.text:
        return None
    return Found(span.node, span.error)


def _refused(item: Item) -> Found | None:
    """It gave no answer."""
    if item.trace.status == "answered":
        return None
    failed = [span for span in item.trace.spans if span.node == node_of(item.trace)]
    why = (failed[-1].error if failed else None) or item.trace.answer
    return Found(node_of(item.trace), f"it {item.trace.status}: {why}")


def _wrong(item: Item) -> Found:
    """Whatever else was wrong."""
    return Found(node_of(item.trace), item.grade.reason or "graded as wrong")


RULES: tuple[Rule, ...] = (
    Rule("timeout", _timeout, proves=True),
    Rule("malformed output", _unreadable, proves=True),
    Rule("backend error", _backend, proves=True),
    Rule("answered what it should refuse", _should_refuse),
    Rule("refused what it could do", _rejected, proves=True),
    Rule("misread result", _misread, proves=True),
    Rule("wrong tool", _wrong_tool),
    Rule("wrong arguments", _failing_call),
    Rule("bad plan", _bad_plan),
    Rule("malformed output", _malformed),
    Rule("refused what it could do", _refused),
    Rule(REST, _wrong),
)


def _worker(item: Item) -> Span | None:
    """The last turn of the node that answered, or tried to."""
    name = node_of(item.trace)
    spans = [span for span in item.trace.spans if span.node == name and span.kind in ("specialist", "tool")]
    return spans[-1] if spans else None


def _results(item: Item) -> tuple[ToolRun, ...]:
    span = _worker(item)
    return span.tools if span is not None else ()


def _tells(text: str, item: Item) -> bool:
    """Whether a text says the right answer."""
    if item.reference in (None, REFUSED):
        return False
    return compare(text, item.reference or "").score == 1.0
