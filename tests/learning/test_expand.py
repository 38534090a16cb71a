"""Growth by specialists: from failed requests with right answers to a network that answers their like."""

import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from tinyllm.backends.reader import LinearBackend, LinearReader, LinearRouter, vector
from tinyllm.engine import Engine, fold
from tinyllm.grading import REFUSED, node_of
from tinyllm.grading.reference import against
from tinyllm.graph import Graph, parse
from tinyllm.graph.spec import RouterNode, Specialist
from tinyllm.learning.clusters import clusters
from tinyllm.learning.expand import Expansion
from tinyllm.learning.items import Item, group_of
from tinyllm.learning.proposal import Ask, Cluster, Findings, Proposal
from tinyllm.learning.specialist import Trained, train_reader, train_router
from tinyllm.protocols import Parts, Tool
from tinyllm.routing import from_bytes
from tinyllm.slots import REFUSE, Op, Slots, find
from tinyllm.store import open_store
from tinyllm.tools.calculator import Calculator
from tinyllm.tools.text import Text
from tinyllm.types import Grade, Message, Request, Trace

OPS = {
    one.name: one
    for one in (
        Op("add", ("n", "n"), "calculator", {"expression": "{0} + {1}"}, symmetric=True),
        Op("gcd", ("n", "n"), "calculator", {"expression": "gcd({0}, {1})"}, symmetric=True),
        Op("letters", ("w",), "text", {"operation": "letters", "text": "{0}"}),
        Op("reverse", ("w",), "text", {"operation": "reverse", "text": "{0}"}),
        Op(REFUSE),
    )
}
TOOLS: Mapping[str, Tool] = {"calculator": Calculator(), "text": Text()}
WORDS = "garden window bridge planet silver orange kitchen mountain dragon castle".split()  # noqa: SIM905
ASKED = {
    "add": "the sum of {a} and {b}",
    "letters": 'how many letters are in "{w}"',
    "reverse": 'write "{w}" backwards',
    "gcd": "what divides both {a} and {b} at most",
    REFUSE: "who won the {w} cup of {a}",
    "french": 'write "{w}" in french',
}


def ask_for(op: str, number: int) -> str:
    return ASKED[op].format(a=number + 11, b=2 * number + 5, w=WORDS[number % len(WORDS)])


def right_answer(op: str, number: int) -> str:
    word = WORDS[number % len(WORDS)]
    return {
        "add": str(3 * number + 16),
        "gcd": str(math.gcd(number + 11, 2 * number + 5)),
        "letters": str(len(word)),
        "reverse": word[::-1],
        REFUSE: REFUSED,
        "french": REFUSED,
    }[op]


def requests_for(op: str, count: int = 12) -> list[Slots]:
    return [find(ask_for(op, number)) for number in range(count)]


@dataclass
class LearnedBench:
    """Runs graphs whose models are learned files."""

    folder: Path

    def effective(self, graph: Graph) -> Graph:
        return graph

    @asynccontextmanager
    async def open(self, graph: Graph, files: Mapping[str, bytes]) -> AsyncIterator[Ask]:
        for sha256, data in files.items():
            (self.folder / sha256).write_bytes(data)
        path = {name: self.folder / model.model.partition("-")[2] for name, model in graph.models.items()}
        kinds = {name: model.model.partition("-")[0] for name, model in graph.models.items()}
        parts = Parts(
            {name: LinearBackend(name, path[name], OPS) for name in path if kinds[name] == "reader"},
            TOOLS,
            {name: LinearRouter(path[name]) for name in path if kinds[name] == "router"},
        )
        store = await open_store("memory:")

        async def resolve(request: Request) -> Graph:
            return graph

        engine = Engine(resolve, lambda _: parts, store)

        async def ask(request: Request) -> Trace:
            return fold(await store.events((await engine.run(request)).run_id))

        yield ask


def day_one(bench: LearnedBench) -> Graph:
    """A network that adds, and refuses everything else."""
    calls = [(slots, "add n0 n1") for slots in requests_for("add")]
    trained = train_reader(calls, requests_for(REFUSE), OPS)
    (bench.folder / trained.sha256).write_bytes(trained.data)
    worker = {"kind": "specialist", "model": "adder", "tools": ["calculator"], "next": "exit"}
    model = {"backend": "learned", "model": f"reader-{trained.sha256}"}
    nodes = {"entry": {"kind": "entry", "next": "worker"}, "worker": worker, "exit": {"kind": "exit"}}
    whole = {"schema": 1, "name": "net", "models": {"adder": model}, "nodes": nodes}
    return parse(json.dumps(whole), tools=["calculator"])


async def traffic(bench: LearnedBench, head: Graph, *ops: str, count: int = 12) -> list[Item]:
    items = []
    async with bench.open(head, {}) as ask:
        for op in ops:
            for number in range(count):
                text, reference = ask_for(op, number), right_answer(op, number)
                request = Request((Message("user", text),), seed=1, clock=0.0)
                trace = await ask(request)
                score = against(trace, reference).score
                grade = Grade(trace.run_id, "reference", "t", score, reference=reference)
                items.append(Item(request, trace, grade, group_of(text)))
    return items


async def grow(head: Graph, items: Sequence[Item]) -> Sequence[Proposal]:
    worth = [cluster for cluster in clusters(items) if cluster.failing > 0.2]
    return await Expansion(OPS, TOOLS)(Findings(head, items, worth))


def passing(items: Sequence[Item]) -> float:
    return sum(item.passed for item in items) / len(items)


@pytest.fixture
def bench(tmp_path: Path) -> LearnedBench:
    return LearnedBench(tmp_path)


async def test_what_failed_is_answered_and_what_was_answered_still_is(bench: LearnedBench) -> None:
    head = day_one(bench)
    items = await traffic(bench, head, "add", REFUSE, "letters", "reverse")
    assert passing(items) == 0.5
    (proposal,) = await grow(head, items)
    assert (proposal.edit, proposal.node) == ("expand", "worker") and proposal.cost.macs > 0
    assert "24 failed requests" in proposal.reason and "text (letters, reverse)" in proposal.reason
    grown = proposal.graph
    assert grown.nodes["worker"] == head.nodes["worker"] and grown.models["adder"] == head.models["adder"]
    router, specialist = grown.nodes["grown"], grown.nodes["grown-text"]
    assert isinstance(router, RouterNode) and isinstance(specialist, Specialist)
    assert {label: route.to for label, route in router.routes.items()} == {
        "as-before": "worker",
        "grown-text": "grown-text",
    }
    assert (specialist.simpler, specialist.next, specialist.tools) == ("worker", "exit", ("text",))
    async with bench.open(grown, proposal.files):
        pass
    after = await traffic(bench, grown, "add", REFUSE, "letters", "reverse", count=15)
    assert passing(after) > 0.95
    assert {node_of(item.trace) for item in after if item.request.text.startswith("write")} == {"grown-text"}


async def test_a_next_expansion_trains_the_others_anew_and_its_rival_leaves_them_alone(
    bench: LearnedBench,
) -> None:
    head = day_one(bench)
    (first,) = await grow(head, await traffic(bench, head, "add", REFUSE, "reverse"))
    async with bench.open(first.graph, first.files):
        pass
    anew, second = await grow(first.graph, await traffic(bench, first.graph, "add", REFUSE, "reverse", "gcd"))
    assert sorted(second.graph.nodes) == [
        "entry",
        "exit",
        "grown",
        "grown-calculator",
        "grown-text",
        "worker",
    ]
    assert second.graph.models["grown-text"] == first.graph.models["grown-text"]
    assert second.graph.nodes["grown-text"] == first.graph.nodes["grown-text"]
    assert second.graph.models["grown"] != first.graph.models["grown"]
    assert len(second.files) == 2  # the new specialist and the router
    assert anew.graph.nodes == second.graph.nodes and len(anew.files) == 3
    assert anew.graph.models["grown-text"] != first.graph.models["grown-text"]
    assert anew.reason == f"{second.reason}; grown-text is trained anew"


async def test_more_of_a_tool_s_kinds_join_its_specialist(bench: LearnedBench) -> None:
    head = day_one(bench)
    (first,) = await grow(head, await traffic(bench, head, "add", REFUSE, "reverse"))
    async with bench.open(first.graph, first.files):
        pass
    (second,) = await grow(
        first.graph, await traffic(bench, first.graph, "add", REFUSE, "reverse", "letters")
    )
    assert second.graph.nodes.keys() == first.graph.nodes.keys()
    async with bench.open(second.graph, second.files):
        pass
    after = await traffic(bench, second.graph, "add", REFUSE, "reverse", "letters")
    assert passing(after) > 0.95


async def test_what_was_answered_and_is_to_be_refused_goes_the_old_way_next_time(bench: LearnedBench) -> None:
    head = day_one(bench)
    (first,) = await grow(head, await traffic(bench, head, "add", REFUSE, "reverse"))
    async with bench.open(first.graph, first.files):
        pass
    items = await traffic(bench, first.graph, "add", REFUSE, "reverse", "letters", "french")
    assert passing(items[-12:]) < 0.5
    (second,) = await grow(first.graph, items)
    async with bench.open(second.graph, second.files):
        pass
    assert passing(await traffic(bench, second.graph, "french")) > 0.9
    assert passing(await traffic(bench, second.graph, "reverse")) > 0.9


async def test_what_fails_of_other_kinds_is_learned_from_but_for_one_user_s_word(bench: LearnedBench) -> None:
    head = day_one(bench)
    items = await traffic(bench, head, "add", REFUSE, "reverse", "letters")
    worth = [Cluster("a kind", "worker", tuple(items[24:36]))]
    (proposal,) = await Expansion(OPS, TOOLS)(Findings(head, items, worth))
    assert "24 failed requests" in proposal.reason
    said = [replace(item, grade=replace(item.grade, kind="correction", grader="ann")) for item in items[36:]]
    (proposal,) = await Expansion(OPS, TOOLS)(Findings(head, [*items[:36], *said], worth))
    assert "12 failed requests" in proposal.reason


async def test_nothing_is_proposed_where_no_call_answers_or_too_few_requests_fail(
    bench: LearnedBench,
) -> None:
    head = day_one(bench)
    assert not await grow(head, await traffic(bench, head, "add", REFUSE))
    assert not await grow(head, await traffic(bench, head, "add", "reverse", count=6))
    parallel = head.model_copy(
        update={
            "nodes": {
                **head.nodes,
                "entry": head.nodes["entry"].model_copy(update={"next": ("worker", "exit")}),
            }
        }
    )
    assert not await grow(parallel, await traffic(bench, head, "add", "reverse"))


async def test_what_day_one_knows_is_rehearsed_and_need_not_be_asked_for(tmp_path: Path) -> None:
    bench = LearnedBench(tmp_path)
    head = day_one(bench)
    items = await traffic(bench, head, "gcd")
    worth = clusters(items)
    known = [(find(f"what do {n} and {n + 3} make together"), "add n1 n0") for n in range(20, 40)]
    known += [(find(f'the length of "{word}" please'), "letters w0") for word in WORDS]
    known += [(find(f"who sang the {word} song"), REFUSE) for word in WORDS]
    (proposal,) = await Expansion(OPS, TOOLS, lambda: known)(Findings(head, items, worth))
    files = {
        name: from_bytes(proposal.files[model.model.partition("-")[2]])
        for name, model in proposal.graph.models.items()
        if name.startswith("grown")
    }
    assert set(files) == {"grown", "grown-calculator"}
    asked = {
        "add n0 n1": "what do 510 and 77 make together",
        "gcd n0 n1": "what divides both 510 and 77 at most",
        REFUSE: 'the length of "tiger" please',
    }
    reader, router = LinearReader(files["grown-calculator"], OPS), files["grown"]
    for call, text in asked.items():
        assert reader.read(find(text)).call == call
        route = router.labels[router.probabilities(vector(find(text), router.bits)).argmax()]
        assert route == ("as-before" if call == REFUSE else "grown-calculator")


async def test_what_is_to_be_left_to_the_readers_of_day_one_goes_their_way(tmp_path: Path) -> None:
    bench = LearnedBench(tmp_path)
    head = day_one(bench)
    items = await traffic(bench, head, "gcd")
    left = [(find(f"what divides the cake for {n} and {n + 3} guests"), REFUSE) for n in range(20, 60)]
    alone, beside = [
        (await Expansion(OPS, TOOLS, known)(Findings(head, items, clusters(items))))[0]
        for known in (tuple, lambda: left)
    ]
    for proposal, route in ((alone, "grown-calculator"), (beside, "as-before")):
        router = from_bytes(proposal.files[proposal.graph.models["grown"].model.partition("-")[2]])
        odds = router.probabilities(vector(find("what divides the cake for 81 and 95 guests"), router.bits))
        assert router.labels[odds.argmax()] == route


async def test_a_rehearsed_tool_whose_requests_fail_comes_along_and_takes_over_what_others_answered(
    bench: LearnedBench,
) -> None:
    head = day_one(bench)
    items = await traffic(bench, head, "add", "gcd", "reverse")
    worth = [Cluster("a kind", "worker", tuple(items[24:]))]
    known = [(find("what do 20 and 23 make together"), "add n0 n1")]
    (plain,) = await Expansion(OPS, TOOLS)(Findings(head, items, worth))
    assert "grown-calculator" not in plain.graph.nodes
    more, alone = await Expansion(OPS, TOOLS, lambda: known)(Findings(head, items, worth))
    assert "grown-calculator" in more.graph.nodes and "grown-calculator" not in alone.graph.nodes
    async with bench.open(more.graph, more.files):
        pass
    after = await traffic(bench, more.graph, "add", "gcd", "reverse", count=15)
    assert passing(after) > 0.95
    assert {node_of(item.trace) for item in after[:30]} == {"grown-calculator"}


def read(trained: Trained, text: str) -> str:
    return LinearReader(from_bytes(trained.data), OPS).read(find(text)).call


def test_training_is_the_same_file_for_the_same_seed() -> None:
    calls = [(slots, "reverse w0") for slots in requests_for("reverse")]
    one, same = (train_reader(calls, requests_for(REFUSE), OPS, seed=3) for _ in range(2))
    other = train_reader(calls, requests_for(REFUSE), OPS, seed=4)
    assert one == same and one.sha256 != other.sha256


def test_marks_and_manners_are_no_sign_of_a_kind() -> None:
    # The new kind never ends in a question mark here, the old one always does.
    new = [find(f'write "{word}" backwards') for word in WORDS]
    old = [find(f'how many letters are in "{word}"?') for word in WORDS]
    router = from_bytes(train_router({"new": new, "old": old}).data)
    for text in (
        'write "paper" backwards?',
        'please write "paper" backwards ?',
        'hey, write "paper" backwards?',
    ):
        odds = router.probabilities(vector(find(text), router.bits))
        assert router.labels[odds.argmax()] == "new"
    trained = train_reader([(slots, "reverse w0") for slots in new], old, OPS)
    assert read(trained, 'Please write "paper" backwards?') == "reverse w0"
    assert read(trained, 'how many letters are in "paper"') == REFUSE


def test_a_reader_is_as_sure_as_phrasing_that_it_has_not_seen_tells() -> None:
    first, second = (
        words.split() for words in ("turn flip swap mirror invert twist", "around over back about now here")
    )
    asked = [
        find(f'{one} {word} {two} "x{n}y"') for one in first for two in second for n, word in enumerate(WORDS)
    ]
    early = set(WORDS[:5])
    told = [(slots, "reverse w0" if early & set(slots.template.split()) else "letters w0") for slots in asked]
    coin = Random(1)
    guessed = [(slots, coin.choice(("reverse w0", "letters w0"))) for slots in asked]
    clear, vague, few = (from_bytes(train_reader(one, [], OPS).data) for one in (told, guessed, told[:20]))
    assert clear.temperature < 1 < vague.temperature
    assert few.temperature == 1


def test_calls_that_mean_the_same_are_one_class() -> None:
    calls = [(slots, f"add n{n % 2} n{1 - n % 2}") for n, slots in enumerate(requests_for("add"))]
    trained = train_reader(calls, requests_for(REFUSE), OPS)
    assert set(from_bytes(trained.data).labels) == {"add n0 n1", REFUSE}
