"""Numbers in digits and in English words, exactly: "twenty five", "1 million twelve hundred", "2 and a half".

Tokens in, a value and where it ends out. Knows nothing about what a number is for.
"""

from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import NamedTuple

from tinyllm.slots.text import Token, words_of


def _counted(names: str, first: int = 0, step: int = 1) -> dict[str, int]:
    return {name: first + step * place for place, name in enumerate(names.split())}


_SMALL = _counted(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = _counted("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
_ORDINALS = _counted(
    "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth",
    3,
)
_ORDINALS |= {f"{word[:-1]}ieth": value for word, value in _TENS.items()}
_ORDINALS |= {"hundredth": 100, "thousandth": 1000, "millionth": 10**6, "forth": 4, "twelth": 12}
_SMALL |= {"ninteen": 19}
_TENS |= {"fourty": 40, "fourtey": 40, "ninty": 90}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "quadrillion": 10**15}
_SCALES |= {f"{word}s": value for word, value in _SCALES.items()} | {"grand": 10**3, "mil": 10**6}
_PARTS = _ORDINALS | {f"{word}s": value for word, value in _ORDINALS.items()}
_PARTS |= {"half": 2, "halves": 2, "halfs": 2, "quarter": 4, "quarters": 4}
_DOZEN = {"dozen": 12, "dozens": 12, "dozon": 12}
_WHICH_ONE = words_of(
    "which that this the no any every each another some what whats last first next good other right"
)
_TWO_FOLLOW = words_of("add between of multiply sum -")  # after these, "5 and 1/3" are two numbers
_SEPARATORS = frozenset((",", ";", "and", "&", "or"))
_BEFORE_MINUS = words_of("is of by times and plus minus between equals to from , ( * / + - ^")
_NUMERAL = _SMALL.keys() | _TENS.keys()
STARTS = (
    _NUMERAL
    | _SCALES.keys() - {"mil", "grand"}
    | {"hundred", "half", "a", "an", "pi", "point"}
    | _DOZEN.keys()
)
STARTS |= _ORDINALS.keys() | {"quarter"}


class Number(NamedTuple):
    """`value` is a Fraction, or "pi". `ordinal` is true for "5th" and "fifth". It ends before token `end`."""

    value: Fraction | str
    end: int
    ordinal: bool = False


def spell(value: Fraction | str) -> str:
    """The number as text that `Fraction` reads back: "12", "2.5", "1/3", or "pi"."""
    if isinstance(value, str) or value.denominator == 1:
        return str(value)
    below, places = value.denominator, 0
    for prime in (2, 5):
        count = 0
        while below % prime == 0 and count < 40:
            below, count = below // prime, count + 1
        places = max(places, count)
    if below != 1:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value) * 10**places).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def read_number(tokens: Sequence[Token], at: int, units: Collection[str] = ()) -> Number | None:
    """The number that begins at a token, with its sign and its fraction, if one begins there.

    `units` are words after which "a quarter" and "half a" are amounts ("half a cup").
    """
    token = tokens[at]
    if token.text in ("-", "negative", "minus") and at + 1 < len(tokens):
        before = tokens[at - 1] if at else None
        unary = before is None or not (before.kind == "number" or before.text in (")", "x", "y", "z"))
        if token.text == "minus":
            unary = before is None or before.text in _BEFORE_MINUS
        glued = (token.text != "-" or tokens[at + 1].start == token.end) and tokens[at + 1].text != "-"
        number = read_number(tokens, at + 1, units) if glued and unary else None
        if number is None or isinstance(number.value, str):
            return None
        if token.text == "minus" and _text(tokens, number.end) == "from":
            return None
        return number._replace(value=-number.value)
    if token.kind == "number":
        return _with_fraction(tokens, at, _digits(tokens, at))
    if token.text not in STARTS or token.kind != "word":
        return None
    if token.text == "pi":
        return Number("pi", at + 1)
    return _with_fraction(tokens, at, _words(tokens, at, units))


def simple_fraction(tokens: Sequence[Token], at: int) -> tuple[Fraction, int] | None:
    """A fraction written a/b that begins at a token, and where it ends."""
    if at + 2 >= len(tokens) or tokens[at + 1].text != "/":
        return None
    above, below = tokens[at], tokens[at + 2]
    if not (above.text.isdecimal() and below.text.isdecimal()) or not int(below.text):
        return None
    return Fraction(int(above.text), int(below.text)), at + 3


def _text(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].text if at < len(tokens) else ""


def _digits(tokens: Sequence[Token], at: int) -> Number | None:
    value = Fraction(tokens[at].text.replace(",", ""))
    after = at + 1
    word = _text(tokens, after)
    glued = after < len(tokens) and tokens[after].start == tokens[at].end
    if glued and word in ("st", "nd", "rd", "th"):
        return Number(value, after + 1, ordinal=True)
    if glued and word == "k" and _text(tokens, after + 1) not in ("to", "in", "into", "as", "="):
        return Number(value * 1000, after + 1)
    pointed = word == "point" and _digit(tokens, after + 1) is not None
    if word in _SCALES or word == "hundred" or word in _DOZEN or pointed:
        return _words(tokens, at)
    return Number(value, after)


def _words(tokens: Sequence[Token], at: int, units: Collection[str] = ()) -> Number | None:
    """A number whose words are added up: hundreds into `group`, thousands and more into `total`."""
    total, group, scale = Fraction(0), Fraction(0), 10**18
    last = ""  # what the last word was, which decides what may follow
    i, end, ordinal = at, at, False
    while i < len(tokens):
        word = tokens[i].text
        if word == "-" and end == i and last and _text(tokens, i + 1) in _NUMERAL | _ORDINALS.keys():
            i += 1
            continue
        if tokens[i].kind == "number":
            if last not in ("", "scale") or ("." in word and last):
                break
            if last == "scale" and Fraction(word.replace(",", "")) >= scale:
                break
            group, last = Fraction(word.replace(",", "")), "digits"
        elif word in _SMALL and (
            last in ("", "hundred", "scale") or (last == "tens" and 0 < _SMALL[word] < 10)
        ):
            if word == "one" and not last and _not_a_count(tokens, i):
                return None
            group, last = group + _SMALL[word], "small"
        elif word in _TENS and last in ("", "hundred", "scale"):
            group, last = group + _TENS[word], "tens"
        elif word == "hundred" and group < 100 and last in ("", "a", "small", "digits", "tens"):
            group, last = (group or Fraction(1)) * 100, "hundred"
        elif word in _SCALES and _SCALES[word] < scale and last not in ("scale", "point"):
            if not last and word in ("mil", "grand"):
                break
            scale = _SCALES[word]
            total, group, last = total + (group or Fraction(1)) * scale, Fraction(0), "scale"
        elif word in _DOZEN and last in ("", "a", "small", "digits", "half"):
            group, last = (group or Fraction(1)) * 12, "dozen"
        elif word in _ORDINALS and last == "tens" and _ORDINALS[word] < 10:
            group, last, ordinal = group + _ORDINALS[word], "ordinal", True
        elif (
            word in ("a", "an")
            and not last
            and _text(tokens, i + 1) in _SCALES.keys() | _DOZEN.keys() | {"hundred"}
        ):
            last = "a"
        elif (
            word == "half"
            and not last
            and _text(tokens, i + 1) in ("a", "-")
            and _text(tokens, i + 2) in _DOZEN
        ):
            group, last, i = Fraction(1, 2), "half", i + 1
        elif word == "and" and last in ("hundred", "scale") and _is_rest(tokens, i + 1, group or total):
            i += 1
            continue
        elif (
            word == "point"
            and last in ("", "small", "tens", "hundred", "digits")
            and _digit(tokens, i + 1) is not None
        ):
            places = 1
            while (digit := _digit(tokens, i + 1)) is not None:
                group += Fraction(digit, 10**places)
                places, i = places + 1, i + 1
            last = "point"
        else:
            break
        i += 1
        end = i
        if ordinal:
            break
    if end == at:
        return _part(tokens, at, units)
    return Number(total + group, end, ordinal)


def _not_a_count(tokens: Sequence[Token], at: int) -> bool:
    """Whether "one" stands for a thing, as in "which one" and "one of them"."""
    return (at > 0 and tokens[at - 1].text in _WHICH_ONE) or _text(tokens, at + 1) in ("of", "is", "'s")


def _is_rest(tokens: Sequence[Token], at: int, before: Fraction) -> bool:
    """Whether what follows "and" continues the number ("one hundred and five") and is no second one."""
    if _text(tokens, at) not in _NUMERAL:
        return False
    rest = _words(tokens, at)
    if rest is None or isinstance(rest.value, str):
        return False
    return rest.value < (min(before, Fraction(1000)) if before >= 1000 else min(before, Fraction(100)))


def _digit(tokens: Sequence[Token], at: int) -> int | None:
    word = _text(tokens, at)
    if word in ("oh", "o"):
        return 0
    value = _SMALL.get(word, 10) if not (len(word) == 1 and word.isdecimal()) else int(word)
    return value if value < 10 else None


def _part(tokens: Sequence[Token], at: int, units: Collection[str]) -> Number | None:
    """ "half", "a third", "a quarter of", or an ordinal ("third", "fifth")."""
    article = tokens[at].text in ("a", "an")
    part = _text(tokens, at + article)
    if part in _ORDINALS and not article:
        return Number(Fraction(_ORDINALS[part]), at + 1, ordinal=True)
    if part not in _PARTS or part.endswith("s"):
        return None
    end = at + article + 1
    amount = end + (_text(tokens, end) == "of")
    amount += _text(tokens, amount) in ("a", "an")
    if _text(tokens, amount) in units:  # "half a cup", "a quarter of a mile"
        end = amount
    elif part == "quarter" and _text(tokens, end) != "of":  # a coin
        return None
    return Number(Fraction(1, _PARTS[part]), end)


def _with_fraction(tokens: Sequence[Token], start: int, number: Number | None) -> Number | None:
    """The number with what may follow it: 2 1/2, "2 and a half", "three quarters", "1 fifth"."""
    if number is None or number.ordinal or isinstance(number.value, str) or number.value.denominator != 1:
        return number
    value, at = number.value, number.end
    whole = tokens[at - 1]
    written = simple_fraction(tokens, at) if whole.text.isdecimal() and at < len(tokens) else None
    if written and written[0] < 1:
        return Number(value + written[0], written[1])
    skip = at + 1 if _text(tokens, at) == "-" else at
    part = _text(tokens, skip)
    if part in _PARTS and (part.endswith("s") or value < 20 or value % 10):
        one_of_several = value != 1 and part in ("half", "quarter")  # "two half cups": no such fraction
        if not one_of_several:
            return Number(value / _PARTS[part], skip + 1)
    if part == "and" and not (start and tokens[start - 1].text in _TWO_FOLLOW):
        follows = skip + 1
        if _text(tokens, follows) in ("a", "an", "one"):
            follows += 1
            if (rest := _text(tokens, follows)) in _PARTS and not rest.endswith("s"):
                return Number(value + Fraction(1, _PARTS[rest]), follows + 1)
        elif (rest := _text(tokens, follows)) == "half":
            return Number(value + Fraction(1, 2), follows + 1)
        elif rest and (written := simple_fraction(tokens, follows)) and written[0] < 1:
            return Number(value + written[0], written[1])
        elif rest in _SMALL and _text(tokens, follows + 1) in _PARTS:
            share = Fraction(_SMALL[rest], _PARTS[_text(tokens, follows + 1)])
            if share < 1:
                return Number(value + share, follows + 2)
    return number


def read_list(tokens: Sequence[Token], at: int) -> tuple[tuple[Fraction, ...], int] | None:
    """Three or more numbers in a row ("3, 7, 9, and 24", "4 8 15"), and where the row ends."""
    values: list[Fraction] = []
    i = end = at
    while i < len(tokens):
        written = simple_fraction(tokens, i)
        number = Number(*written) if written else read_number(tokens, i)
        if number is None or number.ordinal or isinstance(number.value, str):
            break
        values.append(number.value)
        i = end = number.end
        while i < len(tokens) and i < end + 2 and tokens[i].text in _SEPARATORS:
            i += 1
    return (tuple(values), end) if len(values) >= 3 else None
