"""Routers learn what their routes are worth, and the dial decides what that is worth at their price."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.engine.test_engine import Odds
from tests.learning.things import ABench, a_network
from tinyllm.backends.pricing import Rates
from tinyllm.backends.scripted import Scripted
from tinyllm.grading.reference import against
from tinyllm.graph import Graph, RouterNode
from tinyllm.learning.cycle import Learner
from tinyllm.learning.items import Item, gather
from tinyllm.learning.lessons import Lesson, Lessons, study
from tinyllm.learning.proposal import Findings, Proposal
from tinyllm.learning.trial import Verdict
from tinyllm.learning.weights import Weights
from tinyllm.protocols import Parts, Store
from tinyllm.store import open_store
from tinyllm.types import Trace

MODELS = {"skills": {"backend": "builtin"}, "small": {"backend": "s"}, "large": {"backend": "s"}}
NODES = {
    "worker": {
        "kind": "router",
        "model": "skills",
        "routes": {"cheap": {"to": "one"}, "dear": {"to": "two"}},
    },
    "one": {"kind": "specialist", "model": "small", "next": "exit"},
    "two": {"kind": "specialist", "model": "large", "next": "exit"},
}
ROWS = [
    Lesson(query=f"where is the {first}{second} kept", answer=f"{first}{second}")
    for first in (
        "am",
        "br",
        "cel",
        "dor",
        "en",
        "fal",
        "gor",
        "hul",
        "ir",
        "jas",
        "kel",
        "lum",
        "mor",
        "nat",
    )
    for second in ("ba", "ca", "do", "fi", "gu", "ha", "ki", "lo", "mu", "ne", "po", "ra", "si", "tu")
]


class TwoModels(ABench):
    """A cheap model and one ten times as large; `knows` tells which model answers which question rightly."""

    price = 0.0  # of a million parameters and tokens

    def __init__(self, knows: Callable[[str, int], bool], cheap: float) -> None:
        self.number = {row.query: number for number, row in enumerate(ROWS)}
        self.odds = Odds(cheap=cheap, dear=1 - cheap)

        def said(model: str, question: str) -> str:
            return question.split()[3] if knows(model, self.number[question]) else "nowhere"

        super().__init__(said)

    def parts(self, graph: Graph) -> Parts:
        def script(model: str, parameters: int) -> Scripted:
            return Scripted(
                model,
                lambda prompt: self.said(model, prompt.messages[-1].content),
                Rates(parameters=parameters, price_out=self.price * parameters),
            )

        return Parts(
            {"small": script("small", 100), "large": script("large", 1000)}, {}, {"skills": self.odds}
        )


def nine_in_ten(model: str, number: int) -> bool:
    return model == "large" or number % 10 != 0


async def right(item: Item, trace: Trace) -> bool | None:
    return against(trace, item.reference).score == 1.0


async def taught(bench: TwoModels, graph: Graph, rows: int = len(ROWS)) -> Store:
    store = await open_store("memory:")
    await study(Lessons("l", ROWS, ()), ROWS[:rows], bench.engine(graph, store).run, store)
    return store


async def proposed(bench: TwoModels, graph: Graph, rows: int = 100) -> list[Proposal]:
    items = await gather(await taught(bench, graph, rows))
    return list(await Weights(bench, right)(Findings(graph, items, [])))


def worth(graph: Graph) -> dict[str, tuple[float, float]]:
    router = graph.nodes["worker"]
    assert isinstance(router, RouterNode)
    return {label: (one.right, one.cost) for label, one in router.worth.items()}


async def test_what_routes_are_worth_is_counted_also_where_they_are_never_taken() -> None:
    graph = a_network(NODES, MODELS, quality=0.2, learning={"gain": 0.2})
    (proposal,) = await proposed(TwoModels(nine_in_ten, cheap=0.45), graph)
    assert (proposal.edit, proposal.node, proposal.saves) == ("weights", "worker", True)
    found = worth(proposal.graph)
    assert found["cheap"][0] == pytest.approx(0.9, abs=0.06) and found["dear"][0] > 0.98
    assert found["dear"][1] == pytest.approx(10 * found["cheap"][1])
    assert proposal.cost.macs > 0, "asking again has its price"
    assert "cheap 9" in proposal.reason


async def test_all_that_was_asked_another_way_is_counted_also_where_nobody_can_judge_it() -> None:
    graph = a_network(NODES, MODELS, quality=0.2, learning={"gain": 0.2})
    bench = TwoModels(nine_in_ten, cheap=0.45)
    bench.price = 1.0
    items = await gather(await taught(bench, graph, 100))

    async def sometimes(item: Item, trace: Trace) -> bool | None:
        return await right(item, trace) if bench.number[item.request.text] % 2 else None

    (proposal,) = await Weights(bench, sometimes)(Findings(graph, items, []))
    cost = proposal.cost
    assert proposal.asked == 100 and cost.macs >= 100 * (cost.tokens_in + cost.tokens_out) > 0
    assert cost.money == pytest.approx(100 * cost.tokens_out / 1e6) and cost.money > 0


async def test_poor_outcomes_move_the_choice_to_the_other_route() -> None:
    graph = a_network(NODES, MODELS)
    bench = TwoModels(lambda model, number: model == "large" or number % 2 == 0, cheap=0.6)
    (proposal,) = await proposed(bench, graph)
    assert not proposal.saves
    assert worth(proposal.graph)["cheap"][0] == pytest.approx(0.5, abs=0.1)
    assert await proposed(bench, proposal.graph) == [], "the choice has moved, nothing is left to gain"


async def test_numbers_that_change_nothing_are_not_proposed() -> None:
    assert await proposed(TwoModels(nine_in_ten, cheap=0.4), a_network(NODES, MODELS, quality=1.0)) == []
    assert await proposed(TwoModels(nine_in_ten, cheap=0.98), a_network(NODES, MODELS)) == []
    assert await proposed(TwoModels(nine_in_ten, cheap=0.4), a_network(NODES, MODELS), rows=0) == []


async def test_a_wanted_share_decides_which_numbers_are_proposed() -> None:
    learning = {"gain": 0.2}
    dear = TwoModels(nine_in_ten, cheap=0.45)
    (proposal,) = await proposed(dear, a_network(NODES, MODELS, right=0.7, learning=learning))
    assert proposal.saves, "the cheap one is enough"
    assert await proposed(dear, a_network(NODES, MODELS, right=0.93, learning=learning)) == [], "it is not"


async def test_a_loss_that_no_trial_would_pass_is_not_proposed() -> None:
    poor = TwoModels(lambda model, number: model == "large" or number % 2 == 0, cheap=0.45)
    assert await proposed(poor, a_network(NODES, MODELS, quality=0.0)) == []


async def test_old_outcomes_count_less() -> None:
    graph = a_network(NODES, MODELS)
    bench = TwoModels(lambda model, number: model == "large" or number < 50, cheap=0.6)
    items = await gather(await taught(bench, graph, 100))

    def asked(item: Item, clock: float) -> Item:
        return replace(item, request=replace(item.request, clock=clock))

    year = 365 * 86400.0
    aged = [asked(item, 1e9 + (year if bench.number[item.request.text] >= 50 else 0)) for item in items]
    shares = []
    for seen in (items, aged):
        (proposal,) = await Weights(bench, right)(Findings(graph, seen, []))
        shares.append(worth(proposal.graph)["cheap"][0])
    assert shares[0] == pytest.approx(0.5, abs=0.1) and shares[1] < 0.1


async def yes(proposal: Proposal, verdict: Verdict) -> bool:
    return True


async def cycled(bench: TwoModels, graph: Graph) -> Store:
    store = await taught(bench, graph)
    await Learner(store, graph, bench, [Weights(bench, right)], right, yes).cycle()
    return store


async def test_a_cycle_proves_and_adopts_what_is_right_more_often() -> None:
    bench = TwoModels(lambda model, number: model == "large" or number % 2 == 0, cheap=0.6)
    graph = a_network(NODES, MODELS)
    store = await cycled(bench, graph)
    assert [version.edit for version in await store.versions("net")] == ["file", "weights"]


async def test_a_cycle_adopts_what_saves_and_is_right_as_often() -> None:
    bench = TwoModels(lambda model, number: number % 10 != 0, cheap=0.45)
    graph = a_network(NODES, MODELS, quality=0.2, learning={"failing": 0.05, "gain": 0.2})
    store = await cycled(bench, graph)
    assert [version.edit for version in await store.versions("net")] == ["file", "weights"]
    (trial,) = await store.trials("net")
    assert trial.evidence["made"]["asked"] > 0 and trial.evidence["made"]["cost"]["macs"] > 0
    confirm = trial.evidence["confirm"]
    assert confirm["cost_after"] < confirm["cost_before"] / 5
