"""Facts about users: kept in one line, for their user alone, and gone when they are forgotten."""

import json
from pathlib import Path

import pytest
from tests.store.runs import SetClock, a_run

from tinyllm.errors import NotFound, RequestError, StoreError
from tinyllm.protocols import Fact, Store
from tinyllm.store import open_store


async def test_facts_are_kept_in_the_order_in_which_they_were_told(store: Store, clock: SetClock) -> None:
    assert await store.facts() == []
    first = await store.remember("works in Oslo")
    clock.time += 5
    second = await store.remember("prefers Python over JavaScript")
    assert first == Fact(first.id, "local", "local", "works in Oslo", clock.time - 5)
    assert await store.facts() == [first, second]
    assert await store.remember("Works in OSLO") == first
    assert len(await store.facts()) == 2


async def test_no_other_user_or_tenant_sees_or_touches_a_fact(store: Store) -> None:
    owners = [(tenant, user) for tenant in ("a", "b") for user in ("ann", "ben")]
    for tenant, user in owners:
        await store.remember(f"is {user} of {tenant}", user=user, tenant=tenant)
    for tenant, user in owners:
        (own,) = await store.facts(user=user, tenant=tenant)
        assert own.text == f"is {user} of {tenant}"
        for other_tenant, other in owners:
            if (other_tenant, other) != (tenant, user):
                with pytest.raises(NotFound):
                    await store.edit(own.id, "is mine", user=other, tenant=other_tenant)
                with pytest.raises(NotFound):
                    await store.forget(own.id, user=other, tenant=other_tenant)
        assert await store.facts(user=user, tenant=tenant) == [own]
    exported = [json.loads(json.dumps(row)) async for row in store.export(tenant="b")]
    assert [(row["row"], row["tenant"], row["text"]) for row in exported] == [
        ("fact", "b", "is ann of b"),
        ("fact", "b", "is ben of b"),
    ]
    assert (await store.size())["facts"] == 4


async def test_a_fact_is_edited_and_forgotten(store: Store, clock: SetClock) -> None:
    kept = await store.remember("lives in Oslo")
    gone = await store.remember("owns a cat")
    clock.time += 5
    edited = await store.edit(kept.id, "lives in Rome")
    assert edited == Fact(kept.id, "local", "local", "lives in Rome", clock.time - 5)
    await store.forget(gone.id)
    assert await store.facts() == [edited]
    for again in (gone.id, "nothing"):
        with pytest.raises(NotFound, match=f"no fact '{again}'"):
            await store.forget(again)
        with pytest.raises(NotFound):
            await store.edit(again, "x")


async def test_a_fact_is_one_line_of_bounded_length(store: Store) -> None:
    fact = await store.remember("  uses\n\x1b[31m metric \0 units \ud800 ")
    assert fact.text == "uses [31m metric ? units ?"
    assert await store.facts() == [fact]
    for empty in ("", " \n\x07"):
        with pytest.raises(RequestError, match="empty"):
            await store.remember(empty)
    with pytest.raises(RequestError, match="301 characters"):
        await store.remember("x" * 301)
    with pytest.raises(RequestError, match="301 characters"):
        await store.edit(fact.id, "x" * 301)


async def test_a_user_has_a_bounded_number_of_facts(store: Store) -> None:
    for number in range(200):
        await store.remember(f"fact {number}", user="ann")
    with pytest.raises(RequestError, match="200 facts of user 'ann'"):
        await store.remember("one more", user="ann")
    assert (await store.remember("FACT 7", user="ann")).text == "fact 7"
    await store.remember("one more", user="ben")


async def test_a_purge_leaves_facts_alone(store: Store, clock: SetClock) -> None:
    fact = await store.remember("works in Oslo")
    await store.append("local", a_run("r1"))
    assert await store.purge(clock.time + 1) == 1
    assert await store.facts() == [fact]


async def test_a_closed_store_remembers_nothing(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.remember("works in Oslo")


async def test_a_forgotten_or_edited_text_is_nowhere_in_the_files(url: str, tmp_path: Path) -> None:
    store = await open_store(url)
    facts = [
        await store.remember(f"{word} {number}") for number in range(20) for word in ("keepthis", "hush")
    ]
    log = tmp_path / "folder" / "store.db-wal"
    assert b"hush" in log.read_bytes()
    for number, fact in enumerate(facts):
        if fact.text.startswith("hush"):
            await (store.forget(fact.id) if number % 4 == 1 else store.edit(fact.id, f"changed {number}"))
    assert b"hush" not in log.read_bytes()
    await store.close()
    content = (tmp_path / "folder" / "store.db").read_bytes()
    assert b"hush" not in content
    assert b"keepthis" in content and b"changed" in content
