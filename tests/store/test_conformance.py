"""What every store does, whatever it keeps its rows in."""

import asyncio
import json
import random
from dataclasses import replace

import pytest
from tests.store.runs import SetClock, a_run, begin

from tinyllm.errors import NotFound, RequestError, StoreError
from tinyllm.events import Event
from tinyllm.protocols import RunRow, Store, Ticket, Usage
from tinyllm.types import Cost, Grade


def ticket(ticket_id: str, *, tenant: str = "local", created: float = 10.0) -> Ticket:
    return Ticket(ticket_id, "r1", tenant, "why?", "nobody knows", created)


async def test_events_come_back_in_order_without_tokens(store: Store) -> None:
    await store.append("local", a_run("r1")[:1])
    await store.append("local", a_run("r1")[3:])
    await store.append("local", a_run("r1")[1:3])
    assert await store.events("r1") == [event for event in a_run("r1") if event.kind != "token"]


async def test_a_run_is_folded_from_its_events(store: Store, clock: SetClock) -> None:
    await store.append("local", [begin("r1")])
    row = RunRow("r1", "local", "ann", "s1", "g1", 7, 5.5, "2 + 2", None, None, clock.time)
    assert await store.runs() == [row]
    await store.append("local", a_run("r1")[1:])
    (finished,) = await store.runs()
    assert (finished.answer, finished.status) == ("4", "answered")
    assert finished.cost == Cost(12, 3, 2, 1.5, 0.25)
    assert finished.created == clock.time


async def test_usage_is_the_cost_of_a_tenants_runs_since_a_time(store: Store, clock: SetClock) -> None:
    assert await store.usage() == Usage()
    for number, tenant in enumerate(("local", "local", "other", "local")):
        clock.time = 100.0 + number
        await store.append(tenant, a_run(f"r{number}"))
    await store.append("local", [begin("unfinished")])
    assert await store.usage(since=101.0) == Usage(3, Cost(24, 6, 4, 3.0, 0.5))
    assert (await store.usage(tenant="other")).runs == 1
    assert (await store.usage(since=104.0)).runs == 0


async def test_runs_are_listed_newest_first_up_to_a_limit(store: Store) -> None:
    for number in range(5):
        await store.append("local", a_run(f"r{number}"))
    assert [run.run_id for run in await store.runs(limit=3)] == ["r4", "r3", "r2"]


async def test_appending_again_changes_nothing(store: Store) -> None:
    await store.append("local", a_run("r1", answer="first"))
    before = await store.events("r1"), await store.runs()
    await store.append("local", a_run("r1", question="other", answer="second"))
    assert (await store.events("r1"), await store.runs()) == before
    assert (await store.size())["events"] == 3


async def test_an_append_that_begins_like_an_earlier_one_changes_nothing(store: Store) -> None:
    await store.append("local", [begin("r1")])
    await store.append("local", a_run("r1"))
    assert [event.kind for event in await store.events("r1")] == ["run_started"]
    assert [run.status for run in await store.runs()] == [None]
    await store.append("local", a_run("r1", answer="first")[1:])
    await store.append("local", a_run("r1", answer="second")[1:])
    assert (await store.events("r1"))[-1].data["answer"] == "first"
    assert [run.answer for run in await store.runs()] == ["first"]


async def test_only_tokens_or_nothing_is_no_run(store: Store) -> None:
    await store.append("local", [])
    await store.append("local", [Event("r1", 0, "token", 0.0)])
    assert await store.runs() == []


async def test_a_run_without_its_beginning_is_refused_and_spoils_no_neighbour(store: Store) -> None:
    outcomes = await asyncio.gather(
        store.append("local", a_run("r1")),
        store.append("local", a_run("headless")[2:]),
        store.append("local", a_run("r2")),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), StoreError, type(None)]
    assert "run_started" in str(outcomes[1])
    assert {run.run_id for run in await store.runs()} == {"r1", "r2"}


async def test_what_json_cannot_hold_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="run 'r1'"):
        await store.append("local", [begin("r1"), Event("r1", 1, "node_finished", 0.0, data={"x": object()})])
    assert await store.runs() == []


@pytest.mark.parametrize("text", ["", "nul \0 and \x1b", "lone \ud800", "naïve 數學 🙂", "x" * 1_000_000])
async def test_any_text_is_kept(store: Store, text: str) -> None:
    await store.append("local", a_run("r1", question=text, answer=text))
    events = await store.events("r1")
    assert (events[0].data["question"], events[-1].data["answer"]) == (text, text)
    (run,) = await store.runs()
    assert run.question == run.answer == text.replace("\0", "?").replace("\ud800", "?")


@pytest.mark.parametrize("name", ["\udcff", "nul \0"])
async def test_a_name_of_any_text_ends_in_an_error_of_ours(store: Store, name: str) -> None:
    with pytest.raises((NotFound, RequestError)):
        await store.events(name)
    with pytest.raises((NotFound, RequestError)):
        await store.settle(name, "x")
    odd = {"user": "\ud800", "session": "\0"}
    await store.append("local", [Event("r1", 0, "run_started", 0.0, data=odd)])
    (run,) = await store.runs()
    assert (run.user, run.session) == ("?", "?")


async def test_a_seed_of_any_size_is_kept(store: Store) -> None:
    await store.append("local", [Event("r1", 0, "run_started", 0.0, data={"seed": 2**64 + 1})])
    assert (await store.runs())[0].seed == 2**64 + 1


async def test_tenants_neither_see_nor_touch_each_other(store: Store, clock: SetClock) -> None:
    for tenant in ("a", "b"):
        await store.append(tenant, a_run("same", answer=tenant))
        await store.save_graph("g1", tenant, f"source of {tenant}", tenant=tenant)
        await store.park(ticket("t1", tenant=tenant, created=clock.time))
    assert [run.answer for run in await store.runs(tenant="a")] == ["a"]
    assert (await store.events("same", "b"))[-1].data["answer"] == "b"
    assert await store.graph("g1", tenant="a") == "source of a"
    await store.settle("t1", "done", tenant="a")
    assert [t.tenant for t in await store.tickets(tenant="b")] == ["b"]
    assert await store.purge(clock.time + 1, tenant="a") == 2
    assert await store.runs(tenant="a") == [] and len(await store.runs(tenant="b")) == 1
    assert [row["tenant"] async for row in store.export(tenant="b")] == ["b", "b", "b"]
    with pytest.raises(NotFound):
        await store.events("same", "a")
    with pytest.raises(NotFound):
        await store.settle("t1", "done", tenant="c")


async def test_graphs_are_kept_once(store: Store) -> None:
    await store.save_graph("g1", "starter", "nodes: ...")
    await store.save_graph("g1", "other", "another text")
    assert await store.graph("g1") == "nodes: ..."
    with pytest.raises(NotFound, match="no graph 'g2'"):
        await store.graph("g2")


async def test_tickets_wait_until_they_are_settled_once(store: Store) -> None:
    await store.park(ticket("late", created=20.0))
    await store.park(ticket("early", created=10.0))
    await store.park(ticket("early", created=30.0))
    assert [t.id for t in await store.tickets()] == ["early", "late"]
    settled = await store.settle("early", "because")
    assert settled == Ticket("early", "r1", "local", "why?", "nobody knows", 10.0, "because")
    assert [t.id for t in await store.tickets()] == ["late"]
    assert await store.tickets(waiting=False) == [settled, ticket("late", created=20.0)]
    with pytest.raises(RequestError, match="because"):
        await store.settle("early", "another reason")
    with pytest.raises(NotFound, match="'missing'"):
        await store.settle("missing", "x")


async def test_two_people_cannot_settle_one_ticket(store: Store) -> None:
    await store.park(ticket("t1"))
    outcomes = await asyncio.gather(
        store.settle("t1", "one"), store.settle("t1", "two"), return_exceptions=True
    )
    assert [isinstance(outcome, RequestError) for outcome in outcomes] == [False, True]
    assert (await store.tickets(waiting=False))[0].answer == "one"


def a_grade(run_id: str, score: float | None = 1.0, *, reason: str = "") -> Grade:
    return Grade(run_id, "recompute", "tools", score, reason)


def opinion(run_id: str, score: float, user: str = "ann") -> Grade:
    return Grade(run_id, "thumb", user, score, "good" if score else "bad")


async def test_a_grader_grades_a_run_once(store: Store, clock: SetClock) -> None:
    await store.append("local", a_run("r1"))
    assert await store.grade(a_grade("r1", reason="first"))
    clock.time += 5
    assert not await store.grade(a_grade("r1", 0.0, reason="second"))
    assert await store.grade(opinion("r1", 0.0))
    given = await store.grades()
    assert [(grade.kind, grade.reason) for grade in given] == [("thumb", "bad"), ("recompute", "first")]
    assert [grade.created for grade in given] == [clock.time, clock.time - 5]


async def test_a_grader_may_judge_what_it_once_could_not(store: Store) -> None:
    await store.append("local", a_run("r1"))
    assert await store.grade(a_grade("r1", None))
    assert not await store.grade(a_grade("r1", None))
    assert await store.grade(a_grade("r1", 0.0))
    assert not await store.grade(a_grade("r1", None))
    assert [grade.score for grade in await store.grades()] == [0.0]


async def test_a_user_s_later_word_replaces_the_earlier_which_stays_visible(store: Store) -> None:
    await store.append("local", a_run("r1"))
    corrected = Grade("r1", "correction", "ann", 0.0, "5 is right", "5")
    assert await store.grade(opinion("r1", 1.0))
    assert not await store.grade(opinion("r1", 1.0))
    assert await store.grade(corrected)
    assert not await store.grade(corrected)
    assert await store.grade(opinion("r1", 0.0, "bob"))
    assert [(g.kind, g.grader, g.reference) for g in await store.grades()] == [
        ("thumb", "bob", None),
        ("correction", "ann", "5"),
    ]
    assert [(g.kind, g.score) for g in await store.grades(run_id="r1", history=True)] == [
        ("thumb", 0.0),
        ("correction", 0.0),
        ("thumb", 1.0),
    ]
    assert await store.grade(opinion("r1", 1.0)), "a thumb says something new, and the correction stands"
    assert not await store.grade(corrected) and not await store.grade(opinion("r1", 1.0))
    anew = replace(corrected, reference="6")
    assert await store.grade(opinion("r1", 0.0)) and await store.grade(anew)
    assert [(g.kind, g.reference) for g in await store.grades() if g.grader == "ann"] == [("correction", "6")]


async def test_grades_are_listed_by_run_and_latest_first(store: Store) -> None:
    for number in range(4):
        await store.append("local", a_run(f"r{number}"))
        await store.grade(a_grade(f"r{number}"))
    assert [grade.run_id for grade in await store.grades(limit=2)] == ["r3", "r2"]
    assert [grade.run_id for grade in await store.grades(run_id="r1")] == ["r1"]
    assert await store.grades(run_id="unknown") == []


async def test_a_grade_that_cannot_be_is_refused(store: Store, clock: SetClock) -> None:
    await store.append("local", a_run("r1"))
    with pytest.raises(NotFound, match="no run 'r2'"):
        await store.grade(a_grade("r2"))
    with pytest.raises(RequestError, match="future"):
        await store.grade(replace(a_grade("r1"), created=clock.time + 3600))
    for score in (-0.1, 1.1, float("nan")):
        with pytest.raises(RequestError, match="no score"):
            await store.grade(a_grade("r1", score))
    assert await store.grades(history=True) == []
    assert await store.grade(replace(a_grade("r1", reason="\ud800\0"), created=clock.time - 7))
    (kept,) = await store.grades()
    assert (kept.reason, kept.created) == ("??", clock.time - 7)


async def test_a_grader_at_work_twice_keeps_one_grade(store: Store) -> None:
    await store.append("local", a_run("r1"))
    kept = await asyncio.gather(*(store.grade(a_grade("r1", number % 2)) for number in range(10)))
    assert kept.count(True) == 1 and len(await store.grades(history=True)) == 1


async def test_grades_go_where_their_run_goes(store: Store, clock: SetClock) -> None:
    for tenant in ("a", "b"):
        await store.append(tenant, a_run("r1"))
        await store.grade(opinion("r1", 1.0), tenant=tenant)
        await store.grade(opinion("r1", 0.0), tenant=tenant)
    exported = [row async for row in store.export(tenant="a") if row["row"] == "grade"]
    assert [(row["tenant"], row["score"], row["replaced"]) for row in exported] == [
        ("a", 1.0, clock.time),
        ("a", 0.0, None),
    ]
    assert json.loads(json.dumps(exported)) == exported
    assert (await store.size())["grades"] == 4
    assert await store.purge(clock.time + 1, tenant="a") == 1
    assert (await store.size())["grades"] == 2
    assert await store.grades(tenant="a", history=True) == []
    with pytest.raises(NotFound):
        await store.grade(opinion("r1", 1.0), tenant="a")


async def test_export_yields_everything_as_json(store: Store) -> None:
    for number in range(120):
        await store.append("local", a_run(f"r{number}"))
    await store.park(ticket("t1"))
    await store.save_graph("g1", "starter", "nodes: ...")
    exported = [json.loads(json.dumps(row)) async for row in store.export()]
    assert [row["run_id"] for row in exported[:120]] == [f"r{number}" for number in range(120)]
    assert exported[7]["answer"] == "4" and exported[7]["cost"]["macs"] == 12
    assert [event["kind"] for event in exported[7]["events"]] == [
        "run_started",
        "node_finished",
        "run_finished",
    ]
    assert [(row["row"], row.get("id") or row.get("graph")) for row in exported[120:]] == [
        ("ticket", "t1"),
        ("graph", "g1"),
    ]


async def test_size_counts_and_purge_deletes_what_is_older(store: Store, clock: SetClock) -> None:
    incompressible = random.Random(1).randbytes(500_000).hex()
    await store.append("local", a_run("old", question=incompressible))
    await store.park(ticket("old", created=clock.time))
    clock.time += 100
    await store.append("local", a_run("new"))
    await store.save_graph("g1", "starter", "nodes: ...")
    before = await store.size()
    assert {name: before[name] for name in ("runs", "events", "graphs", "tickets")} == {
        "runs": 2,
        "events": 6,
        "graphs": 1,
        "tickets": 1,
    }
    assert await store.purge(clock.time) == 2
    after = await store.size()
    assert (after["runs"], after["events"], after["tickets"]) == (1, 3, 0)
    assert after["bytes"] < before["bytes"] - 1_000_000
    assert [run.run_id for run in await store.runs()] == ["new"]
    assert await store.tickets(waiting=False) == []


async def test_close_finishes_what_was_asked_for(store: Store) -> None:
    waiting = [asyncio.create_task(store.append("local", a_run(f"r{number}"))) for number in range(50)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*waiting)
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.append("local", a_run("late"))


async def test_a_caller_that_gives_up_disturbs_nobody(store: Store) -> None:
    impatient = asyncio.create_task(store.append("local", a_run("r1")))
    await asyncio.sleep(0)
    impatient.cancel()
    await store.append("local", a_run("r2"))
    assert "r2" in [run.run_id for run in await store.runs()]
