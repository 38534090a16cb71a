"""The dial between cheapness and quality, where a router knows what its routes are worth."""

import json
from collections.abc import Mapping

import pytest

from tests.engine.test_engine import Odds, ask
from tinyllm.backends.scripted import Scripted
from tinyllm.cli.trace import waterfall
from tinyllm.engine import Engine, fold
from tinyllm.errors import GraphError, RequestError
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
    graph: Graph,
    quality: float | None = None,
    *facts: str,
    right: float | None = None,
    away: str = "",
    **odds: float,
) -> Span:
    store = await open_store("memory:")
    for fact in facts:
        await store.remember(fact)

    async def resolve(request: object) -> Graph:
        return graph

    backends = {name: (Away if name == away else Scripted)(name, ["so"]) for name in ("small", "large")}
    router = Odds(**(odds or {"cheap": 0.5, "dear": 0.5}))
    parts = Parts(backends, {}, {"skills": router}, Recall(store))
    reply = await Engine(resolve, lambda _: parts, store).run(ask("anything", quality=quality, right=right))
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


# As WORTH, but seen so often that the shares are known to half a point.
KNOWN = {label: {**one, "seen": 5000} for label, one in WORTH.items()}


@pytest.mark.parametrize(
    ("right", "taken"), [(0.5, "cheap"), (0.89, "cheap"), (0.91, "dear"), (0.99, "dear")]
)
async def test_the_cheapest_route_that_is_right_so_often_is_taken(right: float, taken: str) -> None:
    for quality in (0.0, 1.0):
        span = await choice(a_graph(KNOWN), quality, right=right)
        assert (span.choice, span.right) == (taken, right)
        assert span.scores == pytest.approx({"cheap": 0.9, "dear": 0.98}, abs=0.01)


async def test_few_outcomes_promise_less() -> None:
    assert (await choice(a_graph(KNOWN), right=0.88)).choice == "cheap"
    few = await choice(a_graph(), right=0.88)
    assert few.choice == "dear" and few.scores["cheap"] < 0.85 and few.scores["dear"] > 0.93
    none = {label: {**one, "right": 1.0, "seen": 0} for label, one in WORTH.items()}
    assert (await choice(a_graph(none), right=0.75)).scores["cheap"] < 0.75


async def test_a_wanted_share_is_the_networks_unless_a_request_sets_a_dial() -> None:
    graph = a_graph(KNOWN, right=0.95, quality=0.1)
    usual = await choice(graph)
    assert (usual.choice, usual.right) == ("dear", 0.95)
    assert (await choice(graph, right=0.8)).choice == "cheap"
    rate = await choice(graph, 0.2)
    assert (rate.choice, rate.right) == ("cheap", None), "its own rate"
    assert (await choice(graph, 0.2, right=0.95)).choice == "dear", "a share takes the place of a rate"
    assert graph.id != a_graph(KNOWN, quality=0.1).id
    for wrong in (0, 1, -0.5):
        with pytest.raises(GraphError):
            a_graph(right=wrong)
        with pytest.raises(RequestError, match="no share"):
            await choice(graph, right=wrong)


async def test_what_fits_less_is_expected_to_be_right_less() -> None:
    assert (await choice(a_graph(KNOWN), right=0.7, cheap=0.45, dear=0.55)).choice == "cheap"
    assert (await choice(a_graph(KNOWN), right=0.7, cheap=0.4, dear=0.6)).choice == "dear"
    assert (await choice(a_graph(KNOWN), right=0.95, cheap=0.7, dear=0.3)).choice == "cheap", (
        "none, so the surest"
    )
    unsure = await choice(a_graph(KNOWN), right=0.001, cheap=0.05, dear=0.95)
    assert unsure.choice == "dear", "below `alternatives`"


async def test_a_load_may_make_the_cheapest_another_one() -> None:
    close = KNOWN | {"dear": {"right": 0.98, "seen": 5000, "cost": 1.5}}
    assert (await choice(a_graph(close), right=0.8)).choice == "cheap"
    assert (await choice(a_graph(close), right=0.8, away="small")).choice == "dear"


async def test_a_wanted_share_is_kept_with_the_request_and_told_in_the_trace() -> None:
    graph, store = a_graph(KNOWN), await open_store("memory:")

    async def resolve(request: object) -> Graph:
        return graph

    backends = {name: Scripted(name, ["so"]) for name in ("small", "large")}
    engine = Engine(resolve, lambda _: Parts(backends, {}, {"skills": Odds(cheap=0.5, dear=0.5)}), store)
    for right, taken in ((0.85, "cheap"), (0.95, "dear"), (0.99, "dear")):
        reply = await engine.run(ask("anything", right=right))
        again = await engine.replay(reply.run_id)
        assert reply.route == again.route, "a replay wants the same"
        told = "\n".join(waterfall(fold(await store.events(again.run_id))))
        why = "the surest, for none" if right == 0.99 else "the cheapest that"
        assert f"chose {taken}" in told and f"{why} is surely right in {right} of its answers: " in told


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
