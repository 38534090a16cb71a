"""What outcomes tell of each route for one text, as a model file of its router. Knows nothing about graphs."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm.routing.bytext import held_out, train

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FEWEST = (
    40  # outcomes of a route, of two routes at least, and texts with two outcomes, that can tell anything
)

Outcome = tuple[str, str, bool]  # a text, the route that it took, and whether that was right


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model file, and by text and route what the model tells of it when it was not made from it."""

    data: bytes
    parameters: int
    macs: int
    told: Mapping[str, Mapping[str, float]]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def fit(outcomes: Sequence[Outcome], labels: Sequence[str]) -> Fitted | None:
    """The model of these outcomes; None where they are too few, or tell texts no better apart than no model."""
    import numpy as np

    place = {text: row for row, text in enumerate(dict.fromkeys(text for text, _, _ in outcomes))}
    column = {label: number for number, label in enumerate(labels)}
    scores = np.zeros((len(place), len(labels)))
    tried = np.zeros(scores.shape, dtype=bool)
    for text, label, right in outcomes:
        scores[place[text], column[label]] = right
        tried[place[text], column[label]] = True
    both = tried.sum(axis=1) > 1
    if (tried.sum(axis=0) >= FEWEST).sum() < 2 or both.sum() < FEWEST:
        return None
    texts = list(place)
    told = held_out(texts, scores, tried)
    if not _helps(told[both], scores[both], tried[both]):
        return None
    model = train(texts, labels, scores, tried)
    by_text = {
        text: dict(zip(labels, map(float, row), strict=True)) for text, row in zip(texts, told, strict=True)
    }
    macs = len(texts) ** 2 * (len(model.weights) + len(texts) * len(labels))
    return Fitted(model.to_bytes(), model.weights.size, macs, by_text)


def _helps(told: "Array", scores: "Array", tried: "Array") -> bool:
    """Whether what is told is nearer to how routes differed on a text, by more than a standard error."""
    import numpy as np

    always = np.where(tried, scores, 0).sum(axis=0) / np.maximum(tried.sum(axis=0), 1)

    def missed(worth: "Array") -> "Array":
        wrong = np.where(tried, scores - worth, 0.0)
        wrong -= np.where(tried, wrong.sum(axis=1, keepdims=True) / tried.sum(axis=1, keepdims=True), 0.0)
        return np.asarray((wrong**2).sum(axis=1))

    nearer = missed(always) - missed(always + told)
    return bool(nearer.mean() > nearer.std() / len(nearer) ** 0.5)
