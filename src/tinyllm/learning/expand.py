"""Growth: a learned router before everything else, and small specialists for the kinds of requests that fail.

    entry -> grown -> as-before: what there was
                   -> grown-units | grown-dates | ... -> where the other specialists lead

The way there was stays a choice, and takes over what a new specialist refuses. A specialist is of one tool:
kinds whose calls use the same tool share it (on held-out phrasing that is better than one for each operation),
and it rehearses what day one knows of that tool where a rehearsal is given. Nodes that were not grown stay as they
are, bit for bit. The specialists of other tools are trained anew, since what they answered meanwhile shows more
ways to ask; rivals that leave them alone stand beside.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tinyllm.grading import REFUSED, node_of
from tinyllm.graph import Graph, Model, NodeSpec, RouterNode, Specialist, put_nodes, successors
from tinyllm.graph.spec import Next, Route
from tinyllm.learning.items import Item
from tinyllm.learning.proposal import Findings, Proposal
from tinyllm.learning.search import Target, find_calls
from tinyllm.learning.specialist import Example, Trained, train_reader, train_router
from tinyllm.protocols import Tool
from tinyllm.slots import REFUSE, Ops, Slots, fill, find, legal_calls
from tinyllm.types import Cost

GROWN = "grown"
BEFORE = "as-before"
FEWEST = 8  # requests from which a specialist can be trained

Rehearsal = Callable[[], Sequence[Example]]
"""Draws from what the readers of day one were trained on."""


class Material(NamedTuple):
    """What the reader of a tool is trained on: its calls, what `others` answer and it refuses, and a rehearsal."""

    tool: str
    calls: Sequence[Example]
    others: Sequence[Slots]
    rehearsed: Sequence[Example]
    seed: int


Learn = Callable[[Material], Awaitable[Trained]]
"""Trains a reader."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """Proposes specialists for all that fails, with the old ones trained anew, and as rivals the same with the old
    ones as they are, and the one for what fails most.

    `ops` are the operations that readers may learn, of these `tools`. A `rehearsal` pays where new specialists
    read better than the readers of day one.
    """

    ops: Ops
    tools: Mapping[str, Tool]
    rehearsal: Rehearsal = tuple

    async def __call__(self, findings: Findings) -> Sequence[Proposal]:
        return await self.grown(findings, self._linear)

    async def grown(self, findings: Findings, learn: Learn, *, worst: bool = False) -> Sequence[Proposal]:
        """What it proposes, with readers that `learn` trains; of the `worst` the one for what fails most alone."""
        head = findings.head
        worth = {item.trace.run_id: item for cluster in findings.clusters for item in cluster.items}
        items = {item.trace.run_id: item for item in findings.items if item.by is None} | worth
        failed = [item for item in items.values() if not item.passed]
        new: defaultdict[str, list[Target]] = defaultdict(list)
        for target in await find_calls(failed, self.ops, self.tools):
            new[self.ops[target.op].tool].append(target)
        # What fails of other kinds is not worth a specialist, but one learns from it; not from one user's word.
        many = Counter({tool: sum(t.item.trace.run_id in worth for t in own) for tool, own in new.items()})
        wanted = [
            tool
            for tool, count in many.most_common()
            # One that is there learned from more than these.
            if count >= (head.learning.failures if _name(tool) in head.nodes else FEWEST)
        ]
        if not wanted or len(successors(head.nodes[head.entry])) != 1:
            return []
        rehearsed = self.rehearsal()
        more = self._more(head, {*wanted}, new, rehearsed)
        rivals = list({tuple(tools): None for tools in ([*wanted, *more], wanted, wanted[:1])})
        return [
            await self._grown(findings, {tool: new[tool] for tool in tools}, rehearsed, learn)
            for tools in (rivals[-1:] if worst else rivals)
        ]

    def _more(
        self,
        head: Graph,
        wanted: Collection[str],
        new: Mapping[str, Sequence[Target]],
        rehearsed: Sequence[Example],
    ) -> list[str]:
        """The tools whose readers are trained beside those that are wanted: old ones, and rehearsed ones."""
        known = {self._tool(call) for _, call in rehearsed}
        return [
            tool
            for tool in self.tools
            if tool not in wanted
            and (_name(tool) in head.nodes or (tool in known and len(new.get(tool, ())) >= FEWEST))
        ]

    async def _linear(self, of: Material) -> Trained:
        return train_reader(of.calls, of.others, self.ops, rehearsed=of.rehearsed, seed=of.seed)

    async def _grown(
        self,
        findings: Findings,
        new: Mapping[str, Sequence[Target]],
        rehearsed: Sequence[Example],
        learn: Learn,
    ) -> Proposal:
        """The head with a specialist for each of these tools, a new one or an old one trained again."""
        head = findings.head
        routes, nodes = front(head)
        before = routes[BEFORE].to
        tools = {self._tool(call) for _, call in rehearsed} & {*new}
        kinds = self._known(findings.items, routes, tools)
        for tool, targets in new.items():
            kinds.setdefault(_name(tool), []).extend((target.slots, target.call) for target in targets)
        trained = await self._trained(new, kinds, self._by_route(rehearsed, kinds), learn, findings.seed)
        for tool in new:
            name = _name(tool)
            if name in trained:
                done = sorted({call.split()[0] for _, call in kinds[name]})
                routes[name] = Route(to=name, when=f"requests for {', '.join(done)}")
                nodes[name] = Specialist(
                    kind="specialist", model=name, next=_end(head), tools=(tool,), simpler=before
                )
        # What a broken router, or one that knows a route no more, would lose goes the old way.
        nodes[GROWN] = RouterNode(kind="router", model=GROWN, routes=routes, otherwise=before)
        models = {**head.models, **{name: learned(one) for name, one in trained.items()}}
        failed = Counter(node_of(target.item.trace) for one in new.values() for target in one)
        return Proposal(
            "expand",
            failed.most_common(1)[0][0],
            _reasons(new, trained),
            put_nodes(head, nodes, models=models, tools=tuple(self.tools)),
            files={one.sha256: one.data for one in trained.values()},
            cost=Cost(macs=sum(one.macs for one in trained.values())),
        )

    async def _trained(
        self,
        tools: Iterable[str],
        kinds: Mapping[str, Sequence[Example]],
        known: Sequence[tuple[str, Slots, str]],
        learn: Learn,
        seed: int,
    ) -> dict[str, Trained]:
        """The readers by name, as far as there is enough to train them on, and the router that leads to them."""
        trained: dict[str, Trained] = {}
        for tool in tools:
            name = _name(tool)
            if len(kinds[name]) < FEWEST:
                continue
            others = [slots for kind, examples in kinds.items() if kind != name for slots, _ in examples]
            again = [(slots, call if route == name else REFUSE) for route, slots, call in known]
            trained[name] = await learn(Material(tool, kinds[name], others, again, seed))
        asked = {kind: [slots for slots, _ in examples] for kind, examples in kinds.items()}
        rehearsed = [(slots, route) for route, slots, _ in known]
        return {**trained, GROWN: train_router(asked, rehearsed=rehearsed, seed=seed)}

    def _known(
        self, items: Iterable[Item], routes: Iterable[str], rehearsed: Collection[str]
    ) -> dict[str, list[Example]]:
        """What the head answers rightly, by the route that it takes, with the call that it rests on. A specialist
        of a `rehearsed` tool takes over what others answered with it; the rest, and what is to be refused, goes
        the old way."""
        known: dict[str, list[Example]] = {route: [] for route in (*routes, *map(_name, rehearsed))}
        for item in items:
            node, slots = node_of(item.trace), find(item.request.text)
            call = call_made(item, slots, self.ops) if item.passed else None
            if call is not None and (tool := self._tool(call)) in rehearsed:
                node = _name(tool)
            if item.passed and node in known:
                if call is not None:
                    known[node].append((slots, call))
            elif item.passed or (item.reference == REFUSED and item.by is None):
                known[BEFORE].append((slots, REFUSE))
        return known

    def _by_route(self, examples: Iterable[Example], routes: Collection[str]) -> list[tuple[str, Slots, str]]:
        """Examples with the route of the specialist that has their tool, or that of what there was before."""
        named = ((_name(self._tool(call)), slots, call) for slots, call in examples)
        return [(name if name in routes else BEFORE, slots, call) for name, slots, call in named]

    def _tool(self, call: str) -> str:
        return self.ops[call.split()[0]].tool


def call_made(item: Item, slots: Slots, ops: Ops) -> str | None:
    """The call over slots that a run rests on."""
    runs = [run.call for span in item.trace.spans for run in span.tools if run.result is not None]
    for call in legal_calls(slots, ops):
        meant = fill(call, slots, ops)
        if runs and meant and (meant.name, meant.arguments) == (runs[-1].name, runs[-1].arguments):
            return call
    return None


def front(head: Graph) -> tuple[dict[str, Route], dict[str, NodeSpec]]:
    """The routes of the learned router before everything else, and what leads to it where there is none yet."""
    (first,) = successors(head.nodes[head.entry])
    old = head.nodes[first]
    if first == GROWN and isinstance(old, RouterNode):
        return dict(old.routes), {}
    entry = head.nodes[head.entry].model_copy(update={"next": GROWN})
    return {BEFORE: Route(to=first, when="everything else")}, {head.entry: entry}


def learned(trained: Trained) -> Model:
    """A model from a file that a version brings."""
    return Model(backend="learned", model=f"{trained.kind}-{trained.sha256}", parameters=trained.parameters)


def _name(tool: str) -> str:
    return f"{GROWN}-{tool}"


def _end(head: Graph) -> Next:
    """Where the network's specialists lead."""
    ends = [spec.next for spec in head.nodes.values() if isinstance(spec, Specialist)]
    return Counter(ends).most_common(1)[0][0]


def _reasons(new: Mapping[str, Sequence[Target]], trained: Collection[str]) -> str:
    told = "; ".join(_reason(tool, targets) for tool, targets in new.items() if targets)
    anew = (_name(tool) for tool, targets in new.items() if not targets and _name(tool) in trained)
    return told + "".join(f"; {name} is trained anew" for name in anew)


def _reason(tool: str, targets: Sequence[Target]) -> str:
    ops = ", ".join(op for op, _ in Counter(target.op for target in targets).most_common(4))
    example = targets[0].item.request.text
    return f"{len(targets)} failed requests such as {example!r} are answered by {tool} ({ops})"
