"""A model that says what it is told to, for tests and documentation. Knows nothing about language."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from pydantic import Field

from tinyllm.backends.deadline import Deadline
from tinyllm.backends.pricing import Rates
from tinyllm.backends.words import told
from tinyllm.errors import BackendError, TinyLLMError
from tinyllm.types import Chunk, Prompt, TokenScore, ToolCall


class Options(Rates):
    """`answers` are given in turn, the last one for ever."""

    answers: tuple[str, ...] = Field(min_length=1)


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

    A token is a word. `prompts` holds the latest thousand that were asked.
    """

    def __init__(self, name: str, script: Script, rates: Rates | None = None) -> None:
        self.name = name
        self.prompts: deque[Prompt] = deque(maxlen=1000)
        self._script = script
        self._rates = rates or Rates()
        self._asked = 0
        self._closed = False

    async def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        deadline = Deadline(self.name, prompt.timeout)
        answer = self._next(prompt)
        words, finish = told(answer.text, prompt.sampling)
        for position, word in enumerate(words):
            if answer.error is not None and position == answer.error_after:
                break
            if answer.delay:
                await deadline.wait(asyncio.sleep(answer.delay))
                self._check_open()
            yield Chunk(word)
        if answer.error is not None:
            raise answer.error
        heard = sum(len(message.content.split()) for message in prompt.messages)
        yield Chunk(
            tool_calls=answer.tool_calls,
            finish="tool_calls" if answer.tool_calls else finish,
            cost=self._rates.cost(heard, len(words), deadline.spent_ms),
            scores=answer.scores if prompt.scores else (),
        )

    def _next(self, prompt: Prompt) -> Answer:
        self._check_open()
        self.prompts.append(prompt)
        if callable(self._script):
            answer = self._script(prompt)
        else:
            answer = self._script[min(self._asked, len(self._script) - 1)]
            self._asked += 1
        return Answer(answer) if isinstance(answer, str) else answer

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError(f"model {self.name!r} is closed")

    async def probe(self) -> str:
        return f"{self.name}: scripted answers"

    async def close(self) -> None:
        self._closed = True
