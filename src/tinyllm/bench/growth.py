"""The growth experiment: a network that knows arithmetic meets other requests, learns them, and keeps the old.

A stream of requests is answered and graded by references. After every so many, a cycle of learning looks at
what failed, trains specialists, and adopts what it proves. A sealed test stands apart from the stream. Controls
learn from the same requests with as many operations of training. Beside it two shorter lives: one where topics
arrive over half a year, and one where all that fails is of one kind.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tinyllm.bench.controls import controls
from tinyllm.bench.figures import interval
from tinyllm.bench.learned import LearnedBench, network_of
from tinyllm.bench.life import examine, live, row
from tinyllm.bench.skills import NEW, Skills, day_one, draw_skills, questions
from tinyllm.graph import Graph
from tinyllm.learning.specialist import Example
from tinyllm.protocols import Tool
from tinyllm.starter.calls import OPS
from tinyllm.starter.linear import train_reader
from tinyllm.tools.table import TOOLS

TOOL_NAMES = ("algebra", "calculator", "dates", "statistics", "text", "time", "units")
FIRST = 6  # seed that is reported: those below it were looked at while the rules of growth were found
SNAPSHOTS = 3  # of the life in which topics arrive one after the other
AFTER = 2  # more of them, without a new topic
HALF_A_YEAR = 182 * 86400.0  # seconds

Tell = Callable[[int, int], None]
"""Is told the seed, and how many of its requests were answered."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long the stream is, after how many requests a cycle comes, how large each sealed test is, on how many
    examples of arithmetic the reader of day one is trained, and how long each shorter life is. `larger` is the binary
    logarithm of how much wider a larger model is that is compared."""

    seeds: Sequence[int] = (FIRST, FIRST + 1, FIRST + 2)
    requests: int = 3000
    every: int = 500
    sealed: int = 800
    day_one: int = 8000
    shorter: int = 1500
    larger: int = 4


QUICK = Plan(seeds=(0,), requests=500, every=500, sealed=60, day_one=1500, shorter=0)


def report(plan: Plan, tell: Tell = lambda seed, done: None) -> dict[str, Any]:
    """The whole experiment as plain data."""
    runs = [asyncio.run(_seed(plan, seed, tell)) for seed in plan.seeds]
    return {**summary(runs), "plan": asdict(plan), "runs": runs}


async def _seed(plan: Plan, seed: int, tell: Tell) -> dict[str, Any]:
    tools: dict[str, Tool] = {name: TOOLS[name]() for name in TOOL_NAMES}
    try:
        with TemporaryDirectory() as folder:
            return await _lives(plan, seed, LearnedBench(Path(folder), OPS, tools), tell)
    finally:
        for tool in tools.values():
            if hasattr(tool, "close"):
                tool.close()


async def _lives(plan: Plan, seed: int, bench: LearnedBench, tell: Tell) -> dict[str, Any]:
    """One network's life with the controls beside it, and its shorter lives."""
    tell(seed, 0)
    skills = draw_skills(seed, bench.tools)
    before = day_one(skills, plan.day_one, seed)
    first = train_reader(before, seed=seed).model
    base = network_of(bench, "reader", first.to_bytes(), first.weights.size)
    sealed = {
        "seen": await questions(skills, plan.sealed, 10 * seed + 2),
        "unseen": await questions(skills, plan.sealed, 10 * seed + 3, unseen=True),
        "old": await questions(skills, plan.sealed, 10 * seed + 4, old=True),
    }
    stream = await questions(skills, plan.requests, 10 * seed + 1)
    known = [(example.slots, example.call) for example in before]
    life = await live(
        base,
        known,
        stream,
        sealed,
        bench,
        new=skills.new,
        every=plan.every,
        seed=seed,
        tell=partial(tell, seed),
    )
    others = {}
    exams = {"before": life.start, "after": life.exam}
    solved, graded = life.solved or life.graded, life.graded
    for control in await controls(solved, graded, base, bench, first, known, life.macs, seed, plan.larger):
        exams[control.name] = await examine(control.graph, bench, sealed)
        others[control.name] = row(plan.requests, exams[control.name], life.start) | {
            "training_macs": control.macs,
            "parameters": sum(model.parameters for model in control.graph.models.values()),
        }
    rights = {
        name: {test: "".join("01"[right] for right in one.right[test]) for test in sealed}
        for name, one in exams.items()
    }
    shorter = {}
    if plan.shorter:
        shorter["topics"] = await _topics(plan, seed, skills, base, known, bench)
        shorter["one_kind"] = await _one_kind(plan, seed, skills, base, known, bench)
    return {
        "seed": seed,
        "learned_from": {"network": len(solved), "unproven": len(graded)},
        "points": life.points,
        "versions": life.versions,
        "controls": others,
        "right": rights,
        **shorter,
        "seconds": life.seconds,
    }


async def _topics(
    plan: Plan, seed: int, skills: Skills, base: Graph, known: Sequence[Example], bench: LearnedBench
) -> dict[str, Any]:
    """Topics that arrive over half a year: a third of the new skills in each third of the stream, beside what came
    before; and what becomes of the network when the same goes on. After each third the sealed tests of every topic."""
    pace, share = HALF_A_YEAR / plan.shorter, len(skills.new) // SNAPSHOTS
    each = plan.shorter // SNAPSHOTS
    stream, sealed = [], {"old": await questions(skills, plan.sealed // 2, 10 * seed + 5, old=True)}
    for third in range(SNAPSHOTS):
        so_far = replace(skills, new=skills.new[: (third + 1) * share])
        stream += await questions(so_far, each, 10 * seed + 6 + third, begin=third * each, pace=pace)
        topic = replace(skills, new=skills.new[third * share : (third + 1) * share])
        sealed[f"topic {third + 1}"] = [
            one for one in await questions(topic, plan.sealed, 10 * seed + 9) if one.kind in topic.new
        ]
    stream += await questions(skills, AFTER * each, 100_000 + seed, begin=SNAPSHOTS * each, pace=pace)
    life = await live(base, known, stream, sealed, bench, new=skills.new, every=each, seed=seed)
    return {"points": life.points, "versions": len(life.versions), "branches": life.branches}


async def _one_kind(
    plan: Plan, seed: int, skills: Skills, base: Graph, known: Sequence[Example], bench: LearnedBench
) -> dict[str, Any]:
    """All that fails is of one kind, another one for each seed: one branch is enough, and no more may grow."""
    at = seed % len(skills.new)
    one = replace(skills, new=skills.new[at : at + 1])
    stream = await questions(one, plan.shorter // 3, 10 * seed + 8)
    sealed = {
        "seen": await questions(one, plan.sealed // 2, 10 * seed + 9),
        "old": await questions(one, plan.sealed // 2, 10 * seed + 5, old=True),
    }
    life = await live(base, known, stream, sealed, bench, new=one.new, every=plan.shorter // 9, seed=seed)
    return {
        "kind": one.new[0],
        "before": round(life.start.failure("seen"), 4),
        "after": round(life.exam.failure("seen"), 4),
        "versions": len(life.versions),
        "branches": life.branches,
        "clusters": [point["clusters"] for point in life.points[1:]],
    }


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

    def gain(name: str) -> dict[str, Any]:
        gap = rights("after", "unseen") * 1.0 - rights(name, "unseen")
        return {"gain": round(float(gap.mean()), 4), "interval": [round(x, 4) for x in interval(gap)]}

    first = runs[0]["points"][-1]["requests"]
    return {
        "sealed": {name: failure(name, "seen")["failure"] for name in ("before", "after")},
        "unseen": {name: failure(name, "unseen")["failure"] for name in ("before", "after")},
        "kept": {"before": 1.0, "after": kept("after"), "fine_tuned": kept("fine_tuned")},
        "versions": [
            {"seed": run["seed"], "sealed_failure": version["seen_failure"], **version}
            for run in runs
            for version in run["versions"]
        ],
        "networks": {
            name: {"seen": failure(name, "seen"), "unseen": failure(name, "unseen"), "kept": kept(name)}
            for name in names
        },
        # From the same requests; with calibration; from every graded request, of which none is kept back for proof.
        "unseen_gain_over_one_reader": gain("one_reader"),
        "unseen_gain_over_one_reader_calibrated": gain("one_reader_calibrated"),
        "unseen_gain_over_unproven": gain("unproven"),
        "stream": {"requests": first, "new_skills": NEW, "seeds": len(runs)},
    }
