"""Answers that real models gave earlier, replayed by question: routing and learning without the models.

Reads JSON lines of `{"query": ..., "responses": {model: text}}`; other fields are left alone. Only a hash and
an offset per question are held in memory. Knows nothing about who recorded them.
"""

import asyncio
import hashlib
import json
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from tinyllm.backends.deadline import Deadline
from tinyllm.backends.pricing import Rates, roughly
from tinyllm.backends.words import told
from tinyllm.errors import BackendError, ModelFileError
from tinyllm.types import Chunk, Prompt


class Options(Rates):
    """`model` is the name under which the record keeps the answers to replay."""

    path: Path
    model: str


class _Row(BaseModel):
    query: str
    responses: Mapping[str, str]


class Recorded:
    """Replays what one model answered to the last user message."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.options = options
        self._building = threading.Lock()
        self._offsets: dict[bytes, int] | None = None
        self._closed = False

    async def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        if self._closed:
            raise BackendError(f"model {self.name!r} is closed")
        deadline = Deadline(self.name, prompt.timeout)
        query = next((m.content for m in reversed(prompt.messages) if m.role == "user"), "")
        answer = await asyncio.to_thread(self._find, query)
        words, finish = told(answer, prompt.sampling)
        for word in words:
            yield Chunk(word)
        heard = sum(roughly(message.content) for message in prompt.messages)
        cost = self.options.cost(heard, roughly("".join(words)), deadline.spent_ms)
        yield Chunk(finish=finish, cost=cost)

    def _find(self, query: str) -> str:
        offset = self._index().get(_key(query))
        if offset is None:
            raise BackendError(
                f"model {self.name!r} has no recorded answer to {query[:80]!r}",
                hint=f"the nearest recorded question is {self._nearest(query)[:200]!r}",
            )
        with self.options.path.open("rb") as file:
            file.seek(offset)
            return self._row(file.readline(), offset).responses[self.options.model]

    def _index(self) -> Mapping[bytes, int]:
        with self._building:
            if self._offsets is None:
                self._offsets = {_key(row.query): offset for offset, row in self._rows()}
                if not self._offsets:
                    raise ModelFileError(
                        f"record {str(self.options.path)!r} holds no answers of {self.options.model!r}",
                        hint=f"models it holds: {', '.join(self._models()) or 'none'}",
                    )
            return self._offsets

    def _rows(self) -> Iterator[tuple[int, _Row]]:
        for offset, row in self._all():
            if self.options.model in row.responses:
                yield offset, row

    def _all(self) -> Iterator[tuple[int, _Row]]:
        try:
            with self.options.path.open("rb") as file:
                offset = 0
                for line in file:
                    if line.strip():
                        yield offset, self._row(line, offset)
                    offset += len(line)
        except OSError as error:
            raise ModelFileError(
                f"record {str(self.options.path)!r} cannot be read: {error.strerror}",
                hint="mend the `path` of the model's options",
            ) from None

    def _row(self, line: bytes, offset: int) -> _Row:
        try:
            return _Row.model_validate(json.loads(line))
        except (ValueError, ValidationError):
            raise ModelFileError(
                f"record {str(self.options.path)!r} is damaged at byte {offset}",
                hint='each line is a JSON object with "query" and "responses"',
            ) from None

    def _models(self) -> list[str]:
        return sorted({model for _, row in self._all() for model in row.responses})

    def _nearest(self, query: str) -> str:
        """The recorded question that shares most words. Reads the whole record, which a failure may cost."""
        asked = set(_normal(query).split())

        def shared(text: str) -> float:
            words = set(_normal(text).split())
            return len(asked & words) / max(1, len(asked | words))

        return max((row.query for _, row in self._rows()), key=shared)

    async def probe(self) -> str:
        count = len(await asyncio.to_thread(self._index))
        return f"{self.name}: {count:,} recorded answers of {self.options.model}, {self.options.path}"

    async def close(self) -> None:
        self._closed = True
        self._offsets = None


def _normal(query: str) -> str:
    return re.sub(r"\s+", " ", query).strip().casefold()


def _key(query: str) -> bytes:
    return hashlib.blake2b(_normal(query).encode("utf-8", "replace"), digest_size=12).digest()
