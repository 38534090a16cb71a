"""Teaching: what a person vouches for is adopted where it holds up and harms nothing; else it takes proof."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.learning.test_cycle import ANIMALS, WORDS, Swap, a_learner, head, no, said, swapping, taught
from tests.learning.things import ABench
from tinyllm.errors import BackendError
from tinyllm.learning.cycle import Learner, Report
from tinyllm.learning.lessons import Lesson, Lessons, study
from tinyllm.learning.proof import ledger_of
from tinyllm.learning.proposal import Findings, Proposal
from tinyllm.learning.teach import teach
from tinyllm.protocols import Store

EASY, HARD = WORDS[::2], WORDS[1::2]


def lessons_of(name: str, words: Sequence[str], animals: Sequence[str]) -> Lessons:
    rows = [
        Lesson(query=f"where is the {w} near {animal}", answer=animal) for w in words for animal in animals
    ]
    return Lessons(name, rows, ())


EXAMPLES = lessons_of("examples", HARD[:2], ANIMALS[:6])
OLDER = lessons_of("older", EASY, ANIMALS)


async def a_class(proposer: Swap, *older: Lessons, examples: Lessons = EXAMPLES) -> tuple[Store, Learner]:
    """A learner whose network was asked older lessons and the examples."""
    base = head()
    store = await taught(base, 0)
    for lessons in (*older, examples):
        await study(lessons, lessons.rows, ABench(said).engine(base, store).run, store)
    return store, a_learner(store, base, proposer)


def on(learner: Learner, answers: Callable[[str, str], str]) -> Learner:
    return replace(learner, bench=ABench(answers))


async def adopted(store: Store) -> list[str]:
    return [version.edit for version in await store.versions("net")]


async def test_what_a_person_vouches_for_is_adopted_and_costs_nothing_of_the_budget() -> None:
    store, learner = await a_class(swapping("same", "good"), OLDER)
    report = await teach(learner, EXAMPLES)
    assert report.rounds[0].contest.winner == "2. model worker" and "watched" in report.reason
    assert await adopted(store) == ["file", "model"]
    (version,) = [v for v in await store.versions("net") if v.edit == "model"]
    assert version.reason.startswith("taught by 12 examples")
    (trial,) = await store.trials("net")
    assert (trial.state, trial.number, trial.evidence["taught"]) == ("adopted", None, 12)
    assert "not proven" in trial.verdict and "3 of 3 examples" in trial.verdict
    assert trial.evidence["confirm"]["tally"]["losses"] == 0
    assert ledger_of([trial]).spent == 0


async def test_a_change_is_made_from_three_quarters_of_the_examples_and_of_older_traffic_to_propose() -> None:
    store, learner = await a_class(swapping("good"), OLDER)
    proposer = learner.proposers[0]
    assert isinstance(proposer, Swap)
    await teach(learner, EXAMPLES)
    (saw,) = proposer.saw
    (cluster,) = saw.clusters
    assert len(cluster.items) == 9 and cluster.node == "worker"
    (trial,) = await store.trials("net")
    assert len(saw.items) - 9 + trial.evidence["confirm"]["pairs"] == len(OLDER.rows)


def forgets(model: str, question: str) -> str:
    """The good model knows what the poor one does not, and nothing else."""
    return said(model, question) if model != "good" or question.split()[3] in HARD else "i forgot"


async def test_what_older_traffic_would_lose_is_not_adopted() -> None:
    store, learner = await a_class(swapping("good"), OLDER)
    report = await teach(on(learner, forgets), EXAMPLES)
    assert "older traffic loses" in report.reason and await adopted(store) == []
    (trial,) = await store.trials("net")
    assert (trial.state, trial.number) == ("rejected", None)


async def test_a_change_that_only_knows_what_it_was_made_from_is_not_adopted() -> None:
    store, learner = await a_class(swapping("good"), OLDER)
    proposer = learner.proposers[0]
    assert isinstance(proposer, Swap)

    def by_rote(model: str, question: str) -> str:
        seen = {item.request.text for found in proposer.saw for item in found.clusters[0].items}
        return said(model, question) if model != "good" or question in seen else said("poor", question)

    report = await teach(on(learner, by_rote), EXAMPLES)
    assert "3 of the examples kept back are still wrong" in report.reason and await adopted(store) == []


@pytest.mark.parametrize("older", [0, 40])
async def test_without_older_traffic_nobody_can_say_what_it_loses(older: int) -> None:
    store, learner = await a_class(swapping("good"), replace(OLDER, rows=OLDER.rows[:older]))
    report = await teach(learner, EXAMPLES)
    assert "more graded requests" in report.reason and await adopted(store) == []
    assert [trial.state for trial in await store.trials("net")] == ["waiting"]


async def test_too_few_examples_to_keep_some_back_are_not_enough() -> None:
    few = lessons_of("few", HARD[:1], ANIMALS[:7])
    store, learner = await a_class(swapping("good"), OLDER, examples=few)
    report = await teach(learner, few)
    assert "bring more" in report.reason and await adopted(store) == []


async def test_a_dry_run_and_a_person_who_declines_change_nothing_and_may_think_again() -> None:
    store, learner = await a_class(swapping("good"), OLDER)
    dry = await teach(learner, EXAMPLES, dry=True)
    assert dry.rounds[0].contest.winner and await store.trials("net") == []
    declined = await teach(replace(learner, consent=no), EXAMPLES)
    assert "nobody agreed" in declined.reason and await adopted(store) == []
    await teach(learner, EXAMPLES)
    assert await adopted(store) == ["file", "model"]


async def test_what_is_known_already_or_helped_by_nothing_is_said() -> None:
    known = lessons_of("known", EASY[:1], ANIMALS[:10])
    _, learner = await a_class(swapping("good"), OLDER, examples=known)
    assert "every example rightly already" in (await teach(learner, known)).reason
    _, learner = await a_class(swapping("same"), OLDER)
    assert "answers more of the examples" in (await teach(learner, EXAMPLES)).reason
    _, learner = await a_class(swapping(), OLDER)
    assert "no change was found" in (await teach(learner, EXAMPLES)).reason


async def test_what_breaks_is_told_and_stops_nothing() -> None:
    store, learner = await a_class(swapping("good"), OLDER)

    async def broken(findings: Findings) -> list[Proposal]:
        raise BackendError("the writer is down")

    report = await teach(replace(learner, proposers=[broken, *learner.proposers]), EXAMPLES)
    assert report.faults == ["the writer is down"] and await adopted(store) == ["file", "model"]


async def a_cycle(examples: Lessons, *older: Lessons) -> tuple[Report, list[str]]:
    """One cycle, without anybody's word, that takes the examples' failures for worth a proposal."""
    store, learner = await a_class(swapping("good"), *older, examples=examples)
    return await replace(learner, taught=examples).cycle(), await adopted(store)


async def test_without_the_person_s_word_a_few_failures_lead_to_a_proposal_and_no_proof() -> None:
    few = replace(EXAMPLES, rows=EXAMPLES.rows[:8])
    report, versions = await a_cycle(few, OLDER)
    (cluster,) = [cluster for cluster in report.clusters if cluster.taught]
    assert 0 < len(cluster.items) < 5 and versions == []
    assert "2. " not in report.rounds[0].proposals and report.rounds[0].proposals
    assert report.rounds[0].trial is None or report.rounds[0].trial.state != "adopted"


async def test_without_the_person_s_word_many_examples_prove_the_change() -> None:
    report, versions = await a_cycle(lessons_of("many", HARD, ANIMALS), OLDER)
    assert versions == ["file", "model"] and report.rounds[0].trial is not None
    assert report.rounds[0].trial.number == 1
