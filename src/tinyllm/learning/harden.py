"""Hardening: a kind of requests that one call always solves is answered by that call, without a model.

    entry -> grown -> as-before: what there was
                   -> hardened-percent_off-n0-n1 (a tool with a fixed call) -> where the node led that answered

The call is found by search among those that the requests' slots allow, and must give the right answer to nearly
every request of the kind, those that failed included. What the router does not send there, or what does not fit
the call, goes the way it went. Such a change saves, and must prove that it loses nothing. Knows nothing about
how it is tried, nor about how it is taken back (`alternatives` prunes what fails, and live traffic rolls back).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tinyllm.grading import node_of
from tinyllm.graph import Graph, RouterNode, Specialist, ToolNode, put_nodes, successors
from tinyllm.graph.spec import Route
from tinyllm.learning.clusters import clusters
from tinyllm.learning.expand import BEFORE, FEWEST, GROWN, Rehearsal, front, learned
from tinyllm.learning.items import Item
from tinyllm.learning.price import price_of
from tinyllm.learning.proposal import Cluster, Findings, Proposal
from tinyllm.learning.search import Target, find_calls
from tinyllm.learning.specialist import train_router
from tinyllm.protocols import Tool
from tinyllm.slots import Ops, Slots, find, told, ungrouped
from tinyllm.types import Cost

SEEN = 12  # requests of a kind from which on it may be hardened
NEARLY = 0.9  # of them, that one call must answer rightly
PAYS = 0.05  # of what all answers cost, that a hardened kind must have cost


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests of one node that one call answers, of `size` that are alike, and what they cost so far."""

    node: str
    call: str
    solved: Sequence[Target]
    size: int
    cost: float

    @property
    def name(self) -> str:
        """Of the node that makes the call."""
        return "-".join(("hardened", *self.call.split()))


@dataclass(frozen=True, slots=True)
class Hardening:
    """Proposes to harden what pays: all kinds at once and, as a rival, the one that costs most.

    `ops` are the operations of these `tools` to search.
    """

    ops: Ops
    tools: Mapping[str, Tool]
    rehearsal: Rehearsal = tuple

    async def __call__(self, findings: Findings) -> Sequence[Proposal]:
        head = findings.head
        if len(successors(head.nodes[head.entry])) != 1:
            return []
        price = price_of(item.trace for item in findings.items)
        least = PAYS * math.fsum(price(item.trace) for item in findings.items)
        kinds = []
        for cluster in clusters(filter(_by_a_model(head), findings.items), seed=findings.seed):
            cost = math.fsum(price(item.trace) for item in cluster.items)
            if len(cluster.items) >= SEEN and cost > least and (kind := await self._kind(cluster, cost)):
                kinds.append(kind)
        kinds.sort(key=lambda kind: -kind.cost)
        rivals = [kinds, kinds[:1]] if len(kinds) > 1 else [kinds] if kinds else []
        return [made for rival in rivals for made in self._hardened(findings, rival)]

    async def _kind(self, cluster: Cluster, cost: float) -> Kind | None:
        """The kind with its one call, where there is one. A few requests tell most others at once."""
        for items in (cluster.items[:SEEN], cluster.items):
            targets = await find_calls([_known(item) for item in items], self.ops, self.tools)
            calls = Counter(target.call for target in targets)
            if not calls or max(calls.values()) < NEARLY * len(items):
                return None
        call = max(calls, key=lambda one: calls[one])
        return Kind(cluster.node, call, [one for one in targets if one.call == call], len(items), cost)

    def _hardened(self, findings: Findings, kinds: Sequence[Kind]) -> list[Proposal]:
        """The head with a node for each call; nothing where no other traffic shows the router what to leave alone."""
        head = findings.head
        routes, nodes = front(head)
        before = routes[BEFORE].to
        calls = {target.item.trace.run_id: kind.name for kind in kinds for target in kind.solved}
        asked: defaultdict[str, list[Slots]] = defaultdict(list)
        for item in findings.items:
            node = node_of(item.trace)
            route = calls.get(item.trace.run_id) or (node if node in routes else BEFORE)
            asked[route].append(find(item.request.text))
        if len(asked[BEFORE]) < FEWEST:
            return []
        for kind in kinds:
            op, spec = self.ops[kind.call.split()[0]], head.nodes[kind.node]
            assert isinstance(spec, Specialist)
            routes[kind.name] = Route(to=kind.name, when=f"requests for {op.name}")
            nodes[kind.name] = ToolNode(
                kind="tool", tool=op.tool, call=kind.call, next=spec.next, simpler=before
            )
        known = [(slots, BEFORE) for slots, _ in self.rehearsal()]
        trained = train_router(asked, rehearsed=known, seed=findings.seed)
        new = RouterNode(kind="router", model=GROWN, routes=routes, otherwise=before)
        nodes[GROWN] = head.nodes.get(GROWN, new).model_copy(update={"routes": routes})
        models = {**head.models, GROWN: learned("router", trained)}
        return [
            Proposal(
                "harden",
                kinds[0].node,
                "; ".join(map(self._reason, kinds)),
                put_nodes(head, nodes, models=models, tools=tuple(self.tools)),
                files={trained.sha256: trained.data},
                saves=True,
                cost=Cost(macs=trained.macs),
            )
        ]

    def _reason(self, kind: Kind) -> str:
        example = kind.solved[0].item.request.text
        return (
            f"{len(kind.solved)} of {kind.size} requests such as {example!r} need no model ({kind.node} answers them): "
            f"one call of {self.ops[kind.call.split()[0]].tool} does, {kind.call!r}"
        )


def _by_a_model(head: Graph) -> Callable[[Item], bool]:
    """Whether a run was answered by a model."""
    return lambda item: isinstance(head.nodes.get(node_of(item.trace)), Specialist)


def _known(item: Item) -> Item:
    """The item with what its right answer comes to, where a run that passed tells: what a tool gave, or a figure."""
    if item.reference is not None or not item.passed:
        return item
    given = [str(run.result.value) for span in item.trace.spans for run in span.tools if run.result]
    text = ungrouped(item.trace.answer)
    figures = [text[figure.start : figure.end] for figure in told(text)]
    right = given[-1:] or (figures if len(figures) == 1 else [])
    return replace(item, grade=replace(item.grade, reference=right[0])) if right else item
