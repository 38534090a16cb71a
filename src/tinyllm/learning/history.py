"""How a network did from version to version: its failures and what its answers cost. Changes nothing."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tinyllm.errors import GraphError
from tinyllm.evidence import wilson
from tinyllm.grading import calibrations, passed, verdicts
from tinyllm.graph import Graph
from tinyllm.learning.versions import stored
from tinyllm.protocols import RunRow, Store, Version


@dataclass(frozen=True, slots=True)
class Step:
    """One version and the runs on it. `failure` is the share of wrong ones among those `graded`, with its 95%
    interval; `macs` and `money` are means of an answer. `nodes` is None where this release cannot read the graph.
    """

    version: Version
    nodes: int | None
    runs: int
    graded: int
    wrong: int
    macs: float
    money: float

    @property
    def failure(self) -> float | None:
        return self.wrong / self.graded if self.graded else None

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.wrong, self.graded)


async def steps(
    store: Store,
    network: str,
    effective: Callable[[Graph], Graph],
    *,
    tenant: str = "local",
    limit: int = 10_000,
) -> list[Step]:
    """Every version of the network, oldest first, with those of the latest `limit` runs that it answered.

    `effective` is what a graph runs as under the settings. Raises StoreError.
    """
    versions = await store.versions(network, tenant=tenant)
    sizes: dict[str, int | None] = {}
    places: defaultdict[str, list[Version]] = defaultdict(list)
    for version in versions:
        ids = {version.graph}
        try:
            graph = await stored(store, version.graph, tenant)
            sizes[version.graph] = len(graph.nodes)
            ids.add(effective(graph).id)
        except GraphError:
            sizes[version.graph] = None
        for graph_id in ids:
            places[graph_id].append(version)
    runs: defaultdict[int, list[RunRow]] = defaultdict(list)
    for run in await store.runs(tenant=tenant, limit=limit):
        if run.status is not None and run.graph in places:
            runs[_of(run, places[run.graph]).revision].append(run)
    right = await _right(store, tenant)
    return [_step(version, sizes[version.graph], runs[version.revision], right) for version in versions]


def _of(run: RunRow, versions: Sequence[Version]) -> Version:
    """The version that answered a run, of those with its graph: a rollback brings a graph a second time."""
    before = [version for version in versions if (version.created or 0.0) <= run.created]
    return before[-1] if before else versions[0]


async def _right(store: Store, tenant: str) -> Mapping[str, bool]:
    """Whether each graded run was right, by its id."""
    grades = await store.grades(tenant=tenant)
    trusted = [name for name, judge in calibrations(grades).items() if not judge.refused]
    return {run_id: passed(grade.score or 0.0) for run_id, grade in verdicts(grades, trusted).items()}


def _step(version: Version, nodes: int | None, runs: Sequence[RunRow], right: Mapping[str, bool]) -> Step:
    judged = [right[run.run_id] for run in runs if run.run_id in right]
    many = max(1, len(runs))
    macs = sum(run.cost.macs for run in runs) / many
    money = sum(run.cost.money for run in runs) / many
    return Step(version, nodes, len(runs), len(judged), judged.count(False), macs, money)
