"""Slots found by rule: one table of requests per kind, and every text survived."""

import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.slots import find
from tinyllm.slots.places import place_names
from tinyllm.slots.text import MAX_LENGTH
from tinyllm.slots.units import canonical, sorts, spellings


def read(text: str) -> tuple[str, dict[str, str]]:
    slots = find(text)
    return slots.template, {name: slot.value for name, slot in slots.values.items()}


@pytest.mark.parametrize(
    ("text", "template", "values"),
    [
        ("What is 30% off 279?", "what is n0 % off n1 ?", "30 279"),
        ("an 18 percent tip on $20", "an n0 % tip on $ n1", "18 20"),
        ("if i win 200000 how do i split it 7 ways", "if i win n0 how do i split it n1 ways", "200000 7"),
        ("10 to the 12th power", "n0 to the n1 th power", "10 12"),
        ("the third root of twenty-seven", "the n0 root of n1", "3 27"),
        ("add 1,234.50 and .5", "add n0 and n1", "1234.5 0.5"),
        ("add -5 and 1/3", "add n0 and n1", "-5 1/3"),
        ("minus 5 from 10", "minus n0 from n1", "5 10"),
        ("three quarters of 1 fifth", "n0 of n1", "0.75 0.2"),
        ("half of ninety", "n0 of n1", "0.5 90"),
        ("2 and a half and 3 1/2", "n0 and n1", "2.5 3.5"),
        ("1 million twelve hundred", "n0", "1001200"),
        ("one hundred and five", "n0", "105"),
        ("six hundred thousand and two", "n0", "600002"),
        ("a dozen, half a dozen", "n0 , n1", "12 6"),
        ("three point one four", "n0", "3.14"),
        ("square root of pi", "square root of n0", "pi"),
        ("roll 2d6 and a d20", "roll n0 d n1 and a d n2", "2 6 20"),
        ("random between 1-6", "random between n0 - n1", "1 6"),
        ("which one is it", "which one is it", ""),
        ("flip a quarter", "flip a quarter", ""),
        ("50 + 20%", "n0 + n1 %", "50 20"),
        ("remainder of 17 / 5", "remainder of n0 / n1", "17 5"),
        ("0,1 + 0,2", "n0 , n1 + n2 , n3", "0 1 0 2"),
        ("1.234,56 + 1", "n0 , n1 + n2", "1.234 56 1"),
        ("gcd of 12,18", "gcd of n0 , n1", "12 18"),
    ],
)
def test_numbers(text: str, template: str, values: str) -> None:
    assert read(text) == (template, {f"n{i}": value for i, value in enumerate(values.split())})


def test_a_hexadecimal_number_is_neither_product_nor_formula() -> None:
    assert find("0x1f in decimal").values == {}
    assert all(slot.kind != "e" for slot in find("5 + 0x1f").values.values())
    assert find("hex 0x1f").values["w0"].value == "0x1f"


@pytest.mark.parametrize(
    ("text", "value", "sort"),
    [
        ("2+2", "2+2", "number"),
        ("78 times 81 minus 5", "78*81-5", "number"),
        ("80 divided buy 4", "80/4", "number"),
        ("six divided by 16", "6/16", "number"),
        ("2/3 x 1/9", "(2/3)*(1/9)", "number"),
        ("1 million twelve hundred divided by 400000", "1001200/400000", "number"),
        ("5-6=", "5-6", "number"),
        ("2(3 + 4)²", "2*(3+4)**2", "number"),
        ("-5 + 3", "(-5)+3", "number"),
        ("2 to the power of 10 minus 1", "2**10-1", "number"),
        ("5 squared plus 12 squared", "5**2+12**2", "number"),
        ("-3^2", "-3**2", "number"),
        ("4 - -3 squared", "4-(-3**2)", "number"),
        ("-(3+4)^2", "-(3+4)**2", "number"),
        ("12/4", "12/4", "number"),
        ("17 mod 5", "17 mod 5", "number"),
        ("x squared plus 4 x plus 4", "x**2+4*x+4", "formula"),
        ("(x+1)(x-2)", "(x+1)*(x-2)", "formula"),
        ("sin(x) + x^2", "sin(x)+x**2", "formula"),
        ("3x + 5 = 20", "3*x+5=20", "equation"),
        ("20 equals 3 times x", "20=3*x", "equation"),
        ("20% of 50 plus 10", "0.2*50+10", "number"),
        ("20 percent of (50+10)", "0.2*(50+10)", "number"),
        ("50 minus 20% of 50", "50-0.2*50", "number"),
        ("half of 10 plus 4", "0.5*10+4", "number"),
        ("square root of 16 plus 9", "sqrt(16)+9", "number"),
        ("double 5 plus 3", "2*5+3", "number"),
        ("log10(100)", "log(100, 10)", "number"),
        ("0X", "0*x", "formula"),
        ("factorial of 3 plus cube of 2", "factorial(3)+cube(2)", "number"),
    ],
)
def test_expressions(text: str, value: str, sort: str) -> None:
    slots = find(text)
    assert slots.template == "e0"
    assert (slots.values["e0"].value, slots.values["e0"].sort) == (value, sort)


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("20% of 50", "n0 % of n1"),
        ("half of 50", "n0 of n1"),
        ("the square root of 16", "the square root of n0"),
    ],
)
def test_one_operand_is_no_expression(text: str, template: str) -> None:
    assert read(text)[0] == template


@pytest.mark.parametrize("word", ["half of ", "20% of ", "ln ", "square root of ", "double ", "("])
def test_what_is_nested_too_deep_is_read_from_further_in(word: str) -> None:
    assert find(word * 20 + "4 plus 1").template.endswith("e0")
    assert find(word * 600 + "4 plus 1").template  # and never too deep for Python


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3, 7, 9, and 24", "3, 7, 9, 24"),
        ("4 8 15 16", "4, 8, 15, 16"),
        ("[1.5, -2, 1/4]", "1.5, -2, 0.25"),
        ("one and two and three", "1, 2, 3"),
    ],
)
def test_lists(text: str, value: str) -> None:
    assert find(f"mean of {text}").values["l0"].value == value


def test_two_numbers_are_no_list() -> None:
    assert read("3 and 5")[0] == "n0 and n1"


@pytest.mark.parametrize(
    ("text", "template", "values"),
    [
        ("32 degrees fahrenheit in celcius", "n0 u0 in u1", "degree_Fahrenheit degree_Celsius"),
        ("how many ounces in a liter", "how many u0 in a u1", "fluid_ounce liter"),
        ("5 ft in inches", "n0 u0 in u1", "foot inch"),
        ("6 foot 2 in cm", "n0 u0 n1 u1 u2", "foot inch centimeter"),
        ("how many ounces in a pound", "how many u0 in a u1", "ounce pound"),
        ("10kg to lbs", "n0 u0 to u1", "kilogram pound"),
        ("how many ml's are in 2 tablesppons", "how many u0 's are in n0 u1", "milliliter tablespoon"),
        ("12 in to cm", "n0 u0 to u1", "inch centimeter"),
        ("5'3\" in cm", "n0 u0 n1 u1 in u2", "foot inch centimeter"),
        ("60 km/h in miles per hour", "n0 u0 in u1", "kilometer_per_hour mile_per_hour"),
        ("200 square feet in sq m", "n0 u0 in u1", "square_foot meter**2"),
        ("convert c to f", "convert u0 to u1", "degree_Celsius degree_Fahrenheit"),
        ("half a cup in millilitres", "n0 u0 in u1", "cup milliliter"),
        ("what day is it in 3 days", "what day is it in n0 u0", "day"),
        ("the second root of 16", "the second root of n0", ""),
        ("is it in stock", "is it in stock", ""),
    ],
)
def test_units(text: str, template: str, values: str) -> None:
    found, slots = read(text)
    assert found == template
    assert [value for name, value in slots.items() if name[0] == "u"] == values.split()


def test_units_are_of_their_dimension() -> None:
    pint = pytest.importorskip("pint")
    registry = pint.UnitRegistry()
    for sort, names in spellings().items():
        dimensions = {str(sorted(registry.Unit(name).dimensionality.items())) for name in names}
        assert len(dimensions) == 1, (sort, dimensions)
    assert canonical("centimetres") == "centimeter"
    assert sorts()["furlong"] == "length"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("march 3rd, 2024", "2024-03-03"),
        ("the 3rd of march 2024", "2024-03-03"),
        ("3/14/2025", "2025-03-14"),
        ("25/12/2025", "2025-12-25"),
        ("2024-02-29", "2024-02-29"),
        ("14.3.2025", "2025-03-14"),
        ("july fourth", "--07-04"),
        ("tomorrow", "tomorrow"),
        ("the day after tomorrow", "day after tomorrow"),
        ("next friday", "next friday"),
        ("new year's day", "--01-01"),
        ("may 5", "--05-05"),
    ],
)
def test_dates(text: str, value: str) -> None:
    assert read(f"what weekday is {text}?") == ("what weekday is d0 ?", {"d0": value})


@pytest.mark.parametrize("text", ["2/30/2024", "february 30", "may i ask", "march on"])
def test_no_dates(text: str) -> None:
    assert "d0" not in find(text).values


@pytest.mark.parametrize(
    ("text", "value"),
    [("3pm", "15:00"), ("12 a.m.", "00:00"), ("15:30", "15:30"), ("4:05 PM", "16:05"), ("noon", "12:00"),
     ("seven o'clock", "07:00")],
)  # fmt: skip
def test_times(text: str, value: str) -> None:
    assert read(f"{text} in tokyo") == ("t0 in z0", {"t0": value, "z0": "Asia/Tokyo"})


@pytest.mark.parametrize("text", ["13 pm", "25:00", "3:75"])
def test_no_times(text: str) -> None:
    assert "t0" not in find(text).values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("buenos aires", "America/Argentina/Buenos_Aires"),
        ("São Paulo", "America/Sao_Paulo"),
        ("las vegas, nv", "America/Los_Angeles"),
        ("paris, texas", "America/Chicago"),
        ("portland, maine", "America/New_York"),
        ("sydney, australia", "Australia/Sydney"),
        ("the pacific timezone", "America/Los_Angeles"),
        ("cst", "America/Chicago"),
        ("scotland", "Europe/London"),
        ("nice", "Europe/Paris"),
        ("utc", "UTC"),
    ],
)
def test_places(text: str, value: str) -> None:
    assert find(f"what time is it in {text}").values["z0"].value == value


def test_a_place_that_is_a_word_needs_its_preposition() -> None:
    assert not find("that is a nice color, turn it mobile").values


def test_places_are_zones() -> None:
    known = zoneinfo.available_timezones()
    assert {zone for _, zone in place_names()} <= known
    assert len(place_names()) > 900


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("spell POTATO", {"w0": "POTATO"}),
        ("how many words are in the quick brown fox?", {"w0": "the quick brown fox"}),
        ("how many words are in the phrase to be or not", {"w0": "to be or not"}),
        ("words in hello world", {"w0": "hello world"}),
        ("how many words are in this text", {}),
        ("how many words are in the bible", {"w0": "bible"}),
        ("how do you spell march", {"w0": "march"}),
        ("how is the word seven spelled", {"w0": "seven"}),
        ('reverse "Hello World"', {"w0": "Hello World"}),
        ("what is 'well done' in capitals", {"w0": "well done"}),
        ("how many r's in strawberry", {"c0": "r", "w0": "strawberry"}),
        ("how many ts are in tethered", {"c0": "t", "w0": "tethered"}),
        ('find all the "a"s in happiness', {"c0": "a", "w0": "happiness"}),
        ("how many times is the letter e in cheese", {"c0": "e", "w0": "cheese"}),
        ("convert hex 1F to decimal", {"w0": "1F"}),
        ("how many gs in a kg", {"u0": "kilogram"}),
    ],
)
def test_words_and_letters(text: str, values: dict[str, str]) -> None:
    assert read(text)[1] == values


def test_several_words_are_each_offered() -> None:
    slots = find("in english, spell banana and then mango")
    assert {slot.value for slot in slots.values.values()} >= {"banana", "mango"}


def test_a_slot_name_in_the_request_is_plain_text() -> None:
    template, values = read("n0 plus n1")
    assert set(values) == {"n0", "n1"}
    assert template == "n n0 plus n n1"


def test_notes_tell_what_slots_hold() -> None:
    assert find("how many days until tomorrow in 1 hour").notes == (
        "u0=day",
        "d0=tomorrow",
        "n0=1",
        "u1=hour",
    )
    assert find("solve 3x = 6").notes == ("e0=equation",)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300) | st.text(alphabet="0123456789+-*/=()'\". xyandivp:$%,\n\x00é½", max_size=200))
def test_any_text_is_survived(text: str) -> None:
    slots = find(text)
    words = slots.template.split()
    assert all(name in words for name in slots.values)
    assert all(slot.text in slots.text for slot in slots.values.values())


@pytest.mark.parametrize(
    "piece", ["a", "1+", "(", "-", "one hundred and ", "minus ", "1 ", '"', "'a", "x", "½"]
)
def test_a_huge_text_is_cut(piece: str) -> None:
    slots = find(piece * (1_000_000 // len(piece)))
    assert slots.cut
    assert len(slots.text) <= 4 * MAX_LENGTH
    assert not find("2+2").cut


@pytest.mark.parametrize(
    ("text", "template", "value"),
    [
        ("2,5 kg in pounds", "n0 u0 in u1", "2.5"),
        ("a cup and a half in ml", "n0 u0 in u1", "1.5"),
        ("3 miles and a quarter in km", "n0 u0 in u1", "3.25"),
        ("an hour and a half in minutes", "n0 u0 in u1", "1.5"),
    ],
)
def test_amounts_said_around_their_unit(text: str, template: str, value: str) -> None:
    found, values = read(text)
    assert (found, values["n0"]) == (template, value)


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("days between 1 march and 1 april 2024", "2024-03-01", "2024-04-01"),
        ("from december 25 to january 3 2025", "2024-12-25", "2025-01-03"),
        ("between 29 february and 1 march 2023", "--02-29", "2023-03-01"),
        ("1 march, then 1 april 2024", "--03-01", "2024-04-01"),
    ],
)
def test_a_year_said_once_holds_for_both_dates(text: str, first: str, second: str) -> None:
    values = read(text)[1]
    assert (values["d0"], values["d1"]) == (first, second)


def test_words_of_everyday_typing_are_units_and_zones_only_where_one_is_asked_for() -> None:
    assert read("um how many feet in a mile")[0] == "um how many u0 in a u1"
    assert read("how many um in a mm")[0] == "how many u0 in a u1"
    assert read("wat time is it in tokyo") == ("wat time is it in z0", {"z0": "Asia/Tokyo"})
