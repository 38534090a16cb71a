"""The calculator: exact values, its notation, and hostile expressions."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.asking import answer, refusal
from tinyllm.errors import ToolError
from tinyllm.tools.calculator import Calculator
from tinyllm.tools.integers import factors, from_base, is_prime, root, to_base
from tinyllm.types import JSON

CALCULATOR = Calculator()
DIGITS = "more than 3900 digits"


@pytest.mark.parametrize(
    ("expression", "value", "text"),
    [
        ("847 * 392", 332024, "847 * 392 = 332024"),
        ("0.1 + 0.2", "0.3", "0.1 + 0.2 = 0.3"),
        ("3/7", "3/7", "3/7 ≈ 0.428571"),
        ("sqrt(16/9)", "4/3", "sqrt(16/9) = 4/3 ≈ 1.333333"),
        ("10/4", "2.5", "10/4 = 2.5"),
        ("2**10", 1024, "2^10 = 1024"),
        ("sqrt(2)", math.sqrt(2), "sqrt(2) ≈ 1.41421356237"),
        ("pi * 5^2", math.pi * 25, "pi * 5^2 ≈ 78.5398163397"),
        ("1,000 * 2", 2000, "1,000 * 2 = 2000"),
        ("percent_off(30, 279)", "195.3", "30% off 279 is 195.3"),
        ("30% off 279", "195.3", "30% off 279 is 195.3"),
        ("what_percent(1, 3)", "100/3", "1 is about 33.333333% of 3"),
        ("is_prime(97)", True, "97 is a prime number"),
        ("divides(15, 4)", False, "15 is not divisible by 4"),
        ("square(5)", 25, "5 squared is 25"),
        ("cube(1.5)", "3.375", "1.5 cubed is 3.375"),
        ("factors(360)", [2, 2, 2, 3, 3, 5], "the prime factors of 360 are 2, 2, 2, 3, 3, 5"),
        ("to_roman(2024)", "MMXXIV", "2024 in Roman numerals is MMXXIV"),
        ("sqrt(10^60 + 1)", 1e30, "sqrt(10^60 + 1) ≈ 1 × 10^30"),
    ],
)
def test_value_and_sentence(expression: str, value: JSON, text: str) -> None:
    result = answer(CALCULATOR, expression=expression)
    assert result.value == value
    assert type(result.value) is type(value)
    assert result.text == text


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("15% of 80", 12),
        ("80 + 10%", 88),
        ("80 - 10%", 72),
        ("279 less 30%", "195.3"),
        ("200 * 10%", 20),
        ("50% + 1", "1.5"),
        ("17 % 5", 2),
        ("17 mod -5", -3),
        ("-7 mod 3", 2),
        ("-7 // 2", -4),
        ("-2^2", -4),
        ("2^3^2", 512),
        ("2^-2", "0.25"),
        ("4^0.5", 2),
        ("8^(2/3)", 4),
        ("(-8)^(1/3)", -2),
        ("0^0", 1),
        ("2 x 3 × 4 ÷ 8", 3),
        ("2(3 + 4)", 14),
        ("2²+√9+∛8", 9),
        ("5! / 3!", 20),
        ("6 divided by 4", "1.5"),
        ("2 to the power of 5 squared", 33554432),
        ("$20 * 15 percent", 3),
        ("0x1f + 0b11", 34),
        ("1.5e3", 1500),
        ("gcd(12,345)", 3),
        ("lcm(4, 6, 10)", 60),
        ("max(1, 2, 3) - min(4, 5)", -1),
        ("abs(-3)", 3),
        ("floor(-2.5) + ceil(2.1)", 0),
        ("round(2.5)", 3),
        ("round(-2.675, 2)", "-2.68"),
        ("cbrt(-27)", -3),
        ("root(4, 81)", 3),
        ("log(1000)", 3),
        ("log(8, 4)", "1.5"),
        ("log2(1/8)", -3),
        ("ln(1)", 0),
        ("antilog(3)", 1000),
        ("sin(pi/6)", 0.5),
        ("cos(pi)", -1.0),
        ("sin(pi)", 0.0),
        ("divisors(28)", [1, 2, 4, 7, 14, 28]),
        ("to_binary(-10)", "-1010"),
        ("to_base(255, 36)", "73"),
        ("from_binary(1010)", 10),
        ('from_hex("1A")', 26),
        ("from_base('zz', 36)", 1295),
        ("percent_change(50, 75)", 50),
        ("percent_change(-50, -75)", -50),
        ("rect_perimeter(3, 4)", 14),
        ("triple(1/3)", 1),
        ("847 * 392 =", 332024),
    ],
)
def test_notation(expression: str, value: JSON) -> None:
    assert answer(CALCULATOR, expression=expression).value == value


@given(
    st.integers(-(10**30), 10**30),
    st.integers(-(10**30), 10**30),
    st.sampled_from(["+", "-", "*", "//", "mod"]),
)
def test_integers_as_python_has_them(a: int, b: int, sign: str) -> None:
    operation = {
        "+": int.__add__, "-": int.__sub__, "*": int.__mul__, "//": int.__floordiv__, "mod": int.__mod__,
    }[sign]  # fmt: skip
    if b == 0 and sign in ("//", "mod"):
        refusal(CALCULATOR, expression=f"({a}) {sign} ({b})")
    else:
        assert answer(CALCULATOR, expression=f"({a}) {sign} ({b})").value == operation(a, b)


@given(st.fractions(), st.fractions(), st.fractions())
def test_fractions_as_python_has_them(a: Fraction, b: Fraction, c: Fraction) -> None:
    value = answer(CALCULATOR, expression=f"({a} + {b}) * ({c}) - ({a})^2").value
    assert Fraction(value) == (a + b) * c - a**2


@given(st.integers(0, 10**40), st.integers(2, 9))
def test_root_of_a_power_is_exact(n: int, k: int) -> None:
    assert root(n**k, k) == n
    assert root(n**k + 1, k) == (1 if n == 0 else None)


@given(st.integers(1, 10**12))
def test_factors_are_prime_and_multiply_back(n: int) -> None:
    found = factors(n)
    assert math.prod(found) == n
    assert all(map(is_prime, found))


@given(st.integers(), st.integers(2, 36))
def test_bases_there_and_back(n: int, base: int) -> None:
    assert from_base(to_base(n, base), base) == n


def test_primes_up_to_a_thousand() -> None:
    sieve = [n for n in range(1000) if n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))]
    assert [n for n in range(1000) if is_prime(n)] == sieve


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("9**9**9**9", DIGITS),
        ("factorial(10**9)", DIGITS),
        ("factorial(13000)", DIGITS),
        ("10!!", DIGITS),
        ("(2**12000)**3", DIGITS),
        ("e^(10^9)", DIGITS),
        ("lcm(2^9000, 3^6000)", DIGITS),
        ("(2^12000) * (2^12000)", DIGITS),
        ("2 / 3^9000", DIGITS),
        ("factors(10^18 + 1)", "above 10^18"),
        ("is_prime(10^30)", "below 3 * 10^24"),
        ("divisors(897612484786617600)", "more than 500 divisors"),
        ("round(1, 10^9)", "decimals"),
        ("(" * 1000, "too long"),
        ("(" * 60 + "1" + ")" * 60, "deeper than 50 levels"),
        ("2^" * 300 + "2", "too long"),
        ("1" * 1_000_000, "longer than 2000 characters"),
        ("1+" * 1000 + "1", "longer than 2000 characters"),
    ],
)
def test_what_is_too_large_is_refused(expression: str, said: str) -> None:
    assert said in refusal(CALCULATOR, expression=expression).message


def test_a_long_but_legal_expression_is_computed() -> None:
    assert answer(CALCULATOR, expression="1+" * 199 + "1").value == 200
    assert answer(CALCULATOR, expression="1" + "!" * 300).value == 1
    assert answer(CALCULATOR, expression="9" * 2000).value == int("9" * 2000)
    assert answer(CALCULATOR, expression="factorial(1000)").value == math.factorial(1000)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("1/0", "divide 1 by zero"),
        ("1 mod 0", "remainder"),
        ("0^-1", "negative power"),
        ("sqrt(-2)", "no real root"),
        ("(-2)^0.5", "not a real number"),
        ("ln(0)", "no logarithm"),
        ("2.5!", "not a whole number"),
        ("(-3)!", "too small"),
        ("sqr(2)", "did you mean 'sqrt'"),
        ("gcd", "unknown name 'gcd'"),
        ("gcd()", "at least 1"),
        ("sqrt(1, 2)", "takes 1"),
        ("to_base(5, 99)", "base 99"),
        ("from_hex('xyz')", "not of base 16"),
        ("to_roman(4000)", "no Roman numeral"),
        ("2 3", "expected an operator"),
        ("3 +", "expected a number"),
        ("(3", "expected ')'"),
        ("__import__('os')", "cannot be read"),
        ("bin(2) + 1", "not a number to compute with"),
        ("3 = 3", "expected an operator"),
        ("\x00", "cannot be read"),
        ("", "expected a number"),
    ],
)
def test_errors_say_what_is_wrong(expression: str, said: str) -> None:
    assert said in refusal(CALCULATOR, expression=expression).message


TOKENS = [
    "1",
    "2",
    "9",
    ".",
    "+",
    "-",
    "*",
    "/",
    "^",
    "%",
    "!",
    "(",
    ")",
    ",",
    "sqrt(",
    "ln(",
    "e",
    "pi",
    "²",
    "√",
    "of",
]


@given(st.text(max_size=60) | st.lists(st.sampled_from(TOKENS), max_size=14).map(" ".join))
def test_any_text_is_answered_or_refused(text: str) -> None:
    try:
        said = answer(CALCULATOR, expression=text).text
    except ToolError as error:
        said = error.hint
    assert said
