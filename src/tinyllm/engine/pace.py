"""How a network's spending stands to its budget of a period, and the dial that follows from it.

Spending is to grow evenly over the period. On that line the dial stands in the middle; a tenth of the budget
behind it, it stands at quality 1, so that nothing is left unspent. A tenth ahead it has come down to 0, and from
there on, or with the whole budget spent, routers take the cheapest route that may fit. Knows nothing about routes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tinyllm.graph import Pace
from tinyllm.protocols import Store
from tinyllm.types import JSON, Cost

SLACK = 0.1  # of the budget: how far spending may run ahead of the period
FRESH = 30.0  # seconds after which the store is asked again: other processes spend, too
_MONDAY = 4 * 86_400.0  # Unix time began on a Thursday
PERIODS = {"hour": (3_600.0, 0.0), "day": (86_400.0, 0.0), "week": (7 * 86_400.0, _MONDAY)}


@dataclass(frozen=True, slots=True)
class Standing:
    """What was `spent` of a `budget` in this period, and what was `due` by now, in its unit."""

    spent: float
    due: float
    budget: float

    @property
    def dial(self) -> float:
        """The quality that the pace allows, from 0 to 1."""
        return min(1.0, max(0.0, 0.5 + (self.due - self.spent) / (2 * SLACK * self.budget)))

    @property
    def thrifty(self) -> bool:
        """Whether nothing but the cheapest route may be taken."""
        return self.spent >= min(self.budget, self.due + SLACK * self.budget)

    def told(self) -> dict[str, JSON]:
        return {"spent": self.spent, "due": self.due, "budget": self.budget}


@dataclass(slots=True)
class _Spent:
    began: float
    read: float
    cost: Cost


class Pacer:
    """Keeps count of what tenants spend. It is read from the store's runs, and counted run by run in between.

    A run counts once it is committed, so a limit may be passed by as many runs as are under way at once; what
    other processes spend counts within half a minute.
    """

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self.store = store
        self.now = now
        self.spent: dict[tuple[str, str], _Spent] = {}

    async def standing(self, pace: Pace, tenant: str) -> Standing:
        """How the tenant's spending stands now. Raises StoreError."""
        now = self.now()
        length, first = PERIODS[pace.per]
        began = now - (now - first) % length
        kept = self.spent.get((tenant, pace.per))
        if kept is None or kept.began != began or not 0 <= now - kept.read <= FRESH:
            usage = await self.store.usage(tenant=tenant, since=began)
            kept = self.spent[tenant, pace.per] = _Spent(began, now, usage.cost)
        spent = kept.cost.money if pace.money is not None else float(kept.cost.macs)
        return Standing(spent, pace.budget * (now - began) / length, pace.budget)

    def count(self, tenant: str, cost: Cost) -> None:
        """Count a run that was committed."""
        for (owner, _), kept in self.spent.items():
            if owner == tenant:
                kept.cost += cost
