"""Proposals from parts that are there already: other models, checks with a larger one behind, pruned branches."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.learning.test_cycle import ANIMALS, WORDS
from tests.learning.things import a_network, an_item, findings
from tinyllm.graph import Gate, Graph, Specialist
from tinyllm.learning.alternatives import SEEN, UNUSED, alternatives
from tinyllm.learning.grant import Grants
from tinyllm.learning.items import Item
from tinyllm.learning.prompts import Writer
from tinyllm.learning.proposal import Findings, Proposal
from tinyllm.types import Completion, Prompt, Span

MODELS = {
    "small": {"backend": "ollama", "model": "s", "parameters": 1_000},
    "large": {"backend": "ollama", "model": "l", "parameters": 9_000},
    "other": {"backend": "builtin", "model": "readers", "parameters": 5},
}


def two_workers() -> Graph:
    nodes = {
        "worker": {"kind": "specialist", "model": "small", "next": "exit", "simpler": "clerk"},
        "clerk": {"kind": "specialist", "model": "large", "next": "exit", "simpler": "reader"},
        "reader": {"kind": "specialist", "model": "other", "next": "exit"},
    }
    return a_network(nodes, MODELS)


async def test_a_failing_node_may_take_the_other_models_of_its_backend() -> None:
    head = two_workers()
    made = {p.edit: p for p in await alternatives(findings(head, an_item("why", passed=False)))}
    swapped = made["model"].graph.nodes["worker"]
    assert isinstance(swapped, Specialist)
    assert (swapped.model, swapped.simpler) == ("large", "clerk")
    assert "small" not in {
        spec.model for spec in made["model"].graph.nodes.values() if spec.kind == "specialist"
    }


async def test_a_larger_model_answers_what_a_check_rejects() -> None:
    head = two_workers()
    made = {p.edit: p for p in await alternatives(findings(head, an_item("why", passed=False)))}
    nodes = made["cascade"].graph.nodes
    worker, check, larger = nodes["worker"], nodes["worker-check"], nodes["worker-larger"]
    assert isinstance(worker, Specialist) and isinstance(check, Gate) and isinstance(larger, Specialist)
    assert (worker.next, worker.larger, worker.model) == ("worker-check", "worker-larger", "small")
    assert (check.checks[0].check, check.checks[0].model, check.next) == ("judge", "small", "exit")
    assert (larger.model, larger.next) == ("large", "exit")
    again = findings(made["cascade"].graph, an_item("why", passed=False))
    assert "cascade" not in {p.edit for p in await alternatives(again)}


async def test_a_reader_needs_no_check_and_takes_no_language_model() -> None:
    head = two_workers()
    (made,) = await alternatives(findings(head, an_item("why", passed=False), node="reader"))
    reader = made.graph.nodes["reader"]
    assert isinstance(reader, Specialist)
    assert (made.edit, reader.larger, reader.next) == ("cascade", "reader-larger", "exit")
    assert "reader-check" not in made.graph.nodes


@pytest.mark.parametrize("node", ["larger", "-"])  # a node of the settings, and a run that came to no node
async def test_nothing_is_proposed_for_a_node_that_the_file_does_not_have(node: str) -> None:
    lost = findings(two_workers(), an_item("why", passed=False), node=node)
    assert await alternatives(lost) == []
    assert await Writer(unasked)(lost) == []
    assert await Grants({}, {})(lost) == []


async def unasked(prompt: Prompt) -> Completion:
    raise AssertionError("nobody is to be asked")


async def test_nothing_is_proposed_where_nothing_fails() -> None:
    assert await alternatives(Findings(two_workers(), [], [])) == []


def grown(*, nodes: Mapping[str, Mapping[str, Any]] | None = None, **fields: object) -> Graph:
    own: dict[str, Any] = {
        "worker": {
            "kind": "router",
            "model": "front",
            "routes": {"as-before": {"to": "old"}, "new": {"to": "young"}},
        },
        "old": {"kind": "specialist", "model": "small", "next": "exit"},
        "young": {"kind": "specialist", "model": "learnt", "next": "exit"},
    }
    learned = {
        "front": {"backend": "learned", "model": "router-ab"},
        "learnt": {"backend": "learned", "model": "reader-cd"},
    }
    for name, more in (nodes or {}).items():
        own[name] = {**own.get(name, {}), **more}
    return a_network(own, {**MODELS, **learned}, **fields)


async def prunings(found: Findings) -> list[Proposal]:
    return [proposal for proposal in await alternatives(found) if proposal.edit == "prune"]


async def test_a_grown_branch_with_traffic_may_be_pruned_and_is_to_save() -> None:
    busy = [an_item(f"number {i}", passed=True, node="young") for i in range(SEEN)]
    (made,) = await prunings(findings(grown(), *busy, node="old"))
    assert (made.edit, made.node, made.saves) == ("prune", "young", True)
    assert sorted(made.graph.nodes) == ["entry", "exit", "old"], "nor is a router left without a choice"
    assert made.graph.nodes["entry"].next == "old"  # type: ignore[union-attr]


async def test_a_router_with_other_ways_stays_when_a_branch_goes() -> None:
    routes = {"as-before": {"to": "old"}, "new": {"to": "young"}, "third": {"to": "later"}}
    later = {"kind": "specialist", "model": "small", "next": "exit"}
    head = grown(nodes={"worker": {"routes": routes}, "later": later})
    busy = [an_item(f"number {i}", passed=True, node="young") for i in range(SEEN)]
    (made,) = await prunings(findings(head, *busy, node="old"))
    assert list(made.graph.nodes["worker"].routes) == ["as-before", "third"]  # type: ignore[union-attr]


async def test_a_branch_that_fails_may_go_whatever_that_costs() -> None:
    failed = [an_item(f"number {i}", passed=False, node="young") for i in range(6)]
    (made,) = await alternatives(findings(grown(), *failed, node="worker"))
    assert (made.edit, made.node, made.saves) == ("prune", "young", False)


async def test_a_branch_with_too_little_traffic_or_under_protection_stays() -> None:
    busy = [an_item(f"number {i}", passed=True, node="young") for i in range(SEEN)]
    assert await prunings(findings(grown(), *busy[1:], node="old")) == []
    assert await prunings(findings(grown(protected=["young"]), *busy, node="old")) == []


def at_the_router(count: int, node: str = "old") -> list[Item]:
    """So many kinds of requests, each from the router to this node."""
    kinds = [f"where is the {word} near {animal}" for word in WORDS for animal in ANIMALS][:count]
    items = [an_item(text, passed=True, node=node) for text in kinds]
    router = Span("worker", "router", 0.0, 1.0)
    return [replace(i, trace=replace(i.trace, spans=(router, *i.trace.spans))) for i in items]


async def test_a_branch_that_nothing_takes_may_go_as_a_saving_that_costs_the_same() -> None:
    (made,) = await prunings(Findings(grown(), at_the_router(UNUSED), []))
    assert (made.edit, made.node, made.saves, made.spare) == ("prune", "young", True, True)
    assert made.reason == f"of {UNUSED} kinds of requests none took young" and "young" not in made.graph.nodes
    assert await prunings(Findings(grown(), at_the_router(UNUSED - 1), [])) == []
    taken = [*at_the_router(UNUSED), *at_the_router(1, "young")]
    assert await prunings(Findings(grown(), taken, [])) == []
    assert await prunings(Findings(grown(protected=["young"]), at_the_router(UNUSED), [])) == []
