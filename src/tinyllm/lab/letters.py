"""Characters as token ids, the split of names, and the interval of a loss. It knows nothing about models."""

import math
import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyllm.errors import RequestError

EDGE = "."  # begins and ends a name


class Letters:
    """A vocabulary of single characters; ids follow their sorted order, after those that `first` names."""

    def __init__(self, text: Iterable[str], first: str = ""):
        self.letters = first + "".join(sorted(set(text) - set(first)))
        self._ids = {letter: id for id, letter in enumerate(self.letters)}

    def __len__(self) -> int:
        return len(self.letters)

    def encode(self, text: str) -> list[int]:
        """The id of each character. Raises RequestError for one that the vocabulary lacks."""
        try:
            return [self._ids[letter] for letter in text]
        except KeyError as error:
            raise RequestError(
                f"the vocabulary cannot spell {error.args[0]!r}",
                hint=f"use only these characters: {self.letters!r}",
            ) from None

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.letters[id] for id in ids)


def split_names(text: str) -> tuple[list[str], list[str], list[str]]:
    """Names shuffled and cut 80/10/10 into train, dev and test, exactly as in the makemore lectures.

    Raises RequestError for a text of fewer than ten names.
    """
    names = text.split()
    if len(names) < 10:
        raise RequestError(f"{len(names)} names cannot be split", hint="give ten names or more, one a line")
    random.Random(42).shuffle(names)
    one, two = int(0.8 * len(names)), int(0.9 * len(names))
    return names[:one], names[one:two], names[two:]


def encoded_names(text: str) -> tuple[Letters, list[list[list[int]]]]:
    """The vocabulary of names, and the ids of train, dev and test; every name stands between two edges."""
    letters = Letters(text.replace("\n", ""), EDGE)
    return letters, [[letters.encode(f"{EDGE}{name}{EDGE}") for name in part] for part in split_names(text)]


def encoded_plays(text: str) -> tuple[Letters, list[int], list[int]]:
    """The vocabulary of plays, and the ids of the first nine tenths and of the rest: train and dev.

    Raises RequestError for a text of fewer than 20 characters.
    """
    if len(text) < 20:
        raise RequestError(f"{len(text)} characters cannot be split", hint="give a text of 20 or more")
    letters = Letters(text, "\n")
    ids = letters.encode(text)
    cut = int(0.9 * len(ids))
    return letters, ids[:cut], ids[cut:]


def interval(losses: NDArray[np.float64], lengths: Sequence[int]) -> list[float]:
    """The 95% interval of the mean of `losses`, as if texts of these `lengths`, not characters, were drawn."""
    sizes = np.array(lengths)
    sums = np.add.reduceat(losses, np.concatenate(([0], sizes.cumsum()[:-1])))
    mean = float(losses.mean())
    error = float(np.sqrt(((sums - mean * sizes) ** 2).sum()) / len(losses))
    return [mean - 1.96 * error, mean + 1.96 * error]


def text_interval(losses: NDArray[np.float64]) -> list[float]:
    """The interval of the mean of `losses` of one long text, as if 400 stretches of it were drawn."""
    pieces = np.array_split(losses, min(400, len(losses)))  # neighbours are alike
    return interval(losses, [len(piece) for piece in pieces])


def mean_figures(
    name: str, losses: NDArray[np.float64], lengths: Sequence[int] | None = None
) -> dict[str, Any]:
    """The mean of `losses` as the figure `name`, and its interval as `name`_interval: of texts of these `lengths`,
    or of one long text."""
    ends = text_interval(losses) if lengths is None else interval(losses, lengths)
    return {name: float(losses.mean()), f"{name}_interval": ends}


def share_interval(share: float, n: int) -> list[float]:
    """The 95% interval of a `share` of `n` (Wilson 1927)."""
    z = 1.96
    middle, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return [max(0.0, middle - spread) / (1 + z * z / n), min((middle + spread) / (1 + z * z / n), 1.0)]
