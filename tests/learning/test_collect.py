"""The stored runs get their grades: once each, whatever breaks."""

import asyncio

from tests.grading.fakes import RIGHT, a_judge
from tests.store.runs import a_run
from tinyllm.backends.scripted import Answer
from tinyllm.errors import BackendUnreachable
from tinyllm.grading import Reference, sampled
from tinyllm.learning.collect import PATIENCE, collect
from tinyllm.protocols import Grader, Store, Ticket
from tinyllm.store import open_store
from tinyllm.types import Prompt


async def a_store(runs: int, *settled: str) -> Store:
    store = await open_store("memory:")
    for number in range(runs):
        await store.append("local", a_run(f"r{number}", answer=str(number)))
    for number, answer in enumerate(settled):
        await store.park(Ticket(f"t{number}", f"r{number}", "local", "2 + 2", "why", 1.0))
        await store.settle(f"t{number}", answer)
    return store


async def test_an_empty_store_has_nothing_to_grade() -> None:
    graders: list[Grader] = [Reference("ticket"), a_judge([RIGHT])[0]]
    collected = await collect(await open_store("memory:"), graders)
    assert not collected.graded and not collected.abstained and not collected.errors


async def test_each_run_is_graded_once_by_each_grader() -> None:
    store = await a_store(12, "0", "7")
    judge, model = a_judge([RIGHT])
    graders: list[Grader] = [Reference("ticket"), judge]
    told: list[tuple[int, int]] = []
    collected = await collect(store, graders, progress=lambda *at: told.append(at))
    assert collected.graded == {"reference": 2, "judge": 12}
    assert told == [(number + 1, 12) for number in range(12)]
    by = {(grade.run_id, grade.kind): grade for grade in await store.grades()}
    assert (by["r0", "reference"].score, by["r1", "reference"].score) == (1.0, 0.0)
    assert by["r1", "reference"].reference == "7" and by["r9", "judge"].score == 1.0
    asked = len(model.prompts)
    again = await collect(store, graders)
    assert not again.graded and len(model.prompts) == asked == 24


async def test_a_share_of_the_runs_is_graded_and_references_always() -> None:
    store = await a_store(60, "0")
    await collect(store, [Reference("ticket"), a_judge([RIGHT])[0]], share=0.2)
    given = await store.grades()
    expected = {f"r{number}" for number in range(60) if sampled(f"r{number}", 0.2)}
    assert {grade.run_id for grade in given if grade.kind == "judge"} == expected
    assert 4 < len(expected) < 24
    assert [grade.run_id for grade in given if grade.kind == "reference"] == ["r0"]


async def test_an_abstention_is_kept_and_not_asked_for_again() -> None:
    store = await a_store(3)
    judge, model = a_judge(["I would rather not say."])
    collected = await collect(store, [judge])
    assert (collected.graded.total(), collected.abstained["judge"]) == (0, 3)
    asked = len(model.prompts)
    await collect(store, [judge])
    assert len(model.prompts) == asked


async def test_a_judge_that_is_down_is_left_alone_and_asked_another_time() -> None:
    store = await a_store(40, "0")
    judge, _ = a_judge([Answer("x", error=BackendUnreachable("nobody is there"))])
    collected = await collect(store, [judge, Reference("ticket")])
    assert collected.graded == {"reference": 1}, "the other grader goes on"
    assert PATIENCE <= len(collected.errors) < 20
    assert {grade.kind for grade in await store.grades()} == {"reference"}
    well, _ = a_judge([RIGHT])
    assert (await collect(store, [well])).graded["judge"] == 40


async def test_a_judge_that_recovers_goes_on() -> None:
    store = await a_store(20)
    turns = iter(range(1000))

    def sometimes(prompt: Prompt) -> Answer | str:
        return Answer("x", error=BackendUnreachable("a hiccup")) if next(turns) % 9 == 4 else RIGHT

    collected = await collect(store, [a_judge(sometimes)[0]])
    assert collected.errors and collected.graded["judge"] + len(collected.errors) == 20


async def test_a_collection_that_is_stopped_goes_on_later() -> None:
    store = await a_store(30)
    slow, _ = a_judge([Answer(RIGHT, delay=0.01)])
    begun_to = asyncio.Event()
    work = asyncio.create_task(collect(store, [slow], progress=lambda done, of: begun_to.set()))
    await begun_to.wait()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    begun = len(await store.grades())
    assert 0 < begun < 30
    collected = await collect(store, [a_judge([RIGHT])[0]])
    assert collected.graded["judge"] == 30 - begun


async def test_tenants_are_graded_apart() -> None:
    store = await a_store(2)
    await store.append("other", a_run("r7"))
    assert (await collect(store, [a_judge([RIGHT])[0]], tenant="other")).graded["judge"] == 1
    assert await store.grades() == [] and len(await store.grades(tenant="other")) == 1
