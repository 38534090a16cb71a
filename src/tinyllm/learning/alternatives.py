"""Proposals that put existing parts to other uses: another model, a larger one behind a check, one branch less.

Each is a plain edit of the head, for the nodes that the worst clusters blame. Knows nothing about how a
proposal is tried.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tinyllm.errors import GraphError
from tinyllm.grading import node_of
from tinyllm.graph import Gate, Graph, NodeSpec, RouterNode, Specialist, Test, put_nodes, unrouted
from tinyllm.learning.expand import BEFORE
from tinyllm.learning.proposal import READERS, Edit, Findings, Proposal

SEEN = 20  # requests that a branch must have had before it can be found useless
UNUSED = 200  # kinds of requests at its router, none of which took it


async def alternatives(findings: Findings) -> Sequence[Proposal]:
    """Other models for the nodes of the failing clusters, alone or behind a check, and branches to prune."""
    blamed = sorted({cluster.node for cluster in findings.clusters})
    made = [
        *(p for node in blamed for p in (*_models(findings.head, node), *_cascades(findings.head, node))),
        *_prunings(findings),
    ]
    return [proposal for proposal in made if proposal.graph.id != findings.head.id]


def models_for(head: Graph, node: str) -> list[str]:
    """The other models on which a specialist could answer: those of its backend that the network knows, and where
    that holds readers, those of them that answer already."""
    spec = head.nodes[node]
    assert isinstance(spec, Specialist)
    backend = head.models[spec.model].backend
    known = _answering(head) if backend in READERS else sorted(head.models)
    return [model for model in known if model != spec.model and head.models[model].backend == backend]


def _models(head: Graph, node: str) -> Iterator[Proposal]:
    """The node on each other model that could answer there."""
    spec = head.nodes.get(node)
    if not isinstance(spec, Specialist):
        return
    for model in models_for(head, node):
        put = spec.model_copy(update={"model": model, "adapter": None})
        yield from _edit("model", head, node, f"{node} may do better on {model}", {node: put})


def _cascades(head: Graph, node: str) -> Iterator[Proposal]:
    """The node with a larger one behind it, for what it refuses or a judge of its own model rejects."""
    spec = head.nodes.get(node)
    if not isinstance(spec, Specialist) or spec.larger is not None:
        return
    size = head.models[spec.model].parameters
    language = [m for m in _answering(head) if head.models[m].backend not in READERS]
    larger = [m for m in language if head.models[m].parameters > size]
    check, after = f"{node}-check", f"{node}-larger"
    if not larger or check in head.nodes or after in head.nodes:
        return
    model = min(larger, key=lambda name: head.models[name].parameters)
    nodes: dict[str, NodeSpec] = {after: spec.model_copy(update={"model": model, "adapter": None})}
    if head.models[spec.model].backend in READERS:
        nodes[node] = spec.model_copy(update={"larger": after})
    else:
        nodes[node] = spec.model_copy(update={"larger": after, "next": check})
        nodes[check] = Gate(kind="gate", checks=(Test(check="judge", model=spec.model),), next=spec.next)
    yield from _edit("cascade", head, node, f"{model} may answer what {node} cannot", nodes)


def _prunings(findings: Findings) -> Iterator[Proposal]:
    """The head without one branch that earlier growth added: one that fails, that may not be worth its price, or
    that nothing takes.

    What a branch gets wrong, the way that was there before it may get right, at whatever price. A node without a
    model costs nothing, and goes for that reason alone, or because nothing takes it.
    """
    head = findings.head
    used = Counter(node_of(item.trace) for item in findings.items)
    failing = {
        node_of(item.trace) for cluster in findings.clusters for item in cluster.items if not item.passed
    }
    passed: defaultdict[str, set[str]] = defaultdict(set)
    for item in findings.items:
        for span in item.trace.spans:
            passed[span.node].add(item.group)
    for name, spec in head.nodes.items():
        if not isinstance(spec, RouterNode) or head.models[spec.model].backend != "learned":
            continue
        for label, route in spec.routes.items():
            to = route.to
            if label == BEFORE or to in head.protected:
                continue
            left = {key: way for key, way in spec.routes.items() if key != label}
            try:
                pruned = put_nodes(head, {name: spec.model_copy(update={"routes": left}), to: None})
                graph = unrouted(pruned, name)
            except GraphError:
                continue  # something else leads there, too
            if to in failing:
                reason = f"what {to} fails may go the way it went before"
                yield Proposal("prune", to, reason, graph)
            if used[to] >= SEEN and isinstance(head.nodes[to], Specialist):
                yield Proposal("prune", to, f"{to} may not be worth its price", graph, saves=True)
            if len(passed[name]) >= UNUSED and not passed[to]:
                reason = f"of {len(passed[name])} kinds of requests none took {to}"
                yield Proposal("prune", to, reason, graph, saves=True, spare=True)


def _answering(head: Graph) -> list[str]:
    """The models that answer at some node."""
    return sorted({spec.model for spec in head.nodes.values() if isinstance(spec, Specialist)})


def _edit(
    edit: Edit, head: Graph, node: str, reason: str, nodes: Mapping[str, NodeSpec | None]
) -> Iterator[Proposal]:
    """The proposal, where it makes a legal graph."""
    try:
        yield Proposal(edit, node, reason, put_nodes(head, nodes))
    except GraphError:
        return
