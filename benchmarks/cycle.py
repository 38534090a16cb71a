"""What a cycle of learning takes: without training, with one specialist that is trained and decided, and `learn` whole.

python benchmarks/cycle.py          prints the figures and writes benchmarks/cycle.json (Linux or macOS)

A thousand requests, the sample that ships and arithmetic beside it, are put to the starter network and graded by
their answers. Each measurement begins with a copy of the store that this leaves. Wall time, and CPU of this process
and its children; both depend on what else the machine does, so the load is told.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from tinyllm.cli.wiring import Learning, open_learning
from tinyllm.learning.cycle import Report
from tinyllm.learning.expand import Expansion
from tinyllm.learning.lessons import Lesson, Lessons, read_lessons, study
from tinyllm.learning.proposal import Proposal
from tinyllm.learning.trial import Verdict
from tinyllm.settings import Settings, read_settings
from tinyllm.starter import shipped

SEED = 7
REQUESTS = 1_000
LEARN = "from tinyllm.cli.main import main; main()"


def arithmetic(count: int) -> list[Lesson]:
    """Sums, differences and products in words, with their answers."""
    random, rows = Random(SEED), dict[str, Lesson]()
    while len(rows) < count:
        a, b = random.randint(2, 999), random.randint(2, 999)
        words, answer = random.choice([("plus", a + b), ("minus", a - b), ("times", a * b)])
        query = random.choice(["what is {} {} {}", "calculate {} {} {}", "{} {} {}"]).format(a, words, b)
        rows[query] = Lesson(query=query, answer=answer)
    return list(rows.values())


def traffic() -> Lessons:
    """The thousand requests, shuffled."""
    rows = list(read_lessons(shipped.TRAFFIC).rows)
    rows += arithmetic(REQUESTS - len(rows))
    Random(SEED).shuffle(rows)
    return Lessons("benchmark", rows, ())


def settings_in(folder: Path) -> Settings:
    store = f"sqlite:///{(folder / 'runs.db').as_posix()}"
    return read_settings({"store": store, "network": "starter"}).settings


async def agreed(proposal: Proposal, verdict: Verdict) -> bool:
    return True


async def within(folder: Path, work: Callable[[Learning], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """What `work` finds, with the time that it took; opening the network and its store does not count."""
    async with open_learning(settings_in(folder), agreed, lambda what, done, of: None, seed=SEED) as learning:
        began, cpu = time.perf_counter(), cpu_seconds()
        found = await work(learning)
        return {**seconds(began, cpu), **found}


async def asked(learning: Learning) -> dict[str, Any]:
    """Every request is asked and graded."""
    lessons = traffic()
    await study(lessons, lessons.rows, learning.ask, learning.learner.store, seed=SEED)
    return {"requests": len(lessons.rows)}


async def untrained(learning: Learning) -> dict[str, Any]:
    """A cycle of all proposers but the one that trains specialists."""
    others = [one for one in learning.learner.proposers if not isinstance(one, Expansion)]
    return told(await replace(learning.learner, proposers=others).cycle())


async def one_specialist(learning: Learning) -> dict[str, Any]:
    """A cycle that ends with its first change."""
    return told(await replace(learning.learner, rounds=1).cycle())


def told(report: Report) -> dict[str, Any]:
    return {
        "graded": report.graded,
        "failed": report.failed,
        "clusters": len(report.clusters),
        "proposals": sum(len(done.proposals) for done in report.rounds),
        "adopted": [done.version.edit for done in report.rounds if done.version],
        "reason": report.reason,
    }


def learn(folder: Path) -> dict[str, Any]:
    """The command itself, from its start to its end."""
    environment = {**os.environ, "TINYLLM_STORE": settings_in(folder).store, "TINYLLM_NETWORK": "starter"}
    command = [sys.executable, "-c", LEARN, "learn", "--yes", "--json", "--seed", str(SEED)]
    began, cpu = time.perf_counter(), cpu_seconds()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    (report,) = json.loads(done.stdout)
    adopted = [one["version"]["edit"] for one in report["rounds"] if one["version"]]
    return {
        **seconds(began, cpu),
        "graded": report["graded"],
        "rounds": len(report["rounds"]),
        "adopted": adopted,
    }


def seconds(began: float, cpu: float) -> dict[str, float]:
    return {"seconds": round(time.perf_counter() - began, 1), "cpu_seconds": round(cpu_seconds() - cpu, 1)}


def cpu_seconds() -> float:
    """CPU of this process and of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def measured() -> dict[str, Any]:
    """All figures, each from a copy of one store."""
    steps: Sequence[tuple[str, Callable[[Path], dict[str, Any]]]] = (
        ("cycle_without_training", lambda folder: asyncio.run(within(folder, untrained))),
        ("cycle_with_one_change", lambda folder: asyncio.run(within(folder, one_specialist))),
        ("learn_command", learn),
    )
    found: dict[str, Any] = {
        "seed": SEED,
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
    }
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder, "asked")
        first.mkdir()
        found["asked"] = asyncio.run(within(first, asked))
        print("asked", found["asked"], flush=True)
        for name, work in steps:
            copy = Path(folder, name)
            shutil.copytree(first, copy)
            found[name] = work(copy)
            print(name, found[name], flush=True)
    return found | {"load_after": round(os.getloadavg()[0], 1)}


if __name__ == "__main__":
    Path(__file__).with_suffix(".json").write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
