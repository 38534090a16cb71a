"""Merging: of two that do alike work one stays, or one is trained that does both; and only where it is proven."""

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from tests.learning.test_cycle import answers, yes
from tests.learning.test_expand import OPS, TOOLS, WORDS, LearnedBench, passing, requests_for, traffic
from tests.learning.things import ABench, a_network
from tinyllm.backends.scripted import Scripted
from tinyllm.grading import node_of
from tinyllm.graph import Graph, RouterNode, Specialist, redirect
from tinyllm.learning.cycle import Learner
from tinyllm.learning.items import gather
from tinyllm.learning.lessons import Lesson, Lessons, study
from tinyllm.learning.merge import Merging
from tinyllm.learning.proposal import Findings, Proposal
from tinyllm.learning.specialist import train_reader, train_router
from tinyllm.protocols import Parts, Store
from tinyllm.store import open_store
from tinyllm.types import Prompt

ROUTES = {"one": {"to": "ann", "when": "first things"}, "two": {"to": "bob", "when": "second things"}}
FORGETS = "You forget much."
GROWN = ("letters", "reverse")


class Twins(ABench):
    """A guide sends every second place to each; who is told to forget answers only what has an even number."""

    def __init__(self) -> None:
        super().__init__(lambda model, question: "")

    def parts(self, graph: Graph) -> Parts:
        return Parts({name: Scripted(name, self.reply) for name in graph.models}, TOOLS)

    def reply(self, prompt: Prompt) -> str:
        number = int(prompt.messages[-1].content.split()[-1])
        system = prompt.messages[0].content
        if "route" in system:
            return '{"route": "%s"}' % ("one" if number % 3 else "two")
        return "nowhere" if FORGETS in system and number % 2 else f"at {number}"


def a_head(ann: str = "Be brief.", bob: str = "Be kind to all.", **changed: Any) -> Graph:
    nodes: dict[str, Any] = {
        "worker": {"kind": "router", "model": "guide", "routes": ROUTES},
        "ann": {"kind": "specialist", "model": "m", "prompt": "a", "next": "exit"},
        "bob": {"kind": "specialist", "model": "m", "prompt": "b", "next": "exit"},
    }
    for name, more in changed.pop("nodes", {}).items():
        nodes[name] = {**nodes.get(name, {}), **more}
    models = {name: {"backend": "ollama", "model": name, "parameters": 1000} for name in ("guide", "m")}
    prompts = {"a": {"text": ann}, "b": {"text": bob}}
    return a_network(nodes, models, prompts=prompts, **changed)


def word(number: int) -> str:
    """A word of its own for each number."""
    return WORDS[number % 10] + "".join(chr(ord("a") + int(digit)) for digit in str(number))


async def asked(head: Graph, count: int = 150) -> Store:
    store = await open_store("memory:")
    rows = [Lesson(query=f"where is the {word(n)} {n}", answer=f"at {n}") for n in range(count)]
    await study(Lessons("l", rows, ()), rows, Twins().engine(head, store).run, store)
    return store


async def proposed(head: Graph, count: int = 150) -> list[Proposal]:
    items = await gather(await asked(head, count))
    return list(await Merging(OPS, Twins(), answers)(Findings(head, items, [])))


async def test_of_two_prompts_the_better_one_stays_and_a_router_without_choice_goes() -> None:
    (made,) = await proposed(a_head(bob=FORGETS))
    assert (made.edit, made.node, made.saves) == ("merge", "bob", True)
    assert "ann may do the work of bob: of 25 requests" in made.reason
    assert sorted(made.graph.nodes) == ["ann", "entry", "exit"]
    assert made.graph.nodes["ann"] == a_head().nodes["ann"]
    (made,) = await proposed(a_head(ann=FORGETS))
    assert made.node == "ann" and sorted(made.graph.nodes) == ["bob", "entry", "exit"]


async def test_where_a_choice_is_left_the_router_keeps_it() -> None:
    routes = {**ROUTES, "rest": {"to": "other"}}
    other = {"kind": "specialist", "model": "guide", "next": "exit", "simpler": "bob"}
    (made,) = await proposed(a_head(nodes={"worker": {"routes": routes}, "other": other}))
    router, last = made.graph.nodes["worker"], made.graph.nodes["other"]
    assert isinstance(router, RouterNode) and isinstance(last, Specialist)
    assert {label: (way.to, way.when) for label, way in router.routes.items()} == {
        "one": ("ann", "first things; or second things"),
        "rest": ("other", ""),
    }
    assert last.simpler == "ann", "what leant on the one that goes leans on the one that stays"


@pytest.mark.parametrize(
    "changed",
    [
        {"bob": {"tools": ["calculator"]}},
        {"bob": {"model": "guide"}},
        {"bob": {"next": "gate"}, "gate": {"kind": "gate", "checks": [{"check": "schema"}], "next": "exit"}},
    ],
)
async def test_those_that_differ_in_more_than_a_prompt_are_no_twins(changed: dict[str, Any]) -> None:
    assert await proposed(a_head(nodes=changed)) == []


async def test_what_would_lose_too_much_or_was_seen_too_little_is_not_proposed() -> None:
    assert await proposed(a_head(ann="Forget nothing.", bob=FORGETS), 50) == [], "bob had 17 requests"
    assert await proposed(a_head(protected=["bob"])) == []


async def test_a_merger_is_proven_and_adopted_where_nothing_fails() -> None:
    head = a_head(learning={"gain": 0.2})
    store = await asked(head, 240)
    learner = Learner(store, head, Twins(), [], answers, yes, savers=[Merging(OPS, Twins(), answers)])
    report = await learner.cycle()
    assert report.failed == 0
    assert [version.edit for version in await store.versions("net")] == ["file", "merge"]
    (trial,) = await store.trials("net")
    assert trial.evidence["confirm"]["cost_after"] < trial.evidence["confirm"]["cost_before"]


OLD = {"add": "adder", "letters": "letters", "reverse": "reverse"}


def three_readers(bench: LearnedBench) -> Graph:
    """A network that adds, and two grown readers with the same tool."""
    asked = {op: requests_for(op, 24) for op in (*OLD, "refuse")}
    calls = {"add": "add n0 n1", "letters": "letters w0", "reverse": "reverse w0"}
    files = {
        "grown": train_router(
            {"as-before": [*asked["add"], *asked["refuse"]], **{op: asked[op] for op in GROWN}}
        ),
        **{
            OLD[op]: train_reader([(slots, call) for slots in asked[op]], asked["refuse"], OPS)
            for op, call in calls.items()
        },
    }
    for made in files.values():
        (bench.folder / made.sha256).write_bytes(made.data)
    routes = {"as-before": {"to": "worker"}, **{op: {"to": op} for op in GROWN}}
    young = {"kind": "specialist", "tools": ["text"], "next": "exit", "simpler": "worker"}
    nodes = {
        "entry": {"kind": "entry", "next": "grown"},
        "grown": {"kind": "router", "model": "grown", "routes": routes, "otherwise": "worker"},
        **{op: {**young, "model": op} for op in GROWN},
        "worker": {"kind": "specialist", "model": "adder", "tools": ["calculator"], "next": "exit"},
    }
    kind = {name: "router" if name == "grown" else "reader" for name in files}
    models = {
        name: {"backend": "learned", "model": f"{kind[name]}-{made.sha256}", "parameters": made.parameters}
        for name, made in files.items()
    }
    return a_network(nodes, models)


async def test_of_two_readers_one_is_trained_that_does_the_work_of_both(tmp_path: Path) -> None:
    bench = LearnedBench(tmp_path)
    head = three_readers(bench)
    items = await traffic(bench, head, "add", "letters", "reverse", "refuse", count=24)
    assert passing(items) == 1.0
    (made,) = await Merging(OPS, bench, answers)(Findings(head, items, []))
    assert (made.edit, made.node, made.saves) == ("merge", "reverse", True) and made.cost.macs > 0
    assert "reverse" not in made.graph.nodes and "reverse" not in made.graph.models
    assert made.graph.nodes["worker"] == head.nodes["worker"]
    assert made.graph.models["adder"] == head.models["adder"]
    router = made.graph.nodes["grown"]
    assert isinstance(router, RouterNode) and list(router.routes) == ["as-before", "letters"]
    async with bench.open(made.graph, made.files):
        pass
    after = await traffic(bench, made.graph, "add", "letters", "reverse", "refuse", count=30)
    assert passing(after) > 0.95
    assert {node_of(item.trace) for item in after if item.request.text.startswith("write")} == {"letters"}
    costs = [fmean(item.trace.cost.macs for item in each[:24]) for each in (items, after)]
    assert costs[1] < costs[0], "the router has a route less to weigh for all that it sends past them"


def test_redirected_ways_lead_elsewhere_and_never_back_to_themselves() -> None:
    nodes = {
        "worker": {"kind": "specialist", "model": "m", "next": ["left", "right"], "simpler": "left"},
        "left": {"kind": "specialist", "model": "m", "next": "gate", "larger": "right"},
        "right": {"kind": "specialist", "model": "m", "next": "gate"},
        "gate": {"kind": "gate", "checks": [{"check": "schema"}], "retry": {"to": "right"}, "next": "exit"},
    }
    graph = a_network(nodes, {"m": {"backend": "ollama"}})
    moved = {
        name: spec.model_dump(exclude_defaults=True)
        for name, spec in redirect(graph, "right", "left").items()
    }
    assert moved["worker"]["next"] == "left" and "larger" not in moved["left"]
    assert moved["gate"]["retry"]["to"] == "left" and moved.keys() == {"worker", "left", "gate"}
