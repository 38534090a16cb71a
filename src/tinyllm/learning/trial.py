"""Trials: whether a change is adopted, decided on paired graded outcomes alone.

Proposals are made from one part of the traffic, rivals compete on the second, and the winner meets the third
once, at the level that the network's ledger allows. Pure values in and out: knows nothing about graphs,
engines or stores, or how a candidate was made.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from tinyllm.evidence import (
    Ledger,
    Tally,
    Test,
    betting,
    e_value,
    gain_interval,
    mcnemar,
    power,
    required_pairs,
)
from tinyllm.learning.traffic import SHARES, Outcome, Part

HELD = 2  # failing examples that must be kept back, at least, from a change that a person vouches for
WRONG = 5  # of so many of them, one may still be wrong


@dataclass(frozen=True, slots=True)
class Rules:
    """What a change must show. `cost_cap` is the mean cost of an answer that no candidate may exceed.

    `protected` gives for a slice the share of its pairs that may turn from pass to fail. `gain` is the smallest
    gain that is worth proving, `power` the chance of proving it. With a `margin` the change is one that saves:
    it must cost less than the head, and is proven to pass at most that share less often. `lost` is the share of
    all pairs that a change may lose where a person vouches for it.
    """

    cost_cap: float
    protected: Mapping[str, float] = field(default_factory=dict)
    gain: float = 0.1
    power: float = 0.8
    margin: float = 0.0
    select_pairs: int = 30
    slice_pairs: int = 20
    lost: float = 0.0


@dataclass(frozen=True, slots=True)
class Contest:
    """Who meets confirm, and how many pairs confirm must hold. Without a winner, `reason` says why.

    `missing` counts the pairs that select lacks.
    """

    winner: str | None
    needed: int
    missing: int
    reason: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the network has the change from now on, why in words, and the evidence as plain data.

    `missing` counts the graded pairs that are still lacking; then nothing was looked at and nothing spent.
    """

    adopted: bool
    reason: str
    missing: int
    evidence: Mapping[str, Any]


def contest(rivals: Mapping[str, Outcome], ledger: Ledger, rules: Rules, pairs: int | None = None) -> Contest:
    """The rival that gains most on select under the cost cap that holds for all. Of those within one standard
    error of it (Breiman et al. 1984, Classification and Regression Trees) the cheapest wins; where that is the same
    to a tenth the likeliest to be proven with the `pairs` that confirm holds, and where that is too the first.

    Where changes are to save, the cheapest that loses less than the margin; of equals the one that gains most.
    """
    evidence = {name: as_data(outcome) for name, outcome in rivals.items()}
    seen = min((outcome.tally.pairs for outcome in rivals.values()), default=0)
    if seen < rules.select_pairs:
        missing = rules.select_pairs - seen
        return Contest(None, 0, missing, _lack("select", seen, missing), evidence)
    faults = {name: _faults(outcome, rules) for name, outcome in rivals.items()}
    for name in rivals:
        if not faults[name] and rivals[name].tally.gain <= -rules.margin:
            faults[name] = (f"it loses {rules.margin:.0%} or more" if rules.margin else "it gains nothing",)
    able = [name for name in rivals if not faults[name]]
    if not able:
        reason = ". ".join(f"{name}: {'; '.join(found)}" for name, found in faults.items())
        return Contest(None, 0, 0, f"nothing is worth a proof. {reason}", evidence)
    level = ledger.next_level

    def chance(name: str) -> float:
        """Of being proven, for all that select can tell."""
        return (
            1.0 if pairs is None else power(_one_look(rules), pairs, *_expected(rivals[name], rules), level)
        )

    found = {name: rivals[name] for name in able}
    winner = _cheapest(found) if rules.margin else _best(found, chance)
    tally = rivals[winner].tally
    needed = required_pairs(_one_look(rules), *_expected(rivals[winner], rules), level, rules.power)
    return Contest(winner, needed, 0, f"{winner} wins on select: {tally}", evidence)


def _expected(outcome: Outcome, rules: Rules) -> tuple[float, float]:
    """The gain and the flips that confirm may show, as select tells them.

    A large gain needs few pairs. The winner's own figure is a little flattered by having won; what that costs is
    power, not honesty, and waiting for the lower end of its interval would cost more.
    """
    gain = max(0.0 if rules.margin else rules.gain, outcome.tally.gain)
    return gain, max(outcome.tally.flips, gain, 1 / outcome.tally.pairs)


def _cheapest(able: Mapping[str, Outcome]) -> str:
    return min(able, key=lambda name: (able[name].cost_after, -able[name].tally.gain))


def _best(able: Mapping[str, Outcome], chance: Callable[[str], float]) -> str:
    most = max((outcome.tally for outcome in able.values()), key=lambda tally: tally.gain)
    error = math.sqrt((most.flips - most.gain**2) / most.pairs)
    equals = {name: one.cost_after for name, one in able.items() if one.tally.gain >= most.gain - error}
    least = min(equals.values()) or 1.0
    return min(equals, key=lambda name: (round(equals[name] / least, 1), -round(chance(name), 1)))


def _one_look(rules: Rules) -> Test:
    return partial(betting, margin=rules.margin) if rules.margin else mcnemar


def confirm(
    trial: str, won: Contest, outcome: Outcome, ledger: Ledger, rules: Rules
) -> tuple[Verdict, Ledger]:
    """The verdict on a contest's winner, from its one look at confirm, and the ledger that has paid for it.

    With too few pairs there is no look, and the ledger stays as it was. Raises ValueError if the trial was
    looked at before, or if the contest has no winner.
    """
    if won.winner is None:
        raise ValueError(f"trial {trial!r} has no winner to confirm: {won.reason}")
    short = _short(trial, won.winner, "confirm", won.needed, outcome, rules)
    if short is not None:
        return short, ledger
    ledger = ledger.opened(trial)
    verdict = _judge(trial, won.winner, _one_look(rules), outcome, ledger, rules)
    return verdict, ledger.closed(trial, proven=verdict.adopted)


def follow(
    trial: str, candidate: str, outcome: Outcome, ledger: Ledger, rules: Rules
) -> tuple[Verdict, Ledger]:
    """The verdict on a candidate that runs beside the head, from all pairs so far: ask after every pair.

    The trial must be open in the ledger and stays so until it is adopted, or closed by who gives it up.
    Raises ValueError if it is not open.
    """
    short = _short(trial, candidate, None, 0, outcome, rules)
    test = partial(betting, margin=rules.margin)
    verdict = short or _judge(trial, candidate, test, outcome, ledger, rules)
    return verdict, ledger.closed(trial, proven=True) if verdict.adopted else ledger


def watch(version: str, outcome: Outcome, ledger: Ledger, rules: Rules) -> tuple[Verdict, Ledger]:
    """Whether an adopted version stays, from all live pairs so far: ask after every pair.

    It goes when it is proven worse than its parent, overall or on a protected slice (where it was to save: worse
    by more than the margin). `ledger` is the one of rollbacks, where the version must be open. Raises
    ValueError if it is not.
    """
    level = ledger.level(version)
    tallies = {"all traffic": outcome.tally}
    tallies |= {name: outcome.slices.get(name, Tally()) for name in rules.protected}
    values = {name: e_value(tally.swapped(), -rules.margin) for name, tally in tallies.items()}
    # The mean of e-values is one, whatever their dependence (Vovk and Wang 2021).
    p_value = min(1.0, len(values) / math.fsum(values.values()))
    worst = max(values, key=lambda name: values[name])
    stays = p_value > level
    head = "stays, not proven worse" if stays else "rolled back, proven worse"
    reason = f"{head}: {worst}, {tallies[worst]}; {_test(p_value, level)}"
    evidence = {"trial": version, "test": "betting", "p_value": p_value, "level": level, **as_data(outcome)}
    return Verdict(stays, reason, 0, evidence), ledger if stays else ledger.closed(version, proven=True)


def vouch(trial: str, candidate: str, held: Tally, older: Outcome, rules: Rules) -> Verdict:
    """The verdict on a candidate that a person vouches for: it is theirs, no ledger pays, and nothing is proven.

    `held` are the person's examples that it was not made from: all but a fifth must come out right. `older` is
    graded traffic that it was not made from either, where it may lose no more than the share `rules.lost` overall
    and the protected slices allow. With too few of those pairs there is no look.
    """
    pairs, right = older.tally.pairs, held.gains
    if pairs < rules.select_pairs:
        missing = math.ceil((rules.select_pairs - pairs) / (1 - SHARES["propose"]))
        reason = (
            f"too little is known of what it would lose: {pairs} kinds of older graded requests can be held against "
            f"it, and {rules.select_pairs} are needed (about {missing} more graded requests)"
        )
        return Verdict(False, reason, missing, {"trial": trial, "candidate": candidate})
    faults = [*_faults(older, rules)]
    if older.tally.losses > math.floor(rules.lost * pairs + 1e-9):
        faults.append(f"older traffic loses {older.tally.losses} of {pairs}")
    if held.pairs < HELD:
        faults.append(f"{held.pairs} failing examples could be kept back, and {HELD} are needed: bring more")
    if held.pairs - right > held.pairs // WRONG:
        faults.append(f"{held.pairs - right} of the examples kept back are still wrong")
    why = f"{right} of {held.pairs} examples right that it was not made from; older traffic: {older.tally}"
    evidence = {
        "trial": trial,
        "candidate": candidate,
        "faults": faults,
        "held": asdict(held),
        **as_data(older),
    }
    head = "taught and vouched for, not proven" if not faults else "not adopted"
    return Verdict(not faults, "; ".join((f"{head}: {why}", *faults)), 0, evidence)


def _judge(trial: str, candidate: str, test: Test, outcome: Outcome, ledger: Ledger, rules: Rules) -> Verdict:
    level, p_value = ledger.level(trial), test(outcome.tally)
    faults = _faults(outcome, rules)
    proven = p_value <= level
    saved = 1 - outcome.cost_after / outcome.cost_before if rules.margin and outcome.cost_before else 0.0
    cheaper = (f"an answer costs {saved:.0%} less",) if saved > 0 else ()
    why = "; ".join((str(outcome.tally), *cheaper, _test(p_value, level), *faults))
    adopted = proven and not faults
    evidence = {"trial": trial, "candidate": candidate, "p_value": p_value, "level": level}
    evidence |= {"test": "mcnemar" if test is mcnemar else "betting", "margin": rules.margin}
    evidence |= {"faults": list(faults), **as_data(outcome)}
    return Verdict(adopted, f"{'adopted' if adopted else 'not adopted'}: {why}", 0, evidence)


def _short(
    trial: str, candidate: str, part: Part | None, needed: int, outcome: Outcome, rules: Rules
) -> Verdict | None:
    """The verdict that pairs are missing, overall or on a protected slice; None where there are enough."""
    pairs = outcome.tally.pairs
    slices = {name: outcome.slices.get(name, Tally()).pairs for name in rules.protected}
    lacking = {name: rules.slice_pairs - n for name, n in slices.items() if n < rules.slice_pairs}
    missing = max(needed - pairs, 0, *lacking.values())
    if not missing:
        return None
    why = [_lack(part, pairs, missing), *(f"{name} lacks {n}" for name, n in lacking.items())]
    evidence = {"trial": trial, "candidate": candidate, "pairs": pairs, "needed": needed, "lacking": lacking}
    return Verdict(False, "; ".join(why), missing, evidence)


def _faults(outcome: Outcome, rules: Rules) -> tuple[str, ...]:
    """What stands against a candidate however much it gains."""
    found = []
    if outcome.cost_after > rules.cost_cap:
        found.append(f"an answer costs {outcome.cost_after:.4g}, more than {rules.cost_cap:.4g}")
    missed = outcome.cost_after > outcome.cost_before or outcome.tally.flips > 0
    if rules.margin and outcome.cost_after >= outcome.cost_before and not (outcome.spare and not missed):
        found.append(f"an answer costs {outcome.cost_after:.4g}, no less than {outcome.cost_before:.4g}")
    for name, share in rules.protected.items():
        tally = outcome.slices.get(name, Tally())
        allowed = math.floor(share * tally.pairs + 1e-9)
        if tally.losses > allowed:
            found.append(f"{name} loses {tally.losses} of {tally.pairs}, {allowed} may be lost")
    return tuple(found)


def _lack(part: Part | None, pairs: int, missing: int) -> str:
    requests = math.ceil(missing / (SHARES[part] if part else 1))
    return (
        f"too little evidence: {part or 'the stream'} holds {pairs} graded requests and lacks {missing}"
        f" (about {requests} more graded requests, each unlike the others)"
    )


def _test(p_value: float, level: float) -> str:
    return f"p {p_value:.2g}, {'no more' if p_value <= level else 'more'} than the {level:.2g} allowed"


def as_data(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain data, with its gain and that one's interval."""
    tally = outcome.tally
    figures = {"pairs": tally.pairs, "gain": tally.gain, "gain_interval": list(gain_interval(tally))}
    return figures | asdict(outcome)
