"""How often a key asks and what its tenant has spent today. Knows nothing about HTTP."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from tinyllm.errors import BudgetExceeded, RateLimited
from tinyllm.events import Event
from tinyllm.protocols import Store
from tinyllm.server.keys import Key
from tinyllm.server.peers import Asked, Peers
from tinyllm.types import Budget, Cost

_DAY = 86_400.0
_FRESH = 30.0  # seconds after which the store is asked again: other processes spend, too


@dataclass(slots=True)
class _Spent:
    day: float
    read: float
    cost: Cost


class Ledger:
    """Limits of keys. What is spent counts from the store, and run by run as this process commits them.

    Runs that begin at the same time each get all that is left, so a budget can be overrun by as many runs as
    a tenant has at once; what other processes spend counts within half a minute. `peers` count requests together.
    """

    def __init__(
        self, store: Store, now: Callable[[], float] = time.time, peers: Peers | None = None
    ) -> None:
        self.store = store
        self.now = now
        self.spent: dict[str, _Spent] = {}
        self.alone: Asked = {}
        self.peers = peers

    def watch(self, tenant: str, events: Sequence[Event]) -> None:
        """Count a run that was committed."""
        kept = self.spent.get(tenant)
        if kept is not None and events[-1].kind == "run_finished":
            kept.cost += Cost(**events[-1].data["cost"])

    def count(self, key: Key) -> None:
        """Count a request. Raises RateLimited where the key has used up its requests of the minute."""
        if key.rate is None:
            return
        now = self.now()
        with self.peers.asked() if self.peers else nullcontext(self.alone) as asked:
            left, before = asked.get(key.name, (float(key.rate), now))
            left = min(float(key.rate), left + max(0.0, now - before) * key.rate / 60)
            asked[key.name] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            raise RateLimited(
                f"key {key.name!r} may ask {key.rate} times a minute",
                hint="ask again in a moment",
                retry_after=(1 - left) * 60 / key.rate,
            )

    async def left(self, key: Key) -> Budget:
        """What a run of this key may spend. Raises BudgetExceeded where its tenant has nothing left today."""
        if key.tokens is None and key.money is None:
            return Budget()
        cost = await self._today(key.tenant)
        tokens = None if key.tokens is None else key.tokens - cost.tokens_in - cost.tokens_out
        money = None if key.money is None else key.money - cost.money
        for what, rest, limit in (("tokens", tokens, key.tokens), ("money", money, key.money)):
            if rest is not None and rest <= 0:
                raise BudgetExceeded(
                    f"tenant {key.tenant!r} has used its {limit} {what} of today",
                    hint="ask again after midnight UTC, or have the key's budget raised",
                )
        return Budget(tokens=tokens, money=money)

    async def _today(self, tenant: str) -> Cost:
        now = self.now()
        day = now - now % _DAY
        kept = self.spent.get(tenant)
        if kept is None or kept.day != day or now - kept.read > _FRESH:
            usage = await self.store.usage(tenant=tenant, since=day)
            kept = self.spent[tenant] = _Spent(day, now, usage.cost)
        return kept.cost
