"""Reads an expression such as `2(3 + 4)^2 - 15% of 80` into a syntax tree. Never `eval`s.

Two tools read through it: the calculator (`x` between operands multiplies) and algebra (`x` is a variable).
Knows nothing about what operators and functions mean.

    lowest   a off b                  30% off 279
             + -                      also plus, minus, less
             * / // mod of            also x × · ÷ times, over; two operands side by side multiply
             -a                       so -2^2 is -4
             ^                        also **; from the right, so 2^3^2 is 512
             a! a% a² a³ squared      and √a, ∛a before their operand
    highest  number, name, f(a, b), (a)

`%` is the remainder where an operand follows it at once (17 % 5), else a percentage (80 + 10%).
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from tinyllm.errors import ToolError
from tinyllm.tools.arguments import quoted
from tinyllm.tools.number import exact

MAX_LENGTH = 2_000
MAX_DEPTH = 50
MAX_TOKENS = 400  # also bounds the depth of a tree that leans to one side, such as 1+1+1+...


@dataclass(frozen=True, slots=True)
class Number:
    value: Fraction


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted string or digits of another base: `from_hex("1f")`."""

    text: str


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator or a function with its operands. Operators go by their sign, postfix ones by a word."""

    op: str
    args: "tuple[Node, ...]"


Node = Number | Name | Text | Apply

_WORDS = {
    "plus": "+",
    "minus": "-",
    "less": "-",
    "times": "*",
    "multiplied by": "*",
    "divided by": "/",
    "over": "/",
    "mod": "mod",
    "modulo": "mod",
    "to the power of": "^",
    "percent": "%",
    "squared": "²",
    "cubed": "³",
    "of": "of",
    "off": "off",
}
_SIGNS = {"×": "*", "·": "*", "∙": "*", "÷": "/", "−": "-", "–": "-", "**": "^", "[": "(", "]": ")"}
_TOKEN = re.compile(
    r"(?P<space>[\s$€£]+)"
    r"|(?P<based>0x[0-9a-f]+|0b[01]+|0o[0-7]+)(?![\w.])"
    r"|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,4}(?!\w))?)"
    r"|(?P<words>(?:multiplied|divided)\s+by\b|to\s+the\s+power\s+of\b)"
    r"|(?P<name>[a-zπ][a-z_]*(?:\d+(?=\s*\())?)"
    r"|(?P<string>'[^']*'|\"[^\"]*\")"
    r"|(?P<sign>\*\*|//|[-+*/^%!²³√∛(),=×·∙÷−–\[\]])",
    re.IGNORECASE,
)
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_CALL = re.compile(r"[a-z]\w*\s*\(", re.IGNORECASE)
_POSTFIX = {"!": "factorial", "%": "a%", "²": "square", "³": "cube"}
_PREFIX = {"√": "sqrt", "∛": "cbrt"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number, name, string, sign, or end
    text: str
    at: int


def parse(text: str, *, variables: bool = False) -> Node:
    """The syntax tree of an expression. With `variables`, `x` is a name and `=` may stand once, outermost.

    Raises ToolError that quotes the place.
    """
    if len(text) > MAX_LENGTH:
        raise ToolError(
            f"an expression of {len(text)} characters is too long",
            hint=f"use at most {MAX_LENGTH} characters",
        )
    parser = _Parser(text, variables)
    tree = parser.sum_of_all()
    if variables and parser.take("="):
        tree = Apply("=", (tree, parser.sum_of_all()))
    parser.expect_end()
    return tree


class _Parser:
    """Recursive descent with one token of look-ahead."""

    def __init__(self, text: str, variables: bool) -> None:
        if not _CALL.search(text):  # inside gcd(12,345) a comma parts arguments
            text = _GROUPED.sub(lambda match: match[0].replace(",", ""), text)
        self.text = text
        self.variables = variables
        self.tokens = self._tokens()
        self.position = 0
        self.depth = 0

    def _tokens(self) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        while at < len(self.text):
            found = _TOKEN.match(self.text, at)
            if not found:
                raise ToolError(f"{quoted(self.text[at : at + 20])} cannot be read", hint=_HINT)
            kind, text, at = str(found.lastgroup), found[0], found.end()
            if kind in ("name", "words"):
                word = " ".join(text.lower().split())
                kind, text = ("sign", _WORDS[word]) if word in _WORDS else ("name", text)
                # 2x3 and 2 x 3 multiply, unless x is a variable
                if kind == "name" and word == "x" and not self.variables and tokens:
                    kind, text = "sign", "*"
            elif kind == "sign":
                text = _SIGNS.get(text, text)
            elif kind == "based":
                kind, text = "number", str(int(text, 0))
            if kind != "space":
                tokens.append(_Token(kind, text, found.start()))
            if len(tokens) > MAX_TOKENS:
                raise ToolError(
                    "the expression is too long", hint=f"use at most {MAX_TOKENS} numbers and signs"
                )
        return [*tokens, _Token("end", "", len(self.text))]

    @property
    def next(self) -> _Token:
        return self.tokens[self.position]

    def take(self, *signs: str) -> str | None:
        """The next sign if it is one of these, and then it is consumed."""
        if self.next.kind == "sign" and self.next.text in signs:
            self.position += 1
            return self.tokens[self.position - 1].text
        return None

    def expect_end(self) -> None:
        if self.next.kind != "end":
            raise self.wrong("an operator or the end")

    def wrong(self, wanted: str) -> ToolError:
        rest = quoted(self.text[self.next.at : self.next.at + 20]) if self.next.kind != "end" else "nothing"
        return ToolError(
            f"expected {wanted} after {quoted(self.text[: self.next.at][-20:])}, got {rest}", hint=_HINT
        )

    def sum_of_all(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ToolError(f"nested deeper than {MAX_DEPTH} levels", hint="simplify the expression first")
        tree = self.sum()
        if self.take("off"):
            tree = Apply("% off", (tree, self.sum()))
        self.depth -= 1
        return tree

    def sum(self) -> Node:
        tree = self.product()
        while sign := self.take("+", "-"):
            tree = Apply(sign, (tree, self.product()))
        return tree

    def product(self) -> Node:
        tree = self.signed()
        while True:
            if sign := self.take("*", "/", "//", "mod", "%", "of"):
                sign = {"%": "mod", "of": "*"}.get(sign, sign)
                tree = Apply(sign, (tree, self.signed()))
            elif self.next.kind in ("name", "number") or self.next.text in ("(", "√", "∛"):
                if self.next.kind == "number" and self.tokens[self.position - 1].kind == "number":
                    raise self.wrong("an operator")  # 2 3 is a slip, not six
                tree = Apply("*", (tree, self.power()))
            else:
                return tree

    def signed(self) -> Node:
        signs = 0
        while sign := self.take("-", "+"):
            signs += sign == "-"
        tree = self.power()
        return Apply("-a", (tree,)) if signs % 2 else tree

    def power(self) -> Node:
        base = self.postfix()
        if not self.take("^"):
            return base
        self.depth += 1  # 2^2^2^... nests without parentheses
        if self.depth > MAX_DEPTH:
            raise ToolError(f"nested deeper than {MAX_DEPTH} levels", hint="simplify the expression first")
        tree = Apply("^", (base, self.signed()))
        self.depth -= 1
        return tree

    def postfix(self) -> Node:
        roots = []
        while root := self.take("√", "∛"):
            roots.append(_PREFIX[root])
        tree = self.atom()
        while sign := self.take("!", "²", "³") or self.percentage():
            tree = Apply(_POSTFIX[sign], (tree,))
        for root in reversed(roots):
            tree = Apply(root, (tree,))
        return tree

    def percentage(self) -> str | None:
        """Take a % that no operand follows; `17 % 5` is left to the product as the remainder."""
        if self.next.text != "%" or self.next.kind != "sign":
            return None
        after = self.tokens[self.position + 1]
        if after.kind in ("number", "name", "string") or after.text in ("(", "√", "∛"):
            return None
        return self.take("%")

    def atom(self) -> Node:
        token = self.next
        if token.kind == "number":
            self.position += 1
            return Number(exact(token.text))
        if token.kind == "string":
            self.position += 1
            return Text(token.text[1:-1])
        if token.kind == "name":
            self.position += 1
            # of a variable, x(x + 1) is a product
            if self.next.text == "(" and (len(token.text) > 1 or not self.variables):
                return Apply(token.text.lower(), self.arguments())
            return Name(token.text)
        if self.take("("):
            tree = self.sum_of_all()
            if not self.take(")"):
                raise self.wrong("')'")
            return tree
        raise self.wrong("a number")

    def arguments(self) -> tuple[Node, ...]:
        self.take("(")
        found: list[Node] = []
        while not self.take(")"):
            if found and not self.take(","):
                raise self.wrong("',' or ')'")
            found.append(self.sum_of_all())
        return tuple(found)


_HINT = 'write an expression such as "847 * 392", "15% of 80", "sqrt(2)" or "gcd(12, 18)"'
