"""The formulas against scipy and against exact enumeration; the ledger never overspends."""

import itertools
import json
import math
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.evidence import (
    Entry,
    Ledger,
    Tally,
    Test,
    betting,
    clopper_pearson,
    e_value,
    gain_interval,
    mcnemar,
    power,
    required_pairs,
    wilson,
)

stats = pytest.importorskip("scipy.stats", reason="the formulas are held against scipy (the lab extra)")
COUNTS = st.integers(0, 400)
SHARES = st.tuples(st.integers(0, 500), st.integers(1, 500)).filter(lambda kn: kn[0] <= kn[1])


@given(COUNTS, COUNTS, COUNTS)
def test_mcnemar_is_the_binomial_test_of_the_changed_pairs(gains: int, losses: int, ties: int) -> None:
    ours = mcnemar(Tally(gains, losses, ties))
    if gains + losses == 0:
        assert ours == 1.0
    else:
        scipys = stats.binomtest(gains, gains + losses, alternative="greater").pvalue
        assert ours == pytest.approx(scipys, rel=1e-8)


@settings(max_examples=50)
@given(SHARES, st.sampled_from([0.8, 0.95, 0.99]))
def test_intervals_are_scipys(share: tuple[int, int], confidence: float) -> None:
    k, n = share
    test = stats.binomtest(k, n)
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        theirs = test.proportion_ci(confidence, method=method)
        assert ours(k, n, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-7)


def test_without_pairs_nothing_is_known() -> None:
    assert wilson(0, 0) == clopper_pearson(0, 0) == (0.0, 1.0)
    assert gain_interval(Tally()) == (-1.0, 1.0)
    assert e_value(Tally()) == pytest.approx(1.0)


def outcomes(pairs: int, gain: float, loss: float) -> list[tuple[Tally, float]]:
    """Every tally of so many pairs with its probability."""
    ways = [(g, l) for g in range(pairs + 1) for l in range(pairs + 1 - g)]
    chances = stats.multinomial(pairs, [gain, loss, 1 - gain - loss])
    return [(Tally(g, l, pairs - g - l), float(chances.pmf([g, l, pairs - g - l]))) for g, l in ways]


@pytest.mark.parametrize(("gain", "loss"), [(0.15, 0.15), (0.2, 0.1), (0.3, 0.05)])
def test_the_interval_of_a_gain_holds_the_gain(gain: float, loss: float) -> None:
    held = sum(
        chance
        for tally, chance in outcomes(60, gain, loss)
        if gain_interval(tally)[0] <= gain - loss <= gain_interval(tally)[1]
    )
    assert 0.94 < held < 0.98


@given(COUNTS, COUNTS, COUNTS)
def test_the_interval_of_a_gain_turns_with_the_sides(gains: int, losses: int, ties: int) -> None:
    tally = Tally(gains, losses, ties)
    low, high = gain_interval(tally)
    assert low <= tally.gain <= high
    assert gain_interval(tally.swapped()) == pytest.approx((-high, -low))


@given(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)),
    st.sampled_from([0.0, 0.02, 0.1, 0.4]),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_betting_expects_no_profit_while_the_gain_is_below_the_margin(
    counts: tuple[int, int, int], margin: float, flips: float, fewer: float
) -> None:
    gains, losses, ties = counts
    now = e_value(Tally(gains, losses, ties), margin)
    # The likeliest gains that the null allows, and fewer.
    gain = fewer * max(0.0, flips - margin) / 2
    loss = max(flips, margin) - gain
    after = (
        gain * e_value(Tally(gains + 1, losses, ties), margin)
        + loss * e_value(Tally(gains, losses + 1, ties), margin)
        + (1 - gain - loss) * e_value(Tally(gains, losses, ties + 1), margin)
    )
    assert after <= now * (1 + 1e-9)
    if fewer == 1:
        assert after == pytest.approx(now)


def test_of_all_streams_of_changed_pairs_few_ever_reach_the_threshold() -> None:
    length = 14
    value = {(g, l): e_value(Tally(g, l)) for g in range(length + 1) for l in range(length + 1)}
    peaks = []
    for stream in itertools.product((0, 1), repeat=length):
        gains = itertools.accumulate(stream)
        peaks.append(max(value[g, seen - g] for seen, g in enumerate(gains, start=1)))
    for level in (0.2, 0.05, 0.01):
        assert 0 < sum(peak >= 1 / level for peak in peaks) <= level * 2**length


def test_betting_wins_where_there_is_a_gain_and_never_overflows() -> None:
    assert e_value(Tally(20, 10)) < e_value(Tally(40, 20)) < e_value(Tally(80, 40))
    assert e_value(Tally(0, 50)) < 0.1
    assert math.isfinite(e_value(Tally(5000, 0)))
    # The mixture of all stakes has a closed form, which the finite one follows.
    gains, losses = 30, 12
    exact = 2 ** (gains + losses + 1) * math.exp(
        math.lgamma(gains + 1) + math.lgamma(losses + 1) - math.lgamma(gains + losses + 2)
    )
    exact *= float(stats.binom.cdf(gains, gains + losses + 1, 0.5))
    assert e_value(Tally(gains, losses)) == pytest.approx(exact, rel=0.01)


LOOKS: list[Test] = [mcnemar, betting, partial(betting, margin=0.1)]


@pytest.mark.parametrize("test", LOOKS)
@pytest.mark.parametrize(
    ("pairs", "gain", "flips", "level"), [(60, 0.1, 0.3, 0.05), (40, 0.25, 0.3, 1e-4), (9, 0.1, 0.9, 0.02)]
)
def test_power_is_the_share_of_outcomes_that_are_proven(
    test: Test, pairs: int, gain: float, flips: float, level: float
) -> None:
    likely = outcomes(pairs, (flips + gain) / 2, (flips - gain) / 2)
    proven = sum(chance for tally, chance in likely if chance > 1e-12 and test(tally) <= level)
    assert power(test, pairs, gain, flips, level) == pytest.approx(proven, abs=1e-6)


@pytest.mark.parametrize("gain", [0.1, 0.25])
@pytest.mark.parametrize("level", [0.05, 1e-5])
def test_required_pairs_are_enough_and_not_many_too_many(gain: float, level: float) -> None:
    for test in (mcnemar, betting):
        pairs = required_pairs(test, gain, 0.3, level)
        assert power(test, pairs, gain, 0.3, level) >= 0.8 > power(test, int(0.9 * pairs), gain, 0.3, level)


def test_that_a_change_loses_little_takes_fewer_pairs_the_more_it_may_lose() -> None:
    few, more = (required_pairs(partial(betting, margin=m), 0.0, 0.02, 0.01) for m in (0.1, 0.05))
    assert 60 < few < more < 400
    with pytest.raises(ValueError, match="100,000 pairs"):
        required_pairs(betting, 0.0, 0.02, 0.01)


def test_a_gain_takes_as_many_changed_outcomes() -> None:
    with pytest.raises(ValueError, match="changed"):
        required_pairs(mcnemar, 0.3, 0.2, 0.05)


@given(st.lists(st.tuples(st.sampled_from(["open", "prove", "fail"]), st.integers(0, 5)), max_size=60))
def test_the_ledger_never_spends_more_than_its_budget(steps: list[tuple[str, int]]) -> None:
    ledger = Ledger(0.05)
    for step, which in steps:
        waiting = [entry.trial for entry in ledger.entries if entry.proven is None]
        if step == "open":
            ledger = ledger.opened(f"trial {len(ledger.entries)}")
        elif waiting:
            ledger = ledger.closed(waiting[which % len(waiting)], proven=step == "prove")
        assert ledger.spent <= 0.05
        # Whatever is still to come fits in as well, in this order or any other.
        assert ledger.spent + ledger.next_level <= 0.05
        assert ledger.next_level > 0
    assert Ledger.from_data(json.loads(json.dumps(ledger.as_data()))) == ledger


def test_a_proven_trial_costs_nothing_and_a_failed_one_its_level() -> None:
    ledger = Ledger(0.05)
    share = [0.05 * (1 / math.sqrt(i) - 1 / math.sqrt(i + 1)) for i in range(1, 4)]
    assert ledger.next_level == pytest.approx(share[0])
    failed = ledger.opened("a").closed("a", proven=False)
    assert (failed.spent, failed.next_level) == pytest.approx((share[0], share[1]))
    proven = ledger.opened("a").closed("a", proven=True)
    assert (proven.spent, proven.next_level) == pytest.approx((0.0, share[0] + share[1]))
    # What came back is handed on once.
    assert proven.opened("b").next_level == pytest.approx(share[2])


def test_a_trial_is_opened_before_it_is_decided_and_decided_once() -> None:
    ledger = Ledger().opened("a")
    assert ledger.opened("a") == ledger
    assert ledger.level("a") == ledger.entries[0].level
    decided = ledger.closed("a", proven=False)
    for wrong in (
        lambda: decided.closed("a", proven=True),
        lambda: decided.level("a"),
        lambda: ledger.level("b"),
    ):
        with pytest.raises(ValueError, match="not open"):
            wrong()
    with pytest.raises(ValueError, match="twice"):
        decided.opened("a")


def test_an_altered_ledger_is_refused() -> None:
    with pytest.raises(ValueError, match="altered"):
        Ledger(0.05, (Entry("a", 0.04, False), Entry("b", 0.04, False)))
