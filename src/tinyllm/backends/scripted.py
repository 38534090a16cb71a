"""A model that says what it is told to, for tests and documentation. Knows nothing about language."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from tinyllm.backends.deadline import Deadline
from tinyllm.errors import BackendError, TinyLLMError
from tinyllm.types import Chunk, Cost, Prompt, TokenScore, ToolCall


class Options(BaseModel):
    """`answers` are given in turn, the last one for ever; `parameters` sets the cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answers: tuple[str, ...] = Field(min_length=1)
    parameters: int = Field(default=0, ge=0)


@dataclass(frozen=True, slots=True)
class Answer:
    """One turn: `delay` seconds pass before each word, and `error` is raised after `error_after` words."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    scores: tuple[TokenScore, ...] = ()
    delay: float = 0.0
    error: TinyLLMError | None = None
    error_after: int = 0


Script = Callable[[Prompt], Answer | str] | Sequence[Answer | str]


class Scripted:
    """Answers from a function of the prompt, or from a list in turn (the last one for ever).

    A token is a word with the space behind it. `prompts` holds the latest thousand that were asked.
    """

    def __init__(self, name: str, script: Script, *, parameters: int = 0) -> None:
        self.name = name
        self.prompts: deque[Prompt] = deque(maxlen=1000)
        self._script = script
        self._parameters = parameters
        self._asked = 0
        self._closed = False

    async def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        deadline = Deadline(self.name, prompt.timeout)
        answer = self._next(prompt)
        text, stopped = answer.text, False
        for stop in prompt.sampling.stop:
            text, found, _ = text.partition(stop)
            stopped = stopped or bool(found)
        words = re.findall(r"\s*\S+\s*|\s+", text)
        said = words[: prompt.sampling.max_tokens]
        for position, word in enumerate(said):
            if answer.error is not None and position == answer.error_after:
                break
            if answer.delay:
                await deadline.wait(asyncio.sleep(answer.delay), "said nothing")
            yield Chunk(word)
        if answer.error is not None:
            raise answer.error
        calls = answer.tool_calls if not stopped else ()
        tokens_in = sum(len(message.content.split()) for message in prompt.messages)
        yield Chunk(
            tool_calls=calls,
            finish="tool_calls" if calls else "stop" if said == words else "length",
            cost=Cost(
                macs=self._parameters * (tokens_in + len(said)),
                tokens_in=tokens_in,
                tokens_out=len(said),
                milliseconds=deadline.spent_ms,
            ),
            scores=answer.scores if prompt.scores else (),
        )

    def _next(self, prompt: Prompt) -> Answer:
        if self._closed:
            raise BackendError(f"model {self.name!r} is closed")
        self.prompts.append(prompt)
        if callable(self._script):
            answer = self._script(prompt)
        else:
            answer = self._script[min(self._asked, len(self._script) - 1)]
            self._asked += 1
        return Answer(answer) if isinstance(answer, str) else answer

    async def probe(self) -> str:
        return f"{self.name}: scripted answers"

    async def close(self) -> None:
        self._closed = True
