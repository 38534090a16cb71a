"""Everyday units with exact factors: a name in any usual spelling -> its size in SI base units.

Why a table beside pint: importing pint and building its registry costs 0.8 CPU-seconds, more than the rest
of a cold start, and its factors are floats; these are fractions, so a mile is exactly 1609.344 meters.
Tests hold every line against pint; they differ where pint measures by the survey foot, abolished in 2022
(furlong, acre). Ambiguous names are US customary. Knows nothing about what is asked.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from tinyllm.tools.number import exact

# A line: name[/irregular plural], other spellings = size in units already defined; no size makes a base unit.
# A leading + takes the SI prefixes. The name is pint's.
_TABLE = """
+ meter, m, metre
+ gram, g, gm, gramme
+ second, s, sec
+ ampere, A, amp
+ byte, B
+ kelvin, K, degK
degree Celsius/degrees Celsius, celsius, centigrade, C, °C, degC, deg C, degree C, degrees C = 1 kelvin
degree Fahrenheit/degrees Fahrenheit, fahrenheit, F, °F, degF, deg F, degree F, degrees F = 5/9 kelvin
degree Rankine/degrees Rankine, rankine, °R, degR = 5/9 kelvin
degree, deg, °, arc degree, angular degree
+ bit = 1/8 byte
kibibyte, KiB = 1024 byte
mebibyte, MiB = 1024 kibibyte
gibibyte, GiB = 1024 mebibyte
tebibyte, TiB = 1024 gibibyte
kilogram, kilo = 1000 gram
inch/inches, in, ", ″ = 0.0254 meter
foot/feet, ft, ', ′ = 12 inch
yard, yd = 3 foot
mile, mi, statute mile = 5280 foot
nautical mile, nmi = 1852 meter
furlong = 220 yard
fathom = 6 foot
hand = 4 inch
league = 3 mile
rod = 16.5 foot
chain = 66 foot
mil, thou = 0.001 inch
angstrom, Å = 1e-10 meter
micron = 1e-6 meter
astronomical unit, au, AU = 149597870700 meter
light year, lightyear, ly = 9460730472580800 meter
parsec, pc = 30856775814913673 meter
tonne, metric ton, t = 1000000 gram
pound, lb, pound mass = 453.59237 gram
ounce, oz = 1/16 pound
stone/stone, st, stones = 14 pound
ton, short ton, us ton = 2000 pound
long ton, imperial ton = 2240 pound
grain, gr = 1/7000 pound
carat, ct = 0.2 gram
troy ounce, ozt = 480 grain
troy pound = 12 troy_ounce
dram = 1/16 ounce
minute, min = 60 second
hour, h, hr = 60 minute
day, d = 24 hour
week, wk = 7 day
fortnight = 14 day
year, yr = 365.25 day
month, mo = 1/12 year
decade = 10 year
century/centuries = 100 year
millennium/millennia = 1000 year
hectare, ha = 10000 meter^2
acre, ac = 4840 yard^2
acre foot/acre feet = 1 acre*foot
+ liter, L, l, litre = 0.001 meter^3
cubic centimeter, cc, ccm = 1e-6 meter^3
gallon, gal, us gallon, liquid gallon = 231 inch^3
quart, qt, us quart, liquid quart = 1/4 gallon
pint, pt, us pint, liquid pint = 1/2 quart
cup, c, us cup = 1/2 pint
gill = 1/4 pint
fluid ounce, fl oz, floz, us fluid ounce, liquid ounce, oz fl = 1/128 gallon
tablespoon, tbsp, tbs, tblsp = 1/2 fluid_ounce
teaspoon, tsp = 1/3 tablespoon
imperial gallon, uk gallon = 4.54609 liter
imperial quart, uk quart = 1/4 imperial_gallon
imperial pint, uk pint = 1/8 imperial_gallon
imperial cup, uk cup = 1/16 imperial_gallon
imperial fluid ounce, uk fluid ounce = 1/160 imperial_gallon
oil barrel, oil bbl = 42 gallon
bushel, bu = 2150.42 inch^3
peck = 1/4 bushel
radian, rad = 57.295779513082320876798154814105 degree
arcminute, arcmin, minute of arc = 1/60 degree
arcsecond, arcsec, second of arc = 1/60 arcminute
turn, revolution, rev = 360 degree
gradian, grad, gon = 0.9 degree
+ hertz/hertz, Hz = 1 per second
+ newton, N = 1000 gram*meter/second^2
+ pascal, Pa = 1 newton/meter^2
+ joule, J = 1 newton*meter
+ watt, W = 1 joule/second
+ volt, V = 1 watt/ampere
+ ohm, Ω = 1 volt/ampere
+ watt hour, Wh = 3600 joule
+ calorie, cal = 4.184 joule
+ electron volt, eV = 1.602176634e-19 joule
british thermal unit, btu = 1055.056 joule
pound force, lbf = 4.4482216152605 newton
dyne = 0.00001 newton
erg = 0.0000001 joule
foot pound, ft lb = 1 foot*pound_force
slug = 1 pound_force*second^2/foot
horsepower/horsepower, hp = 550 foot*pound_force/second
+ bar = 100000 pascal
standard atmosphere, atm, atmosphere = 101325 pascal
pound force per square inch, psi, pound per square inch, pounds per square inch = 1 pound_force/inch^2
torr/torr = 101325/760 pascal
millimeter of mercury/millimeters of mercury, millimeter Hg, mmHg = 133.322387415 pascal
inch of mercury/inches of mercury, inch Hg, inHg = 25.4 millimeter_Hg
knot, kn, kt = 1 nautical_mile/hour
mile per hour/miles per hour, mph = 1 mile/hour
kilometer per hour/kilometers per hour, kph, kmh, kmph = 1 kilometer/hour
"""
_ZERO = {"degree Celsius": exact("273.15"), "degree Fahrenheit": exact("459.67") * 5 / 9}  # in kelvin
_PREFIXES = (
    ("kilo", "k", 3), ("mega", "M", 6), ("giga", "G", 9), ("tera", "T", 12), ("peta", "P", 15),
    ("hecto", "h", 2), ("deca", "da", 1), ("deci", "d", -1), ("centi", "c", -2), ("milli", "m", -3),
    ("micro", "µ", -6), ("micro", "u", -6), ("nano", "n", -9), ("pico", "p", -12), ("femto", "f", -15),
)  # fmt: skip
_KINDS = {
    "meter": "length",
    "gram": "mass",
    "second": "time",
    "kelvin": "temperature",
    "degree": "angle",
    "byte": "data",
    "meter^2": "area",
    "meter^3": "volume",
    "meter/second": "speed",
    "gram*meter/second^2": "force",
    "gram*meter^2/second^2": "energy",
    "gram*meter^2/second^3": "power",
    "gram/meter/second^2": "pressure",
}
_POWER = re.compile(r"(square|sq|cubic|cu)?[ .]?(.+?)(?: ?(squared|cubed)|\^?([23])|([²³]))?")
_POWERS = {
    "square": 2,
    "sq": 2,
    "squared": 2,
    "²": 2,
    "cubic": 3,
    "cu": 3,
    "cubed": 3,
    "³": 3,
    "2": 2,
    "3": 3,
}

Powers = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: `factor` of its base units, whose `powers` are its dimension; `zero` is its origin in them."""

    name: str
    plural: str
    factor: Fraction
    powers: Powers
    zero: Fraction = Fraction(0)

    @property
    def kind(self) -> str:
        """What it measures: "length", "volume", or its base units where that has no name."""
        above = "*".join(_powered(base, power) for base, power in self.powers if power > 0)
        below = "".join(f"/{_powered(base, -power)}" for base, power in self.powers if power < 0)
        return _KINDS.get(above + below, (above or "1") + below)


class Measures:
    """The table, read once. `find` answers for any spelling, compounds such as "miles per hour" included."""

    def __init__(self) -> None:
        self._units: dict[str, Unit] = {}
        self._folded: dict[str, Unit] = {}
        for line in _TABLE.strip().splitlines():
            self._define(line)
        for spelling, unit in list(self._units.items()):
            if len(spelling) > 1 and spelling.isascii():
                self._add(f"{spelling}s", unit)

    @property
    def names(self) -> set[str]:
        """The full name of every unit."""
        return {unit.name for unit in self._units.values()}

    def find(self, text: str) -> Unit | None:
        """The unit of a name, symbol or compound; None where a part of it is not in the table."""
        text = " ".join(text.replace("_", " ").replace("**", "^").split())
        if plain := self._plain(text):
            return plain
        above, *below = re.split(r" ?/ ?| per ", f" {text}")
        parts = [(part, 1) for part in re.split(r" ?[*·] ?|(?<=\w)-(?=\w)", above.strip()) if part]
        parts += [(part, -1) for part in below]
        found = [(self._power(part.strip()), sign) for part, sign in parts]
        if any(unit is None for unit, _ in found):
            return None
        return _product((unit, sign) for unit, sign in found if unit)

    def _plain(self, text: str) -> Unit | None:
        return self._units.get(text) or self._folded.get(text.casefold())

    def _power(self, text: str) -> Unit | None:
        if plain := self._plain(text):
            return plain
        match = _POWER.fullmatch(text)
        unit = self._plain(match[2]) if match else None
        if not match or not unit:
            return None
        power = prod(_POWERS[word] for word in match.groups()[0:1] + match.groups()[2:] if word)
        word = {2: "square ", 3: "cubic "}.get(power, "")
        powers = tuple((base, exponent * power) for base, exponent in unit.powers)
        return Unit(word + unit.name, word + unit.plural, unit.factor**power, powers) if word else None

    def _add(self, spelling: str, unit: Unit) -> None:
        self._units.setdefault(spelling, unit)
        self._folded.setdefault(spelling.casefold(), unit)

    def _define(self, line: str) -> None:
        names, _, size = line.removeprefix("+ ").partition(" = ")
        first, *others = names.split(", ")
        name, _, plural = first.partition("/")
        plural = plural or f"{name}s"
        factor = Fraction(1)
        powers: Powers = ((name, 1),)
        if size:
            number, _, of = size.partition(" ")
            whole = self.find(of)
            assert whole, line
            factor, powers = exact(number) * whole.factor, whole.powers
        unit = Unit(name, plural, factor, powers, _ZERO.get(name, Fraction(0)))
        for spelling in (name, plural, *others):
            self._add(spelling, unit)
        for long, short, power in _PREFIXES if line.startswith("+") else ():
            scaled = Unit(long + name, long + plural, factor * Fraction(10) ** power, powers)
            for spelling in (name, plural, *others):
                if len(spelling) > 3:
                    self._add(long + spelling, scaled)
                else:
                    self._add(short + spelling, scaled)
            self._add(long + name, scaled)


def convert(value: Fraction, source: Unit, target: Unit) -> Fraction:
    """The value in the target unit; both units are of one dimension."""
    return (value * source.factor + source.zero - target.zero) / target.factor


def _product(parts: Iterable[tuple[Unit, int]]) -> Unit:
    """The unit that is a product of units to the power 1 or -1, in reading order."""
    name = plural = ""
    factor, powers = Fraction(1), dict[str, int]()
    for unit, sign in parts:
        joint = "" if not name and sign > 0 else " per " if sign < 0 else " "
        name, plural = name + joint + unit.name, plural + joint + (unit.name if name else unit.plural)
        factor *= unit.factor**sign
        for base, power in unit.powers:
            powers[base] = powers.get(base, 0) + sign * power
    return Unit(name.strip(), plural.strip(), factor, tuple(sorted((b, p) for b, p in powers.items() if p)))


def _powered(base: str, power: int) -> str:
    return base if power == 1 else f"{base}^{power}"
