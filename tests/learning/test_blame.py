"""Blame lies with the node whose other choice repairs the answer, and with nobody where none does."""

from dataclasses import replace

import pytest

from tests.learning.runs import Workbench, an_item, right, says
from tests.learning.things import a_network
from tinyllm.backends.scripted import Answer
from tinyllm.graph import Graph
from tinyllm.learning.blame import Blame, blame, changes
from tinyllm.learning.failures import failures
from tinyllm.learning.items import Item
from tinyllm.types import Prompt, Trace

NAMES = ("area", "science", "trade", "physicist", "chemist", "broker", "clerk")


def two_routers() -> Graph:
    """A router of areas before routers of experts, and a gate."""
    routers = {
        "area": {"science": {"to": "science"}, "trade": {"to": "trade"}},
        "science": {"physics": {"to": "physicist"}, "chemistry": {"to": "chemist"}},
        "trade": {"shares": {"to": "broker"}, "tax": {"to": "clerk"}},
    }
    nodes = {
        "worker": {"kind": "router", "model": "area", "routes": routers["area"]},
        **{n: {"kind": "router", "model": n, "routes": routers[n]} for n in ("science", "trade")},
        **{n: {"kind": "specialist", "model": n, "next": "gate"} for n in NAMES[3:]},
        "gate": {"kind": "gate", "checks": [{"check": "schema"}], "next": "exit"},
    }
    return a_network(nodes, {name: {"backend": "scripted"} for name in NAMES})


def experts(knowing: str, *, area: str = "science", science: str = "physics") -> Workbench:
    """Of the experts one knows the answer to everything."""

    def expert(name: str) -> str:
        return "forty-two" if name == knowing else "no idea"

    routes = {"area": area, "science": science, "trade": "shares"}
    scripts = {name: says(route) for name, route in routes.items()}
    return Workbench(scripts | {name: says(expert(name)) for name in NAMES[3:]})


async def blamed(bench: Workbench, graph: Graph) -> Blame:
    item = await an_item(bench, graph, "a question", "forty-two")
    return await blame(failures([item]), graph, bench, right)


@pytest.mark.parametrize(
    ("knowing", "node", "choice"), [("chemist", "science", "chemistry"), ("broker", "worker", "trade")]
)
async def test_of_two_routers_the_one_at_fault_is_found(knowing: str, node: str, choice: str) -> None:
    told = await blamed(experts(knowing), two_routers())
    (found,) = told.failures
    assert (found.kind, found.node, found.settled) == ("misroute", node, True)
    assert f"with {choice!r} the answer is right" in found.why
    assert (told.repaired, told.beyond, told.settled) == (1, 0, 1.0)


async def test_what_no_single_choice_repairs_is_the_nodes_own_failure() -> None:
    told = await blamed(experts("clerk"), two_routers())
    (found,) = told.failures
    assert (found.kind, found.node, found.settled) == ("wrong answer", "physicist", True)
    assert "no other choice" in found.why
    # Once as it was, then the other route of each of the two routers on its way, then the gate turned around.
    assert (told.beyond, told.repaired, told.runs) == (1, 0, 4)


async def test_a_gate_that_turns_a_right_answer_away_is_found_where_no_words_tell() -> None:
    shape = {"check": "schema", "json_schema": {"type": "number"}}
    nodes = {
        "worker": {"kind": "specialist", "model": "m", "next": "gate"},
        "gate": {"kind": "gate", "checks": [shape], "next": "exit"},
    }
    graph = a_network(nodes, {"m": {"backend": "scripted"}})
    bench = Workbench({"m": says("perhaps forty-two or so")})

    async def lenient(item: Item, trace: Trace) -> bool | None:
        return "forty-two" in trace.answer

    item = await an_item(bench, graph, "how many", "forty-two")
    told = await blame(failures([item]), graph, bench, lenient)
    (found,) = told.failures
    assert (found.kind, found.node) == ("refused what it could do", "gate")
    assert "turned the answer away" in found.why


async def test_a_gate_that_lets_a_wrong_answer_through_is_found_where_recovery_knows_better() -> None:
    nodes = {
        "worker": {"kind": "specialist", "model": "small", "next": "gate", "larger": "expert"},
        "expert": {"kind": "specialist", "model": "large", "next": "gate"},
        "gate": {"kind": "gate", "checks": [{"check": "schema"}], "next": "exit"},
    }
    graph = a_network(nodes, {"small": {"backend": "scripted"}, "large": {"backend": "scripted"}})
    bench = Workbench({"small": says("no idea"), "large": says("forty-two")})
    told = await blamed(bench, graph)
    # Forced to fail, the gate fails the expert's answer too: nothing gets through it.
    assert told.failures[0].node == "worker" and told.beyond == 1


async def test_a_route_that_was_not_known_may_have_been_the_right_one() -> None:
    nodes = {
        "worker": {
            "kind": "router",
            "model": "area",
            "routes": {"known": {"to": "sage"}},
            "otherwise": "clerk",
        },
        "sage": {"kind": "specialist", "model": "sage", "next": "exit"},
        "clerk": {"kind": "specialist", "model": "clerk", "next": "exit"},
    }
    graph = a_network(nodes, {name: {"backend": "scripted"} for name in ("area", "sage", "clerk")})
    bench = Workbench({"area": says("nonsense"), "sage": says("forty-two"), "clerk": says("no idea")})
    told = await blamed(bench, graph)
    assert (told.failures[0].kind, told.failures[0].node) == ("misroute", "worker")
    assert "it knew no route" in told.failures[0].why


async def test_what_goes_right_when_asked_again_is_nobodys_fault() -> None:
    graph, moods = two_routers(), iter(["no idea", *["forty-two"] * 9])
    bench = experts("nobody")
    bench.scripts = {**bench.scripts, "physicist": lambda prompt: next(moods)}
    told = await blamed(bench, graph)
    assert (told.healed, told.runs, told.settled) == (1, 1, 0.0)
    assert not told.failures[0].settled


async def test_where_nobody_can_judge_nothing_is_settled() -> None:
    bench, graph = experts("chemist"), two_routers()
    item = await an_item(bench, graph, "a question", "forty-two")

    async def nobody(item: Item, trace: Trace) -> bool | None:
        return None

    async def unsure(item: Item, trace: Trace) -> bool | None:
        return None if trace.answer == "forty-two" else False

    for judge, runs in ((nobody, 1), (unsure, 4)):
        told = await blame(failures([item]), graph, bench, judge)
        assert (told.untold, told.runs, told.settled) == (1, runs, 0.0)
        assert told.failures == failures([item])


async def test_replays_keep_seed_clock_and_what_was_forced() -> None:
    bench, graph, seen = experts("chemist"), two_routers(), list[Prompt]()
    item = await an_item(bench, graph, "a question", "forty-two", forced={"worker": "science"})
    item = replace(item, request=replace(item.request, forced={**item.request.forced, "gone": "x"}))
    chemist = bench.scripts["chemist"]

    def watched(prompt: Prompt) -> Answer | str:
        seen.append(prompt)
        return chemist(prompt)

    bench.scripts = {**bench.scripts, "chemist": watched}
    told = await blame(failures([item]), graph, bench, right)
    assert told.failures[0].node == "science"
    assert [prompt.sampling.seed for prompt in seen] == [item.request.seed]


async def test_runs_are_limited_spread_over_kinds_and_the_same_for_a_seed() -> None:
    bench, graph = experts("chemist"), two_routers()
    items = [await an_item(bench, graph, f"question {'x' * at}", "forty-two") for at in range(30)]
    other = experts("chemist", science="chemistry")
    other.scripts = {**other.scripts, "chemist": says(" ")}
    items += [await an_item(other, graph, f"other {'x' * at}", "forty-two") for at in range(2)]
    named = failures(items)
    assert [named[-1].kind, named[0].kind] == ["malformed output", "wrong answer"]
    progress: list[tuple[int, int]] = []
    told = await blame(named, graph, bench, right, most=20, seed=4, progress=lambda *at: progress.append(at))
    replayed = [at for at, (a, b) in enumerate(zip(named, told.failures, strict=True)) if a != b]
    assert told.runs <= 20 and told.skipped == 32 - told.repaired > 0
    assert {30, 31} < set(replayed), "the rare kind has its turn"
    assert progress[-1] == (told.runs, 20)
    again = await blame(named, graph, bench, right, most=20, seed=4)
    assert again == told
    another = await blame(named, graph, bench, right, most=20, seed=5)
    assert replayed != [at for at, (a, b) in enumerate(zip(named, another.failures, strict=True)) if a != b]


async def test_what_is_settled_or_had_no_choice_is_not_replayed() -> None:
    graph = a_network(
        {"worker": {"kind": "specialist", "model": "m", "next": "exit"}}, {"m": {"backend": "s"}}
    )
    bench = Workbench({"m": says("no idea")})
    item = await an_item(bench, graph, "a question", "forty-two")
    assert changes(item.trace, graph) == []
    told = await blame(failures([item]), graph, bench, right)
    assert (told.runs, told.settled, list(told.failures)) == (0, None, failures([item]))
    bench = experts("chemist")
    item = await an_item(bench, two_routers(), "a question", "forty-two")
    proven = [replace(failure, settled=True) for failure in failures([item])]
    assert (await blame(proven, two_routers(), bench, right)).runs == 0
