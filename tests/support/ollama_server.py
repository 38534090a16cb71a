"""A server on loopback that loads models as Ollama does, and answers in OpenAI's format. Knows nothing about TinyLLM.

It holds `slots` models. Requests are taken in the order of their arrival; one whose model is not loaded waits until
a loaded one is idle, takes its place, and holds up all that came after it. Loads and answers take as many seconds as
it is told, so that a test may have them take none and count.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Ollama:
    """Where the server is, its loads in order, and the models of the answers that it began, in order."""

    slots: int = 1
    load_seconds: float = 0.0
    answer_seconds: float = 0.0
    url: str = ""
    loads: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    idle: asyncio.Condition = field(default_factory=asyncio.Condition)
    first: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def enter(self, model: str) -> None:
        async with self.first, self.idle:
            if model not in self.running:
                await self.idle.wait_for(lambda: len(self.running) < self.slots or 0 in self.running.values())
                if len(self.running) >= self.slots:
                    del self.running[next(name for name, number in self.running.items() if not number)]
                self.loads.append(model)
                await asyncio.sleep(self.load_seconds)
            self.running[model] = self.running.get(model, 0) + 1

    async def leave(self, model: str) -> None:
        async with self.idle:
            self.running[model] -= 1
            self.idle.notify_all()


@contextmanager
def ollama_server(ollama: Ollama) -> Iterator[Ollama]:
    """A running server."""
    one_at_a_time = asyncio.Lock()

    async def ps(request: web.Request) -> web.Response:
        return web.json_response({"models": [{"name": f"{model}:latest"} for model in ollama.running]})

    async def load(request: web.Request) -> web.Response:
        model = json.loads(await request.text())["model"]
        await ollama.enter(model)
        await ollama.leave(model)
        return web.json_response({"model": model, "response": "", "done": True, "done_reason": "load"})

    async def chat(request: web.Request) -> web.Response:
        model = json.loads(await request.text())["model"]
        await ollama.enter(model)
        try:
            async with one_at_a_time:
                ollama.answers.append(model)
                await asyncio.sleep(ollama.answer_seconds)
        finally:
            await ollama.leave(model)
        choice = {"index": 0, "message": {"role": "assistant", "content": model}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 1}})

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": name} for name in "abc"]})

    async def serve(
        ready: threading.Event, stop: asyncio.Event, loops: list[asyncio.AbstractEventLoop]
    ) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/ps", ps),
                web.post("/api/generate", load),
                web.post("/v1/chat/completions", chat),
                web.get("/v1/models", models),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ollama.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        loops.append(asyncio.get_running_loop())
        ready.set()
        await stop.wait()
        await runner.cleanup()

    ready, stop, loops = threading.Event(), asyncio.Event(), list[asyncio.AbstractEventLoop]()
    thread = threading.Thread(target=asyncio.run, args=(serve(ready, stop, loops),))
    thread.start()
    ready.wait(10)
    try:
        yield ollama
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()
