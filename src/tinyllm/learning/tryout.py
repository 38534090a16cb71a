"""Graphs tried on graded requests, and what a change of the graph gained. Nothing is tried twice in a cycle.

Knows nothing about how proposals are made, or what is decided from an outcome.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace

from tinyllm.errors import TinyLLMError
from tinyllm.grading import node_of
from tinyllm.graph import Graph
from tinyllm.learning.items import Item
from tinyllm.learning.price import price_of
from tinyllm.learning.proposal import Ask, Bench, Proposal
from tinyllm.learning.traffic import Outcome, Pair
from tinyllm.types import Trace

AT_A_TIME = 8  # requests that are tried at once

Right = Callable[[Item, Trace], Awaitable[bool | None]]
"""Whether a trace answers an item rightly; None where nobody can tell."""

Tell = Callable[[str, int, int], None]
"""Is told what is tried, how many requests are done, and of how many."""

Answers = Mapping[str, tuple[bool | None, Trace]]
"""Whether each run's request was answered rightly, and how, by the id of the run that first answered it."""


class Tryout:
    """Asks graphs on a bench and remembers what they answered."""

    def __init__(self, bench: Bench, right: Right, tell: Tell) -> None:
        self.bench = bench
        self.right = right
        self.tell = tell
        self._known: dict[tuple[str, str], tuple[bool | None, Trace]] = {}

    async def answers(
        self, graph: Graph, items: Sequence[Item], what: str, files: Mapping[str, bytes] | None = None
    ) -> Answers:
        """How the graph answers the items, under the seeds and clocks of their runs.

        A run of this very graph is not repeated. Raises what the bench raises for a graph that cannot be built.
        """
        own = self.bench.effective(graph).id
        found: dict[str, tuple[bool | None, Trace]] = {}
        waiting = iter(items)

        async def work(ask: Ask) -> None:
            for item in waiting:
                run = item.trace.run_id
                if (own, run) not in self._known:
                    trace = item.trace if item.trace.graph == own else await ask(item.request)
                    self._known[own, run] = (await self.right(item, trace), trace)
                found[run] = self._known[own, run]
                self.tell(what, len(found), len(items))

        async with self.bench.open(graph, files or {}) as ask:
            await asyncio.gather(*(work(ask) for _ in range(AT_A_TIME)))
        return found

    async def rivals(
        self, proposals: Mapping[str, Proposal], items: Sequence[Item], before: Answers, faults: list[str]
    ) -> Mapping[str, Outcome]:
        """What each proposal gained on the items; one that cannot be built adds to `faults`."""
        found = {}
        for name, proposal in proposals.items():
            try:
                after = await self.answers(proposal.graph, items, name, proposal.files)
            except TinyLLMError as error:
                faults.append(f"{name}: {error}")
            else:
                found[name] = replace(outcome(items, before, after), spare=proposal.spare)
        return found


def outcome(items: Sequence[Item], before: Answers, after: Answers, *, but: Collection[str] = ()) -> Outcome:
    """What the second graph gained on the items that could be judged on both.

    An answer gains where right follows on none or wrong, and none on wrong: who is refused is not misled.

    A slice is what one node of the first graph answered, `but` for some nodes.
    """
    price = price_of(trace for answers in (before, after) for _, trace in answers.values())
    pairs = []
    for item in items:
        (was, old), (now, new) = before[item.trace.run_id], after[item.trace.run_id]
        if was is not None and now is not None:
            costs = price(old), price(new)
            node = node_of(old)
            slices = () if node in but else (f"node {node}",)
            pairs.append(
                Pair(item.trace.run_id, item.group, _worth(was, old), _worth(now, new), *costs, slices)
            )
    return Outcome.of(pairs)


def _worth(right: bool, trace: Trace) -> int:
    """How good an answer is: 2 where it is right, 1 where there is none, 0 where it is wrong."""
    return 2 if right else int(trace.status != "answered")


def nodes_with(fewest: int, items: Sequence[Item], answers: Answers) -> list[str]:
    """The nodes that answered at least so many groups of the items, right or wrong."""
    groups = {(node_of(answers[item.trace.run_id][1]), item.group) for item in items}
    return sorted(node for node, count in Counter(node for node, _ in groups).items() if count >= fewest)


def mean_cost(answers: Answers) -> float:
    """What an answer cost on average."""
    traces = [trace for _, trace in answers.values()]
    price = price_of(traces)
    return math.fsum(map(price, traces)) / max(1, len(traces))
