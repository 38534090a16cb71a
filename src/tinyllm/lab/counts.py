"""A language model without weights: a table of counts, smoothed by modified Kneser-Ney.

The rung that every chart of language models starts with. NumPy only; it knows nothing about text (ids in,
probabilities out). Chen & Goodman (1999), "An empirical study of smoothing techniques", section 4.1.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Level:
    """The k-grams of one k, as numbers whose last digit in base `vocab` is the token that they predict."""

    grams: Ids  # sorted
    kept: Floats  # count less discount, over the count of the context
    contexts: Ids  # sorted
    left_over: Floats  # the probability that each context hands down to the shorter one


class CountTable:
    """Probabilities of the next token after up to `order - 1` tokens before it.

    The first token of each sequence is given, never predicted. Raises ValueError where there is nothing to
    count, or `order` and `vocab` are too large for a table.
    """

    def __init__(self, sequences: Sequence[Sequence[int]], vocab: int, order: int):
        if order < 1 or vocab**order >= 2**63:
            raise ValueError(f"order {order} does not fit a vocabulary of {vocab}: 1 to {_longest(vocab)}")
        self.vocab, self.order = vocab, order
        ids, depth = _flat(sequences)
        if not (depth > 0).any():
            raise ValueError("there is no text to count: every sequence needs two tokens or more")
        codes = [_codes(ids, length, vocab) for length in range(order + 1)]
        self.levels: list[_Level] = []
        longer = np.zeros(0, dtype=np.int64)  # the (k + 1)-grams that occur, each once
        for length in range(order, 0, -1):
            # The longest grams count how often they occur, shorter ones in how many ways they are continued
            # to the left; where a sequence begins there is no left, and occurrences count.
            enough = (depth > 0) & (depth >= length - 1 if length == order else depth == length - 1)
            occurring = codes[length][enough]
            grams, counts = np.unique(np.concatenate((longer % vocab**length, occurring)), return_counts=True)
            self.levels.insert(0, _level(grams, counts, vocab))
            longer = grams

    def probabilities(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """The probability of every token of `sequences` but the first of each, in order."""
        ids, depth = _flat(sequences)
        codes = [_codes(ids, length, self.vocab) for length in range(self.order + 1)]
        p = np.full(len(ids), 1 / self.vocab)
        for length, level in enumerate(self.levels, 1):
            known = depth >= length - 1
            p[known] = _mix(level, codes[length][known], p[known], self.vocab)
        return p[depth > 0]

    def distribution(self, context: Sequence[int]) -> Floats:
        """The probability of each token of the vocabulary after `context`; they sum to one."""
        return np.array(
            [self.probabilities([[*context[-self.order :], token]])[-1] for token in range(self.vocab)]
        )

    def loss(self, sequences: Sequence[Sequence[int]]) -> float:
        """Nats per predicted token."""
        return float(-np.log(self.probabilities(sequences)).mean())

    @property
    def entries(self) -> int:
        """How many numbers the table stores."""
        return sum(len(level.grams) + len(level.contexts) for level in self.levels)


def _mix(level: _Level, codes: Ids, shorter: Floats, vocab: int) -> Floats:
    kept = _look(level.grams, level.kept, codes, 0.0)
    left_over = _look(level.contexts, level.left_over, codes // vocab, 1.0)
    return kept + left_over * shorter


def _look(keys: Ids, values: Floats, wanted: Ids, absent: float) -> Floats:
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], absent)


def _level(grams: Ids, counts: Ids, vocab: int) -> _Level:
    ones, twos, threes, fours = ((counts == n).sum() for n in (1, 2, 3, 4))
    if ones and twos and threes:
        y = ones / (ones + 2 * twos)
        found = [1 - 2 * y * twos / ones, 2 - 3 * y * threes / twos, 3 - 4 * y * fours / threes]
    else:  # too few counts to estimate from
        found = [0.5, 0.75, 1.0]
    discount = np.clip(found, 0, [1, 2, 3])[np.minimum(counts, 3) - 1]
    contexts, first, of = np.unique(grams // vocab, return_index=True, return_inverse=True)
    total = np.add.reduceat(counts, first)
    return _Level(grams, (counts - discount) / total[of], contexts, np.add.reduceat(discount, first) / total)


def _flat(sequences: Sequence[Sequence[int]]) -> tuple[Ids, Ids]:
    """All tokens in one row, and how many tokens of its own sequence stand before each."""
    lengths = [len(sequence) for sequence in sequences]
    ids = [id for sequence in sequences for id in sequence]
    depth = [place for length in lengths for place in range(length)]
    return np.array(ids, dtype=np.int64), np.array(depth, dtype=np.int64)


def _codes(ids: Ids, length: int, vocab: int) -> Ids:
    """The gram of `length` tokens that ends at each place, as a number; meaningless where it would not fit."""
    code = np.zeros(len(ids), dtype=np.int64)
    for back in range(min(length, len(ids))):
        code[back:] += ids[: len(ids) - back] * vocab**back
    return code


def _longest(vocab: int) -> int:
    return max(n for n in range(1, 64) if vocab**n < 2**63)
