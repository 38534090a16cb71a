"""Memory over a store: of what is remembered of a user, what matters for a question.

Knows nothing about what recalled facts are used for.
"""

from collections.abc import Sequence

from tinyllm.protocols import Fact, Store
from tinyllm.routing.preferences import preference, words


class Recall:
    """The `Memory` of a store: preferences first, then the words shared with the question, then the newest."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def recall(self, tenant: str, user: str, text: str, limit: int) -> Sequence[Fact]:
        facts = await self._store.facts(tenant=tenant, user=user)
        asked = words(text)

        def rank(place: int) -> tuple[bool, int, int]:
            fact = facts[place].text
            return preference(fact) is not None, len(words(fact) & asked), place

        return [facts[place] for place in sorted(range(len(facts)), key=rank, reverse=True)[:limit]]
