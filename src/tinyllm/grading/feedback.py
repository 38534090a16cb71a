"""What a user says of an answer: good, bad, or what it should have been."""

from tinyllm.errors import RequestError
from tinyllm.grading.reference import TESTS, against
from tinyllm.types import Grade, Trace


def thumb(trace: Trace, user: str, good: bool) -> Grade:
    """A user's opinion of a run."""
    return Grade(trace.run_id, "thumb", user, float(good), "good" if good else "bad")


def correction(trace: Trace, user: str, answer: str) -> Grade:
    """The right answer of a run, as a user gives it: the run is right if it said the same, else wrong.

    Raises RequestError for unit tests, which say nothing before they are run.
    """
    if answer.lstrip().startswith(TESTS):
        hint = "give the code that is right, or bring the tests in a file: `tinyllm learn --replay FILE`"
        raise RequestError("unit tests are no answer", hint=hint)
    score, reason = against(trace, answer)
    return Grade(trace.run_id, "correction", user, float(score == 1.0), reason, answer)
