"""Chance: dice, coins and random numbers, drawn from the seed of the run, which repeats them."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar, Literal

from pydantic import Field

from tinyllm.protocols import ToolContext
from tinyllm.tools.arguments import Arguments, check, describe, example_of, need
from tinyllm.types import JSON, ToolResult

_LARGEST = 10**18


class ChanceArguments(Arguments):
    operation: Literal["roll", "flip", "random_between"]
    count: int = Field(1, ge=1, le=100, description="how many dice or coins")
    sides: int = Field(6, ge=2, le=1_000_000, description="sides of each die")
    low: int | None = Field(None, ge=-_LARGEST, le=_LARGEST, description="for random_between")
    high: int | None = Field(None, ge=-_LARGEST, le=_LARGEST, description="for random_between, included")
    examples: ClassVar = (
        {"operation": "roll", "count": 2, "sides": 6},
        {"operation": "flip", "count": 1},
        {"operation": "random_between", "low": 1, "high": 100},
    )


class Chance:
    """Draws from the seed of the run. A value is a number, "heads" or "tails"; of several draws a list."""

    def __init__(self) -> None:
        self.spec = describe(
            "chance", "Roll dice, flip coins, or draw a whole number between two bounds.", ChanceArguments
        )

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Draw. Raises ToolError where there are too many dice or a bound is missing."""
        asked = check(ChanceArguments, arguments)
        random = Random(context.seed)
        match asked.operation:
            case "roll":
                return _roll([random.randint(1, asked.sides) for _ in range(asked.count)])
            case "flip":
                return _flip([random.choice(("heads", "tails")) for _ in range(asked.count)])
        bounds = sorted(bound for bound in (asked.low, asked.high) if bound is not None)
        hint = example_of(ChanceArguments, "random_between")
        need(len(bounds) == 2, "arguments 'low' and 'high' are both needed", hint)
        number = random.randint(*bounds)
        return ToolResult(number, f"{number} (drawn between {bounds[0]} and {bounds[1]}).")


def _roll(dice: list[int]) -> ToolResult:
    if len(dice) == 1:
        return ToolResult(dice[0], f"You rolled {dice[0]}.")
    return ToolResult(dice, f"You rolled {', '.join(map(str, dice))}: {sum(dice)} in total.")


def _flip(coins: list[str]) -> ToolResult:
    if len(coins) == 1:
        return ToolResult(coins[0], f"It is {coins[0]}.")
    return ToolResult(
        coins, f"{', '.join(coins)}: {coins.count('heads')} heads, {coins.count('tails')} tails."
    )
