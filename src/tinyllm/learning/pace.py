"""When a change has to wait: one that only saves, and one that was taken back.

What only saves is tried when it could be proven, and once in so much new traffic: each look costs error budget that
a mend may need, and each that is adopted may lose its margin anew. What was taken back, by a person or by live
traffic, is tried again when there is new evidence. Knows nothing about what such changes are.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from tinyllm.evidence import Ledger, Tally, betting
from tinyllm.learning.items import Item, among
from tinyllm.learning.traffic import SHARES
from tinyllm.learning.versions import Head
from tinyllm.protocols import TrialRow

EVERY = 250  # graded requests between two trials
MOST = 100_000  # pairs that proving it may take


def waits(
    network: str, trials: Iterable[TrialRow], items: Sequence[Item], ledger: Ledger, margin: float
) -> str | None:
    """Why no such change is tried now, in words; None where one may be.

    A trial that was cut short, or that waits for consent, has been paid for: it may go on at once.
    """
    looked = [t.created or 0.0 for t in trials if t.evidence.get("saves") and not _paid(t)]
    new = sum(item.created > max(looked) for item in items) if looked else EVERY
    if new < EVERY:
        return f"what only saves is tried again after {EVERY - new} more graded answers"
    groups = len({item.group for item in among(items, network, "confirm")})
    level = ledger.next_level
    # With fewer not even a change that changes no outcome is proven.
    needed = bisect_left(
        range(MOST), True, key=lambda ties: betting(Tally(0, 0, ties), margin=margin) <= level
    )
    if groups < needed:
        missing = round((needed - groups) / SHARES["confirm"])
        return f"to prove that something cheaper loses nothing takes about {missing} more graded answers"
    return None


def rests(head: Head, trials: Iterable[TrialRow], items: Iterable[Item]) -> Mapping[tuple[str, str], str]:
    """Why a change is not tried again, in words, by its edit and node: it was taken back, and fewer than `answers`
    of the network's settings were graded since, each of another kind."""
    nodes = {trial.id: trial.node for trial in trials}
    edits = {version.revision: (version.edit, nodes.get(version.trial or "")) for version in head.lineage}
    found = {}
    for revision, back in sorted(head.taken_back.items()):
        edit, node = edits[revision]
        groups = {item.group for item in items if item.created > (back.created or 0.0)}
        missing = head.base.learning.answers - len(groups)
        if node is not None and missing > 0:
            found[edit, node] = (
                f"{edit} {node} is not tried again yet: version {back.revision} took it back ({back.reason}), and "
                f"{missing} more graded answers are needed since, each of another kind"
            )
    return found


def _paid(trial: TrialRow) -> bool:
    return trial.state == "open" or (trial.state == "waiting" and trial.number is not None)
