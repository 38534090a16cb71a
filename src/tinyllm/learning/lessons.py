"""Requests with their right answers, put to the network and graded: anyone's traffic, played back.

Knows nothing about how the network answers.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tinyllm.engine import fold
from tinyllm.errors import RequestError
from tinyllm.grading import REFUSED, Reference, Run, rule_for
from tinyllm.protocols import Store, ToolContext
from tinyllm.types import Message, Reply, Request

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

AT_A_TIME = 8


class Lesson(BaseModel):
    """A request and its right answer, null where it is to be refused; what else a row holds is left alone.

    `tolerance` is the share by which an answer that is a number may be off.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    query: str = Field(min_length=1)
    answer: str | int | float | None
    tolerance: float | None = Field(default=None, ge=0, lt=1)

    @property
    def reference(self) -> str:
        if self.answer is None:
            return REFUSED
        return f"{self.answer} ± {100 * self.tolerance:.10g}%" if self.tolerance else str(self.answer)

    @model_validator(mode="after")
    def _numbers_alone_are_off(self) -> Self:
        if self.tolerance and rule_for(self.reference) != "numeric":
            raise ValueError("its `tolerance` needs an `answer` that is a number")
        return self

    @property
    def session(self) -> str:
        """The session in which it is put: the same for the same lesson, whatever file it stands in."""
        text = f"{self.query}\n{self.reference}".encode("utf-8", "replace")
        return f"lesson {hashlib.sha256(text).hexdigest()[:16]}"


@dataclass(frozen=True)
class Lessons:
    """The lessons of a file, by its `name`; `bad` lines, by number, are none."""

    name: str
    rows: Sequence[Lesson]
    bad: Sequence[tuple[int, str]]

    def hold(self, request: Request) -> bool:
        """Whether a request is one of these lessons, put by `study`."""
        return request.session in self._sessions

    @cached_property
    def _sessions(self) -> Collection[str]:
        return {row.session for row in self.rows}


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
                bad.append((number, _fault(error.errors()[0])))
    if not rows:
        raise RequestError(f"{str(path)!r} holds no request with an answer", hint=hint)
    return Lessons(path.name, rows, bad)


def _fault(error: "ErrorDetails") -> str:
    """Why a line is no lesson, in words."""
    field = error["loc"][0] if error["loc"] else None
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if field is None:
        return "it is no JSON" if error["type"] == "json_invalid" else "it is JSON, but no object"
    if error["type"] == "missing":
        return f"it has no `{field}`"
    return {
        "answer": "its `answer` is no text, number or null",
        "tolerance": "its `tolerance` is no share from 0 up to 1",
    }.get(str(field), "its `query` is no text, or empty")


async def study(
    lessons: Lessons,
    rows: Sequence[Lesson],
    ask: Callable[[Request], Awaitable[Reply]],
    store: Store,
    *,
    seed: int = 0,
    tell: Callable[[int, int], None] = lambda done, of: None,
    run: Run | None = None,
) -> None:
    """Put `rows` of the lessons to the network, and grade its answers.

    What was put before, from this file or another, is not put again; `run` is the sandbox of answers that are
    unit tests. Raises what the network and the store raise.
    """
    known = {row.session: row.run_id for row in await store.runs(limit=1_000_000) if row.status is not None}
    graded = {grade.run_id for grade in await store.grades() if grade.kind == "reference"}
    waiting = [
        row for row in {row.session: row for row in rows}.values() if known.get(row.session) not in graded
    ]
    left = iter(waiting)
    grader = Reference(lessons.name, run=run)
    done = len(rows) - len(waiting)

    async def worker() -> None:
        nonlocal done
        for row in left:
            # A run that lacks its grade was cut short before it.
            run_id = known.get(row.session) or await put(row)
            trace = fold(await store.events(run_id))
            await store.grade(await grader.grade(trace, ToolContext(0.0, seed), row.reference))
            done += 1
            tell(done, len(rows))

    async def put(row: Lesson) -> str:
        return (await ask(Request((Message("user", row.query),), session=row.session, seed=seed))).run_id

    await asyncio.gather(*(worker() for _ in range(AT_A_TIME)))
