"""Which of the routes that may fit a request is the one to take, at a given dial.

The dial is an exchange rate: the best route is the probability that it fits, times the share of its answers that
were right, less its price. Or it is a share of right answers that is wanted: then the best route is the cheapest
that is expected to reach it. Knows nothing about where these numbers come from.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tinyllm.routing.cells import STRENGTH

DEAREST = 0.5  # of a right answer: what the dearest route's price counts as at the cheap end of the dial
SURE = 1.2816  # standard errors below the counted share, above which the true one is nine times in ten


@dataclass(frozen=True, slots=True)
class Dial:
    """How right answers are weighed against their price: at the rate of `quality`, or so that the share `right` of
    them is reached."""

    quality: float
    right: float | None = None

    def counted(self, right: float, seen: float) -> float:
        """The share of right answers to count on, where of `seen` outcomes so many were: its lower bound, where a
        share is promised."""
        return right if self.right is None else surely(right, seen)

    def take(self, routes: "Routes", able: Sequence[str]) -> tuple[str, dict[str, float]]:
        """The best of the routes `able`, of equals the first, and how all of them scored."""
        if self.right is None:
            scored = scores(routes, self.quality)
            return max(able, key=lambda label: scored[label]), scored
        scored, prices = expected(routes), routes.prices()
        enough = [label for label in able if scored[label] >= self.right]
        if enough:
            return min(enough, key=lambda label: (prices[label], -scored[label])), scored
        return max(able, key=lambda label: scored[label]), scored


@dataclass(frozen=True, slots=True)
class Routes:
    """What is known of routes for one request: the `odds` that each fits, the share of its answers that are `right`
    where it does, and its `costs`, in any unit.

    A model that must be loaded first costs as much more as the answers that it could give meanwhile (`loads`).
    """

    odds: Mapping[str, float]
    right: Mapping[str, float]
    costs: Mapping[str, float]
    loads: Mapping[str, float] = field(default_factory=dict)

    @property
    def dearest(self) -> float:
        return max((self.costs[label] for label in self.odds), default=0.0)

    def prices(self) -> dict[str, float]:
        """The costs with the loads, which count at most as much as the dearest route: or what is away would never be
        asked."""
        dearest = self.dearest
        return {
            label: self.costs[label] + min(self.costs[label] * self.loads.get(label, 0.0), dearest)
            for label in self.odds
        }


def wanted(right: float | None, quality: float | None, network: float | None) -> float | None:
    """The share of right answers that a request wants: its own, or the network's where it sets no dial at all."""
    return network if right is None and quality is None else right


def price_of(quality: float) -> float:
    """What the dearest route's price counts as, in right answers: 0.5 at quality 0, 0.03 at 0.5, nothing at 1."""
    return float(DEAREST * (1 - quality) ** 4)


def scores(routes: Routes, quality: float) -> dict[str, float]:
    """What each route would be worth for a request, less its price."""
    rate = price_of(quality) / routes.dearest if routes.dearest else 0.0
    prices = routes.prices()
    return {label: p * routes.right[label] - rate * prices[label] for label, p in routes.odds.items()}


def expected(routes: Routes) -> dict[str, float]:
    """The share of right answers that each route would reach for a request.

    Odds sum to one however many routes could answer, so they count beside those of the likeliest route, whose share
    was counted where it was the likeliest.
    """
    most = max(routes.odds.values(), default=0.0) or 1.0
    return {label: p / most * routes.right[label] for label, p in routes.odds.items()}


def surely(right: float, seen: float) -> float:
    """The share that a route reaches, as it is known nine times in ten: the lower end of Wilson's interval (1927),
    over the outcomes that were seen and those that its prior is worth."""
    n = seen + STRENGTH
    centre = right + SURE**2 / (2 * n)
    reach = SURE * math.sqrt(right * (1 - right) / n + SURE**2 / (4 * n**2))
    return (centre - reach) / (1 + SURE**2 / n)


def nudged(right: Mapping[str, float], by: Mapping[str, float]) -> dict[str, float]:
    """What routes are worth for one text: their worth, and what the text adds, between 0 and 1."""
    return {label: min(1.0, max(0.0, worth + by.get(label, 0.0))) for label, worth in right.items()}


def able(odds: Mapping[str, float], first: str, alternatives: float) -> list[str]:
    """A router's first choice, and the routes at least as probable as `alternatives`."""
    return [first, *(label for label, p in odds.items() if label != first and p >= alternatives)]
