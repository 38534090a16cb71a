"""Letters and words of a text: spelled, counted, turned round, sorted, in another case."""

import unicodedata
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from tinyllm.protocols import ToolContext
from tinyllm.tools.arguments import Arguments, check, describe, example_of, need, quoted
from tinyllm.types import JSON, ToolResult


class TextArguments(Arguments):
    operation: Literal[
        "spell",
        "letters",
        "count_letter",
        "words",
        "reverse",
        "upper",
        "lower",
        "title",
        "sort_letters",
        "palindrome",
        "vowels",
    ]
    text: str = Field(min_length=1, max_length=5_000, description="the word or text to work on")
    letter: str | None = Field(None, max_length=20, description="for count_letter: the letter to count")
    examples: ClassVar = (
        {"operation": "spell", "text": "potato"},
        {"operation": "count_letter", "text": "strawberry", "letter": "r"},
        {"operation": "reverse", "text": "hello world"},
    )


class Text:
    """Works on the letters of a text. A value is a text, a count or (palindrome) a bool.

    Case and accents do not matter where letters are counted or compared; letters are what Unicode calls so.
    """

    def __init__(self) -> None:
        self.spec = describe(
            "text",
            "Spell a word, count its letters, vowels, words or one letter, reverse it, sort its letters, "
            "change its case, or tell whether it is a palindrome.",
            TextArguments,
        )

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Work on the text. Raises ToolError where it is empty or too long, or the letter is missing."""
        asked = check(TextArguments, arguments)
        text = unicodedata.normalize("NFC", asked.text)
        letters = [letter for letter in text if letter.isalpha()]
        match asked.operation:
            case "spell":
                spelled = " ".join("-".join(word) for word in text.split())
                return ToolResult(spelled, f"{text} is spelled {spelled}.")
            case "letters":
                return _count(len(letters), "letter", text)
            case "words":
                return _count(len(text.split()), "word", text)
            case "vowels":
                return _count(sum(_bare(letter) in "aeiou" for letter in letters), "vowel", text)
            case "count_letter":
                letter = asked.letter or ""
                need(letter, "argument 'letter' is missing", example_of(TextArguments, "count_letter"))
                need(len(letter) == 1, lambda: f"{quoted(letter)} is not one letter", "give a single letter")
                return _count(text.casefold().count(letter.casefold()), f"letter {letter}", text)
            case "palindrome":
                plain = [_bare(letter) for letter in text if letter.isalnum()]
                found = bool(plain) and plain == plain[::-1]
                return ToolResult(found, f"{text} is {'' if found else 'not '}a palindrome.")
            case "reverse":
                changed = text[::-1]
            case "upper":
                changed = text.upper()
            case "lower":
                changed = text.lower()
            case "title":
                changed = " ".join(word.capitalize() for word in text.split())
            case "sort_letters":
                changed = "".join(sorted(letters, key=lambda letter: (_bare(letter), letter)))
        return ToolResult(changed, changed)


def _count(number: int, what: str, text: str) -> ToolResult:
    if what.startswith("letter "):
        times = "once" if number == 1 else f"{number} times"
        return ToolResult(number, f"The {what} occurs {times} in {text}.")
    return ToolResult(number, f"{text} has {number} {what}{'' if number == 1 else 's'}.")


def _bare(letter: str) -> str:
    """The letter in lower case without its accent."""
    return unicodedata.normalize("NFD", letter.casefold())[:1]
