"""Runs to keep, a clock to keep them by, and a program that appends runs until it is killed.

As a program: `runs.py URL PREFIX COUNT` appends COUNT runs, four at a time, and prints each run's id once it
is acknowledged.
"""

import asyncio
import sys
from pathlib import Path

from tinyllm.events import Event
from tinyllm.store import open_store

ROOT = Path(__file__).parents[2]


class SetClock:
    """A clock that stands where a test puts it."""

    def __init__(self, time: float = 1_000_000.0) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time


def begin(run_id: str, question: str = "2 + 2") -> Event:
    data = {"question": question, "graph": "g1", "seed": 7, "clock": 5.5, "user": "ann", "session": "s1"}
    return Event(run_id, 0, "run_started", 0.0, data=data)


def a_run(run_id: str, question: str = "2 + 2", answer: str = "4") -> list[Event]:
    """A whole run of four events, one of them a token."""
    cost = {"macs": 12, "tokens_in": 3, "tokens_out": 2, "milliseconds": 1.5, "money": 0.25}
    return [
        begin(run_id, question),
        Event(run_id, 1, "token", 0.5, "solver", {"text": answer}),
        Event(run_id, 2, "node_finished", 1.0, "solver", {"text": answer}),
        Event(run_id, 3, "run_finished", 1.5, data={"answer": answer, "status": "answered", "cost": cost}),
    ]


async def append_until_killed(url: str, prefix: str, count: int) -> None:
    store = await open_store(url)
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await store.append("local", a_run(f"{prefix}-{number}"))
            print(f"{prefix}-{number}", flush=True)

    await asyncio.gather(*(worker() for _ in range(4)))
    await store.close()


if __name__ == "__main__":
    asyncio.run(append_until_killed(sys.argv[1], sys.argv[2], int(sys.argv[3])))
