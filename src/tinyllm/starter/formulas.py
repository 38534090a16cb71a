"""Expressions, formulas and equations for request patterns, in signs and in words, drawn from a seed."""

import re
from random import Random

from tinyllm.slots import find
from tinyllm.starter.fillers import Filler, number

_SIGNS = {
    True: (" plus ", " minus ", " times ", " multiplied by ", " divided by ", " over "),
    False: (" + ", "+", " - ", "-", " * ", "*", " x ", "x", " × ", " / ", "/", " ÷ "),
}
_POLYNOMIALS = "x^2 + Ax + B; x^2 - B; Ax^2 + Bx; x^3 + Ax; Ax^4; x^2 - Ax + B; Ax^3 - Bx^2"
# Capitals stand for small numbers.
_FORMULAS = {
    "solve": "Ax + B = C; x - A = B; x^2 + Ax + B = 0; Ax = C; Ax + B = Cx + D; x^2 = A; A = Bx - C",
    "expand": "(x + A)(x - B); (x + A)^2; A(x + B); (Ax - B)(x + C); (x - A)^3",
    "simplify": "Ax + Bx; (Ax + B) - Cx; A(x + B) + Cx; x^2 + Ax^2; (x^2 - A) + Bx^2",
    "factor": _POLYNOMIALS,
    "derive": f"{_POLYNOMIALS}; sin(x); cos(x) + x; e^x; x^2",
    "integrate": f"{_POLYNOMIALS}; sin(x); cos(x) + x; e^x; x^2",
}
_SPOKEN = {" + ": " plus ", " - ": " minus ", " = ": " equals ", "^2": " squared", "^3": " cubed"}


def expression(random: Random, op: str) -> Filler:
    """Something to calculate, or a formula or equation for `op`, with what the slots make of it."""
    text = _formula(random, op) if op in _FORMULAS else _calculation(random)
    found = find(text)
    return Filler(text, found.values["e0"].value if found.template == "e0" else "?")


def _calculation(random: Random) -> str:
    spoken = random.random() < 0.4

    def operand() -> str:
        return number(random, "", 0, digits=not spoken).text

    def sign() -> str:
        return random.choice(_SIGNS[spoken])

    draw = random.random()
    if draw < 0.1 and not spoken:
        return f"({operand()}{sign()}{operand()}){sign()}{operand()}"
    if draw < 0.2 and not spoken:
        return f"{random.randint(2, 20)}{random.choice(('^', '**'))}{random.randint(2, 9)}"
    return operand() + "".join(sign() + operand() for _ in range(random.choice((1, 1, 1, 1, 2, 2, 3))))


def _formula(random: Random, op: str) -> str:
    text = re.sub("[A-D]", lambda _: str(random.randint(2, 30)), random.choice(_FORMULAS[op].split("; ")))
    text = text.replace("x", random.choice("xxxxyz"))
    draw = random.random()
    if draw < 0.3:
        for sign, words in _SPOKEN.items():
            text = text.replace(sign, words)
    elif draw < 0.6:
        text = text.replace(" ", "")
    return text.replace("^2", "²") if random.random() < 0.1 else text
