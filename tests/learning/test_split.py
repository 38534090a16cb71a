"""Splits: a language model becomes a router and specialists where kinds of requests differ in what serves them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.learning.test_cycle import ANIMALS, WORDS, answers, yes
from tests.learning.things import ABench, a_network, an_item, findings
from tinyllm.backends.reader import LinearRouter
from tinyllm.backends.scripted import Scripted
from tinyllm.graph import Graph, RouterNode, Specialist
from tinyllm.learning.alternatives import alternatives
from tinyllm.learning.cycle import Learner
from tinyllm.learning.items import gather
from tinyllm.learning.lessons import Lesson, Lessons, study
from tinyllm.learning.proposal import Ask, Cluster, Findings, Proposal
from tinyllm.learning.split import Splits
from tinyllm.protocols import Parts, Store
from tinyllm.store import open_store
from tinyllm.types import Prompt

MODELS = {name: {"backend": "ollama", "model": name} for name in ("plain", "poet", "useless")}
MODELS["elsewhere"] = {"backend": "cloud", "model": "all"}
PLACE, RHYME, PIRATE = (
    "where is the {} near {}",
    "write rhyming verses on a {} and {}",
    "tell pirates scary stories with a {} and {}",
)
TOLD = "Talk as pirates do."


def said(model: str, prompt: Prompt) -> str:
    """`plain` knows places, `poet` rhymes, and who is told to talks to pirates, and does nothing else."""
    question, told = prompt.messages[-1].content, TOLD in prompt.messages[0].content
    knows = {"where": model == "plain" and not told, "write": model == "poet" and not told, "tell": told}
    return (
        question.split()[-1]
        if model in ("elsewhere", "genius") or knows[question.split()[0]]
        else "i think so"
    )


class Kinds(ABench):
    """Runs graphs of these models, and of routers that were learned."""

    def __init__(self) -> None:
        super().__init__(lambda model, question: "")
        self.files: dict[str, bytes] = {}

    @asynccontextmanager
    async def open(self, graph: Graph, files: Mapping[str, bytes]) -> AsyncIterator[Ask]:
        self.files |= files
        async with super().open(graph, files) as ask:
            yield ask

    def parts(self, graph: Graph) -> Parts:
        backends, routers = dict[str, Scripted](), dict[str, LinearRouter]()
        for name, model in graph.models.items():
            if model.backend == "learned":
                routers[name] = LinearRouter(self.files[model.model.partition("-")[2]])
            else:
                backends[name] = Scripted(name, lambda prompt, name=name: said(name, prompt))  # type: ignore[misc]
        return Parts({**backends}, {}, {**routers})


async def written(old: str, kinds: Sequence[Cluster]) -> str | None:
    return TOLD if "pirates" in kinds[0].examples[0] else None


def a_head(**fields: object) -> Graph:
    return a_network({"worker": {"kind": "specialist", "model": "plain", "next": "exit"}}, MODELS, **fields)


async def asked(bench: Kinds, *forms: str, count: int = 60) -> Store:
    store = await open_store("memory:")
    pairs = [(word, animal) for word in WORDS for animal in ANIMALS][:count]
    rows = [Lesson(query=form.format(*pair), answer=pair[1]) for form in forms for pair in pairs]
    await study(Lessons("l", rows, ()), rows, bench.engine(a_head(), store).run, store)
    return store


async def proposed(*forms: str, splits: Splits | None = None, head: Graph | None = None) -> list[Proposal]:
    """What is proposed where each failing form is a cluster."""
    bench = Kinds()
    items = await gather(await asked(bench, *forms))
    found = []
    for form in forms:
        own = tuple(item for item in items if item.request.text.split()[0] == form.split()[0])
        if not own[0].passed:
            found.append(Cluster(form.split()[1], "worker", own, (own[0].request.text,)))
    return list(await (splits or Splits(bench, answers, written))(Findings(head or a_head(), items, found)))


async def test_each_failing_kind_gets_what_serves_it_best_and_the_node_stays() -> None:
    (made,) = await proposed(PLACE, RHYME, PIRATE)
    nodes = made.graph.nodes
    router, rhyming, piratical = nodes["worker-kinds"], nodes["worker-rhyming"], nodes["worker-pirates"]
    assert isinstance(router, RouterNode) and isinstance(rhyming, Specialist)
    assert isinstance(piratical, Specialist)
    assert (made.edit, made.node, made.saves) == ("expand", "worker", False)
    assert nodes["entry"].next == "worker-kinds" and nodes["worker"] == a_head().nodes["worker"]  # type: ignore[union-attr]
    assert {label: way.to for label, way in router.routes.items()} == {
        "as-before": "worker", "worker-rhyming": "worker-rhyming", "worker-pirates": "worker-pirates",
    }  # fmt: skip
    assert (rhyming.model, rhyming.prompt, rhyming.simpler) == ("poet", None, "worker")
    assert (piratical.model, made.graph.prompts["worker-pirates"].text) == ("plain", TOLD)
    assert "40 of 40 right, 0 by worker as it is" in made.reason
    # Three samples of 40, each asked of two other models and under one written prompt.
    assert made.asked == 3 * 3 * 40 and made.cost.tokens_in >= made.asked
    assert "river" not in str([route.when for route in router.routes.values()]), (
        "no request stands in the graph"
    )


async def test_where_one_choice_is_best_for_all_nothing_is_split() -> None:
    assert await proposed(RHYME) == [], "all is of one kind"
    assert await proposed(PLACE) == [], "nothing fails"
    assert await proposed(PLACE, PIRATE, splits=Splits(Kinds(), answers)) == [], "no other model can do that"


async def test_where_another_model_is_best_for_all_it_is_no_split_that_is_proposed() -> None:
    """The change of the node to that model is the better proposal."""
    genius = {**MODELS, "genius": {"backend": "ollama", "model": "genius"}}
    head = a_network({"worker": {"kind": "specialist", "model": "plain", "next": "exit"}}, genius)
    assert await proposed(PLACE, RHYME, PIRATE, head=head) == []


async def test_models_of_other_servers_are_not_asked() -> None:
    (made,) = await proposed(PLACE, RHYME)
    assert "elsewhere" not in {
        spec.model for spec in made.graph.nodes.values() if isinstance(spec, Specialist)
    }


async def test_a_split_is_proven_adopted_and_gone_on_with() -> None:
    bench = Kinds()
    head = a_head(learning={"adopt": "auto"})
    store = await asked(bench, PLACE, RHYME, count=150)
    learner = Learner(store, head, bench, [Splits(bench, answers, written)], answers, yes)
    await learner.cycle()
    versions = await store.versions("net")
    assert [version.edit for version in versions] == ["file", "expand"]
    rows = [Lesson(query=PIRATE.format(word, one), answer=one) for word in WORDS for one in ANIMALS[:14]]
    await study(Lessons("l", rows, ()), rows, bench.engine(a_head(), store).run, store)
    report = await learner.cycle()
    made = next(one for one in report.rounds if one.version is not None)
    (proposal,) = made.proposals.values()
    router = proposal.graph.nodes["worker-kinds"]
    assert isinstance(router, RouterNode)
    assert list(router.routes) == ["as-before", "worker-rhyming-verses", "worker-pirates-scary"]
    async with bench.open(proposal.graph, proposal.files) as ask:
        for item in (await gather(store))[::25]:
            assert await answers(item, await ask(item.request)), item.request.text


async def test_a_branch_of_a_split_that_fails_may_be_pruned() -> None:
    (made,) = await proposed(PLACE, RHYME)
    failed = [an_item(f"number {i}", passed=False, node="worker-rhyming") for i in range(6)]
    (pruned,) = [
        p
        for p in await alternatives(findings(made.graph, *failed, node="worker-rhyming"))
        if p.edit == "prune"
    ]
    assert sorted(pruned.graph.nodes) == ["entry", "exit", "worker"]


@pytest.mark.parametrize("count", [3, 7])
async def test_few_requests_are_no_kind(count: int) -> None:
    bench = Kinds()
    items = await gather(await asked(bench, PLACE, RHYME))
    few = [item for item in items if item.request.text.startswith("write")][:count]
    found = [Cluster("rhymes", "worker", tuple(few), (few[0].request.text,))]
    assert await Splits(bench, answers)(Findings(a_head(), items, found)) == []
