"""What a routing experiment is played in. Knows nothing about policies."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm.routing.texts import Texts

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class World:
    """The requests' texts, what each model scored on each (requests x models), and the models' prices.

    A policy reads the scores of labelled rows, and of others where it pays for the answer.
    """

    texts: Texts
    scores: "Array"
    prices: "Array"
