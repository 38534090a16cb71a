"""Proposals that tell routers what their routes have been worth, so that they can heed the dial.

Every graded run is an outcome of the routes that it took. A sample of the requests is asked again with another
route that the router found possible: else a route that is never taken would never be known. All traces are of
the head itself, so that no outcome of an older prompt or model is among them.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

from tinyllm.graph import Graph, Model, RouterNode, Specialist, put_nodes
from tinyllm.graph.spec import Worth
from tinyllm.learning.bytext import Fitted, fit
from tinyllm.learning.items import Item
from tinyllm.learning.proposal import Bench, Findings, Proposal
from tinyllm.learning.tryout import AT_A_TIME, Right
from tinyllm.routing.cells import Cells
from tinyllm.routing.worth import Dial, Routes, able, nudged, wanted
from tinyllm.types import Cost, Request, Span, Trace

MONTH = 30 * 86400.0  # seconds after which an outcome counts half
MOST = 300  # requests that are asked again in a cycle
NAME = "-by-text"  # after a router's name: its model

Key = tuple[str, ...]  # a cell: a model, a node or a router's route


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request that a router sent one way; `cost` is what was spent from there on."""

    text: str
    router: str
    label: str
    right: bool
    cost: float
    time: float


@dataclass(frozen=True, slots=True)
class Weights:
    """Proposes the worth of each router's routes. `right` tells whether a trace answers an item."""

    bench: Bench
    right: Right
    most: int = MOST

    async def __call__(self, findings: Findings) -> Sequence[Proposal]:
        head = findings.head
        # A question that is asked often counts once.
        items = list({item.group: item for item in findings.items}.values())
        priced = any(item.trace.cost.money for item in items)
        seen = [one for item in items for one in _outcomes(head, item, item.trace, item.passed, priced)]
        asked = await self._ask(head, items, findings.seed)
        for item, node, trace, right in asked:
            if right is not None:
                seen += [one for one in _outcomes(head, item, trace, right, priced) if one.router == node]
        made: list[Proposal] = []
        for node, worth in _worths(head, seen).items():
            outcomes = [(one.text, one.label, one.right) for one in seen if one.router == node]
            costs = [trace.cost for _, asked_of, trace, _ in asked if asked_of == node]
            made += _proposal(head, node, worth, fit(outcomes, list(worth)), items, costs)
        return made

    async def _ask(
        self, head: Graph, items: Sequence[Item], seed: int
    ) -> list[tuple[Item, str, Trace, bool | None]]:
        """Some of the requests sent another way that was possible: by which router, and whether that was right, where
        somebody can tell."""
        ways = [
            (item, span.node, label)
            for item in items
            for span in _choices(head, item.trace)
            for label, p in span.probabilities.items()
            if label != span.choice and p >= _router(head, span.node).alternatives
        ]
        Random(seed).shuffle(ways)
        waiting, done = iter(enumerate(ways[: self.most])), dict[int, tuple[Item, str, Trace, bool | None]]()

        async with self.bench.open(head, {}) as ask:

            async def work() -> None:
                for number, (item, node, label) in waiting:
                    trace = await ask(replace(item.request, forced={**item.request.forced, node: label}))
                    done[number] = item, node, trace, await self.right(item, trace)

            await asyncio.gather(*(work() for _ in range(AT_A_TIME)))
        return [done[number] for number in sorted(done)]


def _proposal(
    head: Graph,
    node: str,
    worth: Mapping[str, Worth],
    fitted: Fitted | None,
    items: Sequence[Item],
    costs: Sequence[Cost],
) -> Iterator[Proposal]:
    """The router with these numbers, and maybe with a model of what they are for one text, if a trial could
    prove it. `costs` are those of the requests that were asked another way for them."""
    saved, gained = _effect(head, node, worth, fitted.told if fitted else {}, items)
    if gained < head.learning.gain and (saved <= 0 or gained <= -head.learning.gain):
        return
    update: dict[str, object] = {"worth": worth, "by_text": None}
    name = f"{node[: 64 - len(NAME)]}{NAME}"
    models = {other: model for other, model in head.models.items() if other != name}
    files, reason, cost = dict[str, bytes](), _reason(node, worth), sum(costs, Cost())
    if fitted is not None:
        update["by_text"] = name
        models[name] = Model(backend="learned", model=f"bytext-{fitted.sha256}", parameters=fitted.parameters)
        files[fitted.sha256] = fitted.data
        reason += "; a model learned from these outcomes tells more of each text"
        cost += Cost(macs=fitted.macs)
    graph = put_nodes(head, {node: head.nodes[node].model_copy(update=update)}, models=models)
    saves = gained < head.learning.gain
    yield Proposal("weights", node, reason, graph, files, saves=saves, cost=cost, asked=len(costs))


def _choices(head: Graph, trace: Trace) -> Iterator[Span]:
    """The first choice of each router on the way of a run."""
    met: set[str] = set()
    for span in trace.spans:
        spec = head.nodes.get(span.node)
        if isinstance(spec, RouterNode) and span.choice in spec.routes and span.node not in met:
            met.add(span.node)
            yield span


def _outcomes(head: Graph, item: Item, trace: Trace, right: bool, priced: bool) -> Iterator[Outcome]:
    for span in _choices(head, trace):
        after = [later.cost for later in trace.spans if later.start_ms >= span.end_ms]
        cost = math.fsum(each.money if priced else each.macs for each in after)
        yield Outcome(trace.question, span.node, str(span.choice), right, cost, item.request.clock or 0.0)


def _worths(head: Graph, seen: Sequence[Outcome]) -> Mapping[str, Mapping[str, Worth]]:
    """What the routes of each router with outcomes are worth.

    A route with few outcomes leans on the node that it leads to, wherever that answered, and this on its model.
    """
    routers = sorted({one.router for one in seen})
    chains = {
        (node, label): _chain(head, node, label) for node in routers for label in _router(head, node).routes
    }
    keys = list(dict.fromkeys(key for chain in chains.values() for key in chain))
    keys.sort(key=len)  # models, nodes, routes: a parent comes first
    place = {key: number for number, key in enumerate(keys)}
    parents = [-1] * len(keys)
    for chain in chains.values():
        for parent, key in pairwise(chain):
            parents[place[key]] = place[parent]
    cells, spent = Cells(parents, 1), defaultdict[Key, float](float)
    latest = max((one.time for one in seen), default=0.0)
    for one in seen:
        chain, weight = chains[one.router, one.label], 0.5 ** ((latest - one.time) / MONTH)
        cells.add(place[chain[-1]], 0, float(one.right), weight)
        for key in chain:
            spent[key] += weight * one.cost
    means = cells.means()

    def worth(chain: Sequence[Key]) -> Worth:
        known = [key for key in chain if cells.seen[place[key], 0]]
        cost = spent[known[-1]] / float(cells.seen[place[known[-1]], 0]) if known else 0.0
        own = place[chain[-1]]
        right, count = round(float(means[own, 0]), 3), round(float(cells.seen[own, 0]), 1)
        return Worth(right=right, seen=count, cost=float(f"{cost:.4g}"))

    return {
        node: {label: worth(chains[node, label]) for label in _router(head, node).routes} for node in routers
    }


def _chain(head: Graph, router: str, label: str) -> list[Key]:
    """The cells of a route, the widest first: the model that answers there, the node, the route itself."""
    target = _router(head, router).routes[label].to
    spec = head.nodes[target]
    model: list[Key] = [(spec.model,)] if isinstance(spec, Specialist) else []
    return [*model, ("node", target), ("route", router, label)]


def _effect(
    head: Graph,
    node: str,
    worth: Mapping[str, Worth],
    told: Mapping[str, Mapping[str, float]],
    items: Sequence[Item],
) -> tuple[float, float]:
    """What the router would save with these numbers, and the share of answers that would turn right, as they say."""
    spec = _router(head, node)
    costs = {label: one.cost for label, one in worth.items()}
    saved = gained = 0.0
    for item in items:
        span = next((span for span in _choices(head, item.trace) if span.node == node), None)
        if span is None or node in item.request.forced or not span.probabilities.keys() <= worth.keys():
            continue
        dial, by = _dial(head, item.request), told.get(item.trace.question, {})
        counted = {label: dial.counted(one.right, one.seen) for label, one in worth.items()}
        odds, old = span.probabilities, str(span.choice)
        likeliest = max(odds, key=lambda label: odds[label])
        ways = able(odds, likeliest, spec.alternatives)
        new, _ = dial.take(Routes(odds, nudged(counted, by), costs), ways)
        right = nudged({label: one.right for label, one in worth.items()}, by)
        saved += costs[old] - costs[new]
        gained += right[new] - right[old]
    return saved, gained / max(1, len(items))


def _dial(head: Graph, request: Request) -> Dial:
    """As a run of the request would have it, but for a pace: changes are tried without one."""
    quality = head.quality if request.quality is None else request.quality
    return Dial(quality, wanted(request.right, request.quality, head.right))


def _router(head: Graph, node: str) -> RouterNode:
    spec = head.nodes[node]
    assert isinstance(spec, RouterNode)
    return spec


def _reason(node: str, worth: Mapping[str, Worth]) -> str:
    told = ", ".join(
        f"{label} {one.right:.0%} right at {one.cost:.3g} ({one.seen:g} seen)" for label, one in worth.items()
    )
    return f"{node} can choose by what its routes have been worth: {told}"
