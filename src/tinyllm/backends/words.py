"""A finished text told piece by piece, as a model would: words as tokens, stop sequences, a token limit."""

import re
from typing import Literal

from tinyllm.types import Sampling


def told(text: str, sampling: Sampling) -> tuple[list[str], Literal["stop", "length"]]:
    """The pieces, each a word with the space around it, and why they end."""
    for stop in sampling.stop:
        text = text.partition(stop)[0]
    words = re.findall(r"\s*\S+\s*|\s+", text)
    if len(words) > sampling.max_tokens:
        return words[: sampling.max_tokens], "length"
    return words, "stop"
