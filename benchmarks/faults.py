"""What clients see when what stands behind the server breaks, and how soon it recovers.

python -m benchmarks.faults      prints and writes benchmarks/faults.json (about six minutes, mostly waiting)

The model's server is refused, answers with 500, cuts its stream, writes garbage, stalls, or is slow; eight
questions are asked meanwhile, half of them streaming, four at a time. Then it is well again, and a question is
asked every quarter of a second until one is answered. All of it twice: with that model alone, which is asked twice,
and with a second model that takes over. The model has 3 s to begin and 2 s between two words, a run has 20 s.

Then PostgreSQL is stopped for ten seconds while four clients ask, and its store is held against what they were told.
"""

import asyncio
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.under_test import (
    HEAD,
    WORDS,
    Seen,
    Upstream,
    ask,
    chunk,
    chunked,
    client,
    good,
    kept,
    machine,
    spread,
    start,
    whole,
    write,
)
from tests.support.postgres import postgres

NETWORK = """\
schema: 1
name: faulty
models:
  m: {backend: openai, model: any, options: {base_url: "URL", first_token_timeout: 3, token_timeout: 2}}
  second: {backend: openai, model: any, options: {base_url: "SECOND"}}
budgets: {seconds: 20}
nodes:
  start: {kind: entry, next: ask}
  ask: {kind: specialist, model: m, next: end, LARGER}
  other: {kind: specialist, model: second, next: end}
  end: {kind: exit}
"""
AWAY = 10.0  # seconds

Behave = Callable[[bool, asyncio.StreamWriter], Awaitable[None]]


async def server_error(stream: bool, writer: asyncio.StreamWriter) -> None:
    writer.write(whole(500, b'{"error": {"message": "out of memory"}}'))


async def begin(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    for word in WORDS[:5]:
        writer.write(chunk(word))
        await writer.drain()


async def cut(stream: bool, writer: asyncio.StreamWriter) -> None:
    await begin(writer)
    await asyncio.sleep(0.05)
    writer.transport.abort()


async def garbage(stream: bool, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunked(b"data: {\x00\xff not JSON at all\n\n") + b"0\r\n\r\n")


async def stalled(stream: bool, writer: asyncio.StreamWriter) -> None:
    await begin(writer)
    await asyncio.sleep(30)
    writer.transport.abort()


async def silent(stream: bool, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)
    writer.transport.abort()


async def slow(stream: bool, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(2)
    await good()(stream, writer)


FAULTS: dict[str, Behave | None] = {
    "refused": None,
    "500": server_error,
    "stream cut after 5 words": cut,
    "garbage": garbage,
    "stalled after 5 words": stalled,
    "silent": silent,
    "slow: 2 s to begin": slow,
}


def told(seen: Seen) -> str:
    return "answered" if seen.run else f"{seen.status} {seen.error}"


async def broken(http: Any, url: str, upstream: Upstream, behave: Behave | None, name: str) -> dict[str, Any]:
    """What clients see while the model's server misbehaves, and then."""
    if behave is None:
        upstream.stop()
    else:
        upstream.behave = behave
    seen: list[Seen] = []
    for group in range(2):
        asked = [ask(http, url, f"{name} {group} {n}", stream=n % 2 == 0) for n in range(4)]
        seen += await asyncio.gather(*asked)
    if behave is None:
        await upstream.start()
    upstream.behave = good()
    begun = time.monotonic()
    while not (await ask(http, url, f"{name} again", stream=True)).run:  # noqa: ASYNC110 (it announces nothing)
        await asyncio.sleep(0.25)
    return {
        "clients saw": dict(Counter(told(each) for each in seen)),
        "seconds": spread([each.seconds for each in seen]),
        "seconds to recover": round(time.monotonic() - begun, 2),
    }


async def backends(larger: bool) -> dict[str, Any]:
    upstream, second = Upstream(good()), Upstream(good())
    await upstream.start()
    await second.start()
    network = NETWORK.replace("URL", upstream.url).replace("SECOND", second.url)
    network = network.replace("LARGER", "larger: other" if larger else "retries: 1")
    if not larger:
        network = "\n".join(line for line in network.split("\n") if "second" not in line)
    found: dict[str, Any] = {}
    for name, behave in FAULTS.items():
        # A server of its own for each: breakers remember.
        with tempfile.TemporaryDirectory() as folder:
            server = await start(folder, network, f"sqlite:///{folder}/store.db")
            await server.ready()
            async with client() as http:
                assert (await ask(http, server.url, "first", stream=True)).run
                found[name] = await broken(http, server.url, upstream, behave, name)
            await server.end(signal.SIGTERM)
            runs = await kept(f"sqlite:///{folder}/store.db")
            found[name]["runs kept"] = len(runs)
            print(name, found[name], flush=True)
    upstream.stop()
    second.stop()
    return found


async def database() -> dict[str, Any]:
    """PostgreSQL is stopped for a while."""
    upstream = Upstream(good(0.002))
    await upstream.start()
    network = NETWORK.replace("URL", upstream.url).replace("LARGER", "retries: 1")
    network = "\n".join(line for line in network.split("\n") if "second" not in line)
    seen: list[tuple[float, str, Seen]] = []
    with postgres() as store, tempfile.TemporaryDirectory() as folder:
        server = await start(folder, network, store.url, "--workers", "2")
        await server.ready()
        over = asyncio.Event()

        async def asking(http: Any, place: int) -> None:
            number = 0
            while not over.is_set():
                number += 1
                session = f"{place}-{number}"
                one = await ask(http, server.url, session, stream=place % 2 == 0)
                seen.append((time.monotonic(), session, one))
                await asyncio.sleep(0.05)

        async with client(close=True) as http:
            clients = [asyncio.create_task(asking(http, place)) for place in range(4)]
            await asyncio.sleep(3)
            await asyncio.to_thread(store.stop)
            stopped = time.monotonic()
            await asyncio.sleep(AWAY)
            await asyncio.to_thread(store.start)
            back = time.monotonic()
            await asyncio.sleep(5)
            over.set()
            await asyncio.gather(*clients)
        code = await server.end(signal.SIGTERM)
        rows = await kept(store.url)
    upstream.stop()
    finished = {row["run_id"] for row in rows if row["status"] == "answered"}
    acknowledged = [one.run for _, _, one in seen if one.run]
    again = [when for when, _, one in seen if one.run and when > back]
    return {
        "seconds away": round(back - stopped, 1),
        "clients saw": dict(Counter(told(one) for _, _, one in seen)),
        "clients saw while it was away": dict(
            Counter(told(one) for when, _, one in seen if stopped + 1 < when < back - 1)
        ),
        "seconds": spread([one.seconds for _, _, one in seen]),
        "acknowledged": len(acknowledged),
        "lost": sum(run not in finished for run in acknowledged),
        "duplicates": len(rows) - len({row["session"] for row in rows}),
        "seconds to recover": round(again[0] - back, 2),
        "exit code after SIGTERM": code,
    }


async def main() -> None:
    report: dict[str, Any] = {"command": "python -m benchmarks.faults", "machine": machine()}
    report["one model, asked twice"] = await backends(larger=False)
    report["a second model takes over"] = await backends(larger=True)
    report["PostgreSQL stopped"] = await database()
    print(report["PostgreSQL stopped"])
    write("faults", report)


if __name__ == "__main__":
    asyncio.run(main())
