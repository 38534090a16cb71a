"""What growth is compared with: other uses of the same solved requests, and of as many operations of training.

Each learns from the requests that the network's last change was made from, with the calls that search finds for
them; one learns from all that was graded, as nothing needs to be kept back where nothing is proven.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tinyllm.backends.reader import vector
from tinyllm.bench.learned import LearnedBench, network_of
from tinyllm.grading import REFUSED
from tinyllm.graph import Graph, RouterNode, Specialist, put_nodes
from tinyllm.graph.spec import Route
from tinyllm.learning.expand import BEFORE
from tinyllm.learning.items import Item
from tinyllm.learning.search import find_calls
from tinyllm.learning.specialist import (
    BITS,
    Example,
    Pair,
    calibrated,
    macs_of,
    train_reader,
    train_router,
    varied,
)
from tinyllm.routing import Linear, train
from tinyllm.slots import REFUSE, canonical, find
from tinyllm.starter.linear import ROUTES


@dataclass(frozen=True, slots=True)
class Control:
    """A network to compare with, and the operations that its training took."""

    name: str
    graph: Graph
    macs: int


async def controls(
    items: Sequence[Item],
    graded: Sequence[Item],
    base: Graph,
    bench: LearnedBench,
    first: Linear,
    known: Sequence[Example],
    macs: int,
    seed: int,
    larger: int,
) -> list[Control]:
    """Every control, trained from `items` with about `macs` operations. `known` is what day one was trained on.

    `larger` is the binary logarithm of how much wider one of them is.
    """
    solved, every = await _solved(items, bench), await _solved(graded, bench)
    new = [
        (slots, call) for slots, call in solved if bench.ops[call.split()[0]].tool not in ("", "calculator")
    ]
    old = [(slots, canonical(call, bench.ops)) for slots, call in known]
    made, all_made = (varied(one, bench.ops, Random(seed)) for one in (solved, every))
    return [
        _reader("one_reader", [*old, *made], first, macs, bench, seed),
        _reader("one_reader_calibrated", [*old, *made], first, macs, bench, seed, sure=True),
        _larger([*old, *made], first.bits + larger, macs, bench, seed),
        _reader("fine_tuned", varied(new, bench.ops, Random(seed)), first, macs, bench, seed),
        _retrieval([*old, *solved], bench),
        _hand_made(solved, old, base, bench, seed),
        _reader("unproven", [*old, *all_made], first, macs, bench, seed),
    ]


async def _solved(items: Sequence[Item], bench: LearnedBench) -> list[Example]:
    """The requests with the calls that answer them, or that refuse."""
    targets = await find_calls(items, bench.ops, bench.tools)
    refused = [find(item.request.text) for item in items if item.reference == REFUSED]
    return [(target.slots, target.call) for target in targets] + [(slots, REFUSE) for slots in refused]


def _reader(
    name: str,
    examples: Sequence[Example],
    first: Linear,
    macs: int,
    bench: LearnedBench,
    seed: int,
    *,
    sure: bool = False,
) -> Control:
    """The reader of day one, trained on with these examples."""
    pairs = [(vector(slots, first.bits), call) for slots, call in examples]
    each = macs_of(pairs, len({call for _, call in examples} | set(first.labels)))
    times = 2 if sure else 1
    epochs = round(macs / max(1, each * times))

    def fit(some: Sequence[Pair]) -> Linear:
        return train(some, bits=first.bits, seed=seed, epochs=epochs, start=first) if epochs else first

    model = calibrated(examples, first.bits, fit) if sure else fit(pairs)
    graph = network_of(bench, "reader", model.to_bytes(), model.weights.size)
    return Control(name, graph, epochs * each * times)


def _larger(examples: Sequence[Example], bits: int, macs: int, bench: LearnedBench, seed: int) -> Control:
    """One wider reader, trained on everything from the start."""
    pairs = [(vector(slots, bits), call) for slots, call in examples]
    each = macs_of(pairs, len({call for _, call in examples}))
    epochs = max(1, round(macs / each))
    model = train(pairs, bits=bits, seed=seed, epochs=epochs)
    graph = network_of(bench, "reader", model.to_bytes(), model.weights.size)
    return Control("larger", graph, epochs * each)


def _retrieval(cases: Sequence[Example], bench: LearnedBench) -> Control:
    """The call of the nearest solved request."""
    return Control("retrieval", network_of(bench, "retrieval", solved_cases(cases), 0), 0)


def solved_cases(cases: Sequence[Example]) -> bytes:
    """Solved requests as the file of a `Retrieval`."""
    kept = {tuple(vector(slots, BITS)): call for slots, call in cases}
    return json.dumps(list(kept.items())).encode()


def _hand_made(
    solved: Sequence[Example], old: Sequence[Example], base: Graph, bench: LearnedBench, seed: int
) -> Control:
    """The starter network's branches, drawn by hand, in front of the network of day one; trained once."""

    def way(call: str) -> str:
        return ROUTES.get(bench.ops[call.split()[0]].tool, BEFORE)

    kinds: dict[str, list[Example]] = {}
    for slots, call in solved:
        kinds.setdefault(way(call), []).append((slots, call))
    trained = {
        "router": train_router(
            {way: [slots for slots, _ in own] for way, own in kinds.items()},
            rehearsed=[(slots, way(call)) for slots, call in old],
            seed=seed,
        )
    }
    tools: dict[str, set[str]] = {}
    for name, own in kinds.items():
        if name != BEFORE:
            others = [slots for other, rest in kinds.items() if other != name for slots, _ in rest]
            rehearsed = [(slots, call if way(call) == name else REFUSE) for slots, call in old]
            trained[name] = train_reader(own, others, bench.ops, rehearsed=rehearsed, seed=seed)
            tools[name] = {bench.ops[call.split()[0]].tool for _, call in own}
    models = {
        name: bench.keep("router" if name == "router" else "reader", one.data, one.parameters)
        for name, one in trained.items()
    }
    routes = {BEFORE: Route(to="reader"), **{way: Route(to=way) for way in tools}}
    nodes = {
        "question": base.nodes["question"].model_copy(update={"next": "router"}),
        "router": RouterNode(kind="router", model="router", routes=routes),
        **{
            way: Specialist(
                kind="specialist", model=way, tools=tuple(sorted(own)), next="gate", simpler="reader"
            )
            for way, own in tools.items()
        },
    }
    graph = put_nodes(base, nodes, models={**base.models, **models})
    return Control("hand_made", graph, sum(one.macs for one in trained.values()))
