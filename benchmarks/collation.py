"""Three local models on a server with memory for one: collated by loaded model, beside first come, first served.

python -m benchmarks.collation     prints a table and writes benchmarks/collation.json

The server is a fake that loads and queues as Ollama does (`tests/support/ollama_server.py`), in a thread, over
HTTP. Times are a tenth of what a 4 GB model may need: a load 0.5 s, an answer 0.05 s, and a request waits at most
6 s in line. REQUESTS requests, each for one of three models by chance, come from CLIENTS clients that each ask again
as soon as they are answered, or at random (Poisson), more than twice as fast as first come, first served bears.
"""

import asyncio
import random
import time
from collections.abc import Iterable
from typing import Any

from benchmarks.under_test import machine, spread, write
from tests.support.ollama_server import Ollama, ollama_server

from tinyllm.backends.collation import Collated, Turns
from tinyllm.backends.folding import complete
from tinyllm.backends.openai_api import OpenAI, Options
from tinyllm.errors import BackendBusy
from tinyllm.protocols import Backend
from tinyllm.types import Message, Prompt

LOAD, ANSWER, WAIT = 0.5, 0.05, 6.0  # seconds
MODELS = ("a", "b", "c")
REQUESTS = 300
CLIENTS = 12
EVERY = 0.15  # seconds between two requests of the Poisson arrivals
SEEDS = range(3)


class Line(Turns):
    """Turns that note how long each request stood in line."""

    def __init__(self) -> None:
        super().__init__(1, WAIT, 4)
        self.stood: list[float] = []

    async def _wait(self, place: Any) -> None:
        try:
            await super()._wait(place)
        finally:
            self.stood.append(self.now() - place.since)


async def asked(seed: int, arrivals: str, collated: bool) -> dict[str, Any]:
    chance = random.Random(seed)
    models = [chance.choice(MODELS) for _ in range(REQUESTS)]
    pauses = [chance.expovariate(1 / EVERY) for _ in range(REQUESTS)]
    seconds: list[float] = []
    busy = 0
    with ollama_server(Ollama(load_seconds=LOAD, answer_seconds=ANSWER)) as ollama:
        line = Line()
        plain = {model: OpenAI(model, Options(base_url=f"{ollama.url}/v1", model=model)) for model in MODELS}
        asks: dict[str, Backend] = dict(plain)
        if collated:
            asks = {model: Collated(one, line) for model, one in plain.items()}

        async def ask(model: str) -> None:
            nonlocal busy
            began = time.monotonic()
            prompt = Prompt((Message("user", "a question"),), timeout=600)
            try:
                await complete(asks[model], prompt)
            except BackendBusy:
                busy += 1
            seconds.append(time.monotonic() - began)

        async def client(queue: Iterable[str]) -> None:
            for model in queue:
                await ask(model)

        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            if arrivals == "clients":
                queue = iter(models)
                for _ in range(CLIENTS):
                    group.create_task(client(queue))
            else:
                for model, pause in zip(models, pauses, strict=True):
                    await asyncio.sleep(pause)
                    group.create_task(ask(model))
        took = time.monotonic() - begun
        for backend in plain.values():
            await backend.close()
    return {
        "seed": seed,
        "arrivals": arrivals,
        "collated": collated,
        "total_s": round(took, 2),
        "loads": len(ollama.loads),
        "busy": busy,
        "answer_s": spread(seconds),
        "in_line_s": spread(line.stood),
    }


def main() -> None:
    rows = []
    for arrivals in ("clients", "poisson"):
        for seed in SEEDS:
            pair = [asyncio.run(asked(seed, arrivals, collated)) for collated in (False, True)]
            rows += pair
            share = pair[1]["total_s"] / pair[0]["total_s"]
            print(*pair, f"-> {share:.0%} of the time", sep="\n", flush=True)
    write(
        "collation",
        {
            "command": "python -m benchmarks.collation",
            "machine": machine(),
            "seconds": {"load": LOAD, "answer": ANSWER, "wait": WAIT},
            "requests": REQUESTS,
            "clients": CLIENTS,
            "every_s": EVERY,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
