"""Trials: who competes, who meets confirm, what is adopted, and that every trial is paid for."""

import json
import random
from collections import Counter
from dataclasses import replace

import pytest

from tinyllm.evidence import Ledger, Tally
from tinyllm.learning.traffic import Outcome, Pair, part_of
from tinyllm.learning.trial import Contest, Rules, confirm, contest, follow, watch

RULES = Rules(cost_cap=2.0)


def pairs(gains: int, losses: int, ties: int, *slices: str, cost: float = 1.0) -> list[Pair]:
    changes = [(False, True)] * gains + [(True, False)] * losses + [(True, True)] * ties
    return [
        Pair(f"{slices}{i}", f"{slices}{i}", before, after, 1.0, cost, slices)
        for i, (before, after) in enumerate(changes)
    ]


def outcome(gains: int, losses: int, ties: int, *slices: str, cost: float = 1.0) -> Outcome:
    return Outcome.of(pairs(gains, losses, ties, *slices, cost=cost))


def won(needed: int = 0) -> Contest:
    return Contest("split", needed, 0, "", {})


def test_a_group_stays_in_its_part_for_ever() -> None:
    # Written down, not computed: a release that moves a group would show confirm to proposers.
    parts = {name: part_of(name) for name in ("convert cups", "add", "dates", "weather", "refunds")}
    assert [*parts.values()] == ["confirm", "confirm", "confirm", "propose", "select"]
    assert (part_of("add"), part_of("add", salt="b")) == ("confirm", "select")


def test_the_parts_have_their_shares() -> None:
    counts = Counter(part_of(str(i), salt="net") for i in range(10_000))
    assert counts["propose"] == pytest.approx(4000, abs=200)
    assert counts["select"] == pytest.approx(2000, abs=200)
    assert counts["confirm"] == pytest.approx(4000, abs=200)


def test_a_group_is_one_piece_of_evidence_in_any_order() -> None:
    same = [Pair(f"{i:02}", "asked often", False, True, 1.0, 3.0, ("units",)) for i in range(50)]
    first = Pair("00", "asked often", True, False, 1.0, 3.0, ("units",))
    many = [*same[1:], first, *pairs(2, 1, 1)]
    expected = Outcome.of(many)
    assert expected.tally == Tally(2, 2, 1)
    assert expected.slices == {"units": Tally(0, 1, 0)}
    assert (expected.cost_before, expected.cost_after) == pytest.approx((1.0, 1.4))
    random.Random(0).shuffle(many)
    assert Outcome.of(many) == expected


def test_the_rival_that_gains_most_wins_and_of_equals_the_cheapest() -> None:
    rivals = {
        "prompt": outcome(10, 2, 40),
        "split": outcome(20, 2, 30, cost=1.5),
        "swap": outcome(20, 2, 30, cost=1.2),
        "giant": outcome(40, 0, 12, cost=9.0),
    }
    result = contest(rivals, Ledger(), RULES)
    assert result.winner == "swap"
    assert set(json.loads(json.dumps(result.evidence))) == set(rivals)


def test_rivals_within_a_standard_error_are_equals_and_of_equal_cost_the_first_wins() -> None:
    # 18 of 52 gain on balance, with an error of 3.9 pairs.
    most = outcome(20, 2, 30, cost=1.5)
    near, same, far = (
        outcome(gains, 2, 50 - gains, cost=cost) for gains, cost in ((17, 1.2), (18, 1.19), (14, 1))
    )
    assert contest({"most": most, "far": far}, Ledger(), RULES).winner == "most"
    assert contest({"most": most, "near": near, "same": same, "far": far}, Ledger(), RULES).winner == "near"
    assert contest({"same": same, "near": near}, Ledger(), RULES).winner == "same"


def test_a_rival_that_breaks_a_protected_slice_or_gains_nothing_does_not_compete() -> None:
    rivals = {"split": Outcome.of([*pairs(30, 0, 0, "dates"), *pairs(0, 3, 37, "units")])}
    assert contest(rivals, Ledger(), RULES).winner == "split"
    refused = contest(
        rivals | {"same": outcome(5, 5, 60)}, Ledger(), replace(RULES, protected={"units": 0.05})
    )
    assert refused.winner is None
    assert "units loses 3 of 40, 2 may be lost" in refused.reason
    assert "same: it gains nothing" in refused.reason


def test_select_says_how_many_pairs_are_missing() -> None:
    result = contest({"split": outcome(10, 0, 2)}, Ledger(), RULES)
    assert (result.winner, result.missing) == (None, 18)
    assert "holds 12 graded requests and lacks 18 (about 90 more" in result.reason
    assert contest({}, Ledger(), RULES).missing == 30


def test_a_later_trial_and_a_smaller_gain_need_more_pairs() -> None:
    late = Ledger()
    for i in range(50):
        late = late.opened(str(i)).closed(str(i), proven=False)
    sure = {"split": outcome(45, 2, 13)}
    unsure = {"split": outcome(12, 6, 42)}
    needed = [contest(r, ledger, RULES).needed for r in (sure, unsure) for ledger in (Ledger(), late)]
    assert needed == sorted(needed)
    assert needed[0] < 30 < 250 < needed[2]


def test_a_proven_winner_is_adopted_and_its_level_comes_back() -> None:
    verdict, ledger = confirm("t1", won(100), outcome(30, 10, 70), Ledger(), RULES)
    assert verdict.adopted
    assert (
        verdict.reason
        == "adopted: 30 better and 10 worse answers of 110; p 0.0011, no more than the 0.015 allowed"
    )
    assert ledger.spent == 0
    stored = json.loads(json.dumps(verdict.evidence))
    assert stored["tally"] == {"gains": 30, "losses": 10, "ties": 70}
    assert stored["level"] == Ledger().next_level


def test_an_unproven_winner_is_not_adopted_and_pays() -> None:
    verdict, ledger = confirm("t1", won(100), outcome(22, 16, 70), Ledger(), RULES)
    assert not verdict.adopted
    assert "more than the 0.015" in verdict.reason
    assert ledger.spent == Ledger().next_level


def test_the_same_evidence_can_be_too_weak_for_a_later_trial() -> None:
    ledger = Ledger()
    for i in range(10):
        ledger = ledger.opened(str(i)).closed(str(i), proven=False)
    assert not confirm("late", won(), outcome(30, 10, 70), ledger, RULES)[0].adopted


def test_confirm_is_met_once() -> None:
    _, ledger = confirm("t1", won(), outcome(22, 16, 70), Ledger(), RULES)
    with pytest.raises(ValueError, match="twice"):
        confirm("t1", won(), outcome(60, 0, 70), ledger, RULES)


def test_too_little_evidence_is_not_looked_at_and_costs_nothing() -> None:
    verdict, ledger = confirm("t1", won(100), outcome(60, 0, 0), Ledger(), RULES)
    assert (verdict.adopted, verdict.missing, ledger) == (False, 40, Ledger())
    assert "confirm holds 60 graded requests and lacks 40 (about 100 more graded requests" in verdict.reason
    assert "tally" not in verdict.evidence
    rules = replace(RULES, protected={"units": 0.02})
    verdict, ledger = confirm("t1", won(50), outcome(60, 0, 0), Ledger(), rules)
    assert (verdict.missing, ledger) == (20, Ledger())
    assert "units lacks 20" in verdict.reason


def test_without_a_winner_nothing_is_confirmed() -> None:
    nobody = contest({"same": outcome(5, 5, 60)}, Ledger(), RULES)
    with pytest.raises(ValueError, match="no winner"):
        confirm("t1", nobody, outcome(60, 0, 0), Ledger(), RULES)


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        (Rules(cost_cap=1.2), "an answer costs 1.5, more than 1.2"),
        (Rules(cost_cap=2.0, protected={"units": 0.02}), "units loses 3 of 100, 2 may be lost"),
    ],
)
def test_no_gain_buys_a_broken_slice_or_a_price_above_the_cap(rules: Rules, fault: str) -> None:
    evidence = Outcome.of([*pairs(60, 0, 0, "dates", cost=1.5), *pairs(0, 3, 97, "units", cost=1.5)])
    verdict, ledger = confirm("t1", won(), evidence, Ledger(), rules)
    assert not verdict.adopted
    assert fault in verdict.reason and verdict.evidence["faults"] == [fault]
    assert ledger.spent > 0
    stream, open_ledger = follow("t1", "split", evidence, Ledger().opened("t1"), rules)
    assert not stream.adopted
    assert open_ledger.level("t1")


def test_a_stream_is_asked_again_until_it_is_proven() -> None:
    ledger = Ledger().opened("t1")
    verdict, after = follow("t1", "split", outcome(8, 4, 20), ledger, RULES)
    assert not verdict.adopted and after == ledger
    verdict, after = follow("t1", "split", outcome(40, 15, 100), after, RULES)
    assert verdict.adopted and verdict.evidence["test"] == "betting"
    assert after.spent == 0
    with pytest.raises(ValueError, match="not open"):
        follow("t1", "split", outcome(41, 15, 100), after, RULES)


def test_a_version_goes_when_it_is_proven_worse_overall_or_on_a_protected_slice() -> None:
    rules = replace(RULES, protected={"units": 0.02})
    rollbacks = Ledger().opened("v2")
    for fine in (outcome(0, 0, 50, "units"), outcome(20, 8, 50), outcome(3, 5, 50, "units")):
        verdict, after = watch("v2", fine, rollbacks, rules)
        assert verdict.adopted and after == rollbacks
    verdict, after = watch("v2", outcome(8, 40, 50), rollbacks, rules)
    assert not verdict.adopted and verdict.reason.startswith(
        "rolled back, proven worse: all traffic, 8 better and 40 worse"
    )
    assert after.spent == 0
    hidden = Outcome.of([*pairs(50, 5, 50, "dates"), *pairs(0, 20, 20, "units")])
    verdict, _ = watch("v2", hidden, rollbacks, rules)
    assert not verdict.adopted and "units" in verdict.reason
    assert watch("v2", hidden, rollbacks, RULES)[0].adopted


def test_a_change_that_saves_is_adopted_where_it_is_no_worse_and_never_where_it_saves_nothing() -> None:
    rules = replace(RULES, margin=0.05)
    rivals = {
        "merge": outcome(3, 1, 76, cost=0.7),
        "harden": outcome(0, 0, 80, cost=0.2),
        "lossy": outcome(0, 4, 76, cost=0.1),
        "split": outcome(20, 0, 60, cost=1.5),
    }
    won = contest(rivals, Ledger(), rules)
    assert won.winner == "harden" and 100 < won.needed < 300
    assert contest({"lossy": rivals["lossy"]}, Ledger(), rules).winner is None
    same = outcome(1, 1, 300, cost=0.2)
    assert confirm("t1", won, same, Ledger(), rules)[0].adopted
    assert follow("t1", "harden", same, Ledger().opened("t1"), rules)[0].adopted
    for worse in (outcome(0, 12, 290, cost=0.2), outcome(1, 1, 300, cost=1.0)):
        assert not confirm("t1", won, worse, Ledger(), rules)[0].adopted
    # Without the margin, saving is no gain.
    assert not confirm("t1", won, same, Ledger(), RULES)[0].adopted


@pytest.mark.parametrize(
    ("losses", "cost", "spare", "wins"),
    [(0, 1.0, True, True), (0, 1.0, False, False), (1, 1.0, True, False), (0, 1.1, True, False)],
)
def test_what_takes_out_what_nothing_misses_may_cost_the_same_and_change_nothing(
    losses: int, cost: float, spare: bool, wins: bool
) -> None:
    one = replace(outcome(0, losses, 60 - losses, cost=cost), spare=spare)
    won = contest({"prune": one}, Ledger(), replace(RULES, margin=0.05))
    assert (won.winner == "prune") == wins and (wins or "no less than 1" in won.reason)


def test_a_version_that_saves_stays_while_it_loses_less_than_its_margin() -> None:
    saving, rollbacks = replace(RULES, margin=0.05), Ledger().opened("v2")
    little, much = outcome(0, 30, 970, cost=0.2), outcome(0, 150, 850, cost=0.2)
    assert watch("v2", little, rollbacks, saving)[0].adopted
    assert not watch("v2", little, rollbacks, RULES)[0].adopted
    assert not watch("v2", much, rollbacks, saving)[0].adopted


def test_a_stream_that_has_not_met_a_protected_slice_is_not_adopted() -> None:
    rules, ledger = replace(RULES, protected={"units": 0.02}), Ledger().opened("t1")
    seen = [*pairs(60, 0, 40, "dates"), *pairs(0, 0, 19, "units")]
    verdict, after = follow("t1", "split", Outcome.of(seen), ledger, rules)
    assert (verdict.adopted, verdict.missing, after) == (False, 1, ledger)
    assert "the stream holds 119 graded requests and lacks 1 (" in verdict.reason
    seen += [Pair("one more", "one more", True, True, 1.0, 1.0, ("units",))]
    assert follow("t1", "split", Outcome.of(seen), ledger, rules)[0].adopted


def test_of_equal_rivals_the_likelier_to_be_proven_wins() -> None:
    anew, added = outcome(16, 5, 39), outcome(12, 0, 48)
    rivals = {"anew": anew, "added": added}
    assert contest(rivals, Ledger(), RULES).winner == "anew", (
        "the first, where nobody says what confirm holds"
    )
    assert contest(rivals, Ledger(), RULES, pairs=120).winner == "added"
    assert contest(rivals, Ledger(), RULES, pairs=5000).winner == "anew", "both are sure to be proven"
