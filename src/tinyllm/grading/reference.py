"""An answer against the right one: a number, an option of a multiple choice, or exact words.

Each rule is a plain function from an answer and a reference to a score and a reason; `rule_for` says which
one a reference asks for. Knows nothing about where references come from.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Literal, NamedTuple

from tinyllm.slots import told, ungrouped
from tinyllm.slots.tell import Told
from tinyllm.slots.text import fold, tokenise
from tinyllm.slots.units import read_unit
from tinyllm.types import Trace

Rule = Literal["numeric", "choice", "exact"]

REFUSED = "[refused]"  # the reference of a request that is to be refused
TESTS = "tests:"  # how a reference of unit tests begins: they are run, not compared
SURE_DIGITS = 3  # a number rounded to fewer is another number
FRACTION_DIGITS = 6  # and so it is beside a fraction, which is exact

_NUMERIC = re.compile(r"[$€£~≈]?\s*(-?\d+(?:\.\d+)?(?:/\d+)?)\s*(%|°?[^\W\d]+(?:[ /][^\W\d]+){0,2})?\s*\.?")
_TOLERANCE = re.compile(r"\s*(?:±|\+/-)\s*(\d+(?:\.\d+)?)\s*(%?)\s*$")
_CHOICE = re.compile(r"\(?([A-J])[).:]?")
_LEADS = re.compile(r"=|≈|####|\b(?:is|are|equals|answer|result|total)\b:?")
_OPTION = re.compile(
    r"^\W*([A-J])(?:[).:]|\W*$)|\b(?i:answer|option|choice)\W+(?:is\W+)?([A-J])\b|\(([A-J])\)|\*\*([A-J])\b"
)
_NEGATED = re.compile(r"\b(?:not|never|no|nor|neither|cannot|can't|isn't|wasn't|aren't|don't|doesn't)\b")


class Verdict(NamedTuple):
    """`score` is None where the rule cannot tell."""

    score: float | None
    reason: str


def rule_for(reference: str) -> Rule:
    """The rule that a reference asks for: a number with at most a unit and a tolerance, one capital from A to J,
    or words."""
    text = ungrouped(reference.strip())
    if _CHOICE.fullmatch(text):
        return "choice"
    return "numeric" if _NUMERIC.fullmatch(_TOLERANCE.sub("", text)) else "exact"


def compare(answer: str, reference: str, *, rule: Rule | None = None) -> Verdict:
    """The score of an answer by its reference: 1 right, 0 wrong, None undecided."""
    return RULES[rule or rule_for(reference)](answer, reference)


def exact(answer: str, reference: str) -> Verdict:
    """The same words, or an answer that begins or ends with them; case, accents' encoding and marks aside."""
    said, right = _words(answer), _words(reference)
    if said == right:
        return Verdict(1.0, "the same words")
    if right and right in (said[: len(right)], said[-len(right) :]):
        if _NEGATED.search(answer.casefold().replace("’", "'")):
            return Verdict(None, "the answer holds the right words, and a denial")
        return Verdict(1.0, "the answer holds the right words")
    return Verdict(0.0, f"not the right words: {_short(reference)}")


def numeric(answer: str, reference: str) -> Verdict:
    """The number that the answer comes to is the reference, as far as both are written out.

    A reference may end with the error that it allows beyond that: `709.8 ml ± 1%`, or `20 °C ± 0.5`. A number may
    be rounded to three digits or more, a fraction to six. A unit in the reference must follow the number in the
    answer, by any of its names; where the number is right and no unit that is known follows it, the rule cannot
    tell.
    """
    text, right = ungrouped(answer), ungrouped(reference.strip())
    allowed = _TOLERANCE.search(right)
    right = right[: allowed.start()] if allowed else right
    (expected, *_) = told(right) or (None,)
    match = _NUMERIC.fullmatch(right)
    if expected is None or match is None:
        return Verdict(None, f"the reference {_short(reference)} is no number")
    unit = (match[2] or "").casefold()
    tolerance = Fraction(allowed[1]) if allowed else Fraction(0)
    if allowed and allowed[2]:
        tolerance *= abs(expected.value) / 100
    numbers = told(text)
    if not numbers:
        return Verdict(0.0, f"no number, and {_short(reference)} is right")
    final = _final(text, numbers)
    if unit and not _unit(
        text[final.end :], unit
    ):  # "48 tablespoons are 3 cups": the unit tells which is meant
        followed = [number for number in numbers if _unit(text[number.end :], unit)]
        if any(_same(number, expected, tolerance) for number in followed):
            return Verdict(1.0, f"the right number: {_short(reference)}")
        if _same(final, expected, tolerance) and not (_known_unit(text[final.end :]) and _known_unit(unit)):
            return Verdict(None, f"the right number, and no {unit!r} after it")
        return Verdict(0.0, f"no {_short(reference)} in it")
    if not _same(final, expected, tolerance):
        return Verdict(0.0, f"{text[final.start : final.end]}, and {_short(reference)} is right")
    return Verdict(1.0, f"the right number: {_short(reference)}")


def choice(answer: str, reference: str) -> Verdict:
    """The one option that the answer names, by its letter."""
    match = _CHOICE.fullmatch(reference.strip())
    if match is None:
        return Verdict(None, f"the reference {_short(reference)} is no option")
    named = {letter for found in _OPTION.findall(answer.strip()) for letter in found if letter}
    if len(named) != 1:
        return Verdict(None, f"the answer names {len(named) or 'no'} options")
    (letter,) = named
    return Verdict(float(letter == match[1]), f"option {letter}, and {match[1]} is right")


RULES: Mapping[Rule, Callable[[str, str], Verdict]] = {"numeric": numeric, "choice": choice, "exact": exact}


def against(trace: Trace, reference: str | None) -> Verdict:
    """How a run's answer stands to its reference."""
    if reference is None or not reference.strip():
        return Verdict(None, "there is no reference")
    if reference == REFUSED:
        return Verdict(float(trace.status == "refused"), f"it {trace.status}, and was to refuse")
    if trace.status != "answered":
        return Verdict(0.0, f"it {trace.status}, and the answer is {_short(reference)}")
    if reference.lstrip().startswith(TESTS):
        return Verdict(None, "its tests are to be run in a sandbox")
    return compare(trace.answer, reference)


def _final(text: str, numbers: list[Told]) -> Told:
    """The number that an answer comes to: the first after its last "=" or "is", else its last one."""
    lead = max((match.end() for match in _LEADS.finditer(text.casefold())), default=len(text))
    return next((number for number in numbers if number.start >= lead), numbers[-1])


def _same(said: Told, right: Told, tolerance: Fraction) -> bool:
    coarse = max(said, right, key=lambda number: number.rounding)
    enough = SURE_DIGITS if said.rounding and right.rounding else FRACTION_DIGITS
    rounding = coarse.rounding if coarse.digits >= enough else 0
    if said.value.denominator == right.value.denominator == 1 and said.rounding == right.rounding:
        rounding = 0  # two whole numbers are equal or they are not
    return abs(said.value - right.value) <= max(rounding, tolerance)


def _unit(rest: str, unit: str) -> bool:
    """Whether a text begins with a unit, by the same word or by another name for it."""
    if re.match(rf"\s*{re.escape(unit)}(?!\w)", rest.casefold()):
        return True
    known = _known_unit(unit)
    return known is not None and known == _known_unit(rest)


def _known_unit(text: str) -> str | None:
    """The unit that a text begins with, if the gazetteer knows it."""
    tokens = tokenise(fold(text[:100])[0])
    found = read_unit(tokens, 0) if tokens else None
    return found[0].name if found else None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s.,;:!?\"'()*`]", unicodedata.normalize("NFKC", text).casefold())


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
