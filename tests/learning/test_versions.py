"""How a network becomes another one, goes back, and gives way to its file."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tinyllm.errors import Conflict, NotFound, RequestError, StoreError
from tinyllm.graph import Exit, Graph, change, dump, parse, put_nodes, put_prompt
from tinyllm.learning.proposal import Edit, Proposal
from tinyllm.learning.versions import Head, adopt, earlier, head_of, replay, roll_back, roll_out
from tinyllm.protocols import Store, TrialRow, Version
from tinyllm.store import open_store

BASE = parse("""\
schema: 1
name: net
models: {m: {backend: scripted}}
nodes:
  start: {kind: entry, next: answer}
  answer: {kind: specialist, model: m, tools: [calculator], next: end}
  end: {kind: exit}
""", tools=["calculator"])  # fmt: skip


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    opened = await open_store("memory:")
    yield opened
    await opened.close()


def proposal(graph: Graph, edit: Edit = "prompt", **files: bytes) -> Proposal:
    return Proposal(edit, "answer", f"because {graph.id}", graph, files)


def prompted(graph: Graph, text: str) -> Graph:
    return put_prompt(graph, "tone", text)


def refusing(graph: Graph, text: str) -> Graph:
    return put_nodes(graph, {"end": Exit(kind="exit", refusal=text)})


async def log(store: Store) -> list[tuple[int, str, str]]:
    return [(made.revision, made.edit, made.graph) for made in await store.versions("net")]


async def grown(store: Store, base: Graph, *graphs: Graph) -> Head:
    for graph in graphs:
        await adopt(store, await head_of(store, base), proposal(graph))
    return await head_of(store, base)


async def test_without_versions_the_network_is_its_file(store: Store) -> None:
    head = await head_of(store, BASE)
    assert (head.graph, head.parent, head.revision, head.lineage) == (BASE, None, -1, ())
    assert await replay(store, "net") is None


async def test_the_first_change_is_written_after_the_file(store: Store) -> None:
    first = prompted(BASE, "Be brief.")
    trial = TrialRow("t1", "net", "prompt", "answer", "it rambles", "open", number=1)
    head = await head_of(store, BASE)
    version = await adopt(store, head, proposal(first, ab=b"x"), trial)
    assert await log(store) == [(0, "file", BASE.id), (1, "prompt", first.id)]
    assert (version.revision, version.reason, version.trial) == (1, f"because {first.id}", "t1")
    assert [kept.state for kept in await store.trials("net")] == ["adopted"]
    assert await store.file("ab") == b"x"
    now = await head_of(store, BASE)
    assert (now.graph.id, now.revision) == (first.id, 1)
    assert now.parent is not None and now.parent.id == BASE.id


async def test_what_was_made_for_another_head_is_not_adopted(store: Store) -> None:
    begun = await head_of(store, BASE)
    await adopt(store, begun, proposal(prompted(BASE, "one")))
    late = await head_of(store, BASE)
    await adopt(store, late, proposal(prompted(late.graph, "two")))
    with pytest.raises(Conflict):
        await roll_back(store, late, "no good", to=earlier(late, 0))
    for head in (begun, late):
        with pytest.raises(Conflict):
            await adopt(store, head, proposal(prompted(BASE, "three")))
    assert [edit for _, edit, _ in await log(store)] == ["file", "prompt", "prompt"]


async def test_of_two_learners_one_wins_and_the_other_may_start_over(store: Store) -> None:
    head = await head_of(store, BASE)
    graphs = [prompted(BASE, "one"), prompted(BASE, "two")]
    outcomes = await asyncio.gather(
        *(adopt(store, head, proposal(graph)) for graph in graphs), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Version"]
    again = await head_of(store, BASE)
    assert again.revision == 1
    await adopt(store, again, proposal(prompted(again.graph, "three")))
    assert len(await log(store)) == 3


async def test_a_file_that_is_changed_by_hand_wins_and_begins_anew(store: Store) -> None:
    learned = prompted(BASE, "Be brief.")
    before = await grown(store, BASE, learned)
    edited = refusing(BASE, "No.")
    assert (await head_of(store, edited)).graph == edited
    assert (await head_of(store, edited)).parent is None
    with pytest.raises(Conflict, match="changed meanwhile"):
        await adopt(store, before, proposal(prompted(learned, "x")), base=edited)
    assert len(await log(store)) == 2, "nothing learned on the old file is adopted"
    assert (await head_of(store, BASE)).graph.id == learned.id, "undone, its versions count again"

    anew = prompted(edited, "Be kind.")
    await adopt(store, await head_of(store, edited), proposal(anew), base=edited)
    assert (await log(store))[2:] == [(2, "file", edited.id), (3, "prompt", anew.id)]
    assert (await head_of(store, edited)).graph.id == anew.id
    assert (await head_of(store, BASE)).graph.id == BASE.id
    last = await replay(store, "net")
    assert last is not None and last.id == anew.id


async def test_a_rollback_is_one_more_version(store: Store) -> None:
    one = prompted(BASE, "one")
    two = prompted(one, "two")
    head = await grown(store, BASE, one, two)
    back = await roll_back(store, head, "by hand", to=earlier(head, 1))
    assert (back.revision, back.edit, back.graph, back.reason, back.trial) == (
        3,
        "rollback",
        one.id,
        "by hand",
        None,
    )
    now = await head_of(store, BASE)
    assert (now.graph.id, now.parent) == (one.id, None)
    for name in (1, one.id):
        with pytest.raises(RequestError, match="already"):
            earlier(now, name)
    with pytest.raises(NotFound, match="no version 9"):
        earlier(now, 9)
    await roll_back(store, now, "forward", to=earlier(now, two.id))
    assert (await head_of(store, BASE)).graph.id == two.id
    edited = refusing(BASE, "No.")
    with pytest.raises(RequestError, match="another state of the network's file"):
        earlier(await head_of(store, edited), 1)
    last = await replay(store, "net")
    assert last is not None and last.id == two.id


async def test_what_is_taken_back_is_known_until_it_is_brought_back(store: Store) -> None:
    one = prompted(BASE, "one")
    two = prompted(one, "two")
    head = await grown(store, BASE, one, two)

    async def after(target: int | str) -> dict[int, int]:
        now = await head_of(store, BASE)
        await roll_back(store, now, "by hand", to=earlier(now, target))
        now = await head_of(store, BASE)
        return {revision: back.revision for revision, back in now.taken_back.items()}

    assert head.taken_back == {}
    assert await after(1) == {2: 3}
    assert await after(0) == {1: 4, 2: 3}
    assert await after(one.id) == {2: 3}
    assert await after(two.id) == {}


async def test_rollbacks_have_a_budget_that_what_is_proven_gives_back(store: Store) -> None:
    one = prompted(BASE, "one")
    head = await grown(store, BASE, one, prompted(one, "two"))
    assert [(entry.trial, entry.proven) for entry in head.rollbacks.entries] == [
        ("version 1", None),
        ("version 2", None),
    ]
    back = await roll_back(store, head, "live traffic speaks against it")
    assert (back.graph, back.trial) == (one.id, "version 2")
    now = await head_of(store, BASE)
    assert [entry.proven for entry in now.rollbacks.entries] == [None, True]
    assert now.rollbacks.spent < head.rollbacks.spent
    by_hand = await roll_back(store, now, "by hand", to=earlier(now, 0))
    assert by_hand.trial is None
    assert (await head_of(store, BASE)).rollbacks == now.rollbacks


async def test_tenants_grow_apart(store: Store) -> None:
    one = prompted(BASE, "one")
    await adopt(store, await head_of(store, BASE, tenant="a"), proposal(one), tenant="a")
    assert (await head_of(store, BASE, tenant="a")).graph.id == one.id
    assert (await head_of(store, BASE)).graph == BASE


STAGED = change(
    BASE,
    learning=BASE.learning.model_copy(update={"rollout": (0.0, 0.1, 1.0)}),
    tools=["calculator"],
)
edits = ["prompt", "refuse", "node", "file", "back", "on", "on"]
steps = some.lists(some.sampled_from(edits), min_size=1, max_size=9)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, some.booleans())
def test_the_log_replayed_gives_the_head(made: list[str], staged: bool) -> None:
    async def live() -> None:
        store, base = await open_store("memory:"), STAGED if staged else BASE
        for number, step in enumerate(made):
            head = await head_of(store, base)
            if head.rising and step not in ("file", "back"):
                share = head.versions[-1].share
                await roll_out(store, head, 0.1 if share == 0 else 1.0, "well", {})
                assert (await head_of(store, base)).change[0].edit not in ("rollout", "rollback")
            elif step == "on":
                continue
            elif step == "file":
                base = change(base, description=f"edited {number}", tools=["calculator"])
            elif step == "back" and head.lineage:
                graph_of = {version.graph: version.revision for version in head.lineage}
                now = (head.rising or head.graph).id
                others = [revision for graph, revision in graph_of.items() if graph != now]
                if others:
                    await roll_back(store, head, "", to=earlier(head, others[0]))
            elif step == "node":
                old = head.graph.nodes["answer"]
                nodes = {
                    f"n{number}": old.model_copy(update={"tools": ()}),
                    "answer": old.model_copy(update={"next": f"n{number}"}),
                }
                await adopt(store, head, proposal(put_nodes(head.graph, nodes)))
            else:
                edit = prompted if step == "prompt" else refusing
                await adopt(store, head, proposal(edit(head.graph, f"text {number}")))
        head, last = await head_of(store, base), await replay(store, "net")
        if head.lineage:
            assert last is not None and last.id == head.graph.id
            assert head.versions[-1].graph == (head.rising or head.graph).id
        else:
            assert head.graph.id == base.id

    asyncio.run(live())


async def test_a_log_that_was_altered_is_told(store: Store) -> None:
    one = prompted(BASE, "one")
    await store.save_graph(BASE.id, "net", dump(BASE))
    await store.promote(Version("net", 0, BASE.id, "file", ""), expected=-1)
    await store.promote(Version("net", 1, one.id, "prompt", ""), expected=0)
    with pytest.raises(StoreError, match="version 1 of network 'net' does not follow"):
        await replay(store, "net")
    torn = ({"path": "nodes.x.kind", "before": "exit", "after": None, "kind": "removed"},)
    await store.promote(Version("other", 0, BASE.id, "file", ""), expected=-1)
    await store.promote(Version("other", 1, one.id, "prompt", "", torn), expected=0)
    with pytest.raises(StoreError, match="does not fit graph"):
        await replay(store, "other")
