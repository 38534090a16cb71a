"""Grades: was an answer right, who says so, and how far is that to be trusted?

Graders fill the seam `tinyllm.protocols.Grader`. Knows nothing about stores, engines or how models run.
"""

from tinyllm.grading.calibration import Calibration, calibrate, calibrations
from tinyllm.grading.feedback import correction, thumb
from tinyllm.grading.judge import RUBRIC, Judge, Rubric
from tinyllm.grading.recompute import Recompute
from tinyllm.grading.reference import REFUSED, Verdict, compare, rule_for
from tinyllm.grading.sample import sampled
from tinyllm.grading.trends import Trend, category_of, node_of, trends
from tinyllm.grading.trust import TRUST, passed, verdicts
from tinyllm.grading.unit_tests import Reference, Run, prove

__all__ = [
    "REFUSED",
    "RUBRIC",
    "TRUST",
    "Calibration",
    "Judge",
    "Recompute",
    "Reference",
    "Rubric",
    "Run",
    "Trend",
    "Verdict",
    "calibrate",
    "calibrations",
    "category_of",
    "compare",
    "correction",
    "node_of",
    "passed",
    "prove",
    "rule_for",
    "sampled",
    "thumb",
    "trends",
    "verdicts",
]
