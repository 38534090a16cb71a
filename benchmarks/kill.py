"""What random kills cost: a server under load is killed with SIGKILL again and again, and its store held against
what its clients were told.

python -m benchmarks.kill [--kills 200] [--worker-kills 25]      prints and writes benchmarks/kill.json (Linux)

Eight clients ask without a pause, half of them streaming, each question once and under a session of its own. The
model behind the server takes 40 ms. A tenth of the kills fall into the start of the server, the others up to half
a second into the load. On SQLite the server is killed whole; on PostgreSQL one worker of two is. In the end every
run that a client got an answer of must be in the store, finished, and no session may be there twice.
"""

import argparse
import asyncio
import os
import random
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
from benchmarks.under_test import (
    Seen,
    Server,
    Upstream,
    ask,
    client,
    good,
    kept,
    machine,
    spread,
    start,
    write,
)
from tests.support.postgres import postgres

CLIENTS = 8
NETWORK = """\
schema: 1
name: killed
models: {m: {backend: openai, model: any, options: {base_url: "URL"}}}
nodes:
  start: {kind: entry, next: ask}
  ask: {kind: specialist, model: m, next: end}
  end: {kind: exit}
"""


class Load:
    """Clients that ask until they are stopped."""

    def __init__(self) -> None:
        self.asked = 0
        self.seen: list[tuple[str, Seen]] = []
        self.first = asyncio.Event()

    async def run(self, url: str, until: asyncio.Event, *, again: bool = False) -> None:
        """Ask until `until`, or, unless `again`, until the server is gone."""
        self.first.clear()
        async with client(close=again) as http:  # then each request meets any worker
            await asyncio.gather(*(self._client(http, url, place, until, again) for place in range(CLIENTS)))

    async def _client(self, http: Any, url: str, place: int, until: asyncio.Event, again: bool) -> None:
        while not until.is_set():
            self.asked += 1
            session = f"s{self.asked}"
            seen = await ask(http, url, session, stream=place % 2 == 0)
            self.seen.append((session, seen))
            if seen.run:
                self.first.set()
            elif not again:
                return
            else:
                await asyncio.sleep(0.02)

    def held_against(self, rows: list[dict[str, Any]]) -> dict[str, int]:
        """How what was acknowledged agrees with what is in the store."""
        finished = {row["run_id"]: row for row in rows if row["status"] == "answered"}
        acknowledged = {seen.run: session for session, seen in self.seen if seen.run}
        sessions = Counter(row["session"] for row in rows)
        return {
            "asked": self.asked,
            "acknowledged": len(acknowledged),
            "in the store": len(rows),
            "lost": sum(run not in finished for run in acknowledged),
            "under another session": sum(
                finished[run]["session"] != session
                for run, session in acknowledged.items()
                if run in finished
            ),
            "duplicates": sum(count - 1 for count in sessions.values()),
            "not whole": sum(row["events"][-1]["kind"] != "run_finished" for row in rows),
        }


async def whole_server(folder: str, url: str, kills: int, chance: random.Random) -> dict[str, Any]:
    """Kill the server again and again."""
    store = f"sqlite:///{folder}/store.db"
    network = NETWORK.replace("URL", url)
    load = Load()
    until = asyncio.Event()
    recovered: list[float] = []
    early = damaged = 0
    for number in range(kills):
        server: Server = await start(folder, network, store)
        if chance.random() < 0.1:
            early += 1
            await asyncio.sleep(chance.uniform(0.0, 1.5))
        else:
            await server.ready()
            asking = asyncio.create_task(load.run(server.url, until))
            await load.first.wait()
            recovered.append(time.monotonic() - server.begun)
            await asyncio.sleep(chance.uniform(0.0, 0.5))
        await server.end(signal.SIGKILL)
        if server.url:
            await asking
        if number % 20 == 19 or number == kills - 1:
            damaged += not sound(Path(folder) / "store.db")
            print(number + 1, "kills,", load.held_against(await kept(store)), flush=True)
    return {
        "kills": kills,
        "in the start": early,
        **load.held_against(await kept(store)),
        "damaged files": damaged,
        "seconds from start to first answer": spread(recovered),
    }


def sound(file: Path) -> bool:
    connection = sqlite3.connect(file)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


async def one_worker(folder: str, url: str, kills: int, chance: random.Random) -> dict[str, Any]:
    """Kill one worker of two again and again, while the other goes on."""
    load = Load()
    until = asyncio.Event()
    with postgres() as database:
        server = await start(folder, NETWORK.replace("URL", url), database.url, "--workers", "2")
        await server.ready()
        asking = asyncio.create_task(load.run(server.url, until, again=True))
        await load.first.wait()
        whole_again: list[float] = []
        async with await psycopg.AsyncConnection.connect(database.url, autocommit=True) as admin:
            for _ in range(kills):
                await asyncio.sleep(chance.uniform(0.0, 0.5))
                (now,) = await (await admin.execute("SELECT now()")).fetchone() or ()
                os.kill(chance.choice(workers(server)), signal.SIGKILL)
                begun = time.monotonic()
                while await (await admin.execute(_NEW, (now,))).fetchone() == (0,):  # noqa: ASYNC110 (it announces nothing)
                    await asyncio.sleep(0.05)
                whole_again.append(time.monotonic() - begun)
        until.set()
        await asking
        code = await server.end(signal.SIGTERM)
        failed = Counter(seen.error for _, seen in load.seen if not seen.run)
        return {
            "kills": kills,
            **load.held_against(await kept(database.url)),
            "requests that failed": dict(failed),
            "seconds from kill to a new worker at the store": spread(whole_again),
            "exit code after SIGTERM": code,
        }


_NEW = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tinyllm' AND backend_start > %s"


def workers(server: Server) -> list[int]:
    """The processes that serve."""
    return [
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if stat.read_text().rpartition(")")[2].split()[1] == str(server.process.pid)
        and b"spawn_main" in stat.with_name("cmdline").read_bytes()
    ]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--worker-kills", type=int, default=25)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    chance = random.Random(chosen.seed)
    begun, report = time.monotonic(), {"command": "python -m benchmarks.kill", "machine": machine()}

    async def run() -> None:
        upstream = Upstream(good(0.002))
        await upstream.start()
        for name, work, kills in (
            ("SQLite, the server", whole_server, chosen.kills),
            ("PostgreSQL, one worker of two", one_worker, chosen.worker_kills),
        ):
            if kills:
                with tempfile.TemporaryDirectory() as folder:
                    report[name] = await work(folder, upstream.url, kills, chance)
                print(name, report[name], flush=True)
        upstream.stop()

    asyncio.run(run())
    report["seconds"] = round(time.monotonic() - begun)
    write("kill", report)


if __name__ == "__main__":
    main()
