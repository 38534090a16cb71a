"""The binomial distribution: exact tails, and intervals of a share. Knows nothing about what is counted."""

import math
from statistics import NormalDist


def pmf(k: int, n: int, p: float) -> float:
    """The probability of exactly `k` successes in `n` trials of chance `p`."""
    if p in (0.0, 1.0):
        return float(k == n * p)
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))


def tail(k: int, n: int, p: float = 0.5) -> float:
    """The probability of `k` successes or more in `n` trials of chance `p`, exact to about ten digits."""
    if k <= 0 or k > n:
        return float(k <= 0)
    if k <= n * p:  # the shorter side is summed, whose terms fall from the first on
        return 1 - tail(n - k + 1, n, 1 - p)
    total = term = pmf(k, n, p)
    for j in range(k, n):
        term *= (n - j) / (j + 1) * p / (1 - p)
        total += term
        if term < total * 1e-17:
            break
    return total


def wilson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a share, close to its confidence on average (Wilson 1927). (0, 1) where `n` is 0."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = k + z * z / 2
    reach = z * math.sqrt(k * (n - k) / n + z * z / 4)
    return max(0.0, (centre - reach) / (n + z * z)), min(1.0, (centre + reach) / (n + z * z))


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a share, never below its confidence (Clopper and Pearson 1934). (0, 1) where `n` is 0."""
    rest = (1 - confidence) / 2
    return _lower(k, n, rest), 1 - _lower(n - k, n, rest)


def _lower(k: int, n: int, rest: float) -> float:
    """The chance at which `k` or more of `n` has the probability `rest`, by bisection."""
    if k == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(k, n, middle) < rest else (low, middle)
    return low
