"""Merging: two specialists of one router that do alike work become one, which is cheaper to keep and to choose.

Twins run on one language model with the same tools, so that they differ in a prompt or an adapter: each is asked
a sample of what the other answered, and the one that loses less by taking over stays. Or they are two readers of
ours with the same tools: one is trained on what both answered rightly. Where all ways of the router lead to
one node then, the router goes, too. Knows nothing about how a proposal is tried.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

from tinyllm.errors import GraphError
from tinyllm.graph import Graph, Model, NodeSpec, RouterNode, Specialist, put_nodes, redirect, unrouted
from tinyllm.learning.expand import BEFORE, FEWEST, GROWN, Rehearsal, call_made, learned
from tinyllm.learning.items import Item
from tinyllm.learning.proposal import READERS, Bench, Findings, Proposal
from tinyllm.learning.specialist import train_reader, train_router
from tinyllm.learning.tryout import AT_A_TIME, Right
from tinyllm.slots import Ops, Slots, find
from tinyllm.types import Cost

SEEN = 20  # requests that each twin must have had
ASKED = 25  # of them, that the other is asked
PAIRS = 2  # of twins that are looked at in a cycle, those with most traffic


class Twins(NamedTuple):
    """Two routes of a router to nodes that do alike work, and what each of them answered."""

    router: str
    labels: tuple[str, str]
    answered: tuple[Sequence[Item], Sequence[Item]]


class Tried(NamedTuple):
    """One twin on requests of the other: how many it was asked, how many were right `before` and are now, and the
    `loss`, as a share of all answers."""

    asked: int
    before: int
    right: int
    loss: float


@dataclass(frozen=True, slots=True)
class Merging:
    """Proposes one node for two. `ops` are the operations of readers, `right` tells whether a trace answers an item."""

    ops: Ops
    bench: Bench
    right: Right
    rehearsal: Rehearsal = tuple

    async def __call__(self, findings: Findings) -> Sequence[Proposal]:
        pairs = sorted(_twins(findings), key=lambda twins: -sum(map(len, twins.answered)))[:PAIRS]
        made = list[Proposal]()
        for twins in pairs:
            try:
                made += await self._merged(findings, twins)
            except GraphError:
                continue  # one of them is where only it can be
        return made

    async def _merged(self, findings: Findings, twins: Twins) -> Sequence[Proposal]:
        head = findings.head
        router = head.nodes[twins.router]
        assert isinstance(router, RouterNode)
        nodes = [router.routes[label].to for label in twins.labels]
        if _is_reader(head, nodes[0]):
            return self._retrained(findings, twins, router)
        tried = [await self._takes_over(head, twins, kept, findings.items) for kept in (0, 1)]
        kept = 0 if tried[0].loss <= tried[1].loss else 1
        if tried[kept].loss >= head.learning.gain or nodes[1 - kept] in head.protected:
            return []
        reason = (
            f"{nodes[kept]} may do the work of {nodes[1 - kept]}: of {tried[kept].asked} requests that the latter "
            f"answered, it answers {tried[kept].right} rightly, where {tried[kept].before} were right"
        )
        graph = _without(head, twins.router, twins.labels[kept], twins.labels[1 - kept])
        return [Proposal("merge", nodes[1 - kept], reason, graph, saves=True)]

    async def _takes_over(self, head: Graph, twins: Twins, kept: int, items: Sequence[Item]) -> Tried:
        """What becomes of a sample of one twin's requests where the other answers."""
        others = twins.answered[1 - kept]
        waiting, done = iter(others[:ASKED]), list[tuple[bool, bool]]()

        async with self.bench.open(head, {}) as ask:

            async def work() -> None:
                for item in waiting:
                    forced = {**item.request.forced, twins.router: twins.labels[kept]}
                    right = await self.right(item, await ask(replace(item.request, forced=forced)))
                    if right is not None:
                        done.append((item.passed, right))

            await asyncio.gather(*(work() for _ in range(AT_A_TIME)))
        before, right = (sum(each) for each in zip(*done, strict=True)) if done else (0, 0)
        share = len(others) / len(items)
        return Tried(len(done), before, right, (before - right) / len(done) * share if done else 1.0)

    def _retrained(self, findings: Findings, twins: Twins, router: RouterNode) -> Sequence[Proposal]:
        """The head with one reader for both, and its router trained for one route less."""
        head, (label, other) = findings.head, twins.labels
        kept, gone = router.routes[label].to, router.routes[other].to
        calls, asked = list[tuple[Slots, str]](), defaultdict[str, list[Slots]](list)
        for item in findings.items:
            slots, chosen = find(item.request.text), item.chosen(twins.router) or BEFORE
            route = label if chosen == other else chosen
            asked[route].append(slots)
            call = call_made(item, slots, self.ops) if item.passed and route == label else None
            if call is not None:
                calls.append((slots, call))
        if len(calls) < FEWEST or gone in head.protected:
            return []
        others = [slots for route, own in asked.items() if route != label for slots in own]
        known = self.rehearsal()
        reader = train_reader(calls, others, self.ops, rehearsed=known, seed=findings.seed)
        front = train_router(asked, rehearsed=[(slots, BEFORE) for slots, _ in known], seed=findings.seed)
        spec, gone_spec = head.nodes[kept], head.nodes[gone]
        assert isinstance(spec, Specialist) and isinstance(gone_spec, Specialist)
        models = {**head.models, spec.model: learned(reader), router.model: learned(front)}
        del models[gone_spec.model]
        reason = f"{kept} and {gone} have the same tools: one reader may do the work of both"
        return [
            Proposal(
                "merge",
                gone,
                reason,
                _without(head, twins.router, label, other, models),
                files={one.sha256: one.data for one in (reader, front)},
                saves=True,
                cost=Cost(macs=reader.macs + front.macs),
            )
        ]


def _twins(findings: Findings) -> Iterable[Twins]:
    """The pairs of specialists that could be one: of one router, with the same tools, next node and sort of model."""
    head = findings.head
    for name, router in head.nodes.items():
        if not isinstance(router, RouterNode):
            continue
        answered = defaultdict[str, list[Item]](list)
        for item in findings.items:
            answered[item.chosen(name) or ""].append(item)
        able = [label for label in router.routes if len(answered[label]) >= SEEN]
        for pair in combinations(able, 2):
            one, other = (router.routes[label].to for label in pair)
            if one != other and _alike(head, name, one, other):
                yield Twins(name, pair, (answered[pair[0]], answered[pair[1]]))


def _alike(head: Graph, router: str, one: str, other: str) -> bool:
    a, b = head.nodes[one], head.nodes[other]
    if not (isinstance(a, Specialist) and isinstance(b, Specialist)):
        return False
    if (set(a.tools), a.next) != (set(b.tools), b.next):
        return False
    if _is_reader(head, one) and _is_reader(head, other):
        return router == GROWN
    return a.model == b.model and head.models[a.model].backend not in READERS


def _is_reader(head: Graph, node: str) -> bool:
    spec = head.nodes[node]
    return isinstance(spec, Specialist) and head.models[spec.model].backend == "learned"


def _without(
    head: Graph, router: str, label: str, other: str, models: Mapping[str, Model] | None = None
) -> Graph:
    """The head in which one route does the work of another; without the router, where no choice is left.

    `models` are the head's, where the router is trained anew for one label less.
    """
    old = head.nodes[router]
    assert isinstance(old, RouterNode)
    kept, gone = old.routes[label].to, old.routes[other].to
    moved = redirect(head, gone, kept)
    spec = moved[router]
    assert isinstance(spec, RouterNode)
    routes = dict(spec.routes)
    # A router in a file knows the other label still: both lead to the one node then.
    if models or head.models[old.model].backend not in READERS:
        del routes[other]
        when = "; or ".join(text for one in (label, other) if (text := old.routes[one].when))
        routes[label] = routes[label].model_copy(update={"when": when})
    nodes: dict[str, NodeSpec | None] = {**moved, gone: None}
    nodes[router] = spec.model_copy(update={"routes": routes})
    return unrouted(put_nodes(head, nodes, models=models or head.models), router)
