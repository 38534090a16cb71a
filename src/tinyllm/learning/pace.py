"""When a change that only saves may be tried: not before it could be proven, and once in so much new traffic.

Each look at one costs error budget that a mend may need, and each that is adopted may lose its margin anew. Knows
nothing about what such changes are.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from tinyllm.evidence import Ledger, Tally, betting
from tinyllm.learning.items import Item, among
from tinyllm.learning.traffic import SHARES
from tinyllm.protocols import TrialRow

EVERY = 250  # graded requests between two trials
MOST = 100_000  # pairs that proving it may take


def waits(
    network: str, trials: Iterable[TrialRow], items: Sequence[Item], ledger: Ledger, margin: float
) -> str | None:
    """Why no such change is tried now, in words; None where one may be.

    A trial that was cut short, or that waits for consent, has been paid for: it may go on at once.
    """
    looked = [t.created or 0.0 for t in trials if t.evidence.get("saves") and not _paid(t)]
    new = sum(item.created > max(looked) for item in items) if looked else EVERY
    if new < EVERY:
        return f"what only saves is tried again after {EVERY - new} more graded answers"
    groups = len({item.group for item in among(items, network, "confirm")})
    level = ledger.next_level
    # With fewer not even a change that changes no outcome is proven.
    needed = bisect_left(
        range(MOST), True, key=lambda ties: betting(Tally(0, 0, ties), margin=margin) <= level
    )
    if groups < needed:
        missing = round((needed - groups) / SHARES["confirm"])
        return f"to prove that something cheaper loses nothing takes about {missing} more graded answers"
    return None


def _paid(trial: TrialRow) -> bool:
    return trial.state == "open" or (trial.state == "waiting" and trial.number is not None)
