"""The count table, held against the formulas of Chen & Goodman done slowly."""

import math
from collections import Counter

import numpy as np
import pytest

from tinyllm.lab.counts import CountTable
from tinyllm.lab.letters import interval
from tinyllm.lab.runs.fitting import mixed

TEXTS = ["abracadabra", "cadabra", "abba", "dab", "barbara", "cab", "a", "baobab", "abracadabra"]
IDS = [[0] + [ord(letter) - 96 for letter in text] + [0] for text in TEXTS]
VOCAB = 20


def slow(sequences, order, context, token):
    """Modified Kneser-Ney of one token after a context, straight from the definition."""
    counts = [Counter() for _ in range(order + 1)]
    for sequence in sequences:
        for end in range(2, len(sequence) + 1):
            for length in range(1, order + 1):
                if length <= end and length in (order, end):
                    counts[length][tuple(sequence[end - length : end])] += 1
    for length in range(order - 1, 0, -1):
        for gram in counts[length + 1]:
            counts[length][gram[1:]] += 1

    def probability(context, length):
        if length == 0:
            return 1 / VOCAB
        context = context[len(context) - length + 1 :]
        n = [sum(count == i for count in counts[length].values()) for i in range(5)]
        y = n[1] / (n[1] + 2 * n[2]) if n[1] and n[2] and n[3] else None
        raw = (
            [1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
            if y
            else [0.5, 0.75, 1]
        )
        discounts = [min(max(d, 0), i) for i, d in enumerate(raw, 1)]
        after = {gram[-1]: count for gram, count in counts[length].items() if gram[:-1] == context}
        lower = probability(context[1:] if context else context, length - 1)
        if not after:
            return lower
        total = sum(after.values())
        left = sum(discounts[min(count, 3) - 1] for count in after.values()) / total
        own = (after[token] - discounts[min(after[token], 3) - 1]) / total if token in after else 0.0
        return own + left * lower

    return probability(tuple(context), min(order, len(context) + 1))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_are_those_of_the_definition(order):
    table = CountTable(IDS, VOCAB, order)
    for sequence in ([0, 1, 2, 18, 1, 0], [0, 5, 5, 1], [0, 0], IDS[4]):
        expected = [slow(IDS, order, sequence[:place], sequence[place]) for place in range(1, len(sequence))]
        np.testing.assert_allclose(table.probabilities([sequence]), expected, rtol=1e-12)
    together = table.probabilities([IDS[0], IDS[3]])
    apart = [table.probabilities([IDS[0]]), table.probabilities([IDS[3]])]
    np.testing.assert_allclose(together, np.concatenate(apart))


@pytest.mark.parametrize("context", [[0], [0, 1], [0, 1, 2], [3, 1, 4, 1, 2], [0, 19, 19], [19]])
def test_probabilities_sum_to_one(context):
    odds = CountTable(IDS, VOCAB, 4).distribution(context)
    assert odds.min() > 0 and odds.sum() == pytest.approx(1)


def test_a_longer_memory_helps_and_loss_is_the_mean():
    losses = [CountTable(IDS, VOCAB, order).loss(IDS) for order in (1, 2, 3)]
    assert losses == sorted(losses, reverse=True)
    table = CountTable(IDS, VOCAB, 2)
    assert table.loss(IDS) == pytest.approx(-np.log(table.probabilities(IDS)).mean())
    assert table.entries > 20


def test_what_cannot_be_counted_is_refused():
    for nothing in ([], [[]], [[0]]):
        with pytest.raises(ValueError, match="no text"):
            CountTable(nothing, 5, 2)
    for order in (0, 14):
        with pytest.raises(ValueError, match="1 to 13"):
            CountTable([[0, 1]], 27, order)


def test_a_mixture_is_better_than_either_where_they_complement_each_other():
    one, other = np.array([0.9, 0.1] * 50), np.array([0.1, 0.9] * 50)
    assert mixed(one, other).mean() == pytest.approx(-math.log(0.5))
    np.testing.assert_allclose(mixed(one, one * 0.5), -np.log(one))


def test_the_interval_is_that_of_names_not_of_characters():
    losses = np.array([1.0, 1.0, 3.0, 3.0] * 100)
    low, high = interval(losses, [2] * 200)
    assert (low + high) / 2 == pytest.approx(2.0)
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(200), rel=1e-6)
