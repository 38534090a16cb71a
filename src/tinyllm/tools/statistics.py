"""Statistics of a list of numbers, exact but for the standard deviation."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tinyllm.errors import ToolError
from tinyllm.protocols import ToolContext
from tinyllm.tools.arguments import Arguments, check, describe
from tinyllm.tools.number import REALS, Real, as_json, bounded, digits, exact, is_shown_exactly, to_decimal
from tinyllm.types import JSON, ToolResult

_SHOWN = 20  # numbers that a sentence repeats; of a longer list it tells the length


class StatisticsArguments(Arguments):
    operation: Literal[
        "mean",
        "median",
        "mode",
        "total",
        "product",
        "range",
        "largest",
        "smallest",
        "sort_up",
        "sort_down",
        "stdev",
        "population_stdev",
        "how_many",
    ]
    values: Annotated[list[int | float | str], Field(min_length=1, max_length=1_000)]
    examples: ClassVar = (
        {"operation": "mean", "values": [3, 7, 9, 24]},
        {"operation": "median", "values": [3, 7, 9, 24]},
        {"operation": "sort_up", "values": [9, "0.5", "1/3"]},
    )


class Statistics:
    """Describes a list of numbers. A value is a number as the calculator gives it, or a list of them."""

    def __init__(self) -> None:
        self.spec = describe(
            "statistics",
            "Mean, median, mode, total, product, range, largest, smallest, order, count and standard "
            "deviation (stdev: of a sample) of a list of numbers.",
            StatisticsArguments,
        )

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Compute. Raises ToolError where an item is no number or the result has too many digits."""
        asked = check(StatisticsArguments, arguments)
        numbers = [exact(value) for value in asked.values]
        match asked.operation:
            case "how_many":
                return ToolResult(len(numbers), f"There are {len(numbers)} numbers in {_list(numbers)}.")
            case "sort_up" | "sort_down":
                order = sorted(numbers, reverse=asked.operation == "sort_down")
                return ToolResult([as_json(n) for n in order], ", ".join(map(digits, order)))
            case "mode":
                return _mode(numbers)
        value, name = _computed(asked.operation, numbers)
        shown = digits(value) if is_shown_exactly(value) else f"about {digits(value)}"
        return ToolResult(as_json(value), f"The {name} of {_list(numbers)} is {shown}.")


def _computed(operation: str, numbers: Sequence[Fraction]) -> tuple[Real, str]:
    """The value and what it is called."""
    order = sorted(numbers)
    middle = len(order) // 2
    match operation:
        case "mean":
            return bounded(_total(numbers) / len(numbers)), "mean"
        case "median":
            return (order[middle] + order[~middle]) / 2, "median"
        case "total":
            return _total(numbers), "total"
        case "product":
            product = Fraction(1)
            for number in numbers:
                product = bounded(product * number)
            return product, "product"
        case "range":
            return order[-1] - order[0], "range"
        case "largest":
            return order[-1], "largest"
        case "smallest":
            return order[0], "smallest"
    return _deviation(numbers, sample=operation == "stdev")


def _total(numbers: Sequence[Fraction]) -> Fraction:
    total = Fraction(0)
    for number in numbers:
        total = bounded(total + number)
    return total


def _deviation(numbers: Sequence[Fraction], *, sample: bool) -> tuple[Real, str]:
    if sample and len(numbers) < 2:
        raise ToolError(
            "a sample of one number has no standard deviation",
            hint="give two numbers or more, or population_stdev",
        )
    mean = _total(numbers) / len(numbers)
    variance = _total([bounded((number - mean) ** 2) for number in numbers]) / (len(numbers) - sample)
    root: Decimal = REALS.sqrt(to_decimal(variance))
    # exact where the root is: squared again it is the variance
    value = Fraction(root) if Fraction(root) ** 2 == variance else root
    return value, f"{'sample' if sample else 'population'} standard deviation"


def _mode(numbers: Sequence[Fraction]) -> ToolResult:
    counts = {number: numbers.count(number) for number in dict.fromkeys(numbers)}
    most = max(counts.values())
    modes = [number for number, count in counts.items() if count == most]
    if len(modes) == len(counts) and len(counts) > 1:
        return ToolResult(
            [], f"No number of {_list(numbers)} stands out: each occurs as often as the others."
        )
    if len(modes) == 1:
        return ToolResult(as_json(modes[0]), f"The mode of {_list(numbers)} is {digits(modes[0])}.")
    values = [as_json(mode) for mode in modes]
    return ToolResult(values, f"The modes of {_list(numbers)} are {', '.join(map(digits, modes))}.")


def _list(numbers: Sequence[Fraction]) -> str:
    if len(numbers) > _SHOWN:
        return f"{len(numbers)} numbers"
    shown = [digits(number) for number in numbers]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
