"""Tests of paired outcomes: did the same requests pass more often after a change than before it?

Knows nothing about graphs, grades or traffic.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

from tinyllm.evidence.binomial import pmf, tail


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

    def __str__(self) -> str:
        return f"{self.gains} better and {self.losses} worse answers of {self.pairs}"


Test = Callable[[Tally], float]  # to a p-value


def mcnemar(tally: Tally) -> float:
    """The p-value of "the change is no better", exact, for one look at a number of pairs fixed before.

    One-sided binomial on the changed pairs (McNemar 1947). Without the mid-p correction: that one exceeds its
    level at some counts, and here a level is a promise.
    """
    return tail(tally.gains, tally.gains + tally.losses)


def e_value(tally: Tally, margin: float = 0.0) -> float:
    """The evidence that the true gain is above -`margin`; look after every pair, and stop at any time.

    It is the wealth of a gambler who bets on it, averaged over stakes. Without a margin a stake between 0 and 1
    multiplies wealth by 1 + stake at a gain and by 1 - stake at a loss; with one, each pair pays `margin` more.
    While the gain is at most -`margin`, whatever went before, wealth is not expected to grow, so it ever
    reaches 1 / level with at most the probability `level` (Ville 1939). Betting after Waudby-Smith and Ramdas
    (2024), averaged as by Robbins (1970).
    """
    logs = [
        tally.gains * gained + tally.losses * lost + tally.ties * tied
        for gained, lost, tied in _stakes(margin)
    ]
    best = max(logs)
    return math.exp(min(best, 700.0)) * math.fsum(math.exp(log - best) for log in logs) / len(logs)


@cache
def _stakes(margin: float) -> list[tuple[float, float, float]]:
    """What 50 stakes earn at a gain, a loss and a tie, in logs. Any number is valid; none may lose all."""
    stakes = [(i + 0.5) / 50 / (1 - margin) for i in range(50)]
    return [
        (math.log1p(s * (1 + margin)), math.log1p(-s * (1 - margin)), math.log1p(s * margin)) for s in stakes
    ]


def betting(tally: Tally, margin: float = 0.0) -> float:
    """The p-value of "the gain is at most -`margin`" that `e_value` amounts to, valid at any time."""
    return min(1.0, 1 / e_value(tally, margin))


def gain_interval(tally: Tally, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of the gain in the share that passes (Agresti and Min 2005). (-1, 1) without pairs."""
    if not tally.pairs:
        return -1.0, 1.0
    gains, losses, pairs = tally.gains + 0.5, tally.losses + 0.5, tally.pairs + 2
    gain = (gains - losses) / pairs
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    reach = z * math.sqrt((gains + losses) / pairs - gain * gain) / math.sqrt(pairs)
    return max(-1.0, gain - reach), min(1.0, gain + reach)


def power(test: Test, pairs: int, gain: float, flips: float, level: float) -> float:
    """The chance that `test` proves a true `gain` at `level` with so many pairs, `flips` of them changed.

    Exact for any test whose p-value falls where a loss or a tie becomes a gain.
    """
    better, worse = (flips + gain) / 2, max(0.0, flips - gain) / 2
    # Beyond eight standard deviations there is nothing left to add.
    reach = 8 * math.sqrt(pairs * worse * (1 - worse)) + 1
    counts = range(max(0, int(pairs * worse - reach)), min(pairs, int(pairs * worse + reach)) + 1)
    chances, needed = [], 0
    for losses in counts:  # more losses never need fewer gains
        while needed <= pairs - losses and test(Tally(needed, losses, pairs - losses - needed)) > level:
            needed += 1
        rest = pairs - losses
        chances.append(pmf(losses, pairs, worse) * tail(needed, rest, min(1.0, better / (1 - worse))))
    return math.fsum(chances)


def required_pairs(test: Test, gain: float, flips: float, level: float, wanted: float = 0.8) -> int:
    """The pairs with which `test` proves a true `gain` at `level` with the chance `wanted`.

    Raises ValueError where a hundred thousand pairs are not enough, or the gain exceeds the share that changed.
    """
    if not 0 <= gain <= flips <= 1:
        raise ValueError(f"a gain of {gain} needs between {gain} and 1 of outcomes changed, not {flips}")
    low, high = 0, 16
    while power(test, high, gain, flips, level) < wanted:
        low, high = high, high * 2
        if high > 100_000:
            raise ValueError(f"100,000 pairs do not prove a gain of {gain} at {level:.2g}")
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(test, middle, gain, flips, level) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high
