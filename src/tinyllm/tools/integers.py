"""Whole numbers: roots, primes, factors, divisors, bases and Roman numerals, each bounded in time.

Knows nothing about expressions or phrasing.
"""

import math

from tinyllm.tools.arguments import need, quoted
from tinyllm.tools.number import MAX_BITS, too_large

# Miller-Rabin with the first 13 primes as witnesses is proven below this (Sorenson and Webster, 2015).
_WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
_PROVEN = 3_317_044_064_679_887_385_961_981
_FACTORED = 10**18  # Pollard's rho finds a factor of any number below in some ten milliseconds
_LISTED = 500
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ROMAN = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),
    (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


def root(n: int, k: int) -> int | None:
    """The exact k-th root of n >= 0, or None where it is no whole number."""
    if n < 2:
        return n
    if k >= n.bit_length():
        return None
    if k == 2:
        guess = math.isqrt(n)
    else:
        guess = 1 << -(-n.bit_length() // k)  # Newton's method from above
        while (smaller := ((k - 1) * guess + n // guess ** (k - 1)) // k) < guess:
            guess = smaller
    return guess if guess**k == n else None


def lcm(*values: int) -> int:
    """The least common multiple. Raises ToolError where it would be too large."""
    found = 1
    for value in values:
        found = math.lcm(found, value)
        if found.bit_length() > MAX_BITS:
            raise too_large()
    return found


def is_prime(n: int) -> bool:
    """Whether n is prime, proven. Raises ToolError above 3 * 10^24."""
    need(n < _PROVEN, "primality is decided only below 3 * 10^24", "give a smaller whole number")
    if n < 2:
        return False
    for p in _WITNESSES:
        if n % p == 0:
            return n == p
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for witness in _WITNESSES:
        x = pow(witness, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def factors(n: int) -> list[int]:
    """The prime factors of n >= 1 in rising order, with repeats. Raises ToolError above 10^18."""
    need(n <= _FACTORED, "numbers above 10^18 are not factored", "give a smaller whole number")
    found: list[int] = []
    for p in _WITNESSES:
        while n % p == 0:
            found.append(p)
            n //= p
    left = [n] if n > 1 else []
    while left:
        part = left.pop()
        if is_prime(part):
            found.append(part)
        else:
            divisor = _divisor(part)
            left += [divisor, part // divisor]
    return sorted(found)


def _divisor(n: int) -> int:
    """A divisor of an odd composite number (Pollard's rho)."""
    for step in range(1, n):
        slow = fast = 2
        common = 1
        while common == 1:
            slow = (slow * slow + step) % n
            fast = (fast * fast + step) % n
            fast = (fast * fast + step) % n
            common = math.gcd(slow - fast, n)
        if common != n:
            return common
    raise AssertionError(f"{n} is prime")


def divisors(n: int) -> list[int]:
    """All divisors of n >= 1 in rising order. Raises ToolError where they are more than can be listed."""
    found = [1]
    primes = factors(n)
    for p in dict.fromkeys(primes):
        found = [d * p**k for d in found for k in range(primes.count(p) + 1)]
        need(len(found) <= _LISTED, f"{n} has more than {_LISTED} divisors", "ask for its factors instead")
    return sorted(found)


def to_base(n: int, base: int) -> str:
    """The digits of n in a base from 2 to 36."""
    need(2 <= base <= 36, f"base {quoted(base)} does not exist here", "give a base from 2 to 36")
    sign, n = "-" if n < 0 else "", abs(n)
    if base in (2, 8, 16):  # quick, and Python does not limit their length
        return sign + format(n, {2: "b", 8: "o", 16: "x"}[base])
    found = ""
    while n or not found:
        n, digit = divmod(n, base)
        found = _DIGITS[digit] + found
    return sign + found


def from_base(text: str, base: int) -> int:
    """The number that digits of a base mean, with or without 0x, 0b or 0o. Raises ToolError."""
    need(2 <= base <= 36, f"base {quoted(base)} does not exist here", "give a base from 2 to 36")
    need(len(text) <= 3_000, f"{len(text)} digits are too many", "give at most 3000 digits")
    sign, number = (-1, text[1:]) if text.startswith("-") else (1, text)
    prefix = {2: "0b", 8: "0o", 16: "0x"}.get(base)
    number = number.lower().replace(" ", "").removeprefix(prefix or " ")
    allowed = _DIGITS[:base]
    need(
        number and set(number) <= set(allowed),
        f"{quoted(text)} is not of base {base}",
        f"use the digits {allowed}",
    )
    return sign * int(number, base)


def to_roman(n: int) -> str:
    """The Roman numeral of 1 to 3999."""
    need(1 <= n <= 3999, f"{quoted(n)} has no Roman numeral", "give a whole number from 1 to 3999")
    found = ""
    for value, letters in _ROMAN:
        found += letters * (n // value)
        n %= value
    return found
