"""How far a judge may be trusted: its verdicts against those of more trusted graders on the same runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tinyllm.grading.trust import TRUST, passed, verdicts
from tinyllm.types import Grade

LEAST_PAIRS = 30  # runs that judge and references both graded
LEAST_OF_A_KIND = (
    5  # right and wrong answers among them: who has seen no wrong answer cannot show that it finds one
)
LEAST_KAPPA = 0.6  # "substantial" agreement (Landis and Koch 1977)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The confusion of a judge with references, as counts; `abstained` are runs on which it gave no verdict."""

    judge: str
    right_as_right: int = 0
    right_as_wrong: int = 0
    wrong_as_right: int = 0
    wrong_as_wrong: int = 0
    abstained: int = 0

    @property
    def pairs(self) -> int:
        return self.right_as_right + self.right_as_wrong + self.wrong_as_right + self.wrong_as_wrong

    @property
    def agreement(self) -> float | None:
        """The share of the runs on which both say the same; None without any."""
        return (self.right_as_right + self.wrong_as_wrong) / self.pairs if self.pairs else None

    @property
    def kappa(self) -> float | None:
        """Agreement beyond chance (Cohen 1960); None where chance alone would always agree."""
        if self.agreement is None:
            return None
        truly = (self.right_as_right + self.right_as_wrong) / self.pairs
        said = (self.right_as_right + self.wrong_as_right) / self.pairs
        chance = truly * said + (1 - truly) * (1 - said)
        return (self.agreement - chance) / (1 - chance) if chance < 1 else None

    @property
    def refused(self) -> str:
        """Why the judge's grades may not drive learning; empty where they may."""
        rights = self.right_as_right + self.right_as_wrong
        wrongs = self.pairs - rights
        if self.pairs < LEAST_PAIRS:
            return f"compared on {self.pairs} runs, {LEAST_PAIRS} are needed"
        if min(rights, wrongs) < LEAST_OF_A_KIND:
            return f"compared on {rights} right and {wrongs} wrong answers, {LEAST_OF_A_KIND} each are needed"
        if self.kappa is None or self.kappa < LEAST_KAPPA:
            return f"kappa is {self.kappa or 0.0:.2f}, {LEAST_KAPPA} is needed"
        return ""


def calibrate(judge: str, pairs: Iterable[tuple[float | None, float]]) -> Calibration:
    """The calibration from (the judge's score, the reference's score) of each run."""
    table = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    abstained = 0
    for said, truth in pairs:
        if said is None:
            abstained += 1
        else:
            table[passed(truth), passed(said)] += 1
    return Calibration(
        judge, table[True, True], table[True, False], table[False, True], table[False, False], abstained
    )


def calibrations(grades: Iterable[Grade]) -> Mapping[str, Calibration]:
    """The calibration of every judge by the more trusted grades of the same runs; `grades` are latest first."""
    grades = list(grades)
    better = TRUST[: TRUST.index("judge")]
    truths = verdicts(grade for grade in grades if grade.kind in better)
    names = sorted({grade.grader for grade in grades if grade.kind == "judge"})
    return {
        name: calibrate(
            name,
            [
                (grade.score, truths[grade.run_id].score or 0.0)
                for grade in grades
                if grade.kind == "judge" and grade.grader == name and grade.run_id in truths
            ],
        )
        for name in names
    }
