"""Contests that nobody won: kept as trials that spend nothing, and not held again on the very same evidence.

Knows nothing about how proposals are made or compared.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from tinyllm.learning.items import Item
from tinyllm.learning.proposal import Proposal
from tinyllm.learning.trial import Contest
from tinyllm.protocols import TrialRow

AGAIN = "nothing is graded since this was tried last"


def contest_id(graph: str, items: Iterable[Item], *how: object) -> str:
    """One contest is one body of graded traffic that one network learns from in one way."""
    known = sorted(f"{item.trace.run_id} {item.grade.score} {item.reference}" for item in items)
    text = "\n".join((graph, *map(str, how), *known))
    return hashlib.sha256(f"contest\n{text}".encode()).hexdigest()[:12]


def unwon(
    name: str, network: str, proposals: Mapping[str, Proposal], lost: Contest, faults: Collection[str]
) -> TrialRow:
    """The trial of the rival that came nearest, with the evidence of all; it waits where select was too small.

    It has no number, since nothing was looked at that the error budget pays for.
    """
    seen = [rival for rival in proposals if rival in lost.evidence]
    best = max(seen or proposals, key=lambda rival: lost.evidence[rival]["gain"] if seen else 0)
    one = proposals[best]
    return TrialRow(
        name,
        network,
        one.edit,
        one.node,
        one.reason,
        "waiting" if lost.missing else "rejected",
        lost.reason,
        evidence={"made": one.price, "select": lost.evidence, "faults": list(faults)},
    )


def unwon_before(trials: Sequence[TrialRow], name: str) -> str | None:
    """How this contest ended when it was held before; None where it may be held: never yet, or something broke."""
    return next((t.verdict for t in trials if t.id == name and not t.evidence.get("faults")), None)
