"""The growth experiment: a network that knows arithmetic meets other requests, learns them, and keeps the old.

A stream of requests is answered and graded by references. After every so many, a cycle of learning looks at
what failed, trains specialists, and adopts what it proves. A sealed test stands apart from the stream. Controls
learn from the same requests with as many operations of training.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tinyllm.bench.controls import controls
from tinyllm.bench.figures import interval
from tinyllm.bench.learned import LearnedBench, network_of
from tinyllm.bench.skills import NEW, Question, day_one, draw_skills, questions
from tinyllm.engine import fold
from tinyllm.grading import Reference
from tinyllm.grading.reference import against
from tinyllm.graph import Graph
from tinyllm.learning.cycle import Learner, Round
from tinyllm.learning.expand import Expansion
from tinyllm.learning.items import among, gather, turned
from tinyllm.learning.proposal import Cluster, Findings, Proposal
from tinyllm.learning.right import Right
from tinyllm.learning.trial import Verdict
from tinyllm.learning.versions import head_of
from tinyllm.protocols import Store, Tool, ToolContext
from tinyllm.starter.calls import OPS
from tinyllm.starter.linear import train_reader
from tinyllm.store import open_store
from tinyllm.tools.table import TOOLS

TOOL_NAMES = ("algebra", "calculator", "dates", "statistics", "text", "time", "units")
ROUNDS = 2  # changes that a cycle may adopt

Tell = Callable[[int, int], None]
"""Is told the seed, and how many of its requests were answered."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long the stream is, after how many requests a cycle comes, how large each sealed test is, and on how
    many examples of arithmetic the reader of day one is trained."""

    seeds: Sequence[int] = (0, 1, 2)
    requests: int = 3000
    every: int = 500
    sealed: int = 200
    day_one: int = 8000


QUICK = Plan(seeds=(0,), requests=500, every=500, sealed=60, day_one=1500)


@dataclass(frozen=True, slots=True)
class Exam:
    """What a network got right of each sealed test, question by question; `cost` is the mean of an answer in
    multiply-accumulates, `entropy` that of the learned router's odds in bits."""

    right: Mapping[str, Sequence[bool]]
    cost: float
    entropy: float

    def failure(self, test: str) -> float:
        return 1 - sum(self.right[test]) / len(self.right[test])


@dataclass(slots=True)
class Counted:
    """Hands proposals on, and counts the operations of training that they took."""

    expansion: Expansion
    macs: int = 0

    async def __call__(self, findings: Findings) -> Sequence[Proposal]:
        made = await self.expansion(findings)
        self.macs += sum(proposal.macs for proposal in made)
        return made


def report(plan: Plan, tell: Tell = lambda seed, done: None) -> dict[str, Any]:
    """The whole experiment as plain data."""
    runs = [asyncio.run(_seed(plan, seed, tell)) for seed in plan.seeds]
    return {**summary(runs), "plan": asdict(plan), "runs": runs}


async def _seed(plan: Plan, seed: int, tell: Tell) -> dict[str, Any]:
    tools: dict[str, Tool] = {name: TOOLS[name]() for name in TOOL_NAMES}
    try:
        with TemporaryDirectory() as folder:
            return await _live(plan, seed, LearnedBench(Path(folder), OPS, tools), tell)
    finally:
        for tool in tools.values():
            if hasattr(tool, "close"):
                tool.close()


async def _live(plan: Plan, seed: int, bench: LearnedBench, tell: Tell) -> dict[str, Any]:
    """One network's life, and the controls beside it."""
    began, skills = time.perf_counter(), draw_skills(seed, bench.tools)
    before = day_one(skills, plan.day_one, seed)
    first = train_reader(before, seed=seed).model
    base = head = network_of(bench, "reader", first.to_bytes(), first.weights.size)
    stream = await questions(skills, plan.requests, 10 * seed + 1)
    sealed = {
        "seen": await questions(skills, plan.sealed, 10 * seed + 2),
        "unseen": await questions(skills, plan.sealed, 10 * seed + 3, unseen=True),
        "old": await questions(skills, plan.sealed, 10 * seed + 4, old=True),
    }
    kinds = {one.request.text: one.kind for one in stream if one.kind in skills.new}
    store = await open_store(f"sqlite:///{bench.folder / 'runs.db'}")  # one in memory forgets old runs
    proposer = Counted(Expansion(OPS, bench.tools))
    learner = Learner(
        store, base, bench, [proposer], Right(), _agreed, seed=seed, limit=plan.requests, rounds=ROUNDS
    )
    start = exam = await _examine(head, bench, sealed)
    points, versions = [_row(0, exam, start)], list[dict[str, Any]]()
    for begin in range(0, plan.requests, plan.every):
        done = min(begin + plan.every, plan.requests)
        tell(seed, begin)
        await _answer(head, bench, store, stream[begin:done])
        cycle = await learner.cycle()
        for one in cycle.rounds:
            if one.version is not None and one.trial is not None:
                exam = await _examine(_winner(one), bench, sealed)
                versions.append(_version(one, exam, done))
        head = (await head_of(store, base)).graph
        points.append(
            _row(done, exam, start)
            | {"reason": cycle.reason, "clusters": len(cycle.clusters), "nmi": _nmi(cycle.clusters, kinds)}
            | {"training_macs": proposer.macs, "edits_per_100": round(100 * len(versions) / done, 3)}
        )
    tell(seed, plan.requests)
    grown = round(time.perf_counter() - began, 1)
    graded = turned(await gather(store, limit=plan.requests), await store.trials(base.name))
    solved = among(graded, base.name, "propose")
    others = {}
    exams = {"before": start, "after": exam}
    for control in await controls(solved, base, bench, first, before, proposer.macs, seed):
        exams[control.name] = await _examine(control.graph, bench, sealed)
        others[control.name] = _row(plan.requests, exams[control.name], start) | {
            "training_macs": control.macs
        }
    await store.close()
    rights = {
        name: {test: "".join("01"[right] for right in one.right[test]) for test in sealed}
        for name, one in exams.items()
    }
    return {
        "seed": seed,
        "points": points,
        "versions": versions,
        "controls": others,
        "right": rights,
        "seconds": grown,
    }


async def _answer(head: Graph, bench: LearnedBench, store: Store, asked: Sequence[Question]) -> None:
    """Put the questions to the network, and grade its answers by their references."""
    engine, grader = bench.engine(head, store), Reference("growth")
    for question in asked:
        trace = fold(await store.events((await engine.run(question.request)).run_id))
        context = ToolContext(question.request.clock or 0.0, question.request.seed or 0)
        await store.grade(await grader.grade(trace, context, question.reference))


async def _examine(graph: Graph, bench: LearnedBench, sealed: Mapping[str, Sequence[Question]]) -> Exam:
    right: dict[str, list[bool]] = {}
    costs, bits = [], []
    async with bench.open(graph, {}) as ask:
        for test, asked in sealed.items():
            right[test] = []
            for question in asked:
                trace = await ask(question.request)
                right[test].append(against(trace, question.reference).score == 1.0)
                costs.append(trace.cost.macs)
                odds = [p for span in trace.spans for p in span.probabilities.values() if p > 0]
                bits.append(-math.fsum(p * math.log2(p) for p in odds))
    return Exam(right, math.fsum(costs) / len(costs), math.fsum(bits) / len(bits))


def _row(requests: int, exam: Exam, start: Exam) -> dict[str, Any]:
    """The figures of a network after so many requests; `kept` is of what day one got right of its skills."""
    known = [now for was, now in zip(start.right["old"], exam.right["old"], strict=True) if was]
    return {
        "requests": requests,
        "seen": round(exam.failure("seen"), 4),
        "unseen": round(exam.failure("unseen"), 4),
        "kept": round(sum(known) / max(1, len(known)), 4),
        "cost": round(exam.cost),
        "entropy": round(exam.entropy, 4),
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
        "sealed_failure": round(exam.failure("seen"), 4),
        "unseen_failure": round(exam.failure("unseen"), 4),
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


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all seeds show together; intervals are over the questions of all of them."""
    import numpy as np

    def rights(name: str, test: str) -> Any:
        return np.array([letter == "1" for run in runs for letter in run["right"][name][test]])

    def failure(name: str, test: str) -> dict[str, Any]:
        wrong = 1.0 - rights(name, test)
        return {"failure": round(float(wrong.mean()), 4), "interval": [round(x, 4) for x in interval(wrong)]}

    def kept(name: str) -> float:
        return round(float(rights(name, "old")[rights("before", "old")].mean()), 4)

    names = list(runs[0]["right"])
    gap = rights("after", "unseen") * 1.0 - rights("one_reader", "unseen")
    first = runs[0]["points"][-1]["requests"]
    return {
        "sealed": {name: failure(name, "seen")["failure"] for name in ("before", "after")},
        "unseen": {name: failure(name, "unseen")["failure"] for name in ("before", "after")},
        "kept": {"before": 1.0, "after": kept("after"), "fine_tuned": kept("fine_tuned")},
        "versions": [{"seed": run["seed"], **version} for run in runs for version in run["versions"]],
        "networks": {
            name: {"seen": failure(name, "seen"), "unseen": failure(name, "unseen"), "kept": kept(name)}
            for name in names
        },
        "unseen_gain_over_one_reader": {
            "gain": round(float(gap.mean()), 4),
            "interval": [round(x, 4) for x in interval(gap)],
        },
        "stream": {"requests": first, "new_skills": NEW, "seeds": len(runs)},
    }
