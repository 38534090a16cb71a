"""What a node may do during one execution, with retries, breaker, budget and record applied."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tinyllm.engine.request import to_json
from tinyllm.errors import BackendBusy, BackendError, ToolError
from tinyllm.events import Kind
from tinyllm.protocols import Backend, Candidate, Tool, ToolContext
from tinyllm.types import JSON, Chunk, Completion, Cost, Prompt, ToolCall, ToolRun

if TYPE_CHECKING:
    from tinyllm.engine.run import Run

FIRST_WAIT = 0.2  # seconds before the first retry; doubles, with jitter
LONGEST_WAIT = 5.0  # seconds; a server that asks for more has failed


class NodeScope:
    """The `Scope` of one node in one run."""

    def __init__(
        self, run: "Run", node: str, candidates: tuple[Candidate, ...], context: ToolContext
    ) -> None:
        self.run = run
        self.node = node
        self.candidates = candidates
        self.context = context
        self.request = run.request
        self.quality = run.quality
        self.right = run.right
        self.pace: Mapping[str, JSON] = run.pace.told() if run.pace else {}
        self.thrifty = run.pace is not None and run.pace.thrifty
        self.text = run.text
        self.facts = run.facts
        self.notes = tuple(run.notes)
        self.untrusted = run.untrusted

    def emit(self, kind: Kind, /, **data: JSON) -> None:
        self.run.emit(kind, self.node, data)

    def forced(self) -> str | None:
        return self.request.forced.get(self.node)

    async def complete(self, backend: Backend, prompt: Prompt, *, retries: int = 1) -> Completion:
        breaker = self.run.plan.breakers[backend.name]
        attempt = 0
        while True:
            breaker.check()
            try:
                completion = await self._once(backend, prompt)
            except BackendError as error:
                breaker.failed(error)
                self.emit("model_called", model=backend.name, error=error.message, attempt=attempt)
                asked = (error.retry_after or 0.0) if isinstance(error, BackendBusy) else 0.0
                if not error.retryable or attempt >= retries or breaker.open or asked > LONGEST_WAIT:
                    raise
                await asyncio.sleep(max(asked, FIRST_WAIT * 2**attempt * random.uniform(0.5, 1.5)))
                attempt += 1
                continue
            breaker.succeeded()
            self.spend(backend.name, completion.cost, attempt=attempt)
            return completion

    def spend(self, model: str, cost: Cost, *, attempt: int = 0) -> None:
        self.emit("model_called", model=model, cost=to_json(cost), attempt=attempt)
        self.run.spend(cost)

    async def _once(self, backend: Backend, prompt: Prompt) -> Completion:
        """One stream folded; its tokens go to the caller, marked final where nothing can reject them."""
        parts: list[str] = []
        last: Chunk | None = None
        final = self.node in self.run.plan.final
        if final and self.run.queue is not None:
            prompt = replace(prompt, listened=True)
        async for chunk in backend.stream(prompt):
            if chunk.text:
                parts.append(chunk.text)
                if self.run.queue is not None:  # tokens are for whoever listens; no store keeps them
                    self.emit("token", text=chunk.text, final=final)
            if chunk.finish is not None:
                last = chunk
        assert last is not None and last.finish is not None  # the conformance suite holds every backend to it
        return Completion("".join(parts), last.tool_calls, last.finish, last.cost or Cost(), last.scores)

    async def use(self, tool: Tool, call: ToolCall) -> ToolRun:
        made = await self._used(tool, call)
        # Whether it failed or not: a stranger's complaint is a stranger's words, too.
        self.run.untrusted |= tool.spec.untrusted
        self.run.emit("tool_called", self.node, tool_run_json(made))
        return made

    async def _used(self, tool: Tool, call: ToolCall) -> ToolRun:
        if tool.spec.guarded and self.run.untrusted:
            return ToolRun(call, None, f"{call.name!r} is not permitted any more: untrusted text was read")
        try:
            async with asyncio.timeout(self.run.engine.tool_seconds):
                result = await tool.call(call.arguments, self.context)
        except ToolError as error:
            return ToolRun(call, None, _advice(error))
        except TimeoutError:
            return ToolRun(call, None, f"tool {call.name!r} hung for {self.run.engine.tool_seconds:g} s")
        return ToolRun(call, result)

    async def park(self, reason: str) -> str:
        return await self.run.park(reason)


def _advice(error: ToolError) -> str:
    """What was wrong and what would work, for the model that made the call."""
    return error.message if error.hint in error.message else f"{error.message}; {error.hint}"


def tool_run_json(made: ToolRun) -> dict[str, JSON]:
    """A tool run as the plain data that events and replies carry."""
    data: dict[str, JSON] = {"name": made.call.name, "arguments": dict(made.call.arguments)}
    if made.result is not None:
        return data | {"result": made.result.value, "text": made.result.text}
    return data | {"error": made.error}
