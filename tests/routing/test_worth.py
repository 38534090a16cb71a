"""The dial's two forms: a price in right answers, and a share of right answers that is to be reached."""

import numpy as np
import pytest

from tinyllm.routing.cells import STRENGTH
from tinyllm.routing.worth import Dial, Routes, able, surely, wanted

COSTS = {"small": 1.0, "middle": 3.0, "large": 10.0}
EVEN = dict.fromkeys(COSTS, 1 / 3)


def taken(
    right: float | None, *shares: float, quality: float = 0.5, loads: dict[str, float] | None = None
) -> str:
    routes = Routes(EVEN, dict(zip(COSTS, shares, strict=True)), COSTS, loads or {})
    return Dial(quality, right).take(routes, able(EVEN, "middle", 0.1))[0]


def test_the_cheapest_that_reaches_the_share_is_taken_and_else_the_surest() -> None:
    assert taken(0.7, 0.75, 0.85, 0.95) == "small"
    assert taken(0.8, 0.75, 0.85, 0.95) == "middle"
    assert taken(0.85, 0.75, 0.85, 0.95) == "middle", "reached exactly"
    assert taken(0.9, 0.75, 0.85, 0.95) == "large"
    assert taken(0.99, 0.75, 0.85, 0.95) == "large"
    assert taken(0.99, 0.75, 0.96, 0.95) == "middle", "the dearest is not always the surest"
    assert taken(0.99, 0.8, 0.8, 0.8) == "middle", "of equals the router's own choice"


def test_a_share_ignores_the_rate_and_a_rate_the_share() -> None:
    assert {taken(0.8, 0.75, 0.85, 0.95, quality=quality) for quality in (0.0, 0.5, 1.0)} == {"middle"}
    assert taken(None, 0.75, 0.85, 0.95, quality=0.0) == "small"
    assert taken(None, 0.75, 0.85, 0.95, quality=1.0) == "large"


def test_what_must_be_loaded_costs_more_but_no_more_than_the_dearest() -> None:
    assert taken(0.7, 0.75, 0.85, 0.95, loads={"small": 30.0}) == "middle"
    assert taken(0.9, 0.75, 0.91, 0.95, loads={"middle": 30.0}) == "large"
    assert taken(0.9, 0.75, 0.91, 0.95, loads={"middle": 30.0, "large": 30.0}) == "middle"


def test_a_request_without_a_dial_wants_what_the_network_does() -> None:
    assert wanted(None, None, 0.9) == 0.9
    assert wanted(0.8, None, 0.9) == wanted(0.8, 0.2, 0.9) == 0.8
    assert wanted(None, 0.2, 0.9) is None and wanted(None, None, None) is None


@pytest.mark.parametrize("seen", [4, 20, 100, 1000])
def test_what_is_counted_on_is_reached_nine_times_in_ten(seen: int) -> None:
    random = np.random.default_rng(seen)
    true = random.beta(4, 2, size=20_000)  # shares around two thirds, as routes have them
    good = random.binomial(seen, true)
    counted = [surely((k + STRENGTH * 0.5) / (seen + STRENGTH), seen) for k in good]
    assert 0.88 < float(np.mean(counted <= true)) < 0.99


def test_more_outcomes_are_counted_on_more_and_none_on_little() -> None:
    shares = [surely(0.9, seen) for seen in (0, 10, 100, 1000, 100_000)]
    assert shares == sorted(shares) and shares[0] < 0.7 and shares[-1] == pytest.approx(0.9, abs=0.002)
    assert surely(1.0, 0) < 0.8 and surely(0.0, 10) >= 0
