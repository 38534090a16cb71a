"""Hardening: what one call always solves needs no model any more, and is given back when it drifts."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.learning.test_grant import OPS, PARTS, THINGS, TOOLS, stock
from tests.learning.things import ABench, a_network
from tinyllm.backends.pricing import Rates
from tinyllm.backends.reader import LinearRouter
from tinyllm.backends.scripted import Scripted
from tinyllm.grading import node_of
from tinyllm.grading.reference import against
from tinyllm.graph import Graph, RouterNode, ToolNode, change
from tinyllm.learning.alternatives import alternatives
from tinyllm.learning.clusters import clusters
from tinyllm.learning.cycle import Learner
from tinyllm.learning.harden import Hardening
from tinyllm.learning.items import Item, gather
from tinyllm.learning.lessons import Lesson, Lessons, study
from tinyllm.learning.proposal import Ask, Findings, Proposal
from tinyllm.learning.trial import Verdict
from tinyllm.learning.versions import stored
from tinyllm.protocols import Parts, Store
from tinyllm.slots import call_in
from tinyllm.store import open_store
from tinyllm.types import Message, Request, Trace

TALK = [
    Lesson(query=f"where do the {part} of the {thing} belong", answer=part)
    for thing in THINGS
    for part in PARTS
]


class Office(ABench):
    """One language model that multiplies and talks, both rightly, unless `wrong` says so of a question."""

    def __init__(self, *wrong: str, parameters: int = 1000) -> None:
        self.wrong, self.parameters, self.files = wrong, parameters, dict[str, bytes]()
        super().__init__(self.answer)

    def answer(self, model: str, question: str) -> str:
        words = question.split()
        if any(word in self.wrong for word in words):
            return "many"
        if words[0] == "where":
            return words[3]
        return f"That makes {int(words[0]) * (int(words[3]) - ('less' in words))}."

    def parts(self, graph: Graph) -> Parts:
        own = {name: model for name, model in graph.models.items() if model.backend != "learned"}
        rates = Rates(parameters=self.parameters)
        return Parts(
            {
                name: Scripted(name, lambda prompt: self.answer("m", prompt.messages[-1].content), rates)
                for name in own
            },
            TOOLS,
            {
                name: LinearRouter(self.files[model.model.removeprefix("router-")])
                for name, model in graph.models.items()
                if model.backend == "learned"
            },
            fill=lambda call, text: call_in(call, text, OPS),
        )

    @asynccontextmanager
    async def open(self, graph: Graph, files: Mapping[str, bytes]) -> AsyncIterator[Ask]:
        self.files |= files
        async with super().open(graph, files) as ask:
            yield ask


def a_head(**fields: Any) -> Graph:
    worker = {"kind": "specialist", "model": "m", "next": "exit"}
    return a_network({"worker": worker}, {"m": {"backend": "ollama"}}, **fields)


async def asked(bench: Office, graph: Graph, *rows: Lesson, store: Store | None = None) -> Store:
    store = store or await open_store("memory:")
    await study(Lessons(f"of {rows[0].query}", rows, ()), rows, bench.engine(graph, store).run, store)
    return store


async def proposed(bench: Office, *rows: Lesson) -> list[Proposal]:
    head = a_head()
    items = await gather(await asked(bench, head, *rows))
    return list(await Hardening(OPS, TOOLS)(Findings(head, items, [])))


async def answered(bench: Office, proposal: Proposal, *questions: str) -> list[Trace]:
    async with bench.open(proposal.graph, proposal.files) as ask:
        return [await ask(Request((Message("user", question),))) for question in questions]


async def test_what_one_call_solves_gets_a_node_without_a_model() -> None:
    bench = Office()
    (made,) = await proposed(bench, *stock(30), *TALK[:30])
    assert (made.edit, made.node, made.saves) == ("harden", "worker", True)
    assert made.cost.macs > 0 and "30 of 30 requests" in made.reason
    call = call_of(made.graph)
    node, router = made.graph.nodes[call], made.graph.nodes["grown"]
    assert isinstance(node, ToolNode) and isinstance(router, RouterNode)
    assert (node.tool, node.next, node.simpler) == ("calculator", "exit", "worker")
    assert node.call in ("mul n0 n1", "mul n1 n0") and f"{node.call!r}" in made.reason
    assert {label: route.to for label, route in router.routes.items()} == {"as-before": "worker", call: call}
    sums, talk, odd = await answered(
        bench,
        made,
        "88 crates hold 77 plates each, how many are there",
        TALK[40].query,
        "many crates hold plates each",
    )
    assert (node_of(sums), sums.cost.tokens_out) == (call, 0) and sums.answer.endswith("6776")
    assert node_of(talk) == "worker" and node_of(odd) == "worker"


async def test_failures_of_the_model_count_for_the_call_and_those_of_the_call_against_it() -> None:
    (made,) = await proposed(Office("13", "14", "15", "16", "17", "18"), *stock(30), *TALK[:30])
    assert "30 of 30" in made.reason
    other = [Lesson(query=row.query, answer=7) if at % 5 == 0 else row for at, row in enumerate(stock(30))]
    assert await proposed(Office(), *other, *TALK[:30]) == []


async def test_too_few_requests_or_nothing_else_to_tell_them_from_are_left_alone() -> None:
    assert await proposed(Office(), *stock(10), *TALK[:30]) == []
    assert await proposed(Office(), *stock(30)) == []
    assert await proposed(Office(), *TALK[:30]) == []


async def test_what_costs_next_to_nothing_is_not_hardened() -> None:
    assert await proposed(Office(), *stock(12), *TALK[:100])
    dear = [Lesson(query=f"{row.query} {'please ' * 40}", answer=row.answer) for row in TALK[:100]]
    assert await proposed(Office(), *stock(12), *dear) == []


async def right(item: Item, trace: Trace) -> bool | None:
    return against(trace, item.reference).score == 1.0


async def yes(proposal: Proposal, verdict: Verdict) -> bool:
    return True


def a_learner(store: Store, head: Graph, bench: Office) -> Learner:
    return Learner(store, head, bench, [alternatives], right, yes, savers=[Hardening(OPS, TOOLS)])


@pytest.mark.parametrize("parameters", [1000, 0])  # the size of the model is known, or not
async def test_it_is_proven_to_lose_nothing_and_costs_less(parameters: int) -> None:
    bench, head = Office(parameters=parameters), a_head(learning={"gain": 0.2})
    store = await asked(bench, head, *stock(120), *TALK[:120])
    await a_learner(store, head, bench).cycle()
    assert [version.edit for version in await store.versions("net")] == ["file", "harden"]
    (trial,) = await store.trials("net")
    confirm = trial.evidence["confirm"]
    assert confirm["margin"] == 0.2 and confirm["cost_after"] < confirm["cost_before"] * 0.7
    again = await a_learner(store, head, bench).cycle()
    assert not again.rounds and "nothing fails, and what only saves is tried again after" in again.reason


def drifted(count: int) -> list[Lesson]:
    """Requests in almost the same words that ask for another thing, as the model knows."""
    return [
        Lesson(
            query=row.query.replace("each,", "each less one,"),
            answer=int(str(row.query).split()[0]) * (int(str(row.query).split()[3]) - 1),
        )
        for row in stock(count)
    ]


async def hardened(bench: Office) -> Graph:
    """A network with a hardened kind."""
    (made,) = await proposed(bench, *stock(30), *TALK[:30])
    async with bench.open(made.graph, made.files):
        return made.graph


def call_of(graph: Graph) -> str:
    """The hardened node."""
    (name,) = [name for name in graph.nodes if name.startswith("hardened-mul-n")]
    return name


async def test_live_traffic_that_speaks_against_it_takes_it_back() -> None:
    bench, head = Office(), a_head(learning={"gain": 0.2})
    store = await asked(bench, head, *stock(120), *TALK[:120])
    await a_learner(store, head, bench).cycle()
    grown = (await store.versions("net"))[-1]
    live = await stored(store, grown.graph)
    await asked(bench, live, *drifted(60), store=store)
    report = await a_learner(store, head, bench).cycle()
    assert (
        report.live is not None and report.live.version is not None and report.live.version.graph == head.id
    )


async def test_a_hardened_node_whose_failures_grow_is_pruned() -> None:
    bench = Office()
    head = await hardened(bench)
    store = await asked(bench, head, *drifted(150), *TALK[:100])
    report = await a_learner(store, head, bench).cycle()
    (mended,) = [done for done in report.rounds if done.version]
    (pruned,) = [p for p in mended.proposals.values() if p.edit == "prune"]
    assert (pruned.node, pruned.saves, report.failed) == (call_of(head), False, 150)
    assert [version.edit for version in await store.versions("net")] == ["file", "prune"]
    assert pruned.node not in pruned.graph.nodes and "worker" in pruned.graph.nodes
    after = await asked(bench, pruned.graph, *drifted(20))
    assert all(item.passed for item in await gather(after))


async def test_a_protected_one_stays() -> None:
    bench = Office()
    head = await hardened(bench)
    head = change(head, protected=(call_of(head),))
    items = await gather(await asked(bench, head, *drifted(30), *TALK[:30]))
    assert [p for p in await alternatives(Findings(head, items, clusters(items))) if p.edit == "prune"] == []
