"""Training targets by search: for graded requests, the calls that give the right answer and mean the same.

Every legal call over a request's slots is run; those that reproduce the right answer are its candidates. More
than one may, by chance (many ways lead to 4), so candidates are weighed by the words of the requests: a call
must be asked for in the same words wherever it is the answer. Which operations there are is the caller's table.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise

from tinyllm.errors import ToolError
from tinyllm.grading import REFUSED, compare
from tinyllm.learning.items import Item
from tinyllm.protocols import Tool, ToolContext
from tinyllm.slots import Ops, Slots, fill, find, legal_calls
from tinyllm.types import ToolCall

FEWEST = 4  # requests that an operation must explain, or its candidates are chance
MOST_CALLS = 200  # tried for one request
_ROUNDS = 5
_SMALL = 0.1  # what a word counts that was never seen beside a call


@dataclass(frozen=True, slots=True)
class Target:
    """A request with the call over its slots that gives its right answer."""

    item: Item
    slots: Slots
    call: str

    @property
    def op(self) -> str:
        return self.call.split()[0]


async def find_calls(
    items: Sequence[Item], ops: Ops, tools: Mapping[str, Tool], *, fewest: int = FEWEST
) -> list[Target]:
    """The requests whose right answer a call gives, with that call; the others are left out.

    The right answer is the reference, or the answer of a run that passed. A call whose operation explains fewer
    than `fewest` requests explains none. Only repeatable tools are called, with the run's own clock and seed.
    """
    drafts = []
    for item in items:
        if (right := _right(item)) is not None:
            slots = find(item.request.text)
            if calls := await _giving(right, item, slots, ops, tools):
                drafts.append((item, slots, calls))
    odds = _weighed([(slots, calls) for _, slots, calls in drafts])
    while True:
        chosen = [max(one, key=lambda call: one[call], default=None) for one in odds]
        support = Counter(call.split()[0] for call in chosen if call)
        if all(count >= fewest for count in support.values()):
            break
        rare = min(support, key=lambda op: (support[op], op))
        odds = [{call: p for call, p in one.items() if call.split()[0] != rare} for one in odds]
    return [
        Target(item, slots, call)
        for (item, slots, _), call in zip(drafts, chosen, strict=True)
        if call is not None
    ]


def _right(item: Item) -> str | None:
    """The right answer of a request, where it is known and is no refusal."""
    if item.reference is None and item.passed and item.trace.status == "answered":
        return item.trace.answer
    return None if item.reference == REFUSED else item.reference


async def _giving(right: str, item: Item, slots: Slots, ops: Ops, tools: Mapping[str, Tool]) -> list[str]:
    """The legal calls of a request that give the right answer."""
    request = item.request
    context = ToolContext(request.clock or 0.0, request.seed or 0, request.user, request.tenant)
    found = []
    for call, meant in islice(_tool_calls(slots, ops, tools), MOST_CALLS):
        try:
            result = await tools[meant.name].call(meant.arguments, context)
        except ToolError:
            continue
        if compare(result.text, right).score == 1.0:
            found.append(call)
    return found


def _tool_calls(slots: Slots, ops: Ops, tools: Mapping[str, Tool]) -> Iterator[tuple[str, ToolCall]]:
    for call in legal_calls(slots, ops):
        meant = fill(call, slots, ops)
        if meant is not None and meant.name in tools and tools[meant.name].spec.repeatable:
            yield call, meant


def _weighed(drafts: Sequence[tuple[Slots, Sequence[str]]]) -> list[dict[str, float]]:
    """How probable each candidate of each request is, by the words that stand beside it everywhere.

    A mixture with one component a call, where a request belongs to one of its own candidates: naive Bayes by
    expectation maximisation (Nigam et al. 2000).
    """
    words = [_words(slots) for slots, _ in drafts]
    odds = [dict.fromkeys(calls, 1 / len(calls)) for _, calls in drafts]
    for _ in range(_ROUNDS):
        weight: defaultdict[str, float] = defaultdict(float)
        beside: defaultdict[str, defaultdict[str, float]] = defaultdict(partial(defaultdict, float))
        for one, held in zip(odds, words, strict=True):
            for call, p in one.items():
                weight[call] += p
                for word in held:
                    beside[call][word] += p
        for i, held in enumerate(words):
            logs = {
                call: math.log(weight[call] + _SMALL)
                + sum(math.log((beside[call][word] + _SMALL) / (weight[call] + 2 * _SMALL)) for word in held)
                for call in odds[i]
            }
            top = max(logs.values())
            total = sum(math.exp(log - top) for log in logs.values())
            odds[i] = {call: math.exp(log - top) / total for call, log in logs.items()}
    return odds


def _words(slots: Slots) -> set[str]:
    words = slots.template.split()
    return {*words, *(f"{a} {b}" for a, b in pairwise(words))}
