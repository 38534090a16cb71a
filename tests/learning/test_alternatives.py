"""Proposals from parts that are there already: other models, checks with a larger one behind, pruned branches."""

import pytest

from tests.learning.things import a_network, an_item, findings
from tinyllm.graph import Gate, Graph, Specialist
from tinyllm.learning.alternatives import SEEN, alternatives
from tinyllm.learning.grant import Grants
from tinyllm.learning.prompts import Writer
from tinyllm.learning.proposal import Findings
from tinyllm.types import Completion, Prompt

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


def grown(**fields: object) -> Graph:
    nodes = {
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
    return a_network(nodes, {**MODELS, **learned}, **fields)


async def test_a_grown_branch_with_traffic_may_be_pruned_and_is_to_save() -> None:
    busy = [an_item(f"number {i}", passed=True, node="young") for i in range(SEEN)]
    (made,) = await alternatives(findings(grown(), *busy, node="old"))
    assert (made.edit, made.node, made.saves) == ("prune", "young", True)
    assert "young" not in made.graph.nodes
    assert list(made.graph.nodes["worker"].routes) == ["as-before"]  # type: ignore[union-attr]


async def test_a_branch_with_too_little_traffic_or_under_protection_stays() -> None:
    busy = [an_item(f"number {i}", passed=True, node="young") for i in range(SEEN)]
    assert await alternatives(findings(grown(), *busy[1:], node="old")) == []
    assert await alternatives(findings(grown(protected=["young"]), *busy, node="old")) == []
