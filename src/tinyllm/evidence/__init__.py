"""Evidence: is a change better, how sure is that, and how much error may a network's life still hold?"""

from tinyllm.evidence.binomial import clopper_pearson, wilson
from tinyllm.evidence.headroom import Headroom, best_of, headroom
from tinyllm.evidence.ledger import Entry, Ledger
from tinyllm.evidence.paired import (
    Tally,
    Test,
    betting,
    e_value,
    gain_interval,
    mcnemar,
    power,
    required_pairs,
)
from tinyllm.evidence.partitions import nmi

__all__ = [
    "Entry",
    "Headroom",
    "Ledger",
    "Tally",
    "Test",
    "best_of",
    "betting",
    "clopper_pearson",
    "e_value",
    "gain_interval",
    "headroom",
    "mcnemar",
    "nmi",
    "power",
    "required_pairs",
    "wilson",
]
