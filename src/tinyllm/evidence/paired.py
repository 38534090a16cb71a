"""Tests of paired outcomes: did the same requests pass more often after a change than before it?

Only pairs whose outcome changed say anything about that. Knows nothing about graphs, grades or traffic.
"""

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

from tinyllm.evidence.binomial import pmf, tail

# What the stakes of the betting test win and lose, in logs: 50 between 0 and 1. Any number of them is valid.
STAKES = [(math.log1p((i + 0.5) / 50), math.log1p(-(i + 0.5) / 50)) for i in range(50)]


@dataclass(frozen=True, slots=True)
class Tally:
    """Pairs by what the change did: `gains` went from fail to pass, `losses` from pass to fail."""

    gains: int = 0
    losses: int = 0
    ties: int = 0

    @property
    def pairs(self) -> int:
        return self.gains + self.losses + self.ties

    @property
    def flips(self) -> float:
        """The share of pairs whose outcome changed."""
        return (self.gains + self.losses) / self.pairs if self.pairs else 0.0

    @property
    def gain(self) -> float:
        """What the change added to the share that passes, from -1 to 1."""
        return (self.gains - self.losses) / self.pairs if self.pairs else 0.0

    def swapped(self) -> "Tally":
        """The same pairs seen from the other side: what would going back gain?"""
        return Tally(self.losses, self.gains, self.ties)


def mcnemar(tally: Tally) -> float:
    """The p-value of "the change is no better", exact, for one look at a number of pairs fixed before.

    One-sided binomial on the changed pairs (McNemar 1947). Without the mid-p correction: that one exceeds its
    level at some counts, and here a level is a promise.
    """
    return tail(tally.gains, tally.gains + tally.losses)


def e_value(tally: Tally) -> float:
    """The evidence that the change is better, to be looked at after every pair and stopped at any time.

    It is the wealth of a gambler who bets on gains: a stake multiplies wealth by 1 + stake at a gain and by
    1 - stake at a loss, averaged over stakes between 0 and 1. While gains are no more likely than losses,
    whatever went before, it is not expected to grow, so it ever reaches 1 / level with at most the probability
    `level` (Ville 1939). Betting after Waudby-Smith and Ramdas (2024), mixed as by Robbins (1970).
    """
    logs = [tally.gains * won + tally.losses * lost for won, lost in STAKES]
    best = max(logs)
    return math.exp(min(best, 700.0)) * math.fsum(math.exp(log - best) for log in logs) / len(STAKES)


def gain_interval(tally: Tally, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of the gain in the share that passes (Agresti and Min 2005). (-1, 1) without pairs."""
    if not tally.pairs:
        return -1.0, 1.0
    gains, losses, pairs = tally.gains + 0.5, tally.losses + 0.5, tally.pairs + 2
    gain = (gains - losses) / pairs
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    reach = z * math.sqrt((gains + losses) / pairs - gain * gain) / math.sqrt(pairs)
    return max(-1.0, gain - reach), min(1.0, gain + reach)


def power(pairs: int, gain: float, flips: float, level: float) -> float:
    """The chance that `mcnemar` proves a true `gain` at `level` with so many pairs, `flips` of them changed."""
    return _power(pairs, flips, _Changed((flips + gain) / (2 * flips), level))


def required_pairs(gain: float, flips: float, level: float, wanted: float = 0.8) -> int:
    """The pairs with which a true `gain` is proven at `level` with the chance `wanted`.

    Raises ValueError where the gain is not between 0 and `flips`: a gain takes that many changed outcomes.
    """
    if not 0 < gain <= flips <= 1:
        raise ValueError(f"a gain of {gain} needs between {gain} and 1 of outcomes changed, not {flips}")
    changed = _Changed(min(1.0, (flips + gain) / (2 * flips)), level)
    low, high = 0, 16
    while _power(high, flips, changed) < wanted:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _power(middle, flips, changed) < wanted else (low, middle)
    return high


class _Changed:
    """The power of the test given the number of changed pairs, worked out once for each number."""

    def __init__(self, better: float, level: float) -> None:
        self.better = better
        self.level = level
        self.strict = NormalDist().inv_cdf(1 - level)
        self.power = cache(self._power)

    def _power(self, changed: int) -> float:
        needed = math.ceil((changed + self.strict * math.sqrt(changed)) / 2)  # nearly; then exactly
        while tail(needed, changed) > self.level:
            needed += 1
        while tail(needed - 1, changed) <= self.level:
            needed -= 1
        return tail(needed, changed, self.better)


def _power(pairs: int, flips: float, changed: _Changed) -> float:
    # Beyond eight standard deviations there is nothing left to add.
    reach = 8 * math.sqrt(pairs * flips * (1 - flips)) + 1
    counts = range(max(0, int(pairs * flips - reach)), min(pairs, int(pairs * flips + reach)) + 1)
    return math.fsum(pmf(count, pairs, flips) * changed.power(count) for count in counts)
