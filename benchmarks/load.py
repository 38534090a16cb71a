"""How the server bears 200 clients that stream without a pause: errors, latency, memory, open files; then SIGTERM.

python -m benchmarks.load [--seconds 600] [--clients 200]     prints and writes benchmarks/load.json (Linux)

The model behind the server says 20 words, one every 200 ms, so that some 50 questions a second are answered. The
clients, the model and the server share one machine; memory and files are the server's alone, sampled every five
seconds. The slope is that of a line through the means of BLOCKS equal parts of the time after the first third, with
Student's interval of 95%. In the end SIGTERM comes while everybody streams: what was asked before it must be
answered, and the server must end with code 0.
"""

import argparse
import asyncio
import math
import os
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.kill import NETWORK
from benchmarks.under_test import Seen, Upstream, ask, client, good, kept, machine, spread, start, write

PAUSE = 0.2  # seconds between two words
EVERY = 5.0  # seconds between two samples
BLOCKS, STUDENT = 10, 2.306  # the 97.5% quantile at eight degrees of freedom
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


def sample(process: int) -> tuple[float, int]:
    """Resident megabytes and open files of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * PAGE / 1e6, len(list(Path(f"/proc/{process}/fd").iterdir()))


def cpu(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def slope(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """How much the second value rises with the first, and the half width of its interval."""
    size = len(samples) // BLOCKS
    blocks = [samples[place * size : (place + 1) * size] for place in range(BLOCKS)]
    at = [statistics.fmean(when for when, _ in block) for block in blocks]
    means = [statistics.fmean(value for _, value in block) for block in blocks]
    rise, start = statistics.linear_regression(at, means)
    rest = math.fsum((mean - start - rise * when) ** 2 for when, mean in zip(at, means, strict=True))
    spread = math.fsum((when - statistics.fmean(at)) ** 2 for when in at)
    return rise, STUDENT * math.sqrt(rest / (BLOCKS - 2) / spread)


async def loaded(folder: str, url: str, clients: int, seconds: float) -> dict[str, Any]:
    store = f"sqlite:///{folder}/store.db"
    server = await start(folder, NETWORK.replace("URL", url), store, "--running", str(clients))
    await server.ready()
    seen: list[Seen] = []
    over = asyncio.Event()

    async def one(http: Any, place: int) -> None:
        await asyncio.sleep(place * PAUSE / 10)  # not all in the same moment
        number = 0
        while not over.is_set():
            number += 1
            seen.append(await ask(http, server.url, f"{place}-{number}", stream=True))

    samples: list[tuple[float, float, int]] = []
    begun = time.monotonic()
    async with client() as http:
        asking = [asyncio.create_task(one(http, place)) for place in range(clients)]
        while (now := time.monotonic() - begun) < seconds:
            samples.append((now, *sample(server.process.pid)))
            await asyncio.sleep(EVERY)
        spent = cpu(server.process.pid)
        over.set()
        told = time.monotonic()
        code = await server.end(signal.SIGTERM)
        drained = time.monotonic() - told
        await asyncio.gather(*asking)
    warm = samples[len(samples) // 3 :]
    rise, within = slope([(when, size) for when, size, _ in warm])
    rows = {row["run_id"] for row in await kept(store) if row["status"] == "answered"}
    answered = [each for each in seen if each.run]
    return {
        "seconds": round(seconds),
        "clients": clients,
        "requests": len(seen),
        "answered": len(answered),
        "errors": dict(Counter(f"{each.status} {each.error}" for each in seen if not each.run)),
        "acknowledged but not kept": sum(each.run not in rows for each in answered),
        "seconds per answer": spread([each.seconds for each in answered]),
        "CPU ms per request": round(1000 * spent / len(seen), 2),
        "MB after a third, at the end": [round(warm[0][1], 1), round(warm[-1][1], 1)],
        "MB per minute, and within": [round(rise * 60, 3), round(within * 60, 3)],
        "open files after a third, at the end": [warm[0][2], warm[-1][2]],
        "seconds to drain after SIGTERM": round(drained, 2),
        "exit code": code,
        "samples: seconds, MB, open files": [
            [round(when), round(size, 2), files] for when, size, files in samples
        ],
    }


async def run(clients: int, seconds: float) -> dict[str, Any]:
    upstream = Upstream(good(PAUSE))
    await upstream.start()
    with tempfile.TemporaryDirectory() as folder:
        found = await loaded(folder, upstream.url, clients, seconds)
    upstream.stop()
    return found


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=600)
    options.add_argument("--clients", type=int, default=200)
    chosen = options.parse_args()
    command = f"python -m benchmarks.load --seconds {chosen.seconds:g} --clients {chosen.clients}"
    report: dict[str, Any] = {"command": command, "machine": machine()}
    report |= asyncio.run(run(chosen.clients, chosen.seconds))
    print({name: value for name, value in report.items() if not name.startswith("samples")})
    write("load", report)


if __name__ == "__main__":
    main()
