"""What is worth a change: a kind of requests that fails often enough, and lately; and what is missing where none does.

Knows nothing about how a change is found or proven.
"""

import math
from collections.abc import Sequence

from tinyllm.graph.spec import Learning
from tinyllm.learning.items import Item
from tinyllm.learning.proposal import Cluster
from tinyllm.learning.traffic import SHARES
from tinyllm.learning.trial import Rules

DAY = 86_400.0  # seconds


def is_worth(cluster: Cluster, items: Sequence[Item], own: Learning) -> bool:
    """Whether a cluster is worth a proposal, among all the items that a network learns from."""
    lately = _lately(cluster, items, own)
    failed = _failed(lately)
    return cluster.taught or (failed >= own.failures and failed >= own.failing * len(lately))


def none_graded(own: Learning) -> str:
    """Why nothing is tried where nothing is graded."""
    requests = math.ceil(Rules(math.inf).select_pairs / SHARES["select"])
    return (
        f"no answer is graded yet: about {requests} graded answers, each unlike the others, are missing before a "
        f"change can be tried, about {math.ceil(own.failures / SHARES['propose'])} of them failures "
        "of one kind"
    )


def none_proposed(found: Sequence[Cluster], items: Sequence[Item], own: Learning, pause: str | None) -> str:
    """Why nothing is tried where nothing was proposed; `pause` is why nothing that only saves may be."""
    if any(is_worth(cluster, items, own) for cluster in found):
        return "for what fails, nothing was found that is not tried already"
    if not _failed(items):
        return f"nothing fails, and {pause or 'nothing was found that would save'}"
    most = max((_failed(_lately(cluster, items, own)) for cluster in found), default=0)
    if most < own.failures:
        missing = math.ceil((own.failures - most) / SHARES["propose"])
        return (
            f"too little evidence: about {missing} more graded failures of one kind are missing before a change "
            f"is proposed ({own.failures} are needed among the {SHARES['propose']:.0%} of requests that "
            f"proposals are made from, and there {'is' if most == 1 else 'are'} {most or 'none'})"
        )
    return f"what fails is less than {own.failing:.0%} of its kind"


def _lately(cluster: Cluster, items: Sequence[Item], own: Learning) -> Sequence[Item]:
    """What of a cluster is young enough to call for a change, as the latest of all items tells the time."""
    if own.age is None:
        return cluster.items
    since = max(item.created for item in items) - own.age * DAY
    return [item for item in cluster.items if item.created >= since]


def _failed(items: Sequence[Item]) -> int:
    return sum(not item.passed for item in items)
