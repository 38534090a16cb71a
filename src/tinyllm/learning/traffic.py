"""Graded traffic as evidence: its three parts, and a candidate against the head on one of them.

Knows nothing about graphs, engines or stores, who graded, or what makes two requests near-duplicates.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tinyllm.evidence import Tally

Part = Literal["propose", "select", "confirm"]
SHARES: Mapping[Part, float] = {"propose": 0.4, "select": 0.2, "confirm": 0.4}


def part_of(group: str, *, salt: str = "") -> Part:
    """The part of the traffic that a near-duplicate group belongs to, for ever. `salt` names the network."""
    digest = hashlib.sha256(f"{salt}\n{group}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < SHARES["propose"]:
        return "propose"
    return "select" if place < SHARES["propose"] + SHARES["select"] else "confirm"


@dataclass(frozen=True, slots=True)
class Pair:
    """One request answered by the head and by a candidate. `before` and `after` say how good the answers are: the
    larger number the better. Costs are in one unit."""

    item: str
    group: str
    before: int
    after: int
    cost_before: float = 0.0
    cost_after: float = 0.0
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A candidate against the head on one part of the traffic; costs are means of an answer. A `spare` one takes
    out what nothing misses."""

    tally: Tally
    cost_before: float = 0.0
    cost_after: float = 0.0
    slices: Mapping[str, Tally] = field(default_factory=dict)
    spare: bool = False

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> "Outcome":
        """What the pairs say, one pair a group: a question asked a hundred times is one piece of evidence.

        Of a group the lowest item counts, whatever its outcome and the order of the pairs.
        """
        first: dict[str, Pair] = {}
        for pair in pairs:
            if pair.group not in first or pair.item < first[pair.group].item:
                first[pair.group] = pair
        chosen = first.values()
        names = sorted({name for pair in chosen for name in pair.slices})
        return cls(
            _tally(chosen),
            math.fsum(pair.cost_before for pair in chosen) / max(1, len(chosen)),
            math.fsum(pair.cost_after for pair in chosen) / max(1, len(chosen)),
            {name: _tally(pair for pair in chosen if name in pair.slices) for name in names},
        )


def _tally(pairs: Iterable[Pair]) -> Tally:
    changes = [(pair.after > pair.before) - (pair.after < pair.before) for pair in pairs]
    return Tally(changes.count(1), changes.count(-1), changes.count(0))
