"""What a network fails as it is now, of the graded traffic that changes may be made from, in kinds.

Knows nothing about what is done about it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tinyllm.grading import node_of
from tinyllm.graph import Graph
from tinyllm.learning.clusters import clusters
from tinyllm.learning.items import Item, among, mostly, several
from tinyllm.learning.lessons import Lessons
from tinyllm.learning.proposal import Cluster
from tinyllm.learning.tryout import Tryout
from tinyllm.learning.versions import Head


@dataclass(frozen=True, slots=True)
class Seen:
    """The items as the head answers them, and their kinds: first what is taught, then those with most failures.

    Neither holds what is `doubted`, for it fails mostly on one user's word; it gives that user, by run.
    """

    items: Sequence[Item]
    clusters: Sequence[Cluster]
    doubted: Mapping[str, str]


async def see(
    head: Head, items: Sequence[Item], tryout: Tryout, taught: Lessons | None = None, *, seed: int = 0
) -> Seen:
    """The propose part of the items, with what fails of the `taught` lessons as a kind of its own."""
    seen = await seen_by(head.graph, among(items, head.base.name, "propose"), tryout)
    brought = taught_cluster(item for item in seen if taught and taught.hold(item.request))
    known = {item.trace.run_id for cluster in brought for item in cluster.items}
    others = [item for item in seen if item.trace.run_id not in known]
    found, doubted = _supported(clusters(others, seed=seed), items)
    return Seen([item for item in seen if item.trace.run_id not in doubted], [*brought, *found], doubted)


async def seen_by(head: Graph, items: Sequence[Item], tryout: Tryout) -> list[Item]:
    """The items as the head answers them, where somebody can tell whether that is right."""
    answers = await tryout.answers(head, items, "what fails")
    seen = []
    for item in items:
        right, trace = answers[item.trace.run_id]
        if right is not None:
            grade = item.grade if right == item.passed else replace(item.grade, score=float(right))
            seen.append(replace(item, trace=trace, grade=grade))
    return seen


def taught_cluster(items: Iterable[Item]) -> list[Cluster]:
    """What failed of what a person brought, as one cluster of the node where most of it failed; none if nothing."""
    failed = tuple(item for item in items if not item.passed)
    if not failed:
        return []
    node = Counter(node_of(item.trace) for item in failed).most_common(1)[0][0]
    return [Cluster("what is taught", node, failed, (failed[0].request.text,), taught=True)]


def _supported(found: Iterable[Cluster], items: Iterable[Item]) -> tuple[list[Cluster], Mapping[str, str]]:
    """The clusters without what fails mostly on one user's word, where several give theirs; and whose, by run."""
    if not several(items):
        return list(found), {}
    left, doubted = [], dict[str, str]()
    for cluster in found:
        user = mostly([item for item in cluster.items if not item.passed])
        if user is not None:
            doubted |= {i.trace.run_id: user for i in cluster.items if i.by == user and not i.passed}
        kept = tuple(item for item in cluster.items if item.trace.run_id not in doubted)
        left += [replace(cluster, items=kept)] if kept else []
    return left, doubted
