"""What of a user's facts comes to mind at a question."""

from tinyllm.protocols import Store
from tinyllm.store.recall import Recall


async def recalled(store: Store, question: str, limit: int = 5, user: str = "ann") -> list[str]:
    return [fact.text for fact in await Recall(store).recall("local", user, question, limit)]


async def tell(store: Store, *facts: str, user: str = "ann", tenant: str = "local") -> None:
    for fact in facts:
        await store.remember(fact, user=user, tenant=tenant)


async def test_shared_words_come_first_and_then_the_newest(store: Store) -> None:
    await tell(store, "owns a boat in Oslo", "has two cats", "works at a school", "was born in May")
    assert await recalled(store, "Where can I moor a boat near Oslo?", 3) == [
        "owns a boat in Oslo",
        "was born in May",
        "works at a school",
    ]
    assert await recalled(store, "What do cats do at school?", 2) == ["works at a school", "has two cats"]


async def test_preferences_always_come(store: Store) -> None:
    await tell(store, "use metric units", "answer in German", "likes long walks", "owns a boat")
    assert await recalled(store, "How long is a boat?", 3) == [
        "likes long walks",
        "answer in German",
        "use metric units",
    ]


async def test_nobody_else_s_facts_come_to_mind(store: Store) -> None:
    await tell(store, "owns a boat", user="ben")
    await tell(store, "owns a boat", tenant="other")
    assert await recalled(store, "boat") == []
