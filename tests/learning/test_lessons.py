"""Requests with known answers are put to the network once each, and graded."""

from pathlib import Path

import pytest

from tests.learning.things import ABench, a_network
from tinyllm.backends.scripted import Scripted
from tinyllm.engine import Engine
from tinyllm.errors import RequestError, StoreError
from tinyllm.graph import Graph
from tinyllm.learning.items import gather
from tinyllm.learning.lessons import Lesson, Lessons, read_lessons, study
from tinyllm.learning.right import Right
from tinyllm.protocols import Parts, Store
from tinyllm.store import open_store
from tinyllm.tools.python import Python
from tinyllm.types import Grade, Prompt, Request

LINES = """{"query": "2 + 2", "answer": 4, "task": "sums"}
{"query": "what is love", "answer": null}

{"query": "3 + 3", "answer": "6"}
not json
{"query": "", "answer": "1"}
{"query": "no answer"}
"""


def told(prompt: Prompt) -> str:
    return {"2 + 2": "4", "3 + 3": "7"}.get(prompt.messages[-1].content, "Love is all.")


def an_engine(store: Store) -> Engine:
    head = a_network(
        {"worker": {"kind": "specialist", "model": "m", "next": "exit"}}, {"m": {"backend": "ollama"}}
    )

    async def resolve(request: Request) -> Graph:
        return head

    return Engine(resolve, lambda _: Parts({"m": Scripted("m", told)}, {}), store)


def a_file(folder: Path, text: str = LINES) -> Path:
    (folder / "traffic.jsonl").write_text(text)
    return folder / "traffic.jsonl"


async def test_each_lesson_is_asked_once_and_graded_by_its_answer(tmp_path: Path) -> None:
    lessons, store = read_lessons(a_file(tmp_path)), await open_store("memory:")
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        await study(lessons, lessons.rows, an_engine(store).run, store, tell=lambda *at: seen.append(at))
    grades = {grade.reference: grade.score for grade in await store.grades()}
    assert grades == {"4": 1.0, "6": 0.0, "[refused]": 0.0}
    assert len(await store.runs()) == 3 and seen == [(1, 3), (2, 3), (3, 3)]


async def test_a_lesson_says_how_far_a_number_may_be_off(tmp_path: Path) -> None:
    lines = [
        '{"query": "2 + 2", "answer": 4.1, "tolerance": 0.05}',
        '{"query": "3 + 3", "answer": "6", "tolerance": 0.05}',
        '{"query": "what is love", "answer": "Love is all.", "tolerance": 0.05}',
        '{"query": "what is love", "answer": null, "tolerance": 0.05}',
        '{"query": "2 + 2", "answer": 4, "tolerance": 2}',
    ]
    lessons, store = read_lessons(a_file(tmp_path, "\n".join(lines))), await open_store("memory:")
    assert lessons.bad == [
        (3, "its `tolerance` needs an `answer` that is a number"),
        (4, "its `tolerance` needs an `answer` that is a number"),
        (5, "its `tolerance` is no share from 0 up to 1"),
    ]
    await study(lessons, lessons.rows, an_engine(store).run, store)
    assert {g.reference: g.score for g in await store.grades()} == {"4.1 ± 5%": 1.0, "6 ± 5%": 0.0}
    items = {item.reference: item for item in await gather(store)}
    assert await Right()(items["4.1 ± 5%"], items["4.1 ± 5%"].trace), "a trial allows the same"


async def test_a_file_is_asked_in_parts_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    lessons, store = read_lessons(a_file(tmp_path)), await open_store("memory:")
    await study(lessons, lessons.rows[:1], an_engine(store).run, store)
    await study(lessons, lessons.rows[1:], an_engine(store).run, store)
    assert sorted(row.question for row in await store.runs()) == ["2 + 2", "3 + 3", "what is love"]
    await study(lessons, lessons.rows, an_engine(store).run, store)
    assert len(await store.runs()) == 3


async def test_the_same_lesson_counts_once_whatever_file_it_stands_in(tmp_path: Path) -> None:
    store = await open_store("memory:")
    ask = an_engine(store).run
    first = read_lessons(a_file(tmp_path))
    (tmp_path / "other.jsonl").write_text('{"query": "4 + 4", "answer": 8}\n' + LINES + LINES)
    other = read_lessons(tmp_path / "other.jsonl")
    for lessons in (first, other):
        await study(lessons, lessons.rows, ask, store)
    assert sorted(row.question for row in await store.runs()) == ["2 + 2", "3 + 3", "4 + 4", "what is love"]
    items = await gather(store)
    assert [first.hold(item.request) for item in items] == [True, True, True, False]
    assert all(other.hold(item.request) for item in items)
    relabelled = Lessons("relabelled", [Lesson(query="2 + 2", answer="5")], ())
    await study(relabelled, relabelled.rows, ask, store)
    assert len(await store.runs()) == 5, "another answer is another lesson"


async def test_a_kill_between_an_answer_and_its_grade_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons, store = read_lessons(a_file(tmp_path)), await open_store("memory:")

    async def power_goes(grade: Grade) -> bool:
        raise StoreError("the power goes")

    with monkeypatch.context() as patch, pytest.raises(StoreError):
        patch.setattr(store, "grade", power_goes)
        await study(lessons, lessons.rows[:1], an_engine(store).run, store)
    await study(lessons, lessons.rows, an_engine(store).run, store)
    assert len(await store.runs()) == len(await store.grades()) == 3


def test_bad_lines_are_told_by_number_and_in_words(tmp_path: Path) -> None:
    lines = LINES + '[1]\n{"query": 3, "answer": 4}\n{"query": "why", "answer": [4]}\n'
    assert read_lessons(a_file(tmp_path, lines)).bad == [
        (5, "it is no JSON"),
        (6, "its `query` is no text, or empty"),
        (7, "it has no `answer`"),
        (8, "it is JSON, but no object"),
        (9, "its `query` is no text, or empty"),
        (10, "its `answer` is no text, number or null"),
    ]


@pytest.mark.parametrize("text", ["", "not json\n"])
def test_a_file_without_lessons_is_refused_with_an_example(tmp_path: Path, text: str) -> None:
    with pytest.raises(RequestError, match="no request with an answer") as caught:
        read_lessons(a_file(tmp_path, text))
    assert '"answer"' in caught.value.hint


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="No such file"):
        read_lessons(tmp_path / "nothing.jsonl")


async def test_answers_may_be_unit_tests_and_changes_are_judged_by_them_too(tmp_path: Path) -> None:
    code = "def twice(n):\n    return 2 * n"
    tests = "tests:\\nassert twice(4) == 8"
    lines = [f'{{"query": "write twice {word}", "answer": "{tests}"}}' for word in ("well", "badly")]
    lessons, store = read_lessons(a_file(tmp_path, "\n".join(lines))), await open_store("memory:")

    def writes(model: str, question: str) -> str:
        return code if "well" in question or model == "good" else "def twice(n):\n    return n"

    head = a_network(
        {"worker": {"kind": "specialist", "model": "m", "next": "exit"}}, {"m": {"backend": "ollama"}}
    )
    run = Python().errors
    await study(lessons, lessons.rows, ABench(writes).engine(head, store).run, store, run=run)
    items = sorted(await gather(store), key=lambda item: item.request.text)
    assert [item.passed for item in items] == [False, True]
    (badly, well) = items
    assert await Right((), run)(badly, well.trace) is True and await Right()(badly, well.trace) is None
