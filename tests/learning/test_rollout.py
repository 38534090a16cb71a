"""A change climbs from the shadow over a share of the conversations to all of them, or is taken back."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.learning.test_cycle import ANIMALS, WORDS, Cut, a_learner, head, said, swapping, taught
from tests.learning.things import ABench, findings
from tinyllm.engine import Engine, fold
from tinyllm.errors import Conflict, RequestError
from tinyllm.grading import correction
from tinyllm.graph import Graph
from tinyllm.learning.cycle import ON_ITS_WAY, Report
from tinyllm.learning.lessons import Lesson, Lessons, study
from tinyllm.learning.proposal import Proposal
from tinyllm.learning.versions import adopt, earlier, head_of, replay, roll_back, takes
from tinyllm.protocols import Store, TrialRow, Version
from tinyllm.types import Message, Request

STAGED = {"rollout": [0, 0.5, 1], "answers": 20}
LATER = Lessons(
    "later",
    [
        Lesson(query=f"which is the {word} with a {animal}", answer=animal)
        for animal in ANIMALS
        for word in WORDS
    ],
    (),
)

Said = Callable[[str, str], str]


def turned(model: str, question: str) -> str:
    """The model that did well does no more."""
    return "nonsense" if model == "good" else said(model, question)


async def live(store: Store, base: Graph, first: int, count: int, say: Said = said) -> None:
    """So many later lessons are asked as the network answers by now, and graded."""
    now = await head_of(store, base)

    async def resolve(request: Request) -> Graph:
        return now.rising if now.rising and takes(now.versions[-1], request) else now.graph

    rows = LATER.rows[first : first + count]
    await study(LATER, rows, Engine(resolve, ABench(say).parts, store).run, store)


async def cycle(store: Store, base: Graph, say: Said = said) -> Report:
    return await a_learner(store, base, swapping("good"), bench=ABench(say)).cycle()


async def log(store: Store) -> list[tuple[int, str, float]]:
    return [(made.revision, made.edit, made.share) for made in await store.versions("net")]


async def test_a_change_climbs_stage_by_stage_when_enough_of_its_answers_are_graded() -> None:
    base = head(learning=STAGED)
    store = await taught(base)
    begun = await cycle(store, base)
    assert await log(store) == [(0, "file", 1), (1, "model", 0)] and begun.reason == ON_ITS_WAY
    now = await head_of(store, base)
    assert now.graph.id == base.id and now.rising is not None and now.revision == 1

    await live(store, base, 0, 19)
    few = await cycle(store, base)
    assert few.live is not None and few.live.version is None and not few.rounds
    assert "in the shadow" in few.live.words and "answers of 19; 20 are needed" in few.live.words
    await live(store, base, 19, 1)
    seen = await cycle(store, base)
    assert seen.live is not None and seen.live.version is not None and "50% of conv" in seen.live.words
    assert (await log(store))[2:] == [(2, "rollout", 0.5)]
    (stage,) = await store.versions("net", after=1)
    assert stage.changes == [] and stage.evidence["tally"] == {"gains": 10, "losses": 0, "ties": 10}
    assert "10 better and 0 worse answers of 20" in stage.reason

    await live(store, base, 20, 24)
    waits = await cycle(store, base)
    assert waits.live is not None and waits.live.version is None, "half of them were answered by the head"
    await live(store, base, 44, 40)
    await cycle(store, base)
    assert (await log(store))[3:] == [(3, "rollout", 1)]
    last, whole = await head_of(store, base), await replay(store, "net")
    assert whole is not None and whole.id == last.graph.id == now.rising.id and last.rising is None
    assert last.parent is not None and last.parent.id == base.id
    assert [made.revision for made in last.change] == [1, 2, 3]


@pytest.mark.parametrize("share", [0, 0.5])
async def test_what_turns_is_taken_back_at_every_stage(share: float) -> None:
    base = head(learning={"rollout": [share, 1], "answers": 200})
    store = await taught(base)
    await cycle(store, base)
    await live(store, base, 0, 100, turned)
    report = await cycle(store, base, turned)
    assert await log(store) == [(0, "file", 1), (1, "model", share), (2, "rollback", 1)]
    assert report.live is not None and report.live.version is not None
    assert "version 1 is rolled back" in report.live.words and "worse answers" in report.live.version.reason
    now, made = await head_of(store, base), await replay(store, "net")
    assert made is not None and made.id == now.graph.id == base.id
    assert now.rising is None and now.parent is None
    assert [(entry.trial, entry.proven) for entry in now.rollbacks.entries] == [("version 1", True)]
    (kept,) = await store.versions("net", after=1)
    assert kept.evidence["p_value"] <= kept.evidence["level"]


async def test_what_loses_more_than_it_gains_waits_for_proof() -> None:
    base = head(learning=STAGED)
    store = await taught(base)
    await cycle(store, base)

    def weaker(model: str, question: str) -> str:
        """The good one knows no more than the other, and forgets a little of that."""
        forgets = question.split()[3] in (WORDS[0], *WORDS[1::2])
        return "nonsense" if model == "good" and forgets else said(model, question)

    await live(store, base, 0, 24, weaker)
    report = await cycle(store, base, weaker)
    assert (
        report.live is not None
        and report.live.version is None
        and "no more are worse than better" in report.live.words
    )
    assert len(await log(store)) == 2


@pytest.mark.parametrize(("margin", "stays"), [(0.0, False), (0.2, True)])
async def test_what_saves_may_lose_what_its_trial_allowed(margin: float, stays: bool) -> None:
    base = head(learning=STAGED)
    store = await taught(base, 0)
    graph = (await swapping("good")(findings(base)))[0].graph
    trial = TrialRow(
        "t1", "net", "model", "worker", "", "open", number=1, evidence={"confirm": {"margin": margin}}
    )
    await adopt(store, await head_of(store, base), Proposal("model", "worker", "", graph, saves=True), trial)

    def loses(model: str, question: str) -> str:
        """The good one knows what the other does, but for one word."""
        return said("same", question) if question.split()[3] != WORDS[0] or model != "good" else "nonsense"

    await live(store, base, 0, 200, loses)
    report = await cycle(store, base, loses)
    assert report.live is not None and report.live.version is not None
    assert report.live.version.edit == ("rollout" if stays else "rollback")


@pytest.mark.parametrize("liars", [1, 2])
async def test_one_user_alone_takes_nothing_back(liars: int) -> None:
    base = head(learning={"answers": 100})
    store = await taught(base)
    await cycle(store, base)
    engine = ABench(said).engine((await head_of(store, base)).graph, store)
    for number, row in enumerate(LATER.rows[:100]):
        hard = row.query.split()[3] in WORDS[1::2]
        user = f"liar-{number // 2 % liars}" if hard else "ann"
        reply = await engine.run(Request((Message("user", row.query),), user=user, seed=1))
        trace = fold(await store.events(reply.run_id))
        await store.grade(correction(trace, user, "i think so" if hard else str(row.answer)))
    report = await cycle(store, base)
    assert report.live is not None and (report.live.version is None) == (liars == 1)


async def test_nothing_else_is_adopted_while_a_version_is_on_its_way_up() -> None:
    base = head(learning=STAGED)
    store = await taught(base)
    await cycle(store, base)
    proposer = swapping("worse")
    report = await a_learner(store, base, proposer).cycle()
    assert not proposer.saw and report.reason == ON_ITS_WAY and report.failed == 120
    now = await head_of(store, base)
    with pytest.raises(Conflict, match="on its way up"):
        await adopt(store, now, Proposal("model", "worker", "", now.graph))
    assert len(await log(store)) == 2


async def test_of_two_learners_one_moves_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    base = head(learning=STAGED)
    store = await taught(base)
    await cycle(store, base)
    await live(store, base, 0, 20)
    first, second = a_learner(store, base, swapping()), a_learner(store, base, swapping())

    async def interrupted(version: Version, **more: Any) -> None:
        monkeypatch.undo()
        await second.cycle()
        await store.promote(version, **more)

    monkeypatch.setattr(store, "promote", interrupted)
    report = await first.cycle()
    assert report.live is not None and "changed meanwhile" in report.live.words
    assert (await log(store))[2:] == [(2, "rollout", 0.5)]


async def test_a_kill_before_and_after_every_step_leads_to_the_same_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = head(learning=STAGED)
    store = await taught(base)
    promote, tried = store.promote, set[int]()

    async def power_goes(version: Version, **more: Any) -> None:
        late = more["expected"] in tried
        tried.add(more["expected"])
        if late:
            await promote(version, **more)
        raise Cut

    monkeypatch.setattr(store, "promote", power_goes)
    cuts = []
    for first, count, say in ((0, 0, said), (0, 20, said), (20, 60, said), (80, 50, turned)):
        await live(store, base, first, count, say)
        cuts.append(0)
        while True:
            try:
                await cycle(store, base, say)
            except Cut:
                cuts[-1] += 1
            else:
                break
    assert cuts == [4, 2, 2, 2]
    stages = [(1, "model", 0), (2, "rollout", 0.5), (3, "rollout", 1), (4, "rollback", 1)]
    assert await log(store) == [(0, "file", 1), *stages]
    assert (await head_of(store, base)).graph.id == base.id
    assert [(trial.state, trial.number) for trial in await store.trials("net")][:1] == [("adopted", 1)]


async def test_a_person_may_call_it_off() -> None:
    base = head(learning=STAGED)
    store = await taught(base)
    await cycle(store, base)
    now = await head_of(store, base)
    with pytest.raises(RequestError, match="on its way up already"):
        earlier(now, 1)
    await roll_back(store, now, "by hand", to=earlier(now, 0))
    assert (await log(store))[2:] == [(2, "rollback", 1)]
    after, made = await head_of(store, base), await replay(store, "net")
    assert after.rising is None and made is not None and made.id == after.graph.id == base.id
    assert [entry.proven for entry in after.rollbacks.entries] == [None], "a person proves nothing"


def test_a_conversation_stays_with_its_version_while_the_share_grows() -> None:
    version = Version("net", 1, "g", "model", "", share=0.1)

    def asks(number: int, *more: str, session: str | None = None) -> Request:
        texts = (f"question {number}", *more)
        return Request(tuple(Message("user", text) for text in texts), user="ann", session=session)

    taken = [number for number in range(1000) if takes(version, asks(number))]
    assert 70 < len(taken) < 130
    assert all(takes(replace(version, share=0.3), asks(number)) for number in taken)
    assert all(takes(version, asks(number, "and in cups?")) for number in taken)
    assert len({takes(version, asks(number, session="s")) for number in range(20)}) == 1
    others = [number for number in range(1000) if takes(replace(version, graph="h"), asks(number))]
    assert others != taken
    assert not any(takes(replace(version, share=0), asks(number)) for number in range(100))
    assert all(takes(replace(version, share=1), asks(number)) for number in range(100))
