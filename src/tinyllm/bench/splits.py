"""Who may learn from which rows, and in which order traffic comes. Knows nothing about policies."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FOLDS = 5  # or, where a file of its own is for training, orderings


@dataclass(frozen=True, slots=True)
class Split:
    """`labelled` rows are known with every model's score. `earlier` rows came before the `test` rows, with the
    scores of those models alone that a policy chose to pay for."""

    seed: int
    labelled: "Array"
    earlier: "Array"
    test: "Array"


def splits(n: int, first_test: int, labels: int | None, seed: int) -> Iterator[Split]:
    """Five folds of `n` rows, or five orderings of the rows before and from `first_test` on if it is not 0."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(n)
    for i, fold in enumerate(np.array_split(order, FOLDS)):
        random = np.random.default_rng([seed, i])
        if first_test:
            test, training = np.arange(first_test, n), np.arange(first_test)
        else:
            test, training = fold, np.setdiff1d(order, fold)
        training = random.permutation(training)
        known = len(training) if labels is None else labels
        yield Split(seed * FOLDS + i, training[:known], training[known:], random.permutation(test))
