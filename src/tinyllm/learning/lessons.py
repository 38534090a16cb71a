"""Requests with their right answers, put to the network and graded: anyone's traffic, played back.

Knows nothing about how the network answers.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tinyllm.engine import fold
from tinyllm.errors import RequestError
from tinyllm.grading import REFUSED, Reference, Run
from tinyllm.protocols import Store, ToolContext
from tinyllm.types import Message, Reply, Request

AT_A_TIME = 8


class Lesson(BaseModel):
    """A request and its right answer, null where it is to be refused; what else a row holds is left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    query: str = Field(min_length=1)
    answer: str | int | float | None

    @property
    def reference(self) -> str:
        return REFUSED if self.answer is None else str(self.answer)


@dataclass(frozen=True, slots=True)
class Lessons:
    """The lessons of a file. `name` stands for its content; `bad` lines, by number, are none."""

    name: str
    rows: Sequence[Lesson]
    bad: Sequence[tuple[int, str]]

    def hold(self, request: Request) -> bool:
        """Whether a request is one of these lessons, put by `study`."""
        return (request.session or "").rpartition(" ")[0] == self.name


def read_lessons(path: Path) -> Lessons:
    """The lessons in a file of JSON lines with `query` and `answer`.

    Raises RequestError where the file cannot be read or holds no lesson.
    """
    hint = 'one JSON object a line: {"query": "3 cups in ml", "answer": "709.8 ml"}'
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RequestError(f"{str(path)!r} cannot be read: {error.strerror}", hint=hint) from error
    rows, bad = [], []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if line.strip():
            try:
                rows.append(Lesson.model_validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                bad.append((number, f"{'.'.join(map(str, first['loc']))}: {first['msg']}".lstrip(": ")))
    if not rows:
        raise RequestError(f"{str(path)!r} holds no request with an answer", hint=hint)
    return Lessons(f"{path.name} {hashlib.sha256(data).hexdigest()[:8]}", rows, bad)


async def study(
    lessons: Lessons,
    rows: Sequence[Lesson],
    ask: Callable[[Request], Awaitable[Reply]],
    store: Store,
    *,
    first: int = 0,
    seed: int = 0,
    tell: Callable[[int, int], None] = lambda done, of: None,
    run: Run | None = None,
) -> None:
    """Put `rows` of the lessons, of which `first` is the number of the first, to the network and grade its answers.

    A row that was put before is not put again; `run` is the sandbox of answers that are unit tests.
    Raises what the network and the store raise.
    """
    known = {row.session for row in await store.runs(limit=1_000_000)}
    waiting = [
        (f"{lessons.name} {number}", row)
        for number, row in enumerate(rows, first + 1)
        if f"{lessons.name} {number}" not in known
    ]
    left = iter(waiting)
    grader = Reference(lessons.name, run=run)
    done = len(rows) - len(waiting)

    async def worker() -> None:
        nonlocal done
        for session, row in left:
            request = Request((Message("user", row.query),), session=session, seed=seed)
            trace = fold(await store.events((await ask(request)).run_id))
            await store.grade(await grader.grade(trace, ToolContext(0.0, seed), row.reference))
            done += 1
            tell(done, len(rows))

    await asyncio.gather(*(worker() for _ in range(AT_A_TIME)))
