"""One network's life: a stream of requests is answered, graded by references and learned from, cycle by cycle.

A sealed test stands apart from the stream and is put to every version. Knows nothing about what the stream is to
show.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tinyllm.bench.learned import LearnedBench
from tinyllm.bench.skills import Question
from tinyllm.engine import fold
from tinyllm.grading import Reference
from tinyllm.grading.reference import against
from tinyllm.graph import Graph
from tinyllm.learning.cycle import Learner
from tinyllm.learning.expand import GROWN, Expansion
from tinyllm.learning.items import Item, among, gather, turned
from tinyllm.learning.proposal import Ask, Cluster, Findings, Proposal
from tinyllm.learning.right import Right
from tinyllm.learning.rounds import Round
from tinyllm.learning.specialist import Example
from tinyllm.learning.trial import Verdict
from tinyllm.learning.versions import head_of
from tinyllm.protocols import Store, ToolContext
from tinyllm.store import open_store
from tinyllm.types import Trace

ROUNDS = 2  # changes that a cycle may adopt

Tests = Mapping[str, Sequence[Question]]


@dataclass(frozen=True, slots=True)
class Exam:
    """What a network got right of each sealed test, question by question; `cost` is the mean of an answer in
    multiply-accumulates, `entropy` that of the learned router's odds in bits, `regret` the share of questions that
    failed where another route would have been right."""

    right: Mapping[str, Sequence[bool]]
    cost: float
    entropy: float
    regret: float

    def failure(self, test: str) -> float:
        return 1 - sum(self.right[test]) / len(self.right[test])


@dataclass(slots=True)
class Life:
    """What became of a network: its head, a point after each cycle, its versions and its last exam.

    `solved` is the traffic that its last change was made from, `graded` all of it, `macs` what training took.
    """

    head: Graph
    start: Exam
    exam: Exam
    points: list[dict[str, Any]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    solved: Sequence[Item] = ()
    graded: Sequence[Item] = ()
    macs: int = 0
    seconds: float = 0.0

    @property
    def branches(self) -> int:
        """The specialists that were grown."""
        return sum(name.startswith(f"{GROWN}-") for name in self.head.nodes)


@dataclass(slots=True)
class Counted:
    """Hands proposals on, and counts the operations of training that they took."""

    expansion: Expansion
    macs: int = 0

    async def __call__(self, findings: Findings) -> Sequence[Proposal]:
        made = await self.expansion(findings)
        self.macs += sum(proposal.cost.macs for proposal in made)
        return made


async def live(
    base: Graph,
    known: Sequence[Example],
    stream: Sequence[Question],
    sealed: Tests,
    bench: LearnedBench,
    *,
    new: Collection[str],
    every: int,
    seed: int,
    tell: Callable[[int], None] = lambda done: None,
) -> Life:
    """The life of the network `base` on a stream, with a cycle of learning after `every` so many requests.

    `known` is what the reader of day one was trained on.
    `new` are the kinds that day one does not know: how far clusters match these is told of every cycle.
    """
    began = time.perf_counter()
    kinds = {one.request.text: one.kind for one in stream if one.kind in new}
    name = f"{len([*bench.folder.glob('*.db')])}.db"
    store = await open_store(f"sqlite:///{bench.folder / name}")  # one in memory forgets old runs
    proposer = Counted(Expansion(bench.ops, bench.tools, lambda: known))
    learner = Learner(
        store, base, bench, [proposer], Right(), _agreed, seed=seed, limit=len(stream), rounds=ROUNDS
    )
    first = await examine(base, bench, sealed)
    life = Life(base, first, first, [row(0, first, first)])
    for begin in range(0, len(stream), every):
        done = min(begin + every, len(stream))
        await _answer(life.head, bench, store, stream[begin:done])
        cycle = await learner.cycle()
        for one in cycle.rounds:
            if one.version is not None:
                life.exam = await examine(_winner(one), bench, sealed)
                life.versions.append(_version(one, life.exam, done))
        life.head = (await head_of(store, base)).graph
        life.graded = await gather(store, limit=len(stream))
        if any(one.version for one in cycle.rounds):
            parts = turned(life.graded, base.name, await store.trials(base.name))
            life.solved = among(parts, base.name, "propose")
        life.points.append(
            row(done, life.exam, first)
            | {"reason": cycle.reason, "clusters": len(cycle.clusters), "nmi": _nmi(cycle.clusters, kinds)}
            | {"training_macs": proposer.macs, "edits_per_100": round(100 * len(life.versions) / done, 3)}
        )
        tell(done)
    await store.close()
    life.macs = proposer.macs
    life.seconds = round(time.perf_counter() - began, 1)
    return life


async def _answer(head: Graph, bench: LearnedBench, store: Store, asked: Sequence[Question]) -> None:
    """Put the questions to the network, and grade its answers by their references."""
    engine, grader = bench.engine(head, store), Reference("growth")
    for question in asked:
        trace = fold(await store.events((await engine.run(question.request)).run_id))
        context = ToolContext(question.request.clock or 0.0, question.request.seed or 0)
        await store.grade(await grader.grade(trace, context, question.reference))


async def examine(graph: Graph, bench: LearnedBench, sealed: Tests) -> Exam:
    """The sealed tests, put to a network."""
    right: dict[str, list[bool]] = {}
    costs, bits, regretted = list[float](), list[float](), 0
    async with bench.open(graph, {}) as ask:
        for test, asked in sealed.items():
            right[test] = []
            for question in asked:
                trace = await ask(question.request)
                right[test].append(_is_right(trace, question))
                regretted += not right[test][-1] and await _other_way(ask, question, trace)
                costs.append(trace.cost.macs)
                odds = [p for span in trace.spans for p in span.probabilities.values() if p > 0]
                bits.append(-math.fsum(p * math.log2(p) for p in odds))
    many = len(costs)
    return Exam(right, math.fsum(costs) / many, math.fsum(bits) / many, regretted / many)


def _is_right(trace: Trace, question: Question) -> bool:
    return against(trace, question.reference).score == 1.0


async def _other_way(ask: Ask, question: Question, trace: Trace) -> bool:
    """Whether one other choice of a router would have led to the right answer."""
    for span in trace.spans:
        for label in span.probabilities:
            if label != span.choice:
                other = await ask(replace(question.request, forced={span.node: label}))
                if _is_right(other, question):
                    return True
    return False


def row(requests: int, exam: Exam, start: Exam) -> dict[str, Any]:
    """The figures of a network after so many requests; `kept` is of what it first got right of its old skills."""
    known = [now for was, now in zip(start.right["old"], exam.right["old"], strict=True) if was]
    return {
        "requests": requests,
        **{test: round(exam.failure(test), 4) for test in exam.right if test != "old"},
        "kept": round(sum(known) / max(1, len(known)), 4),
        "cost": round(exam.cost),
        "entropy": round(exam.entropy, 4),
        "regret": round(exam.regret, 4),
    }


def _winner(done: Round) -> Graph:
    return done.proposals[done.contest.winner or ""].graph


def _version(done: Round, exam: Exam, requests: int) -> dict[str, Any]:
    assert done.version is not None and done.trial is not None
    graph = _winner(done)
    return {
        "id": graph.id,
        "requests": requests,
        "nodes": len(graph.nodes),
        **{f"{test}_failure": round(exam.failure(test), 4) for test in exam.right if test != "old"},
        "edit": done.version.edit,
        "reason": done.version.reason,
        "p_value": done.trial.evidence["confirm"]["p_value"],
        "cost": round(exam.cost),
    }


async def _agreed(proposal: Proposal, verdict: Verdict) -> bool:
    return True


def _nmi(clusters: Sequence[Cluster], kinds: Mapping[str, str]) -> float | None:
    """How far clusters and the hidden kinds of new requests tell the same: mutual information over the mean of
    both entropies."""
    texts = ((n, item.request.text) for n, one in enumerate(clusters) for item in one.items)
    pairs = [(n, kinds[text]) for n, text in texts if text in kinds]
    apart = _entropy(n for n, _ in pairs) + _entropy(kind for _, kind in pairs)
    return round(2 * (apart - _entropy(pairs)) / apart, 4) if apart else None


def _entropy(values: Iterable[object]) -> float:
    counts = Counter(values)
    total = sum(counts.values())
    return -math.fsum(n / total * math.log2(n / total) for n in counts.values())
