"""A neuron for what fails most: proposed where the file asks for it, verified, and adopted only where it is proven."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.learning.test_cycle import ANIMALS, WORDS, answers, yes
from tests.learning.test_expand import OPS, TOOLS, LearnedBench, ask_for, day_one, traffic
from tinyllm.backends.neuron import encode, spell, unspell
from tinyllm.backends.reading import ReaderBackend
from tinyllm.backends.reading import Reading as Read
from tinyllm.errors import SettingsError, TrainingError
from tinyllm.graph import Graph
from tinyllm.learning.clusters import clusters
from tinyllm.learning.cycle import Learner
from tinyllm.learning.expand import Expansion
from tinyllm.learning.lessons import Lesson, Lessons, study
from tinyllm.learning.neuron import Neurons
from tinyllm.learning.proposal import Findings
from tinyllm.learning.versions import head_of
from tinyllm.protocols import Recipe
from tinyllm.slots import Slots, find, legal_calls
from tinyllm.store import open_store
from tinyllm.types import JSON, Cost, Prompt

FILE = b"a neuron"


@dataclass
class Taught:
    """A trainer that writes a file at once, and remembers what it was given; or raises."""

    error: Exception | None = None
    given: list[tuple[Recipe, Sequence[tuple[str, str]], Sequence[tuple[str, str]]]] = field(
        default_factory=list
    )

    async def train(
        self,
        recipe: Recipe,
        examples: Callable[[int], Sequence[tuple[str, str]]],
        held: Sequence[tuple[str, str]],
        out: Path,
        *,
        seed: int,
        progress: Callable[[int, int, float], None] | None = None,
    ) -> Mapping[str, JSON]:
        self.given.append((recipe, examples(0), held))
        if self.error is not None:
            raise self.error
        await asyncio.to_thread(out.write_bytes, FILE)
        return {"parameters": 123_456, "macs": 10**9, "held_out": 9, "right": 8}


def asking(head: Graph, neurons: bool = True) -> Graph:
    return head.model_copy(update={"learning": head.learning.model_copy(update={"neurons": neurons})})


@pytest.fixture
def bench(tmp_path: Path) -> LearnedBench:
    return LearnedBench(tmp_path)


async def found(bench: LearnedBench, head: Graph) -> Findings:
    """Requests that fail, most of them of the text tool; in two phrasings each."""
    items = await traffic(bench, head, "add", "refuse", "letters", "reverse", "gcd")
    return Findings(head, items, [cluster for cluster in clusters(items) if cluster.failing > 0.2])


async def test_nothing_is_trained_unless_the_network_s_file_asks_for_it(bench: LearnedBench) -> None:
    trainer = Taught()
    findings = await found(bench, day_one(bench))
    assert not await Neurons(Expansion(OPS, TOOLS), trainer)(findings)
    assert not trainer.given


async def test_it_reads_what_fails_most_in_the_place_of_the_linear_specialist(bench: LearnedBench) -> None:
    trainer, head = Taught(), asking(day_one(bench))
    findings = await found(bench, head)
    _, linear = await Expansion(OPS, TOOLS)(findings)
    (proposal,) = await Neurons(Expansion(OPS, TOOLS), trainer)(findings)
    assert proposal.graph.nodes == linear.graph.nodes and "grown-calculator" not in proposal.graph.nodes
    model = proposal.graph.models["grown-text"]
    assert model.model.startswith("neuron-") and model.parameters == 123_456
    assert proposal.files[model.model.removeprefix("neuron-")] == FILE
    assert proposal.graph.models["grown"].model.startswith("router-") and len(proposal.files) == 2
    assert "123,456 parameters" in proposal.reason and "8 of 9" in proposal.reason
    assert proposal.cost.macs >= 10**9


async def test_it_learns_calls_found_by_search_and_is_held_to_phrasing_that_it_never_saw(
    bench: LearnedBench,
) -> None:
    trainer, head = Taught(), asking(day_one(bench))
    await Neurons(Expansion(OPS, TOOLS), trainer)(await found(bench, head))
    ((recipe, examples, held),) = trainer.given
    assert {"<letters>", "<reverse>", "<refuse>", "<w0>", "<call>"} <= set(recipe.words)
    assert "<gcd>" not in recipe.words, "of another tool"
    assert recipe.seconds <= 180 and recipe.at_least > 0
    assert held and not {text for text, _ in held} & {text for text, _ in examples}
    refused = sum(target == "<refuse>" for _, target in examples)
    assert 0 < refused <= len(examples) / 2
    own = {unspell(target) for _, target in (*examples, *held)}
    assert own == {"letters w0", "reverse w0", "refuse"}
    assert all(target in {spell(call) for call in legal_calls(find('"word"'), OPS)} for _, target in held)
    assert (encode(find(ask_for("reverse", 0))), "<reverse><w0>") in (*examples, *held)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SettingsError("training needs 'torch'", hint="pip install 'tinyllm-network[lab]'"), "[lab]"),
        (TrainingError("the training of text.gguf took more than 120 s", hint="allow more"), "120 s"),
        (RuntimeError("a crash"), "RuntimeError: a crash"),
    ],
)
async def test_where_it_cannot_be_trained_one_line_says_so_and_all_else_is_proposed(
    bench: LearnedBench, error: Exception, said: str
) -> None:
    head = asking(day_one(bench))
    findings = await found(bench, head)
    expansion = Expansion(OPS, TOOLS)
    faults: list[str] = []
    learner = Learner(await open_store("memory:"), head, bench, [], answers, yes)
    for _ in range(2):  # as in two rounds
        made = await learner.made([Neurons(expansion, Taught(error)), expansion], findings, faults)
        assert len(made) == 2
    (fault,) = faults
    assert said in fault


class Reading(ReaderBackend):
    """A neuron that reads every request in one way, and is sure of it."""

    def __init__(self, call: str) -> None:
        super().__init__("neuron", OPS)
        self.call = call

    async def read(self, slots: Slots, prompt: Prompt) -> tuple[Read, Cost]:
        return Read(self.call, 1.0), Cost(macs=1000)

    async def probe(self) -> str:
        return self.name

    async def close(self) -> None:
        pass


def the_lessons() -> Lessons:
    """Each is unlike the others; what is to be reversed fails."""
    rows = [
        Lesson(query=f'write "{word}" backwards for the {word}s and {animal}s', answer=word[::-1])
        for word in WORDS
        for animal in ANIMALS
    ]
    return Lessons("lessons", rows, ())


@pytest.mark.parametrize(("call", "adopted"), [("reverse w0", True), ("letters w0", False)])
async def test_it_is_adopted_where_it_is_proven_and_a_worse_one_is_not(
    tmp_path: Path, call: str, adopted: bool
) -> None:
    bench = LearnedBench(tmp_path, Reading(call))
    head, store, lessons = asking(day_one(bench)), await open_store("memory:"), the_lessons()
    await study(lessons, lessons.rows, bench.engine(head, store).run, store)
    proposer = Neurons(Expansion(OPS, TOOLS), Taught())
    report = await Learner(store, head, bench, [proposer], answers, yes, rounds=1).cycle()
    assert report.failed == len(lessons.rows) and not report.faults
    assert report.rounds[0].proposals.keys() == {"1. expand worker"}
    assert (len(await store.versions("net")) > 1) == adopted
    if adopted:
        (version,) = [version for version in await store.versions("net") if version.revision == 1]
        model = (await head_of(store, head)).graph.models["grown-text"].model
        assert version.edit == "expand" and await store.file(model.removeprefix("neuron-")) == FILE
    else:
        assert report.rounds[0].contest.winner is None
