"""Headroom: how much better requests are served if each kind has a choice of its own than if all share one.

A split by itself gains nothing; it pays where kinds differ in what serves them best. Knows nothing about what is
chosen, or how requests are sorted into kinds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

Rights = Sequence[Sequence[bool]]  # for each request of a kind: whether each choice answers it rightly


@dataclass(frozen=True, slots=True)
class Headroom:
    """What choosing by kind gains in the share of right answers, and the `lower` bound of that."""

    gain: float
    lower: float


def headroom(kinds: Sequence[tuple[float, Rights]], confidence: float = 0.975) -> Headroom:
    """The headroom of `kinds`, each with its share of all requests and a sample of them, two at least.

    Whoever picks the best of several on a sample finds it better than it is. So one half of each sample picks the
    best choice of its kind, and that of all kinds together, which the other half measures, and the other way round
    (cross-fitting: Chernozhukov et al. 2018). Each kind counts one request more that shows no difference, or a few
    that all gain would pass for certainty. The bound is one-sided, and a little too high, since the halves pick for
    each other: where no choice differs, 7 to 8% of bounds of 95% are above 0 in simulations.
    """
    shown: list[list[int]] = [[0] for _ in kinds]
    for half in (0, 1):
        means = [[fmean(choice) for choice in zip(*rights[half::2], strict=True)] for _, rights in kinds]
        whole = [[share * mean for mean in each] for (share, _), each in zip(kinds, means, strict=True)]
        single = best_of([math.fsum(choice) for choice in zip(*whole, strict=True)])
        for own, each, (_, rights) in zip(shown, means, kinds, strict=True):
            choice = best_of(each, single)
            own += [row[choice] - row[single] for row in rights[1 - half :: 2]]
    gain = math.fsum(share * fmean(own) for (share, _), own in zip(kinds, shown, strict=True))
    spread = [math.fsum((one - fmean(own)) ** 2 for one in own) / len(own) ** 2 for own in shown]
    variance = math.fsum(share**2 * one for (share, _), one in zip(kinds, spread, strict=True))
    return Headroom(gain, gain - NormalDist().inv_cdf(confidence) * math.sqrt(variance))


def best_of(means: Sequence[float], favourite: int = 0) -> int:
    """The choice with the highest mean: of equals the favourite, or else the first."""
    return max(range(len(means)), key=lambda choice: (means[choice], choice == favourite, -choice))
