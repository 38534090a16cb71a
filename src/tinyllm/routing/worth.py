"""Worth less price: which of the routes that may fit a request is the one to take, at a given dial.

A route's score is the probability that it fits, times the share of its answers that were right, less its price.
Knows nothing about where these numbers come from.
"""

from collections.abc import Mapping

DEAREST = 0.5  # of a right answer: what the dearest route's price counts as at the cheap end of the dial


def price_of(quality: float) -> float:
    """What the dearest route's price counts as, in right answers: 0.5 at quality 0, 0.03 at 0.5, nothing at 1."""
    return float(DEAREST * (1 - quality) ** 4)


def scores(
    odds: Mapping[str, float],
    right: Mapping[str, float],
    costs: Mapping[str, float],
    quality: float,
    loads: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """What each route would be worth for a request, less its price; `costs` may be in any unit.

    A model that must be loaded first costs as much more as the answers that it could give meanwhile (`loads`), but at
    most as much as the dearest route: or what is away would never be asked.
    """
    dearest = max((costs[label] for label in odds), default=0.0)
    rate = price_of(quality) / dearest if dearest else 0.0
    more = {label: min(costs[label] * load, dearest) for label, load in (loads or {}).items()}
    return {
        label: p * right[label] - rate * (costs[label] + more.get(label, 0.0)) for label, p in odds.items()
    }


def nudged(right: Mapping[str, float], by: Mapping[str, float]) -> dict[str, float]:
    """What routes are worth for one text: their worth, and what the text adds, between 0 and 1."""
    return {label: min(1.0, max(0.0, worth + by.get(label, 0.0))) for label, worth in right.items()}


def best(scored: Mapping[str, float], odds: Mapping[str, float], first: str, alternatives: float) -> str:
    """The highest score among a router's first choice and the routes at least as probable as `alternatives`."""
    able = [label for label in odds if label == first or odds[label] >= alternatives]
    return max(able, key=lambda label: (scored[label], label == first))
