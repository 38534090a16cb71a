"""What the engine itself costs: CPU a run by length of path, a choice, an answer, a cold start, a thousand questions.

python benchmarks/engine.py          prints a table and writes benchmarks/engine.json (Linux or macOS)

CPU is counted rather than time, as a median over repetitions, so that a busy machine disturbs little. All
questions are drawn from the shipped patterns by SEED.
"""

import asyncio
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tinyllm
from tinyllm.backends.reader import LinearRouter
from tinyllm.backends.scripted import Scripted
from tinyllm.engine import Engine
from tinyllm.graph import Graph, parse
from tinyllm.protocols import Choice, Parts
from tinyllm.starter import shipped
from tinyllm.starter.corpus import from_patterns
from tinyllm.store import open_store
from tinyllm.types import Message, Request

SEED = 7
REPEATS = 15
QUESTIONS = 1_000
MANY = 5_000
COMMAND = [sys.executable, "-c", "from tinyllm.cli.main import main; main()"]


class First:
    """A router that is sure of the first label and costs nothing."""

    async def choose(self, text: str, labels: Sequence[str]) -> Choice:
        return Choice(labels[0], dict.fromkeys(labels, 0.0) | {labels[0]: 1.0})


def network(path: int, routes: int = 1) -> Graph:
    """A router over `routes` chains of specialists and gates in turn; a run takes `path` nodes."""
    nodes: dict[str, Any] = {
        "entry": {"kind": "entry", "next": "router"},
        "router": {
            "kind": "router",
            "model": "skills",
            "routes": {f"r{r}": {"to": f"r{r}.0"} for r in range(routes)},
        },
        "exit": {"kind": "exit"},
    }
    for route in range(routes):
        for place in range(path - 3):
            following = f"r{route}.{place + 1}" if place < path - 4 else "exit"
            node: dict[str, Any] = {"kind": "specialist", "model": "m"}
            if place % 2:
                node = {"kind": "gate", "checks": [{"check": "schema"}]}
            nodes[f"r{route}.{place}"] = node | {"next": following}
    models = {"m": {"backend": "scripted"}, "skills": {"backend": "builtin"}}
    text = {"schema": 1, "name": "path", "models": models, "budgets": {"steps": 10_000}, "nodes": nodes}
    return parse(json.dumps(text))


async def running(graph: Graph, *, store: bool, together: int = 1, runs: int = 60) -> float:
    """CPU milliseconds of a run: the median over batches of `runs`."""
    parts = Parts({"m": Scripted("m", ["3.5 cups are 56 tablespoons."])}, {}, {"skills": First()})

    async def resolve(request: Request) -> Graph:
        return graph

    request = Request((Message("user", "how many tablespoons are in three and a half cups of flour?"),))
    with tempfile.TemporaryDirectory() as folder:
        kept = await open_store(f"sqlite:///{folder}/store.db" if store else "memory:")
        engine = Engine(resolve, lambda _: parts, kept)

        async def caller() -> None:
            for _ in range(runs // together):
                assert (await engine.run(request)).status == "answered"

        await caller()
        spent = []
        for _ in range(REPEATS):
            begun = time.process_time()
            await asyncio.gather(*(caller() for _ in range(together)))
            spent.append((time.process_time() - begun) * 1000 / (runs // together * together))
        await kept.close()
    return statistics.median(spent)


def engine() -> dict[str, Any]:
    """CPU milliseconds a run, by nodes on the path and in the graph."""
    found: dict[str, Any] = {}
    for name, graph in {
        "8 on the path": network(8),
        "64 on the path": network(64),
        "256 on the path": network(256),
        "8 of 253 in the graph": network(8, routes=50),
    }.items():
        runs = 240 if "8 o" in name[:3] else 32
        found[name] = {
            "nodes": len(graph.nodes),
            "sqlite": asyncio.run(running(graph, store=True, runs=runs)),
            "sqlite, 16 at once": asyncio.run(running(graph, store=True, together=16, runs=runs)),
            "memory": asyncio.run(running(graph, store=False, runs=runs)),
        }
    return found


def questions(count: int) -> list[str]:
    """Mixed questions over every skill, some of which are to be refused."""
    return [example.text for example in from_patterns(SEED, count)]


def router() -> dict[str, float]:
    """CPU milliseconds of a choice, on questions not seen before and on the same ones again."""
    texts = questions(QUESTIONS)
    labels = ("calculator", "numbers", "measures", "everyday")

    async def choosing(texts: Sequence[str]) -> list[float]:
        spent = []
        for text in texts:
            begun = time.process_time()
            await chooser.choose(text, labels)
            spent.append((time.process_time() - begun) * 1000)
        return spent

    chooser = LinearRouter(*shipped.weights("router.linear"))
    asyncio.run(choosing(["warm up, 3 cups in ml"]))
    return _spread(asyncio.run(choosing(texts)))


def answering() -> dict[str, Any]:
    """Milliseconds of `Network.ask` on the starter network with a store: wall time and CPU."""
    wall, cpu, statuses = [], [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        tinyllm.load("starter", store=f"sqlite:///{folder}/store.db") as net,
    ):
        for warm in ("what is 15% of 80", "3 cups in ml", "what day is 25 december", "solve 2x = 4"):
            net.ask(warm)
        for text in questions(QUESTIONS):
            begun, used = time.perf_counter(), time.process_time()
            reply = net.ask(text, seed=SEED)
            wall.append((time.perf_counter() - begun) * 1000)
            cpu.append((time.process_time() - used) * 1000)
            statuses.append(reply.status)
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    return {"wall": _spread(wall), "cpu": _spread(cpu), "statuses": counts}


def cold(folder: Path) -> dict[str, float]:
    """Median CPU seconds of a whole fresh process, its bytecode compiled before."""
    ask = ["ask", "what is 15% of 80"]
    environ = _environ(folder)
    _spend(ask, environ)
    fresh = (_environ(folder, store=f"new-{number}") for number in range(100))
    trials: dict[str, Callable[[], float]] = {
        "tinyllm --help": lambda: _spend(["--help"], environ),
        "tinyllm ask, store exists": lambda: _spend(ask, environ),
        "tinyllm ask --no-store": lambda: _spend([*ask, "--no-store"], environ),
        "tinyllm ask, new store": lambda: _spend(ask, next(fresh)),
        "an algebra question": lambda: _spend(["ask", "solve x^3 - 6x^2 + 11x - 6 = 0"], environ),
    }
    return {name: statistics.median(trial() for _ in range(REPEATS)) for name, trial in trials.items()}


def batch(folder: Path, count: int) -> dict[str, float | None]:
    """Throughput and memory of `tinyllm batch`; on Linux also how memory grew after the first thousand."""
    source, output = folder / f"in-{count}.jsonl", folder / f"out-{count}.jsonl"
    # The first needs pint, whose 8 MB would look like growth wherever else they came.
    texts = ["convert 2 speeds of light to knots", *questions(count - 1)]
    lines = [json.dumps({"id": number, "query": text}) for number, text in enumerate(texts)]
    source.write_text("\n".join(lines) + "\n")
    output.touch()
    begun = time.perf_counter()
    with subprocess.Popen(
        [*COMMAND, "batch", str(source), "-o", str(output)],
        env=_environ(folder, store=f"batch-{count}"),
        stderr=subprocess.DEVNULL,
    ) as child:
        samples = _watch(child, output)
        usage = samples.pop()
    wall = time.perf_counter() - begun
    with output.open() as file:
        replies = [json.loads(line) for line in file]
    assert len(replies) == count, f"{len(replies)} of {count} answered"
    late = [(done, size) for done, size in samples if done >= QUESTIONS]
    return {
        "questions": count,
        "failed": sum(reply["status"] == "failed" for reply in replies),
        "questions_per_second": count / wall,
        "cpu_ms_per_question": usage[0] * 1000 / count,
        "peak_mb": usage[1],
        "growth_kb_per_1000": _slope(late) * 1000 if late and count > QUESTIONS else None,
    }


def _watch(child: "subprocess.Popen[bytes]", output: Path) -> list[tuple[float, float]]:
    """How many were answered and the resident kilobytes, now and then; last the CPU seconds and peak megabytes."""
    samples: list[tuple[float, float]] = []
    done, read, peak = 0, 0, 0
    while True:
        ended, _, usage = os.wait4(child.pid, os.WNOHANG)
        if ended:
            child.returncode = 0
            # Where the system tells nothing better: a child's ru_maxrss counts what its parent held at the fork.
            peak = peak or usage.ru_maxrss // (1 if sys.platform != "darwin" else 1024)
            return [*samples, (usage.ru_utime + usage.ru_stime, peak / 1024)]
        with output.open("rb") as file:
            file.seek(read)
            piece = file.read()
        done, read = done + piece.count(b"\n"), read + len(piece)
        resident, peak = _memory(child.pid, peak)
        if resident:
            samples.append((done, resident))
        time.sleep(0.2)


def _memory(process: int, peak: int) -> tuple[int, int]:
    """The kilobytes that a process holds and the most that it held, where the system tells (Linux)."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0, peak
    sizes = {name: int(size) for name, size in re.findall(r"(VmRSS|VmHWM):\s*(\d+)", status)}
    return sizes.get("VmRSS", 0), sizes.get("VmHWM", peak)


def _slope(samples: Sequence[tuple[float, float]]) -> float:
    return statistics.linear_regression(*zip(*samples, strict=True)).slope


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"p50": statistics.median(values), "p99": statistics.quantiles(values, n=100)[98]}


def _environ(folder: Path, store: str = "store") -> dict[str, str]:
    """An environment of its own: no settings of this machine, and bytecode that is written once."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TINYLLM_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        "TINYLLM_STORE": f"sqlite:///{folder}/{store}.db",
        "XDG_CONFIG_HOME": str(folder),
    }


def _spend(arguments: Sequence[str], environ: dict[str, str]) -> float:
    """CPU seconds of a fresh process and of the processes that it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*COMMAND, *arguments], env=environ, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report: dict[str, Any] = {
            "command": "python benchmarks/engine.py",
            "seed": SEED,
            "repeats": REPEATS,
            "machine": {
                "system": platform.system(),
                "processor": platform.machine(),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "load": os.getloadavg()[0],
            },
            "engine_cpu_ms_per_run": engine(),
            "router_cpu_ms_per_choice": router(),
            "answer_ms": answering(),
            "cold_cpu_seconds": cold(folder),
            "batch": [batch(folder, count) for count in (QUESTIONS, MANY)],
        }
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
    _print(report)


def _print(report: Any, before: str = "") -> None:
    """Every figure on a line of its own."""
    for name, value in report.items() if isinstance(report, dict) else enumerate(report):
        if isinstance(value, dict | list):
            _print(value, f"{before}{name}: ")
        else:
            print(f"{before}{name}: {value:.3f}" if isinstance(value, float) else f"{before}{name}: {value}")


if __name__ == "__main__":
    main()
