"""Blame: a failed run again, with one node's choice changed; the node whose change repairs it carries the blame.

The smallest change is looked for first: a gate that turned an answer away lets it through, then routers take
other routes, the last router first; a gate that let a wrong answer through turns it away at the end, for then
it was not the cause, but could have been the mend. Knows nothing about how graphs run or who judges.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from random import Random
from typing import Literal, NamedTuple

from tinyllm.graph import Graph, RouterNode
from tinyllm.learning.failures import Failure, failures
from tinyllm.learning.proposal import Ask, Bench, Cluster
from tinyllm.learning.tryout import Right
from tinyllm.types import Trace

MOST = 200  # runs of a cycle
AT_A_TIME = 8  # failures that are replayed at once

Result = Literal["repaired", "beyond", "healed", "untold"]


@dataclass(frozen=True, slots=True)
class Blame:
    """Every failure, in its place, with what replay told of it; and how the replayed ones came out.

    `repaired` by one changed choice; `beyond` every other choice, so that the node itself fails; `healed`, for
    they went right when nothing was changed; `untold`, for not all could be judged. `skipped` were not replayed.
    """

    failures: Sequence[Failure]
    runs: int = 0
    repaired: int = 0
    beyond: int = 0
    healed: int = 0
    untold: int = 0
    skipped: int = 0

    @property
    def settled(self) -> float | None:
        """The share of replayed failures whose blame is known; None where none was replayed."""
        replayed = self.repaired + self.beyond + self.healed + self.untold
        return (self.repaired + self.beyond) / replayed if replayed else None


class Change(NamedTuple):
    """A node that chooses otherwise. `told` is what it did when the run failed."""

    node: str
    choice: str
    told: str


async def blame(
    failures: Sequence[Failure],
    head: Graph,
    bench: Bench,
    right: Right,
    *,
    most: int = MOST,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Blame:
    """The failures with the blame where replays put it: at most `most` runs, spread over kinds, nodes and groups.

    Settled failures, and those on whose way nothing was chosen, are not replayed. `progress` is told (runs made,
    the most there can be). Raises what the bench raises.
    """
    graph = bench.effective(head)
    found, counts = list(failures), dict.fromkeys(("repaired", "beyond", "healed", "untold"), 0)
    ways = {at: len(changes(one.item.trace, graph)) for at, one in enumerate(failures) if not one.settled}
    queue, runs = _spread(failures, [at for at, count in ways.items() if count], seed), 0
    async with bench.open(head, {}) as ask:
        while wave := _wave(queue, ways, most - runs):
            made = await asyncio.gather(*(_replay(failures[at], ways[at], graph, ask, right) for at in wave))
            for at, (failure, result, spent) in zip(wave, made, strict=True):
                found[at] = failure
                counts[result] += 1
                runs += spent
            if progress is not None:
                progress(runs, most)
    return Blame(found, runs, **counts, skipped=len(queue))


async def at_fault(
    clusters: Sequence[Cluster],
    head: Graph,
    bench: Bench,
    right: Right,
    *,
    most: int = MOST,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Sequence[Cluster], int]:
    """The clusters, each with the node that most of its failures are to blame on, as far as `most` runs tell; and
    how many it took."""
    if not clusters:
        return clusters, 0
    failed = failures(item for cluster in clusters for item in cluster.items)
    found = await blame(failed, head, bench, right, most=most, seed=seed, progress=progress)
    node = {one.item.trace.run_id: one.node for one in found.failures if one.settled}
    told = [
        Counter(node[run] for item in cluster.items if (run := item.trace.run_id) in node)
        for cluster in clusters
    ]
    return [
        replace(cluster, node=nodes.most_common(1)[0][0]) if nodes else cluster
        for cluster, nodes in zip(clusters, told, strict=True)
    ], found.runs


def changes(trace: Trace, graph: Graph) -> list[Change]:
    """What could have been chosen otherwise on the way of a run, the smallest change first."""
    turned, routed, passed = list[Change](), list[Change](), list[Change]()
    seen: set[str] = set()
    for span in reversed(trace.spans):
        node = graph.nodes.get(span.node)
        if span.node in seen or node is None:
            continue
        seen.add(span.node)
        if isinstance(node, RouterNode):
            chosen, odds = node.routes.get(span.choice or ""), span.probabilities
            taken = chosen.to if chosen else node.otherwise
            labels = sorted(node.routes, key=lambda label: -odds.get(label, 0.0))
            told = f"it chose {span.choice!r}" if span.choice else "it knew no route"
            routed += [Change(span.node, label, told) for label in labels if node.routes[label].to != taken]
        elif node.kind == "gate" and span.error is not None:
            turned.append(Change(span.node, "pass", f"it turned the answer away: {span.error}"))
        elif node.kind == "gate":
            passed.append(Change(span.node, "fail", "it let the answer through"))
    return turned + routed + passed


async def _replay(
    failure: Failure, allowed: int, graph: Graph, ask: Ask, right: Right
) -> tuple[Failure, Result, int]:
    """The failure with what replays told of it, `allowed` beside the first, and how many they were."""
    item = failure.item
    forced = {node: choice for node, choice in item.request.forced.items() if node in graph.nodes}
    trace = await ask(replace(item.request, forced=forced))
    verdict = await right(item, trace)
    if verdict is not False:
        return failure, "untold" if verdict is None else "healed", 1
    plan = changes(trace, graph)
    verdicts: list[bool | None] = []
    for change in plan[:allowed]:
        request = replace(item.request, forced={**forced, change.node: change.choice})
        verdicts.append(await right(item, await ask(request)))
        if verdicts[-1]:
            return _blamed(failure, change, graph), "repaired", 1 + len(verdicts)
    if None in verdicts or len(plan) > allowed:
        return failure, "untold", 1 + len(verdicts)
    why = f"{failure.why}; no other choice on its way repairs it"
    return replace(failure, why=why, settled=True), "beyond", 1 + len(verdicts)


def _blamed(failure: Failure, change: Change, graph: Graph) -> Failure:
    why = f"{change.told}, and with {change.choice!r} the answer is right"
    if isinstance(graph.nodes[change.node], RouterNode):
        return replace(failure, kind="misroute", node=change.node, why=why, settled=True)
    kind = failure.kind if change.choice == "fail" else "refused what it could do"
    return replace(failure, kind=kind, node=change.node, why=why, settled=True)


def _spread(failures: Sequence[Failure], places: Sequence[int], seed: int) -> list[int]:
    """The places in the order of replay: each kind of each node in turn, and of these another group each time."""
    random = Random(seed)
    places = sorted(places, key=lambda at: failures[at].item.trace.run_id)
    random.shuffle(places)
    rounds: defaultdict[tuple[str, str], defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for at in places:
        rounds[failures[at].kind, failures[at].node][failures[at].item.group].append(at)
    lines = [_in_turn(list(groups.values())) for _, groups in sorted(rounds.items())]
    return _in_turn(lines)


def _in_turn(lines: Sequence[Sequence[int]]) -> list[int]:
    """The first of each line, then the second of each, and so on."""
    return [at for row in zip_longest(*lines) for at in row if at is not None]


def _wave(queue: list[int], ways: Mapping[int, int], left: int) -> list[int]:
    """Takes from the queue what is replayed next: whose runs, at their most, are still allowed."""
    wave: list[int] = []
    while queue and len(wave) < AT_A_TIME and (left := left - 1 - ways[queue[0]]) >= 0:
        wave.append(queue.pop(0))
    return wave
