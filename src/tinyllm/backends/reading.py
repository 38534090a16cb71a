"""What every built-in reader does as a backend: a question becomes one tool call, a tool's result the answer.

Knows nothing about how a request is read; each kind of reader says that.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from tinyllm.backends.words import told
from tinyllm.errors import ToolError
from tinyllm.slots import REFUSE, Ops, Slots, fill, find
from tinyllm.types import Chunk, Cost, Prompt, TokenScore, ToolCall

SURE = 0.9  # from which on a cascade's first reader is believed, in a call as in a refusal
_LEAST = 0.5  # the probability below which no call is made
_ERROR = "error:"  # how the text of a failed tool call begins


@dataclass(frozen=True, slots=True)
class Reading:
    """A call over slots and how probable it is, among all legal calls of the request."""

    call: str
    probability: float


class ReaderBackend(ABC):
    """Answers a question with one tool call and its probability, or with the call `refuse` where it holds no
    call for likelier than not; answers a tool's result with the text of it."""

    def __init__(self, name: str, ops: Ops) -> None:
        self.name = name
        self.ops = ops

    @abstractmethod
    async def read(self, slots: Slots, prompt: Prompt) -> tuple[Reading, Cost]:
        """The most probable call of the prompt's tools, or a refusal, and what it took to read it."""

    @abstractmethod
    async def probe(self) -> str: ...

    @abstractmethod
    async def close(self) -> None: ...

    async def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        last = prompt.messages[-1]
        if last.role != "tool":
            yield await self._call(prompt)
        elif last.content.startswith(_ERROR):
            reason = last.content.removeprefix(_ERROR).strip()
            yield Chunk(tool_calls=(_refusal(reason),), finish="tool_calls", cost=Cost())
        else:
            words, finish = told(last.content, prompt.sampling)
            for word in words:
                yield Chunk(word)
            yield Chunk(finish=finish, cost=Cost())

    async def _call(self, prompt: Prompt) -> Chunk:
        start = time.perf_counter()
        text = next((m.content for m in reversed(prompt.messages) if m.role == "user"), "")
        slots = find(text)
        try:
            reading, cost = await self.read(slots, prompt)
            call = self._checked(reading, slots)
        except ToolError as error:
            reading, cost, call = Reading(REFUSE, 1.0), Cost(), _refusal(error.message)
        cost = replace(cost, milliseconds=(time.perf_counter() - start) * 1e3)
        score = TokenScore(reading.call, math.log(max(reading.probability, 1e-30)))
        return Chunk(
            tool_calls=(call,), finish="tool_calls", cost=cost, scores=(score,) if prompt.scores else ()
        )

    def _checked(self, reading: Reading, slots: Slots) -> ToolCall:
        if slots.cut:
            raise ToolError(f"the question is longer than the {len(slots.text)} characters that are read")
        call = fill(reading.call, slots, self.ops)
        if call is None:
            return _refusal("no tool here computes what this asks for")
        if reading.probability < _LEAST:
            sure = f"{reading.probability:.0%} sure"
            return _refusal(f"it is not clear what is asked: the likeliest reading is {sure}")
        return call


class Cascade(ReaderBackend):
    """Reads with a cheap reader, and with a second one what the first is less than `SURE` of."""

    def __init__(self, name: str, first: ReaderBackend, second: ReaderBackend, ops: Ops) -> None:
        super().__init__(name, ops)
        self.first = first
        self.second = second

    async def read(self, slots: Slots, prompt: Prompt) -> tuple[Reading, Cost]:
        reading, cost = await self.first.read(slots, prompt)
        if reading.probability >= SURE:
            return reading, cost
        reading, more = await self.second.read(slots, prompt)
        return reading, cost + more

    async def probe(self) -> str:
        return f"{await self.first.probe()}; {await self.second.probe()}"

    async def close(self) -> None:
        await self.first.close()
        await self.second.close()


def _refusal(reason: str) -> ToolCall:
    return ToolCall(REFUSE, {"reason": reason})
