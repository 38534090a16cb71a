"""How far two ways of sorting the same things into kinds agree."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence


def nmi(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """The mutual information of two labellings, normalised by the mean of their entropies: 0 unrelated, 1 the same
    (Strehl and Ghosh 2002). Two that each know a single kind are the same."""
    if len(one) != len(other):
        raise ValueError(f"{len(one)} labels and {len(other)}: one each is needed of the same things")
    apart = _entropy(one) + _entropy(other)
    return 2 * (apart - _entropy(list(zip(one, other, strict=True)))) / apart if apart else 1.0


def _entropy(labels: Sequence[Hashable]) -> float:
    shares = (count / len(labels) for count in Counter(labels).values())
    return -math.fsum(share * math.log(share) for share in shares)
