"""The words, quoted texts and letters that a request wants worked on: "spell POTATO", "how many r's in ...".

A rule cannot tell for certain which word is meant, so it offers each plausible one, and a reader points.
Knows nothing about spelling.
"""

from collections.abc import Sequence
from functools import cache

from tinyllm.slots.text import Token, read_table, words_of
from tinyllm.slots.units import read_unit

MOST = 4  # words offered
_CUES = words_of(
    "letter letters vowel vowels consonant consonants palindrome palindromes reverse reversed "
    "reversing backward backwards uppercase lowercase capital capitals capitalize capitalise "
    "capitalized capitalised caps alphabetical alphabetically alphabetize alphabetise "
    "titlecase character characters word words"
)
_CASES = words_of("upper lower title")  # these are about letters beside "case"
_ABOUT_NUMBERS = words_of("number numbers digits list numerals bound limit")
_COUNTED = words_of("many the of number count all does")  # what stands before a letter that is counted
_TEXTS = words_of("in sentence phrase text line")  # what stands before a text whose words are counted
_POINTS = words_of("this that these those my your his her its our their a an sentence phrase text line")
_BASES = words_of("hex hexadecimal")
_LEADS = words_of("spell word spelling spelled spells spelt reverse uppercase lowercase capitalize")


def is_about_text(tokens: Sequence[Token]) -> bool:
    """Whether the request is about words and letters, so that "spell march" holds no date."""
    words = {token.text for token in tokens if token.kind == "word"}
    if any(token.kind == "quote" and len(token.text) == 1 and token.text.isalpha() for token in tokens):
        return True
    if any(word.startswith("spel") for word in words):
        return True
    if words & _ABOUT_NUMBERS and any(token.kind == "number" for token in tokens):
        return False
    if words & _CUES or ("case" in words and words & _CASES):
        return True
    return any(_is_counted(tokens, at) for at, t in enumerate(tokens) if len(t.text) <= 2)


def _is_counted(tokens: Sequence[Token], at: int) -> bool:
    """Whether a letter is counted: "how many p's are in", "how many ts in", where no unit follows."""
    text = tokens[at].text
    before = tokens[at - 1].text if at else ""
    if before not in _COUNTED or not text.isalpha():
        return False
    after = tokens[at + 1].text if at + 1 < len(tokens) else ""
    if len(text) == 1 and after in ("'s", "'"):
        return True
    plural = len(text) == 2 and before == "many" and text[1] == "s" and text not in ("us", "is", "as")
    counted = plural or (len(text) == 1 and before != "the" and text not in "ai")
    return (
        counted
        and after in ("in", "are", "is", "does", "appear", "occur")
        and read_unit(tokens, len(tokens) - 1) is None
    )


def is_about_bases(tokens: Sequence[Token]) -> bool:
    """Whether a hexadecimal number may stand in the request."""
    return any(token.text in _BASES for token in tokens)


def read_letter(tokens: Sequence[Token], at: int) -> int | None:
    """Where a single letter that is counted or asked for ends, if one begins here: "r's", "the letter x"."""
    token = tokens[at]
    if _is_counted(tokens, at):
        return at + 1
    if len(token.text) != 1 or not token.text.isalpha():
        return None
    before = tokens[at - 1].text if at else ""
    after = tokens[at + 1].text if at + 1 < len(tokens) else ""
    if before in ("letter", "letters", "character") or (after in ("'s", "'") and token.text != "i"):
        return at + 1
    return at + 1 if token.text not in "ai" or (before in _COUNTED and after in ("in", "are", "is")) else None


def read_hex(tokens: Sequence[Token], at: int) -> int | None:
    """Where a hexadecimal number ends, if one begins at a token: "ff", "1f4", "0x1f"."""
    end, text = at, ""
    while end < len(tokens) and tokens[end].kind in ("word", "number") and (end == at or _glued(tokens, end)):
        text, end = text + tokens[end].text, end + 1
    digits = text.removeprefix("0x")
    is_hex = all(c in "0123456789abcdef" for c in digits) and not text.isdecimal()
    return end if digits and is_hex and text not in ("a", "be", "add", "bad") else None


def read_counted_words(tokens: Sequence[Token], at: int) -> int | None:
    """Where a text of several words ends, if one whose words are counted begins at a token: "how many words
    are in to be or not to be"."""
    before = [token.text for token in tokens[:at]]
    if not before or before[-1] not in _TEXTS or "words" not in before or "letters" in before:
        return None
    end = len(tokens)
    while end > at and tokens[end - 1].kind not in ("word", "number"):
        end -= 1
    if end - at < 2 or (tokens[at].text == "the" and (end - at < 3 or tokens[at + 1].text in _TEXTS)):
        return None
    return None if tokens[at].text in _POINTS else end


def read_word(tokens: Sequence[Token], at: int) -> int | None:
    """Where a word or a run of words that may be meant ends, if one begins at a token."""
    end = at
    while end < len(tokens) and tokens[end].kind == "word" and _is_meant(tokens, end):
        end += 1
        while (
            end + 1 < len(tokens)
            and tokens[end].text == "-"
            and _glued(tokens, end)
            and _glued(tokens, end + 1)
        ):
            end += 2  # well-being
    return end if end > at else None


def _is_meant(tokens: Sequence[Token], at: int) -> bool:
    word = tokens[at].text
    if word == "'s" or "'" in word[1:]:
        return False
    common, never = _common()
    if word not in common:
        return True
    return at > 0 and tokens[at - 1].text in _LEADS and word not in never


@cache
def _common() -> tuple[frozenset[str], frozenset[str]]:
    """Words around the one that is meant, and those of them that are not meant even after "spell"."""
    lines = read_table("words.txt")
    after = lines.index("[after]")
    return words_of(" ".join(lines[:after])), words_of(" ".join(lines[after + 1 :]))


def _glued(tokens: Sequence[Token], at: int) -> bool:
    return tokens[at - 1].end == tokens[at].start
