"""The error budget of a network's whole life: how strict the next trial must be. Knows nothing about trials.

The chance that a network ever adopts a change that is no better stays below the budget, however many trials
it makes. The i-th trial is given budget x (1/sqrt(i) - 1/sqrt(i + 1)), which adds up to the budget without
end, and the levels of trials that were proven: those mistakes can no longer be made. That is the online
fallback rule of Tian and Ramdas (2021), who prove it; here one trial inherits all that has come back.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A trial and the level at which it is tested. `proven` is None while the trial is open."""

    trial: str
    level: float
    proven: bool | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """All trials of one network in their order. Levels of trials that are open or failed are spent.

    Raises ValueError where entries overspend the budget or name a trial twice.
    """

    budget: float = 0.05
    entries: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        if len({entry.trial for entry in self.entries}) < len(self.entries):
            raise ValueError("a trial stands twice in the ledger: each is tested once")
        if self.spent > self.budget * (1 + 1e-9):
            raise ValueError(f"the ledger has spent {self.spent:.4g} of {self.budget:.4g}: it was altered")

    @property
    def spent(self) -> float:
        return math.fsum(entry.level for entry in self.entries if not entry.proven)

    @property
    def next_level(self) -> float:
        """The level of the next trial to be opened, known before its evidence is seen."""
        given = self.budget * (1 - 1 / math.sqrt(len(self.entries) + 1))
        share = self.budget / math.sqrt(len(self.entries) + 1) - self.budget / math.sqrt(
            len(self.entries) + 2
        )
        return share + max(0.0, given - self.spent)

    def level(self, trial: str) -> float:
        """The level of an open trial. Raises ValueError if it was never opened or is already decided."""
        return self._entry(trial).level

    def opened(self, trial: str) -> "Ledger":
        """The ledger with one more trial, whose level is spent from now on. Opening it again changes nothing."""
        if any(entry.trial == trial and entry.proven is None for entry in self.entries):
            return self
        return replace(self, entries=(*self.entries, Entry(trial, self.next_level)))

    def closed(self, trial: str, *, proven: bool) -> "Ledger":
        """The ledger with the open trial decided: proven gives its level back to the next trial."""
        entry = self._entry(trial)
        decided = replace(entry, proven=proven)
        return replace(self, entries=tuple(decided if e is entry else e for e in self.entries))

    def _entry(self, trial: str) -> Entry:
        for entry in self.entries:
            if entry.trial == trial and entry.proven is None:
                return entry
        raise ValueError(f"trial {trial!r} is not open: it meets its evidence once, after it was opened")

    def as_data(self) -> dict[str, Any]:
        """Plain data to be stored; `from_data` reads it."""
        return {"budget": self.budget, "entries": [asdict(entry) for entry in self.entries]}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Ledger":
        """The ledger of stored data. Raises ValueError where it was altered to spend more than its budget."""
        entries: Iterable[Mapping[str, Any]] = data["entries"]
        return cls(data["budget"], tuple(Entry(**entry) for entry in entries))
