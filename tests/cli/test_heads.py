"""A network answers as what it has become in the store; and graphs are tried on a bench."""

import asyncio
import hashlib
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

import tinyllm
from tests.cli.conftest import NETWORK, Run
from tinyllm.cli.wiring import load_file, load_graph, open_bench
from tinyllm.errors import NotFound
from tinyllm.graph import Graph, Model, RouterNode, Specialist, ToolNode, change, diff, dump, put_nodes
from tinyllm.learning.proposal import Proposal
from tinyllm.learning.specialist import train_reader, train_router
from tinyllm.learning.versions import adopt, earlier, head_of, roll_back, roll_out
from tinyllm.protocols import Store
from tinyllm.settings import read_settings
from tinyllm.slots import find
from tinyllm.starter import shipped
from tinyllm.starter.catalogue import CATALOGUE
from tinyllm.store import open_store
from tinyllm.types import Message, Request

T = TypeVar("T")

CHOSEN = "factorial(7) / (factorial(3) * factorial(7 - 3)) = 35"


def in_store(work: Callable[[Store], Awaitable[T]]) -> T:
    """What another process does in the same store."""

    async def run() -> T:
        store = await open_store(read_settings().settings.store)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def saying(graph: Graph, *answers: str) -> Graph:
    model = Model(backend="scripted", parameters=1000, options={"answers": list(answers)})
    return change(graph, models={**graph.models, "small": model})


def promote(graph: Graph, files: Mapping[str, bytes] | None = None, tenant: str = "local") -> None:
    async def work(store: Store) -> None:
        head = await head_of(store, load_file("tiny.yaml"), tenant=tenant)
        await adopt(store, head, Proposal("model", "answer", "it fails", graph, files or {}), tenant=tenant)

    in_store(work)


def wait_for(ask: Callable[[], str], answer: str) -> None:
    """Until the question is answered so; what is adopted is noticed within a second or so."""
    for _ in range(600):
        if ask() == answer:
            return
        asyncio.run(asyncio.sleep(0.05))
    raise AssertionError(f"{ask()!r} is still the answer")


def test_what_is_adopted_answers_without_a_restart_and_after_one(home: Path) -> None:
    with tinyllm.load("tiny.yaml") as net:
        assert net.ask("hi").answer == "forty <b>two</b>"
        promote(saying(net.graph, "forty-three"))
        wait_for(lambda: net.ask("hi").answer, "forty-three")
    with tinyllm.load("tiny.yaml") as net:
        assert net.ask("hi").answer == "forty-three"

        async def back(store: Store) -> None:
            head = await head_of(store, load_file("tiny.yaml"))
            await roll_back(store, head, "no good", to=earlier(head, 0))

        in_store(back)
        wait_for(lambda: net.ask("hi").answer, "forty <b>two</b>")


def test_a_version_on_its_way_up_answers_its_share_of_conversations(home: Path) -> None:
    (home / "tiny.yaml").write_text(f"{NETWORK}learning: {{rollout: [0, 0.5, 1]}}\n", encoding="utf-8")

    def climb(share: float) -> None:
        async def work(store: Store) -> None:
            await roll_out(store, await head_of(store, load_file("tiny.yaml")), share, "", {})

        in_store(work)

    with tinyllm.load("tiny.yaml") as net:

        def answered() -> list[str]:
            return [net.ask(f"question {number}").answer for number in range(12)]

        promote(saying(net.graph, "learned"))
        asyncio.run(asyncio.sleep(1.1))
        assert set(answered()) == {"forty <b>two</b>"}, "in the shadow it answers nobody"
        climb(0.5)
        asyncio.run(asyncio.sleep(1.1))
        half = answered()
        assert half == answered() and set(half) == {"forty <b>two</b>", "learned"}
        climb(1)
        asyncio.run(asyncio.sleep(1.1))
        assert set(answered()) == {"learned"}
    with tinyllm.load("tiny.yaml") as net:
        assert net.ask("hi").answer == "learned"


def test_a_version_on_its_way_up_that_cannot_run_here_leaves_its_conversations_to_the_head(
    home: Path,
) -> None:
    (home / "tiny.yaml").write_text(f"{NETWORK}learning: {{rollout: [0.999, 1]}}\n", encoding="utf-8")
    base = load_file("tiny.yaml")
    node = {"kind": "tool", "tool": "lookup", "argument": "query", "next": "end"}
    ahead = base.nodes["answer"].model_copy(update={"next": "find"})
    promote(put_nodes(base, {"answer": ahead, "find": ToolNode.model_validate(node)}, tools=["lookup"]))
    with tinyllm.load("tiny.yaml") as net:
        assert net.ask("hi").answer == "forty <b>two</b>"


def test_the_file_wins_where_it_was_changed_by_hand(home: Path, run: Run) -> None:
    promote(saying(load_file("tiny.yaml"), "learned"))
    assert run("ask", "hi").stdout == "learned\n"
    (home / "tiny.yaml").write_text(NETWORK.replace("<b>two</b>", "four"), encoding="utf-8")
    assert run("ask", "hi").stdout == "forty four\n"
    (home / "tiny.yaml").write_text(NETWORK + "# a comment\n", encoding="utf-8")
    assert run("ask", "hi").stdout == "learned\n"


def test_a_file_changed_and_learned_on_while_a_network_runs_is_taken_up(home: Path) -> None:
    with tinyllm.load("tiny.yaml") as net:
        (home / "tiny.yaml").write_text(NETWORK.replace("<b>two</b>", "four"), encoding="utf-8")
        promote(saying(load_file("tiny.yaml"), "learned anew"))
        wait_for(lambda: net.ask("hi").answer, "learned anew")


def test_a_head_that_cannot_run_here_leaves_the_old_one_until_a_restart(home: Path) -> None:
    with tinyllm.load("tiny.yaml") as net:
        node = {"kind": "tool", "tool": "lookup", "argument": "query", "next": "end"}
        broken = put_nodes(
            net.graph,
            {
                "answer": net.graph.nodes["answer"].model_copy(update={"next": "find"}),
                "find": ToolNode.model_validate(node),
            },
            tools=["lookup"],
        )
        promote(broken)
        promote(saying(broken, "x"))
        asyncio.run(asyncio.sleep(1.2))
        assert net.ask("hi").answer == "forty <b>two</b>"
    with pytest.raises(tinyllm.errors.SettingsError, match="no folder to read"):
        tinyllm.load("tiny.yaml")


def test_a_larger_model_joins_whatever_was_learned(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = saying(load_file("tiny.yaml"), "learned")
    promote(learned)
    monkeypatch.setenv("TINYLLM_LARGER", "ollama/any")
    with tinyllm.load("tiny.yaml") as net:
        assert net.ask("hi").answer == "learned"
        paths = {difference.path.partition(".")[0] for difference in diff(learned, net.graph)}
        assert "larger" in net.graph.nodes and paths == {"models", "nodes"}


def test_each_tenant_has_its_own_head(home: Path) -> None:
    promote(saying(load_file("tiny.yaml"), "ours"), tenant="a")
    with tinyllm.load("tiny.yaml") as net:
        engine = net._wired.engine  # the API asks as the local tenant alone

        def ask(tenant: str) -> str:
            return net.call(engine.run(Request((Message("user", "hi"),), tenant=tenant))).answer

        assert (ask("a"), ask("local"), ask("b")) == ("ours", "forty <b>two</b>", "forty <b>two</b>")


def chooses(base: Graph) -> tuple[Graph, dict[str, bytes]]:
    """The network with a learned router and a learned reader before what it has, and their files."""
    asked = [
        f"how many ways to choose {k} of {n} {what}" for n, k in ((5, 2), (9, 4)) for what in ("cats", "pens")
    ]
    others = [find(text) for text in ("who wrote emma", "tell me a story", "where is my hat", "sing a song")]
    reader = train_reader([(find(text), "choose n1 n0") for text in asked], others, CATALOGUE)
    router = train_router({"choose": [find(text) for text in asked], "rest": others})
    models = {
        **base.models,
        "chooser": Model(backend="learned", model=f"reader-{reader.sha256}"),
        "kinds": Model(backend="learned", model=f"router-{router.sha256}"),
    }
    routes: dict[str, Any] = {"choose": {"to": "choose"}, "rest": {"to": "answer"}}
    nodes = {
        "start": base.nodes["start"].model_copy(update={"next": "kind"}),
        "kind": RouterNode(kind="router", model="kinds", routes=routes, otherwise="answer"),
        "choose": Specialist(kind="specialist", model="chooser", tools=("calculator",), next="end"),
    }
    graph = put_nodes(base, nodes, models=models, tools=["calculator"])
    return graph, {reader.sha256: reader.data, router.sha256: router.data}


def test_learned_models_answer_from_the_store(home: Path, run: Run) -> None:
    graph, files = chooses(load_file("tiny.yaml"))
    promote(graph, files)
    assert run("ask", "how many ways to choose 3 of 7 hats").stdout == f"{CHOSEN}\n"
    assert run("ask", "who are you").stdout == "forty <b>two</b>\n"


def test_a_learned_neuron_answers_from_the_store_and_leaves_no_file_behind(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, data = load_file("tiny.yaml"), shipped.weights("reader.gguf")[0].read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    model = Model(backend="learned", model=f"neuron-{sha256}")
    nodes = {
        "start": base.nodes["start"].model_copy(update={"next": "reads"}),
        "reads": Specialist(
            kind="specialist", model="neuron", tools=("units",), simpler="answer", next="end"
        ),
    }
    promote(put_nodes(base, nodes, models={**base.models, "neuron": model}, tools=["units"]), {sha256: data})
    (home / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(home / "tmp"))
    assert "709.764" in run("ask", "convert 3 cups to ml").stdout
    assert run("ask", "who are you").stdout == "forty <b>two</b>\n"
    assert not list((home / "tmp").iterdir())


def test_a_learned_model_that_the_store_lacks_or_that_was_altered_is_told(home: Path, run: Run) -> None:
    graph, files = chooses(load_file("tiny.yaml"))
    first = next(iter(files))
    (home / "other.yaml").write_text(dump(graph), encoding="utf-8")
    lacking = run("ask", "--network", "other.yaml", "hi")
    assert lacking.exit_code == 1 and "no file" in lacking.stderr and "next:" in lacking.stderr
    promote(graph, {**files, first: b"altered"})
    assert "a learned model has the SHA-256" in run("ask", "how many ways to choose 3 of 7 hats").stderr


async def answers(graph: Graph, files: Mapping[str, bytes], *questions: str) -> list[str]:
    settings = read_settings().settings
    store = await open_store(settings.store)
    async with open_bench(settings, store) as bench, bench.open(graph, files) as ask:
        traces = [await ask(Request((Message("user", text),), seed=1, clock=1.0)) for text in questions]
        assert {trace.graph for trace in traces} == {bench.effective(graph).id}
        assert await store.runs() == []
    await store.close()
    return [trace.answer for trace in traces]


async def test_a_graph_is_tried_with_files_that_no_store_holds_and_nothing_is_kept(home: Path) -> None:
    graph, files = chooses(load_file("tiny.yaml"))
    assert await answers(graph, files, "how many ways to choose 3 of 7 hats", "hi") == [
        CHOSEN,
        "forty <b>two</b>",
    ]
    with pytest.raises(NotFound, match="no file"):
        await answers(graph, {}, "hi")


async def test_a_bench_tries_one_graph_after_another(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYLLM_LARGER", "ollama/any")
    settings = read_settings().settings
    store = await open_store(settings.store)
    base = load_file("tiny.yaml")
    graph, files = chooses(base)
    async with open_bench(settings, store) as bench:
        for _ in range(2):
            async with bench.open(graph, files) as ask, bench.open(base, {}) as ask_base:
                text = "how many ways to choose 3 of 7 hats"
                request = Request((Message("user", text),))
                assert ((await ask(request)).answer, (await ask_base(request)).answer) == (
                    CHOSEN,
                    "forty <b>two</b>",
                )
        assert bench.effective(base).id == load_graph("tiny.yaml", settings).id
        with pytest.raises(NotFound):
            async with bench.open(graph, {}):
                pass
    await store.close()
