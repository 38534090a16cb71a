"""What an answer costs: multiply-accumulates from a parameter count, money from prices. Pure arithmetic."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tinyllm.types import Cost

_SCALES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


def _count(value: Any) -> Any:
    """3_000_000_000, or "3B" as model cards write it."""
    if isinstance(value, str) and (match := re.fullmatch(r"([\d.]+)\s*([kmbt]?)", value.strip().lower())):
        return round(float(match[1]) * _SCALES[match[2]])
    return value


class Rates(BaseModel):
    """The base of every model's options. Prices are per million tokens, in a currency that all models share.

    `parameters` counts those that one token touches (of a mixture of experts, the active ones).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: Annotated[int, BeforeValidator(_count)] = Field(default=0, ge=0)
    price_in: float = Field(default=0.0, ge=0)
    price_out: float = Field(default=0.0, ge=0)

    def cost(self, tokens_in: int, tokens_out: int, milliseconds: float, cached: int = 0) -> Cost:
        """`cached` tokens of the input were paid for but not computed again."""
        return Cost(
            macs=self.parameters * (tokens_in - cached + tokens_out),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            milliseconds=milliseconds,
            money=(self.price_in * tokens_in + self.price_out * tokens_out) / 1e6,
        )


def roughly(text: str) -> int:
    """Tokens of a text whose model does not say: four bytes each, as English has in common vocabularies."""
    return -(-len(text.encode("utf-8", "replace")) // 4)
