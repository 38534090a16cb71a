"""Training targets by search: for graded requests, the calls that give the right answer and mean the same.

Every legal call over a request's slots is run; those that reproduce the right answer are its candidates. More
than one may, by chance (many ways lead to 4), so each is weighed by how often it is right where it could be
called and the request is in like words. Which operations there are is the caller's table.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

from tinyllm.errors import ToolError
from tinyllm.grading import REFUSED, compare
from tinyllm.learning.items import Item, several
from tinyllm.protocols import Tool, ToolContext
from tinyllm.slots import Ops, Slots, fill, find, legal_calls
from tinyllm.types import ToolCall

if TYPE_CHECKING:
    import numpy as np

FEWEST = 4  # requests that an operation must explain, or its candidates are chance
MOST_CALLS = 200  # tried for one request
LIKELY = 0.1  # share of like requests that a call must answer rightly, or it did so by chance
_DOUBT = 1.0  # like requests that a call's share among all requests counts for


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

    The right answer is the reference, or the answer of a run that passed. An operation that explains fewer than
    `fewest` requests explains none. Where several users give their word, one who says most of what an operation
    means is left out of it. Only repeatable tools are called, with the run's own clock and seed.
    """
    drafts = []
    for item in items:
        if (right := _right(item)) is not None:
            slots = find(item.request.text)
            # What no call answers tells, too, which calls are right by chance.
            drafts.append((item, slots, await _tried(right, item, slots, ops, tools)))
    shares = _shares([(slots, tried) for _, slots, tried in drafts])
    voices = several(items)
    while True:
        chosen = [max(one, key=lambda call: (one[call], call), default=None) for one in shares]
        support: dict[str, list[Item]] = {}
        for (item, _, _), call in zip(drafts, chosen, strict=True):
            if call is not None:
                support.setdefault(call.split()[0], []).append(item)
        lone = {op: user for op, own in support.items() if voices and (user := _alone(own))}
        if lone:
            shares = [
                {} if call and item.by and lone.get(call.split()[0]) == item.by else one
                for (item, _, _), call, one in zip(drafts, chosen, shares, strict=True)
            ]
            continue
        if all(len(own) >= fewest for own in support.values()):
            break
        rare = min(support, key=lambda op: (len(support[op]), op))
        shares = [{call: p for call, p in one.items() if call.split()[0] != rare} for one in shares]
    return [
        Target(item, slots, call)
        for (item, slots, _), call in zip(drafts, chosen, strict=True)
        if call is not None
    ]


def _alone(items: Sequence[Item]) -> str | None:
    """The user on whose word, against what was answered, most of the requests have their right answer."""
    words = Counter(item.by for item in items if item.by is not None and not item.passed)
    user, most = words.most_common(1)[0] if words else (None, 0)
    return user if 2 * most > len(items) else None


def _right(item: Item) -> str | None:
    """The right answer of a request, where it is known and is no refusal."""
    if item.reference is None and item.passed and item.trace.status == "answered":
        return item.trace.answer
    return None if item.reference == REFUSED else item.reference


async def _tried(
    right: str, item: Item, slots: Slots, ops: Ops, tools: Mapping[str, Tool]
) -> dict[str, float]:
    """The legal calls of a request: 0 for one that does not give the right answer, 1 for one that does, and less
    the more it says beyond what the shortest of them says."""
    request = item.request
    context = ToolContext(request.clock or 0.0, request.seed or 0, request.user, request.tenant)
    lengths: dict[str, int] = {}
    for call, meant in islice(_tool_calls(slots, ops, tools), MOST_CALLS):
        lengths[call] = 0
        try:
            result = await tools[meant.name].call(meant.arguments, context)
        except ToolError:
            continue
        if compare(result.text, right).score == 1.0:
            lengths[call] = len(result.text)
    shortest = min(filter(None, lengths.values()), default=0)
    return {call: shortest / length if length else 0.0 for call, length in lengths.items()}


def _tool_calls(slots: Slots, ops: Ops, tools: Mapping[str, Tool]) -> Iterator[tuple[str, ToolCall]]:
    for call in legal_calls(slots, ops):
        meant = fill(call, slots, ops)
        if meant is not None and meant.name in tools and tools[meant.name].spec.repeatable:
            yield call, meant


def _shares(drafts: Sequence[tuple[Slots, Mapping[str, float]]]) -> list[dict[str, float]]:
    """For each request the calls that give its right answer, with the share of like requests where they do.

    A mean over all other requests where the call is legal, weighted by likeness of words (Nadaraya 1964; Watson
    1964), that leans on the call's share of all requests where few are alike.
    """
    import numpy as np

    if not drafts:
        return []
    place = {call: n for n, call in enumerate(sorted({call for _, tried in drafts for call in tried}))}
    legal = np.zeros((len(drafts), len(place)), dtype=np.float32)
    right = np.zeros_like(legal)
    for row, (_, tried) in enumerate(drafts):
        columns = [place[call] for call in tried]
        legal[row, columns] = 1.0
        right[row, columns] = list(tried.values())
    alike = _likeness([_words(slots) for slots, _ in drafts])
    everywhere = right.sum(axis=0) / np.maximum(legal.sum(axis=0), 1.0)
    share = (alike @ right + _DOUBT * everywhere) / (alike @ legal + _DOUBT)
    return [
        {
            call: p
            for call, exact in tried.items()
            if exact and (p := round(float(share[row, place[call]]), 3)) >= LIKELY
        }
        for row, (_, tried) in enumerate(drafts)
    ]


def _likeness(requests: Sequence[Collection[str]]) -> "np.ndarray[Any, Any]":
    """How alike each two are in words, from 0 to 1, rare words counting most; nothing is like itself here."""
    import numpy as np

    counts = Counter(word for words in requests for word in words)
    place = {word: n for n, word in enumerate(sorted(counts))}
    table = np.zeros((len(requests), len(place)), dtype=np.float32)
    for row, words in enumerate(requests):
        for word in words:
            table[row, place[word]] = math.log(1.0 + len(requests) / counts[word])
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    alike = (table @ table.T) ** 2
    np.fill_diagonal(alike, 0.0)
    return alike


def _words(slots: Slots) -> set[str]:
    words = slots.template.split()
    return {*words, *(f"{a} {b}" for a, b in pairwise(words))}
