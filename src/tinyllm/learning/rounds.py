"""One round of learning: rivals by name, which of them wins select, and what became of it.

Knows nothing about how proposals are made, or what proves the winner.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tinyllm.evidence import Ledger
from tinyllm.learning.proposal import Proposal
from tinyllm.learning.traffic import Outcome
from tinyllm.learning.trial import Contest, Rules, contest
from tinyllm.protocols import TrialRow, Version

UNSEEN = (
    "all answers that it is compared on stay as they are; if what it would mend is worded as none of these, more "
    "traffic can show it, or your word for examples (`tinyllm teach FILE --trust`)"
)


@dataclass(frozen=True, slots=True)
class Round:
    """One contest: the proposals by name, who won select and why, and what became of the winner."""

    proposals: Mapping[str, Proposal]
    contest: Contest
    trial: TrialRow | None = None
    version: Version | None = None

    @property
    def reason(self) -> str:
        """How it came out."""
        return self.trial.verdict if self.trial else self.contest.reason


def numbered(proposals: Iterable[Proposal]) -> Mapping[str, Proposal]:
    """The proposals by name, numbered in their order."""
    return {f"{number}. {one.edit} {one.node}": one for number, one in enumerate(proposals, 1)}


def compete(
    proposals: Mapping[str, Proposal], found: Mapping[str, Outcome], ledger: Ledger, rules: Rules, pairs: int
) -> tuple[Contest, Rules]:
    """Who wins select, and under which rules: one that is right more often or, where none is, one that saves.

    `found` is what each gained there, `pairs` is how many confirm can tell apart.
    """
    better = {name: one for name, one in found.items() if not proposals[name].saves}
    cheaper = {name: one for name, one in found.items() if proposals[name].saves}
    won = contest(better, ledger, rules, pairs)
    if won.winner is None and cheaper:
        rules = replace(rules, margin=rules.gain)
        saving = contest(cheaper, ledger, rules, pairs)
        won = replace(
            saving,
            reason="; ".join(one.reason for one in (won, saving)) if better else saving.reason,
            evidence={**won.evidence, **saving.evidence},
            missing=max(won.missing, saving.missing),
        )
    if won.winner is None and not won.missing and not any(one.tally.flips for one in found.values()):
        won = replace(won, reason=f"{won.reason}; {UNSEEN}")
    return won, rules
