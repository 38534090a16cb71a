"""What keeping a run costs: CPU, throughput and disk, by how many runs are kept at once; and opening, cold.

python -m benchmarks.store              prints a table and writes benchmarks/store.json
python -m benchmarks.store --postgres   the same with a PostgreSQL server of its own, durable and on loopback, beside
                                        it, and writes benchmarks/store-postgres.json
"""

import asyncio
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tinyllm.events import Event
from tinyllm.store import open_store

NODES = ("entry", "router", "reader", "units", "check", "gate", "phrase", "exit")

COLD = {
    "imports": "import asyncio, tinyllm.events, tinyllm.protocols",
    "open and append": """
import asyncio, sys
from tinyllm.events import Event
from tinyllm.store import open_store
async def main():
    store = await open_store(sys.argv[1])
    await store.append("local", [Event("r", 0, "run_started", 0.0)])
    await store.close()
asyncio.run(main())
""",
}


def run_of_26_events(run_id: str) -> list[Event]:
    """A run over an eight-node path as the engine tells it: 26 events."""
    cost = {"macs": 41_000_000, "tokens_in": 31, "tokens_out": 9, "milliseconds": 12.3, "money": 0.0}
    question = "how many tablespoons are in three and a half cups of flour?"
    events: list[Event] = []

    def add(kind: Any, node: str | None, data: dict[str, Any]) -> None:
        events.append(Event(run_id, len(events), kind, len(events) * 0.4, node, data))

    start = {"question": question, "graph": "9f2c41d0aa35", "seed": 12345, "clock": 1.79e9, "user": "local"}
    add("run_started", None, start)
    for node in NODES:
        add("node_started", node, {"kind": "specialist"})
        add("choice_made", node, {"choice": "units", "probabilities": {"units": 0.97, "calculator": 0.02}})
        add("node_finished", node, {"text": "3.5 cups are 56 tablespoons.", "cost": cost})
    end = {"answer": "3.5 cups are 56 tablespoons.", "status": "answered", "route": NODES, "cost": cost}
    add("run_finished", None, end)
    return events


async def appending(together: int, url: str = "", seconds: float = 3.0) -> dict[str, float]:
    """Figures of `together` callers that each append one run after another for some seconds."""
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(url or f"sqlite:///{folder}/store.db")
        before = (await store.size())["bytes"]
        await store.append("local", run_of_26_events("warm"))
        prepared = [run_of_26_events(f"run-{number:032d}") for number in range(12_000)]
        waits: list[float] = []
        runs = iter(prepared)
        stop = time.perf_counter() + seconds

        async def caller() -> None:
            for run in runs:
                begun = time.perf_counter()
                await store.append("local", run)
                waits.append(time.perf_counter() - begun)
                if time.perf_counter() > stop:
                    return

        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(together)))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        size = (await store.size())["bytes"] - before
        await store.purge(float("inf"))
        await store.close()
    return {
        "runs": len(waits),
        "runs_per_second": len(waits) / wall,
        "events_per_second": 26 * len(waits) / wall,
        "cpu_ms_per_run": cpu * 1000 / len(waits),
        "wait_ms_p50": statistics.median(waits) * 1000,
        "wait_ms_p99": statistics.quantiles(waits, n=100)[98] * 1000,
        "bytes_per_run": size / len(waits),
    }


def cold_cpu(program: str, url: str) -> float:
    """CPU seconds of a fresh interpreter that runs the program, measured by itself at its end."""
    told = "\nimport time; print(time.process_time())"
    done = subprocess.run(
        [sys.executable, "-c", program + told, url], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def cold() -> dict[str, float]:
    """Median CPU seconds of a fresh process: its imports; with a new store; with one that exists."""
    with tempfile.TemporaryDirectory() as folder:
        new = [
            cold_cpu(COLD["open and append"], f"sqlite:///{folder}/new-{number}.db") for number in range(5)
        ]
        existing = [cold_cpu(COLD["open and append"], f"sqlite:///{folder}/new-0.db") for _ in range(9)]
        imports = [cold_cpu(COLD["imports"], "") for _ in range(9)]
    return {
        "imports": statistics.median(imports),
        "new_store": statistics.median(new),
        "existing_store": statistics.median(existing),
    }


def main() -> None:
    report: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.store", *sys.argv[1:]]),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        },
        "cold_cpu_seconds": cold(),
        "appending": {str(together): asyncio.run(appending(together)) for together in (1, 20, 200)},
    }
    path = Path(__file__).with_suffix(".json")
    if "--postgres" in sys.argv:
        from tests.support.postgres import postgres

        path = path.with_stem("store-postgres")
        with postgres() as server:
            report["postgres"] = {
                str(together): asyncio.run(appending(together, server.url)) for together in (1, 20, 200)
            }
    path.write_text(json.dumps(report, indent=2) + "\n")
    print("cold CPU seconds:", {name: round(value, 3) for name, value in report["cold_cpu_seconds"].items()})
    print("at once   runs/s  events/s  CPU ms/run  p50 ms  p99 ms   bytes")
    for together, figures in [*report["appending"].items(), *report.get("postgres", {}).items()]:
        print(
            f"{together:>7} {figures['runs_per_second']:8.0f} {figures['events_per_second']:9.0f} "
            f"{figures['cpu_ms_per_run']:11.3f} {figures['wait_ms_p50']:7.2f} {figures['wait_ms_p99']:7.2f} "
            f"{figures['bytes_per_run']:7.0f}"
        )


if __name__ == "__main__":
    main()
