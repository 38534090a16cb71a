"""Differences between graphs, and graphs from differences."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tinyllm.errors import GraphError
from tinyllm.graph import Difference, Graph, diff, dump, parse, patch

names = some.sampled_from(["a", "a.b", "b", "0", "1", "a:1", "é", "a-b"])
keys = some.sampled_from(["x", "", "x.y", '"x"', "\\", "0", "10", "\n", "y z", "٣"])
values: some.SearchStrategy[Any] = some.recursive(
    some.none() | some.booleans() | some.sampled_from([0, 1, 1.0, -0.0, 0.1, "", "text", "null", "1"]),
    lambda inner: some.lists(inner, max_size=12) | some.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
models = some.fixed_dictionaries(
    {"backend": some.just("scripted")},
    optional={"parameters": some.integers(0, 2), "options": some.dictionaries(keys, values, max_size=3)},
)
budgets = some.fixed_dictionaries({}, optional={"seconds": some.sampled_from([None, 1, 60, 0.5])})


@some.composite
def graphs(draw: some.DrawFn) -> Graph:
    known = draw(some.dictionaries(names, models, min_size=1, max_size=3))
    workers = draw(some.dictionaries(names, some.sampled_from(sorted(known)), min_size=1, max_size=12))
    nodes: dict[str, Any] = {"start": {"kind": "entry", "next": sorted(workers)}, "end": {"kind": "exit"}}
    nodes |= {name: {"kind": "specialist", "model": model, "next": "end"} for name, model in workers.items()}
    prompts = draw(some.dictionaries(names, some.fixed_dictionaries({"text": some.text()}), max_size=2))
    sections = {"models": known, "nodes": nodes, "prompts": prompts, "budgets": draw(budgets)}
    return Graph.model_validate({"schema": 1, "name": "net", **sections})


def told(before: Graph, after: Graph) -> Any:
    """The differences as a store keeps them."""
    return json.loads(json.dumps([asdict(difference) for difference in diff(before, after)]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), graphs())
def test_a_graph_with_the_differences_to_another_is_the_other(before: Graph, after: Graph) -> None:
    assert patch(before, told(before, after)).id == after.id
    assert patch(after, told(after, before)).id == before.id
    assert (told(before, after) == []) == (before.id == after.id)


@pytest.mark.parametrize(
    ("before", "after"),
    [(1, True), (1, 1.0), (None, []), ([], {}), ({}, {"x": None}), ([], list(range(12))), ([0], {"0": 0})],
)
def test_values_that_look_alike_differ(before: Any, after: Any) -> None:
    first, second = (
        Graph.model_validate(
            {
                "schema": 1,
                "name": "net",
                "models": {"m": {"backend": "scripted", "options": {"x": value}}},
                "nodes": {"end": {"kind": "exit"}},
            }
        )
        for value in (before, after)
    )
    assert told(first, second) != []
    assert patch(first, told(first, second)).id == second.id != first.id


def network(budget: str = "") -> Graph:
    nodes = "{start: {kind: entry, next: end}, end: {kind: exit}}"
    return parse(f"schema: 1\nname: net\nnodes: {nodes}\nbudgets: {{{budget}}}")


def test_no_limit_is_another_thing_than_none_given() -> None:
    assert diff(network(), network("seconds: null")) == [Difference("budgets.seconds", None, None, "added")]


def test_differences_of_another_graph_are_refused() -> None:
    changes = told(network(), network("steps: 3"))
    for other in (network("steps: 4"), network("steps: 3")):
        with pytest.raises(GraphError, match=r"'budgets\.steps' does not fit"):
            patch(other, changes)
    assert parse(dump(patch(network(), changes))).id == network("steps: 3").id
