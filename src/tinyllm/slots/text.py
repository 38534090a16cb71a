"""A request as tokens: folded, bounded, cut into numbers, words, quotes and signs. Knows no meaning."""

import re
import unicodedata
from importlib import resources
from typing import NamedTuple

MAX_LENGTH = 2_000  # characters of a request that are read; a longer one is cut, and says so

_FOLDED = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′`´ʼ", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("–—−‐‑‒―", "-"),
        **dict.fromkeys("·∙⋅", "*"),
        "×": "*", "÷": "/", "⁄": "/", "√": " sqrt ", "π": " pi ", "°": " degrees ", "…": "...",
        "²": "^2", "³": "^3", "½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3", "⅛": " 1/8",
        "⅜": " 3/8", "⅝": " 5/8", "⅞": " 7/8", "≤": "<=", "≥": ">=", "→": "->",
    }
)  # fmt: skip

_TOKEN = re.compile(
    r"(?<![\w\"])\"(?P<double>[^\"]{1,400})\"(?:s\b|(?!\w))"
    r"|(?<![\w)\]])'(?P<single>[^']{1,400})'(?:s\b|(?!\w))"
    r"|(?P<number>(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?(?:e[+-]?\d{1,3}(?!\w))?|(?<![\d.])\.\d+)"
    r"|(?P<word>'s\b|[^\W\d_]+(?:'(?!s\b)[^\W\d_]+)*)"
    r"|(?P<sign>\*\*|->|<=|>=|\.\.\.|[^\s\w]|_+|\w)"
)


class Token(NamedTuple):
    """`text` is lower-case; `start` and `end` are its place in the folded request."""

    kind: str  # number, word, sign or quote (then `text` is what stands between the marks)
    text: str
    start: int
    end: int


def fold(text: str) -> tuple[str, bool]:
    """The request in one alphabet (quotes, dashes, signs and accents unified, control characters gone, spaces
    single, case kept) and whether it was cut."""
    cut = len(text) > MAX_LENGTH
    if text.isascii() and text.isprintable():
        return " ".join(text[:MAX_LENGTH].split()), cut
    text = unicodedata.normalize("NFKD", text[:MAX_LENGTH].translate(_FOLDED)).translate(_FOLDED)
    kept = (
        " " if c.isspace() or not (c.isprintable() or unicodedata.combining(c)) else c
        for c in text
        if not unicodedata.combining(c)
    )
    return " ".join("".join(kept).split()), cut


def tokenise(folded: str) -> list[Token]:
    """The tokens of a folded request, in order."""
    lowered = folded.lower()
    if len(lowered) != len(folded):  # a few letters grow when lowered; places must stay true
        lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in folded)
    tokens = []
    for match in _TOKEN.finditer(lowered):
        kind = str(match.lastgroup)
        if kind in ("double", "single"):
            tokens.append(Token("quote", match[kind], match.start(), match.end()))
        else:
            tokens.append(Token(kind, match[0], match.start(), match.end()))
    return tokens


def words_of(text: str) -> frozenset[str]:
    """The words of a line, as a set."""
    return frozenset(text.split())


def read_table(name: str) -> list[str]:
    """The lines of a data file of this package, without comments and blank ones."""
    text = resources.files("tinyllm.slots").joinpath(name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
