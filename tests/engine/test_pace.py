"""A budget over a period: spending follows it, never runs far ahead, and is used where it can be."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.engine.test_engine import Odds, ask
from tinyllm.backends.pricing import Rates
from tinyllm.backends.scripted import Scripted
from tinyllm.engine import Engine, fold
from tinyllm.errors import GraphError
from tinyllm.graph import Graph, parse
from tinyllm.protocols import Parts, Store
from tinyllm.store import open_store
from tinyllm.types import Request

DAY = 86_400.0
MIDNIGHT = 20_000 * DAY
BUDGET = 100.0
# Right nine times in ten and free, or nearly always and for one unit of money, which is a thousand operations.
WORTH = {
    "cheap": {"right": 0.9, "seen": 50, "cost": 0.0},
    "dear": {"right": 0.98, "seen": 50, "cost": 1.0},
}


class Clock:
    def __init__(self) -> None:
        self.time = MIDNIGHT

    def __call__(self) -> float:
        return self.time


class World:
    """One network in front of a free and a dear model, at a time that a test sets."""

    def __init__(self, store: Store, clock: Clock, pace: Mapping[str, Any], *, paced: bool = True) -> None:
        self.store, self.clock = store, clock
        nodes = {
            "entry": {"kind": "entry", "next": "choose"},
            "choose": {
                "kind": "router",
                "model": "skills",
                "routes": {"cheap": {"to": "small"}, "dear": {"to": "large"}},
                "worth": WORTH,
            },
            "small": {"kind": "specialist", "model": "small", "next": "exit"},
            "large": {"kind": "specialist", "model": "large", "next": "exit"},
            "exit": {"kind": "exit"},
        }
        models = {"skills": {"backend": "builtin"}, "small": {"backend": "s"}, "large": {"backend": "s"}}
        whole = {"schema": 1, "name": "two", "models": models, "nodes": nodes, "pace": pace}
        graph = parse(json.dumps(whole))
        dear = Rates(price_out=1e6, parameters=1000)
        backends = {"small": Scripted("small", ["so"]), "large": Scripted("large", ["so"], dear)}
        parts = Parts(backends, {}, {"skills": Odds(cheap=0.5, dear=0.5)})

        async def resolve(request: Request) -> Graph:
            return graph

        self.engine = Engine(resolve, lambda _: parts, store, paced=paced, now=clock)

    async def ask(self, **fields: Any) -> str:
        """The route that a request took."""
        reply = await self.engine.run(ask("anything", **fields))
        return reply.route[-2]

    async def spent(self, since: float = MIDNIGHT) -> float:
        return (await self.store.usage(since=since)).cost.money


async def a_world(pace: Mapping[str, Any] | None = None, *, paced: bool = True) -> World:
    clock = Clock()
    store = await open_store("memory:", now=clock)
    return World(store, clock, pace or {"money": BUDGET}, paced=paced)


async def test_spending_follows_the_day_and_the_budget_is_used() -> None:
    world = await a_world()
    for second in range(0, int(DAY), 216):
        world.clock.time = MIDNIGHT + second
        await world.ask()
        due = BUDGET * second / DAY
        assert due - 0.1 * BUDGET - 1 <= await world.spent() <= due + 0.1 * BUDGET + 1
    assert 0.9 * BUDGET <= await world.spent() <= BUDGET + 1


async def test_a_rush_spends_a_tenth_ahead_and_no_more() -> None:
    world = await a_world()
    world.clock.time += DAY / 2
    routes = [await world.ask(quality=1.0) for _ in range(80)]
    assert routes[:60] == ["large"] * 60 and set(routes[61:]) == {"small"}
    world.clock.time += DAY / 4
    assert await world.ask(quality=1.0) == "large", "time has passed"


async def test_a_wanted_share_is_reached_as_long_as_the_budget_lasts() -> None:
    world = await a_world()
    world.clock.time += DAY / 2
    routes = [await world.ask(right=0.85) for _ in range(5)]
    assert routes == ["large"] * 5, "fifty outcomes promise no more than 0.84 of the cheap one"
    assert {await world.ask(right=0.8) for _ in range(5)} == {"small"}, (
        "what is enough is bought, and no more"
    )
    for _ in range(52):
        await world.ask(quality=1.0)
    assert (await world.ask(), await world.ask(right=0.85)) == ("small", "large"), "ahead of what is due"
    routes = [await world.ask(right=0.85) for _ in range(10)]
    assert set(routes[3:]) == {"small"}, "a tenth ahead of it"


async def test_the_budget_is_passed_by_what_is_under_way_at_most() -> None:
    world = await a_world({"money": 10.0})
    world.clock.time = MIDNIGHT + DAY - 1
    for _ in range(5):
        await asyncio.gather(*(world.ask() for _ in range(4)))
    assert 10.0 <= await world.spent() <= 10.0 + 4


async def test_what_was_left_in_the_morning_buys_quality_in_the_evening() -> None:
    world = await a_world()
    world.clock.time += 0.9 * DAY
    assert {await world.ask() for _ in range(50)} == {"large"}
    world.clock.time = MIDNIGHT + DAY
    assert await world.ask() == "large", "a day begins in the middle of the dial"
    for _ in range(9):
        await world.ask()
    assert await world.ask() == "small", "and with a new budget, of which little is due"


async def test_what_others_spent_counts_and_so_does_what_was_spent_before_a_restart() -> None:
    world = await a_world()
    world.clock.time += DAY / 2
    for _ in range(61):
        await world.ask(quality=1.0)
    again = World(world.store, world.clock, {"money": BUDGET})
    assert await again.ask(quality=1.0) == "small"
    world.clock.time += 0.1 * DAY
    assert await world.ask(quality=1.0) == "large"
    for _ in range(15):
        await again.ask(quality=1.0)
    world.clock.time += 31
    routes = [await world.ask(quality=1.0) for _ in range(3)]
    assert routes[1:] == ["small", "small"], "the other one has spent what was due"


async def test_each_tenant_has_a_budget_of_its_own() -> None:
    world = await a_world()
    world.clock.time += DAY / 2
    for _ in range(61):
        await world.ask(quality=1.0)
    assert await world.ask(quality=1.0) == "small"
    assert await world.ask(quality=1.0, tenant="other") == "large"


async def test_operations_are_paced_like_money() -> None:
    world = await a_world({"operations": 100_000, "per": "hour"})
    world.clock.time += 1800
    routes = [await world.ask(quality=1.0) for _ in range(100)]
    dear = routes.count("large")
    macs = (await world.store.usage()).cost.macs
    assert set(routes[dear:]) == {"small"} and 60_000 <= macs < 60_000 + 2 * macs / dear


async def test_the_trace_says_how_the_budget_stands() -> None:
    world = await a_world({"money": 70.0, "per": "week"})
    world.clock.time = MIDNIGHT - 20_000 % 7 * DAY + 4 * DAY + DAY / 2  # noon of a Monday
    reply = await world.engine.run(ask("anything"))
    (span,) = (s for s in fold(await world.store.events(reply.run_id)).spans if s.node == "choose")
    assert span.pace == {"spent": 0.0, "due": pytest.approx(5.0), "budget": 70.0}


async def test_where_changes_are_tried_no_budget_is_heeded() -> None:
    world = await a_world(paced=False)
    assert {await world.ask(quality=1.0) for _ in range(40)} == {"large"}


@pytest.mark.parametrize(
    "pace", [{}, {"money": 1, "operations": 1}, {"money": 0}, {"money": 1, "per": "year"}]
)
def test_a_pace_that_cannot_be_kept_is_refused(pace: Mapping[str, Any]) -> None:
    with pytest.raises(GraphError, match="pace"):
        nodes = {"a": {"kind": "entry", "next": "b"}, "b": {"kind": "exit"}}
        parse(json.dumps({"schema": 1, "name": "n", "nodes": nodes, "pace": pace}))
