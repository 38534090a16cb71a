"""What a routing experiment is played in. Knows nothing about policies."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm.routing.texts import Manner, Texts, words

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class World:
    """The requests' texts, how alike their words are, what each model scored on each (requests x models), and
    the models' prices.

    A policy reads the scores of labelled rows, and of others where it pays for the answer.
    """

    texts: Texts
    words: "Array"
    scores: "Array"
    prices: "Array"

    @classmethod
    def of(cls, texts: Texts, scores: "Array", prices: "Array") -> "World":
        wide = words(texts)
        return cls(texts, wide @ wide.T, scores, prices)

    def alike(self, rows: "Array", others: "Array", manner: Manner) -> "Array":
        """The inner products of the rows' wide vectors with those of others."""
        import numpy as np

        style = manner.waved(self.texts[rows]) @ manner.waved(self.texts[others]).T
        return np.asarray(self.words[np.ix_(rows, others)] + style)
