"""Expressions and equations, in signs or in words, as one piece in calculator notation.

"78 times 81 minus 5" -> 78*81-5, "x squared plus 4 x plus 4" -> x**2+4*x+4. The usual precedence holds for
words as for signs. Tokens in, text out; computes nothing.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from tinyllm.slots.numbers import STARTS, read_number, simple_fraction, spell
from tinyllm.slots.text import Token, words_of

MAX_DEPTH = 12  # of nested parentheses
_SUM = {"+": "+", "-": "-", "plus": "+", "minus": "-", "added to": "+", "take away": "-", "pluss": "+"}
_PRODUCT = {
    "*": "*", "/": "/", "times": "*", "multiplied by": "*", "multiplied with": "*", "multiply by": "*",
    "divided by": "/", "divided buy": "/", "divide by": "/", "devided by": "/", "divded by": "/", "over": "/",
    "mod": " mod ", "modulo": " mod ", "x": "*", "multipled by": "*", "divied by": "/", "time": "*",
}  # fmt: skip
_POWER = {"^": 1, "**": 1, "squared": 2, "cubed": 3}
_FUNCTIONS = words_of("sin cos tan ln log exp sqrt")
_PERCENT = frozenset(("%", "percent", "pct"))
_PHRASES = {
    "square root of": "sqrt", "cube root of": "cbrt", "square of": "square", "cube of": "cube",
    "factorial of": "factorial", "double": "2*", "twice": "2*", "triple": "3*",
}  # fmt: skip
_STARTS = _FUNCTIONS | words_of("minus negative square cube factorial double twice triple")
_VARIABLES = frozenset("xyz")
# letters that are variables only where written like one: 3a, n^2
_GLUED_VARIABLES = frozenset("abkmnpqrstuvw")
_EQUALS = ("=", "equals", "is equal to")

_Read = tuple[str, int] | None  # the text that a rule read and where it ends


class Expression(NamedTuple):
    """`sort` is "number" (it can be computed), "formula" (it has variables) or "equation"."""

    text: str
    sort: str
    end: int


def may_begin(token: Token) -> bool:
    """Whether an expression, a list or a number can begin with a token: a quick look to spare a slow one."""
    text = token.text
    return token.kind == "number" or len(text) == 1 or text in _STARTS or text in STARTS


def read_expression(tokens: Sequence[Token], at: int) -> Expression | None:
    """The expression that begins at a token: two operands or more, or a variable with a power or factor."""
    reader = _Reader(tokens)
    left = reader.sum(at)
    if left is None:
        return None
    text, end = left
    sort = "formula" if reader.variables else "number"
    equals = next((after for sign in _EQUALS if (after := _match(tokens, end, sign))), 0)
    right = reader.sum(equals) if equals else None
    if right and reader.variables:  # 3x + 5 = 20, or 20 = 3x + 5
        text, end, sort = f"{text}={right[0]}", right[1], "equation"
        reader.operators += 1
    elif equals and right is None and tokens[end].text == "=":
        end += 1  # "5-6="
    if not reader.operators:
        return None
    if text.startswith("(") and text.endswith(")") and "(" not in text[1:]:
        text = text[1:-1]
    return Expression(text, sort, end)


def _match(tokens: Sequence[Token], at: int, phrase: str) -> int:
    """Where a phrase that begins at a token ends, or 0."""
    words = phrase.split()
    if at + len(words) > len(tokens):
        return 0
    return at + len(words) if all(tokens[at + i].text == word for i, word in enumerate(words)) else 0


class _Reader:
    """Recursive descent. Each rule returns its text and end, or None; what a rule cannot finish it leaves."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.depth = 0
        self.operators = 0  # what makes it more than one operand
        self.variables: set[str] = set()

    def text(self, at: int) -> str:
        return self.tokens[at].text if 0 <= at < len(self.tokens) else ""

    def operator(self, at: int, table: dict[str, str]) -> tuple[str, int] | None:
        word = self.text(at)
        two = f"{word} {self.text(at + 1)}"
        if two in table:
            return table[two], at + 2
        return (table[word], at + 1) if word in table else None

    def sum(self, at: int) -> tuple[str, int] | None:
        negative = self.text(at) == "-" and (self.text(at + 1) == "(" or self.variable(at + 1) is not None)
        left = self.product(at + 1 if negative else at)
        if left is None:
            return None
        text, end = ("-" if negative else "") + left[0], left[1]
        while found := self.operator(end, _SUM):
            sign, after = found
            if sign == "-" and self.is_hyphen(end):
                break
            right = self.product(after)
            if right is None or self.is_share(right[1]):
                break
            text, end = text + sign + right[0], right[1]
            self.operators += 1
        return text, end

    def is_hyphen(self, at: int) -> bool:
        """Whether the dash joins a word to a number ("10-sided") or spans a range ("between 1-6")."""
        following = self.tokens[at + 1] if at + 1 < len(self.tokens) else None
        if following is None or self.text(at) != "-":
            return False
        return (
            following.kind == "word"
            and following.start == self.tokens[at].end
            and not (read_number(self.tokens, at + 1) or following.text in _VARIABLES)
        )

    def is_share(self, at: int) -> bool:
        """Whether a percent sign follows: "50 + 20%" is no sum."""
        return self.text(at) in _PERCENT and not self.text(at + 1).isdecimal()

    def product(self, at: int) -> tuple[str, int] | None:
        left = self.power(at)
        if left is None:
            return None
        text, end = left
        while True:
            found = self.operator(end, _PRODUCT)
            if found and (self.text(end) != "x" or self.is_times(end)):
                right = self.power(found[1])
                if right is None or self.is_share(right[1]):
                    break
                text, end = text + found[0] + right[0], right[1]
            elif (self.variable(end) or (self.text(end) == "(" and self.is_glued(end))) and (
                right := self.power(end)
            ):
                text, end = f"{text}*{right[0]}", right[1]  # 4 x, 2(3+4)
            else:
                break
            self.operators += 1
        return text, end

    def is_glued(self, at: int) -> bool:
        return 0 < at < len(self.tokens) and self.tokens[at - 1].end == self.tokens[at].start

    def is_hexadecimal(self, at: int) -> bool:
        """Whether a zero is that of 0x1f."""
        x = [self.text(at), self.text(at + 1)] == ["0", "x"] and self.is_glued(at + 1)
        return x and self.is_glued(at + 2)

    def is_times(self, at: int) -> bool:
        """Whether an x multiplies: a number, a parenthesis or a variable follows it."""
        following = self.text(at + 1)
        if following in ("-", "+", "(") or not following:
            return following == "(" and not self.is_glued(at)
        return self.variable(at + 1) is not None or read_number(self.tokens, at + 1) is not None

    def power(self, at: int) -> tuple[str, int] | None:
        base = self.atom(at)
        if base is None:
            return None
        text, end = base
        if negative := text.startswith("(-") and self.text(at) != "(":  # a power binds first: -3^2 is -(3^2)
            text = _bracketed(text[2:-1])
        while True:
            word = self.text(end)
            if word in ("^", "**"):
                exponent = self.atom(end + 1)
                if exponent is None:
                    break
                text, end = f"{text}**{exponent[0]}", exponent[1]
                self.operators += 1
            elif word in ("squared", "cubed"):
                text, end = f"{text}**{_POWER[word]}", end + 1
                self.operators += bool(self.variables)
            elif word == "to" and self.text(end + 1) == "the":
                after = end + 3 if self.text(end + 2) == "power" and self.text(end + 3) == "of" else end + 2
                after += self.text(end + 3) == "of" and after == end + 3
                number = read_number(self.tokens, after) if after < len(self.tokens) else None
                if number is None:
                    break
                text, end = f"{text}**{_bracketed(spell(number.value))}", number.end
                end += self.text(end) == "power"
                self.operators += bool(self.variables)
            else:
                break
        return (f"(-{text})" if negative else text), end

    def variable(self, at: int) -> str | None:
        word = self.text(at)
        if word in _VARIABLES:
            return word
        if word in _GLUED_VARIABLES and (
            self.text(at + 1) in ("^", "**")
            or (
                self.is_glued(at)
                and self.tokens[at - 1].kind == "number"
                and self.text(at + 1) in ("+", "-", "=")
            )
        ):
            return word
        return None

    def atom(self, at: int) -> tuple[str, int] | None:
        if at >= len(self.tokens) or self.is_hexadecimal(at):
            return None
        token = self.tokens[at]
        if token.text == "(":
            inner = self.nested(self.sum, at + 1)
            return (f"({inner[0]})", inner[1] + 1) if inner and self.text(inner[1]) == ")" else None
        if token.text == "log" and self.text(at + 1).isdecimal() and self.text(at + 2) == "(":  # log10(100)
            inner = self.nested(self.sum, at + 3)
            if inner is None or self.text(inner[1]) != ")":
                return None
            self.operators += 1
            return f"log({inner[0]}, {self.text(at + 1)})", inner[1] + 1
        if function := self.function(at):
            name, after = function
            inner = self.nested(self.atom, after)
            if inner is None:
                return None
            self.operators += bool(self.variables)
            argument = inner[0] if inner[0].startswith("(") or name.endswith("*") else f"({inner[0]})"
            return f"{name}{argument}", inner[1]
        if variable := self.variable(at):
            self.variables.add(variable)
            return variable, at + 1
        if token.text == "e" and self.text(at + 1) in ("^", "**"):
            return "e", at + 1
        fraction = simple_fraction(self.tokens, at)
        if fraction and self.tokens[at].end == self.tokens[at + 1].start and fraction[0] < 1:
            return f"({self.text(at)}/{self.text(at + 2)})", fraction[1]
        number = read_number(self.tokens, at)
        if number is None or number.ordinal:
            return None
        share, end = number.value, number.end
        if isinstance(share, Fraction) and (self.text(end) in _PERCENT or share < 1):  # 20% of 50, half of 50
            of = end + 1 if self.text(end) in _PERCENT else end
            whole = self.nested(self.atom, of + 1) if self.text(of) == "of" else None
            if whole:
                share = share / 100 if of > end else share
                return f"{_bracketed(spell(share))}*{whole[0]}", whole[1]
        return _bracketed(spell(share)), end

    def nested(self, rule: Callable[[int], _Read], at: int) -> _Read:
        """What a rule reads one level deeper."""
        if self.depth == MAX_DEPTH:
            return None
        self.depth += 1
        inner = rule(at)
        self.depth -= 1
        return inner

    def function(self, at: int) -> tuple[str, int] | None:
        """A function that begins at a token, and where its argument begins."""
        for phrase, name in _PHRASES.items():
            if after := _match(self.tokens, at, phrase):
                return name, after
        name = self.text(at)
        if name not in _FUNCTIONS or (self.text(at + 1).isdecimal() and self.is_glued(at + 1)):
            return None  # the "log" of "log10" is none
        return name, at + 2 if self.text(at + 1) == "of" else at + 1


def _bracketed(number: str) -> str:
    return f"({number})" if "/" in number or number.startswith("-") else number
