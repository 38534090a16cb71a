"""Units: exact factors held against pint, the ways to ask, and what does not convert."""

from fractions import Fraction

import pytest

from tests.tools.asking import answer, refusal
from tinyllm.tools.measures import Measures
from tinyllm.tools.units import Units
from tinyllm.types import JSON

UNITS = Units()
SURVEY = {
    "acre",
    "acre foot",
    "chain",
    "fathom",
    "furlong",
    "league",
    "rod",
}  # pint keeps the survey foot here
OTHERWISE = {"mil", "decade"}  # other units in pint
BASES = {"gram": 1e-3, "byte": 8.0, "degree": 3.141592653589793 / 180}  # in those of pint


def test_every_unit_of_the_table_is_that_of_pint() -> None:
    import pint

    registry = pint.UnitRegistry()
    measures = Measures()
    spelled = {"millimeter of mercury": "mmHg", "inch of mercury": "inHg"}
    checked = 0
    for name in measures.names - OTHERWISE:
        unit = measures.find(name)
        assert unit is not None
        own = float(unit.factor)
        for base, power in unit.powers:
            own *= BASES.get(base, 1.0) ** power
        zero, one = (
            registry.Quantity(n, spelled.get(name, name).replace(" ", "_")).to_base_units() for n in (0, 1)
        )
        assert own == pytest.approx(one.magnitude - zero.magnitude, rel=3e-5 if name in SURVEY else 1e-9), (
            name
        )
        assert float(unit.zero) == pytest.approx(zero.magnitude, abs=1e-9), name
        checked += 1
    assert checked > 300


@pytest.mark.parametrize(
    ("arguments", "value", "text"),
    [
        ((50, "kilometer", "millimeter"), 50_000_000, "50 kilometers = 50000000 millimeters"),
        ((1, "quart", "cup"), 4, "1 quart = 4 cups"),
        (("1/2", "cup", "tbsp"), 8, "0.5 cups = 8 tablespoons"),
        ((1, "mile", "meters"), "1609.344", "1 mile = 1609.344 meters"),
        ((5, "kg", "lbs"), float(Fraction(5000) / Fraction("453.59237")), "5 kilograms ≈ 11.0231 pounds"),
        ((212, "fahrenheit", "celsius"), 100, "212 degrees Fahrenheit = 100 degrees Celsius"),
        ((-40, "C", "degF"), -40, "-40 degrees Celsius = -40 degrees Fahrenheit"),
        ((0, "degree_Celsius", "K"), "273.15", "0 degrees Celsius = 273.15 kelvins"),
        ((60, "mile/hour", "meter/second"), "26.8224", "60 miles per hour = 26.8224 meters per second"),
        ((1, "m^3", "liters"), 1000, "1 cubic meter = 1000 liters"),
        ((1, "foot**2", "square inches"), 144, "1 square foot = 144 square inches"),
        ((1, "GB", "MB"), 1000, "1 gigabyte = 1000 megabytes"),
        ((1, "cup", "ounce"), 8, "1 cup = 8 fluid ounces"),
        ((1, "pound", "ounce"), 16, "1 pound = 16 ounces"),
        ((123456789, "inch", "mile"), 123456789 / 63360, "123456789 inches ≈ 1948.5 miles"),
        ((1, "newton*meter", "joule"), 1, "1 newton meter = 1 joule"),
        ((1e-9, "meter", "nm"), 1, "0.000000001 meters = 1 nanometer"),
    ],
)
def test_conversion(arguments: tuple[JSON, str, str], value: JSON, text: str) -> None:
    amount, source, target = arguments
    result = answer(UNITS, value=amount, from_unit=source, to_unit=target)
    assert result.value == pytest.approx(value) if isinstance(value, float) else result.value == value
    assert result.text == text


def test_a_unit_that_only_pint_knows() -> None:
    result = answer(UNITS, value=2, from_unit="metric_horsepower", to_unit="watt")
    assert float(result.value) == pytest.approx(1470.9975)
    assert result.text.startswith("2 metric horsepowers ")


def test_sums_and_two_targets() -> None:
    tall = answer(UNITS, value=5, from_unit="foot", second_value=3, second_unit="inch", to_unit="centimeter")
    assert (tall.value, tall.text) == ("160.02", "5 feet 3 inches = 160.02 centimeters")
    both = answer(UNITS, value=10, from_unit="foot", to_unit="inch", also_to="cm")
    assert (both.value, both.text) == ([120, "304.8"], "10 feet = 120 inches = 304.8 centimeters")
    mixed = answer(UNITS, value=100, from_unit="inch", to_unit="foot", also_to="inch")
    assert (mixed.value, mixed.text) == ([8, 4], "100 inches = 8 feet 4 inches")


def test_comparison() -> None:
    def compare(amount: JSON, second: JSON) -> str:
        result = answer(
            UNITS, operation="compare", value=amount, from_unit="cup", second_value=second, second_unit="pint"
        )
        return str(result.value)

    assert [compare(3, 1), compare(2, 1), compare(1, 1)] == ["more", "equal", "less"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"from_unit": "cup", "to_unit": "pound"}, "cups (volume) to pounds (mass)"),
        ({"from_unit": "kilometr", "to_unit": "mile"}, "did you mean 'kilometer'"),
        ({"from_unit": "decibel", "to_unit": "meter"}, "unknown unit 'decibel'"),
        ({"from_unit": "__import__('os')", "to_unit": "m"}, "unknown unit"),
        ({"from_unit": "m**9**9**9", "to_unit": "m"}, "unknown unit"),
        ({"from_unit": "m", "to_unit": "m", "value": "a lot"}, "not a number"),
        ({"from_unit": "m", "to_unit": "m", "value": 10**50}, "too large"),
        ({"from_unit": "m", "to_unit": "m", "value": "1/0"}, "divides by zero"),
        ({"from_unit": "m"}, "'to_unit' is missing"),
        ({"from_unit": "m", "operation": "compare"}, "'second_unit' is missing"),
        ({"from_unit": "m" * 100, "to_unit": "m"}, "longer than 60"),
        ({"from": "m", "to_unit": "m"}, "unknown argument 'from'"),
    ],
)
def test_what_does_not_convert(arguments: dict[str, JSON], said: str) -> None:
    assert said in refusal(UNITS, **arguments).message


def test_nothing_is_colder_than_absolute_zero() -> None:
    for value, unit in (("-5", "kelvin"), ("-300", "celsius")):
        assert "absolute zero" in str(refusal(UNITS, value=value, from_unit=unit, to_unit="fahrenheit"))
    assert answer(UNITS, value="-40", from_unit="celsius", to_unit="fahrenheit").value == -40
