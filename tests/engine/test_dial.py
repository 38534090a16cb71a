"""The dial between cheapness and quality, where a router knows what its routes are worth."""

import json
from collections.abc import Mapping

import pytest

from tests.engine.test_engine import Odds, ask
from tinyllm.backends.scripted import Scripted
from tinyllm.engine import Engine, fold
from tinyllm.graph import Graph, diff, parse, put_nodes
from tinyllm.protocols import Parts
from tinyllm.store import open_store
from tinyllm.store.recall import Recall
from tinyllm.types import Span

# The cheap model is right nine times in ten, the dear one nearly always, at ten times the price.
WORTH = {
    "cheap": {"right": 0.9, "seen": 50, "cost": 1.0},
    "dear": {"right": 0.98, "seen": 50, "cost": 10.0},
}


def a_graph(worth: Mapping[str, Mapping[str, float]] = WORTH, **fields: object) -> Graph:
    nodes = {
        "entry": {"kind": "entry", "next": "memory"},
        "memory": {"kind": "memory", "next": "choose"},
        "choose": {
            "kind": "router",
            "model": "skills",
            "routes": {"cheap": {"to": "small"}, "dear": {"to": "large"}},
            "threshold": 0.3,
            "otherwise": "exit",
            "worth": worth,
        },
        "small": {"kind": "specialist", "model": "small", "next": "exit"},
        "large": {"kind": "specialist", "model": "large", "next": "exit"},
        "exit": {"kind": "exit"},
    }
    models = {"skills": {"backend": "builtin"}, "small": {"backend": "s"}, "large": {"backend": "s"}}
    return parse(json.dumps({"schema": 1, "name": "two", "models": models, "nodes": nodes, **fields}))


class Away(Scripted):
    """A model that would have to be loaded, for as long as it answers `answers` times."""

    answers = 30.0

    def load_price(self) -> float:
        return self.answers


async def choice(
    graph: Graph, quality: float | None = None, *facts: str, away: str = "", **odds: float
) -> Span:
    store = await open_store("memory:")
    for fact in facts:
        await store.remember(fact)

    async def resolve(request: object) -> Graph:
        return graph

    backends = {name: (Away if name == away else Scripted)(name, ["so"]) for name in ("small", "large")}
    router = Odds(**(odds or {"cheap": 0.5, "dear": 0.5}))
    parts = Parts(backends, {}, {"skills": router}, Recall(store))
    reply = await Engine(resolve, lambda _: parts, store).run(ask("anything", quality=quality))
    return fold(await store.events(reply.run_id)).spans[2]


@pytest.mark.parametrize(("quality", "taken"), [(0.0, "cheap"), (0.2, "cheap"), (0.8, "dear"), (1.0, "dear")])
async def test_the_dial_trades_right_answers_for_price(quality: float, taken: str) -> None:
    span = await choice(a_graph(), quality)
    assert span.choice == taken == max(span.scores, key=lambda label: span.scores[label])
    assert span.probabilities == {"cheap": 0.5, "dear": 0.5}


async def test_a_network_sets_the_dial_and_a_request_overrules_it() -> None:
    low, high = a_graph(quality=0.1), a_graph(quality=0.9)
    assert [(await choice(graph)).choice for graph in (low, high)] == ["cheap", "dear"]
    assert [(await choice(graph, 0.5)).choice for graph in (low, high)] == ["dear", "dear"]
    assert low.id != high.id
    assert a_graph(quality=0.5).id == a_graph().id, "a network that sets no dial keeps its id"


async def test_poor_outcomes_move_the_choice() -> None:
    poor = WORTH | {"cheap": {"right": 0.2, "seen": 50, "cost": 1.0}}
    for quality in (0.4, 0.5, 1.0):
        assert (await choice(a_graph(poor), quality)).choice == "dear"
    good = WORTH | {"cheap": {"right": 0.99, "seen": 50, "cost": 1.0}}
    assert (await choice(a_graph(good), 1.0)).choice == "cheap"


async def test_which_route_fits_comes_first() -> None:
    assert (await choice(a_graph(), 0.0, cheap=0.05, dear=0.95)).choice == "dear", "below `alternatives`"
    assert (await choice(a_graph(), 0.0, cheap=0.0, dear=0.2)).choice is None, "below `threshold`"
    assert (await choice(a_graph(), 1.0, cheap=0.8, dear=0.2)).choice == "cheap"


async def test_without_the_worth_of_every_route_the_likeliest_is_taken() -> None:
    for worth in ({}, {"cheap": WORTH["cheap"]}):
        span = await choice(a_graph(worth), 0.0, cheap=0.45, dear=0.55)
        assert (span.choice, span.scores) == ("dear", {})


async def test_routes_that_cost_nothing_are_chosen_by_their_worth() -> None:
    free = {label: {**one, "cost": 0.0} for label, one in WORTH.items()}
    assert (await choice(a_graph(free), 0.0)).choice == "dear"


async def test_a_load_is_part_of_the_price() -> None:
    for quality, taken in ((0.2, "dear"), (0.5, "dear"), (1.0, "dear")):
        assert (await choice(a_graph(), quality, away="small")).choice == taken
    for quality, taken in ((0.2, "cheap"), (0.5, "cheap"), (1.0, "dear")):
        assert (await choice(a_graph(), quality, away="large")).choice == taken
    assert (await choice(a_graph(), 0.5)).choice == "dear"
    good = WORTH | {"cheap": {"right": 0.99, "seen": 50, "cost": 1.0}}
    assert (await choice(a_graph(good), 1.0, away="small")).choice == "cheap"


async def test_preferences_and_the_dial_work_together() -> None:
    plain = await choice(a_graph(), 0.4)
    assert (plain.choice, plain.facts) == ("cheap", ())
    wished = await choice(a_graph(), 0.4, "prefers dear answers")
    assert wished.choice == "dear" and len(wished.facts) == 1
    assert wished.before == {"cheap": 0.5, "dear": 0.5}
    assert (await choice(a_graph(), 0.8, "prefers dear answers")).facts == (), "it changed nothing"


async def test_worth_is_an_edit_like_any_other() -> None:
    bare = a_graph({})
    spec = a_graph().nodes["choose"]
    learned = put_nodes(bare, {"choose": spec})
    assert learned.id == a_graph().id
    assert "nodes.choose.worth.cheap.right" in {change.path for change in diff(bare, learned)}
