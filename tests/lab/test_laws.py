"""Scaling laws: found again in points that were made by one, and a run of them that is killed."""

from dataclasses import replace

import numpy as np
import pytest

from tinyllm.lab.laws import Law, Point, fit, lowest, resampled

LAW = Law(floor=1.2, a=20.0, alpha=0.35, b=40.0, beta=0.3)


def grid(noise: float = 0.0) -> list[Point]:
    draw = np.random.default_rng(0)
    return [
        Point(size, tokens, size * tokens, LAW.loss(size, tokens) * (1 + noise * draw.standard_normal()))
        for size in (3_000, 10_000, 30_000, 100_000)
        for tokens in (100_000, 400_000, 1_600_000)
    ]


def test_a_law_is_found_again_in_its_points():
    found = fit(grid())
    for name in ("floor", "a", "alpha", "b", "beta"):
        assert getattr(found, name) == pytest.approx(getattr(LAW, name), rel=0.1)
    assert found.loss(1e6, 1e7) == pytest.approx(LAW.loss(1e6, 1e7), rel=0.01)
    assert found.growth == pytest.approx(0.3 / 0.65, rel=0.05)


def test_one_point_that_is_far_off_does_not_pull_the_law_away():
    points = grid(0.001)
    points[5] = replace(points[5], loss=points[5].loss * 1.3)
    assert fit(points).loss(1e5, 1e6) == pytest.approx(LAW.loss(1e5, 1e6), rel=0.01)


def test_resampled_laws_spread_around_the_law_as_the_noise_does():
    def spread(noise: float) -> float:
        points = grid(noise)
        losses = [law.loss(1e6, 1e7) for law in resampled(points, fit(points), 20, seed=0)]
        assert min(losses) < LAW.loss(1e6, 1e7) * 1.05 and max(losses) > LAW.loss(1e6, 1e7) * 0.95
        return float(np.std(losses))

    assert spread(0.01) > 3 * spread(0.0005)


def test_the_lowest_point_of_a_budget_is_that_of_its_parabola_or_none():
    def row(best: float) -> list[Point]:
        return [Point(size, 1, 1, 2 + 0.1 * np.log(size / best) ** 2) for size in (1000, 3000, 9000)]

    assert lowest(row(2000)) == pytest.approx((2000, 2))
    assert lowest(row(20_000)) is None  # beyond the largest
    assert lowest([replace(point, loss=-point.loss) for point in row(2000)]) is None  # a hill
