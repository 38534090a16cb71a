"""Splits: a language model that fails some kinds of requests becomes a router and specialists.

    chat-kinds -> as-before: chat, unchanged
               -> chat-rhyming: its model with a prompt of its own, written for what fails
               -> chat-history: another model of the same backend

What serves a kind best is measured on a sample of the node's traffic, failures and successes: every model that could
answer there, and every written prompt. Only with headroom (kinds that differ in what serves them best) is anything
proposed; where one choice is best for all, a change of the node itself is the better proposal. A later split, of
the node or of one of its specialists, adds routes to its router. Knows nothing about how a proposal is tried, or
who writes prompts.
"""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import NamedTuple

from tinyllm.errors import GraphError
from tinyllm.evidence import best_of, headroom
from tinyllm.grading import node_of
from tinyllm.graph import Graph, NodeSpec, RouterNode, Specialist, put_nodes, put_prompt, redirect
from tinyllm.graph.spec import Route
from tinyllm.learning.alternatives import models_for
from tinyllm.learning.expand import BEFORE, FEWEST, GROWN, learned
from tinyllm.learning.items import Item
from tinyllm.learning.prompts import text_of
from tinyllm.learning.proposal import Bench, Cluster, Findings, Proposal
from tinyllm.learning.specialist import train_router
from tinyllm.learning.tryout import Right, Tryout
from tinyllm.slots import Slots, find
from tinyllm.types import Cost

KINDS = 8  # of a node's, those with most failures, that are looked at in a cycle
ASKED = 2  # times that what a node answered is asked again, by all ways together

Write = Callable[[str, Sequence[Cluster]], Awaitable[str | None]]
"""From a node's prompt and the kinds that it fails to a better prompt for them; None where there is none."""


class Way(NamedTuple):
    """What could answer at a node: another model, or its own with another prompt; neither is the node as it is."""

    model: str | None = None
    prompt: str | None = None


class Tried(NamedTuple):
    """A kind of requests and, for each of a sample of them, whether each way answers it rightly. `kind` is None for
    what is of no kind that fails."""

    kind: Cluster | None
    items: Sequence[Item]
    rights: Sequence[Sequence[bool]]

    def share_of(self, way: int) -> float:
        return fmean(row[way] for row in self.rights)


@dataclass(frozen=True, slots=True)
class Splits:
    """Proposes a split for each failing language model. `right` tells whether a trace answers an item; without
    `write` only other models are tried. As many requests are asked as the node answered, `asked` times."""

    bench: Bench
    right: Right
    write: Write | None = None
    asked: float = ASKED

    async def __call__(self, findings: Findings) -> Sequence[Proposal]:
        made = list[Proposal]()
        for node, spec, kinds in findings.of_prompted():
            try:
                made += await self._split(findings, node, spec, kinds)
            except GraphError:
                continue  # a node that stands where a router cannot
        return made

    async def _split(
        self, findings: Findings, node: str, spec: Specialist, kinds: Sequence[Cluster]
    ) -> Sequence[Proposal]:
        head = findings.head
        kinds = [kind for kind in kinds if len(kind.items) >= FEWEST][:KINDS]
        known = {item.trace.run_id for kind in kinds for item in kind.items}
        rest = [i for i in findings.items if node_of(i.trace) == node and i.trace.run_id not in known]
        groups: list[tuple[Cluster | None, Sequence[Item]]] = [(kind, kind.items) for kind in kinds]
        groups += [(None, rest)] if len(rest) >= FEWEST else []
        if len(groups) < 2:
            return []  # all is of one kind: there is nothing to tell apart
        ways = [Way(), *(Way(model=model) for model in models_for(head, node))]
        if self.write is not None:
            old = text_of(head, spec)
            ways += [Way(prompt=text) for kind in kinds if (text := await self.write(old, [kind]))]
        tried, costs = await self._tried(findings, node, spec, groups, ways)
        if len(tried) < 2:
            return []  # nobody can tell what is right
        shares = [len(one.items) / len(findings.items) for one in tried]
        room = headroom([(share, one.rights) for share, one in zip(shares, tried, strict=True)])
        if room.gain < head.learning.gain or room.lower <= 0:
            return []
        return _grown(findings, node, spec, tried, ways, costs)

    async def _tried(
        self,
        findings: Findings,
        node: str,
        spec: Specialist,
        groups: Sequence[tuple[Cluster | None, Sequence[Item]]],
        ways: Sequence[Way],
    ) -> tuple[list[Tried], list[Cost]]:
        """How every way answers a sample of each group, of which near-duplicates count once; and what each request
        that was asked another way cost."""
        random, samples = Random(findings.seed), list[list[Item]]()
        for _, items in groups:
            unlike = list({item.group: item for item in items}.values())
            size = max(FEWEST, round(self.asked * len(items) / max(1, len(ways) - 1)))
            samples.append(random.sample(unlike, min(size, len(unlike))))
        asked = [item for sample in samples for item in sample]
        tryout = Tryout(self.bench, self.right, lambda what, done, of: None)
        answers = [
            await tryout.answers(_with(findings.head, {node: spec}, {node: way}), asked, node) for way in ways
        ]
        tried = []
        for (kind, items), sample in zip(groups, samples, strict=True):
            rows = [[each[item.trace.run_id][0] for each in answers] for item in sample]
            told = [[bool(right) for right in row] for row in rows if None not in row]
            if len(told) > 1:
                tried.append(Tried(kind, items, told))
        return tried, [trace.cost for each in answers[1:] for _, trace in each.values()]


def _grown(
    findings: Findings,
    node: str,
    spec: Specialist,
    tried: Sequence[Tried],
    ways: Sequence[Way],
    costs: Sequence[Cost],
) -> list[Proposal]:
    """The head with a specialist for each way that is the best of some kind, and a router that tells these apart."""
    head = findings.head
    name = _router_of(head, node)
    router = head.nodes.get(name)
    if isinstance(router, RouterNode):
        routes, nodes = dict(router.routes), dict[str, NodeSpec]()
    else:
        routes, nodes = {BEFORE: Route(to=node, when="everything else")}, redirect(head, node, name)
    before = routes[BEFORE].to
    labels, chosen, reasons = dict[str, str](), dict[str, Way](), list[str]()
    for way, kinds in _served(tried, len(ways)).items():
        label = _name(before, kinds[0][0], {*head.nodes, *chosen})
        chosen[label] = ways[way]
        nodes[label] = spec.model_copy(update={"simpler": before})
        routes[label] = Route(to=label, when="; or ".join(kind.name for kind, _ in kinds))
        labels |= {item.trace.run_id: label for kind, _ in kinds for item in kind.items}
        reasons += [_reason(node, kind, one, way, ways[way]) for kind, one in kinds]
    asked = _asked(findings.items, node, name, labels)
    if len(asked) < 2:
        return []
    trained = train_router(asked, seed=findings.seed)
    nodes[name] = RouterNode(kind="router", model=name, routes=routes, otherwise=before)
    graph = _with(head, nodes, chosen, models={**head.models, name: learned(trained)})
    files, cost = {trained.sha256: trained.data}, sum(costs, Cost(macs=trained.macs))
    return [Proposal("expand", node, "; ".join(reasons), graph, files, cost=cost, asked=len(costs))]


def _served(tried: Sequence[Tried], ways: int) -> Mapping[int, Sequence[tuple[Cluster, Tried]]]:
    """The kinds that each way serves best, by its number; without those that the node itself does."""
    served: defaultdict[int, list[tuple[Cluster, Tried]]] = defaultdict(list)
    for one in tried:
        way = best_of([one.share_of(way) for way in range(ways)])
        if one.kind is not None and way:
            served[way].append((one.kind, one))
    return served


def _asked(
    items: Sequence[Item], node: str, router: str, labels: Mapping[str, str]
) -> Mapping[str, Sequence[Slots]]:
    """What the router is to tell apart, by route: by run the new `labels`, and what it chose before for the rest."""
    asked: defaultdict[str, list[Slots]] = defaultdict(list)
    for item in items:
        route = labels.get(item.trace.run_id) or item.chosen(router)
        if route or node_of(item.trace) == node:
            asked[route or BEFORE].append(find(item.request.text))
    return asked


def _router_of(head: Graph, node: str) -> str:
    """The router of the split that a node came from, or else that of its own."""
    splits = (
        (name, spec)
        for name, spec in head.nodes.items()
        if isinstance(spec, RouterNode) and spec.model == name != GROWN and BEFORE in spec.routes
    )
    for name, router in splits:
        if any(route.to == node for route in router.routes.values()):
            return name
    return f"{node}-kinds"


def _with(head: Graph, nodes: dict[str, NodeSpec], ways: dict[str, Way], **fields: object) -> Graph:
    """The head with these nodes, of which some answer in other ways. A written prompt has its node's name."""
    nodes = dict(nodes)
    for node, way in ways.items():
        spec = nodes[node]
        if way.model is not None:
            nodes[node] = spec.model_copy(update={"model": way.model, "adapter": None})
        if way.prompt is not None:
            head = put_prompt(head, node, way.prompt)
            nodes[node] = spec.model_copy(update={"prompt": node})
    return put_nodes(head, nodes, **fields)


def _name(node: str, kind: Cluster, taken: set[str]) -> str:
    """A name for the specialist of a kind: the node's and the kind's words, and a number where that is taken."""
    words = re.sub(r"[^a-z0-9]+", "-", kind.name.lower()).strip("-") or "kind"
    name = f"{node[:32]}-{words[:24]}"
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(one for one in (name, *numbered) if one not in taken)


def _reason(node: str, kind: Cluster, tried: Tried, way: int, by: Way) -> str:
    what = f"on {by.model}" if by.model else "with a prompt of their own"
    before, after = (sum(row[each] for row in tried.rights) for each in (0, way))
    return (
        f"requests such as {kind.examples[0]!r} are answered better {what}: {after} of {len(tried.rights)} right, "
        f"{before} by {node} as it is"
    )
