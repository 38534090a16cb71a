"""Which requests are of one kind, told from their words alone. Knows nothing about answers, grades or nodes.

A mixture of word distributions that finds its own number of kinds (Dirichlet multinomial mixture for short
texts, Yin and Wang 2014), here put together from the bottom: of all pairs the two are joined that the evidence
most wants to be one, until it wants none. Requests with the same words count once, so that one way of asking,
however often it is used, is no kind of its own.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinyllm.slots import find
from tinyllm.slots.text import words_of

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

RARE = 0.05  # what a kind expects of a word that it has not seen: less makes more kinds
NEW = 1e-6  # the weight of a new kind beside one request of an old one: less makes fewer kinds
MOST = 1500  # ways of asking that are compared pair by pair; further ones join the kinds that these make
SWEEPS = 3

_SLOT = re.compile(r"([a-z])\d+")
# Words of asking and of grammar, which say nothing of what is asked.
_SPARE = words_of(
    """
    a an and are as at be been by can could d did do does figure find for from get give had has have hello help
    her hey hi him his how i i'd i'm i've if in is it its just know let let's like ll m me my need not now of ok
    okay on or our please question quick re real right s show so some tell thank thanks that the their there they
    this to um us ve want was we were what when where which who will with would you your
    """
)


def telling(text: str) -> frozenset[str]:
    """What counts of a request: its telling words and signs, and the kinds of its slots, alone and together."""
    words, slots = set[str](), Counter[str]()
    for word in find(text).template.lower().split():
        if slot := _SLOT.fullmatch(word):
            slots[slot[1]] += 1
        elif word not in _SPARE and word not in "?.!,'\"-’'s":
            words.add(word)
    kinds = [f"{kind}#{min(count, 3)}" for kind, count in sorted(slots.items())]
    return frozenset((*words, *kinds, *([" ".join(kinds) + "#"] if kinds else [])))


def kinds_of(requests: Sequence[frozenset[str]], *, seed: int = 0) -> list[int]:
    """The kind of each request, as a number from 0; larger kinds come first.

    `seed` draws the requests that are compared where there are very many.
    """
    import numpy as np

    known = Counter(word for words in set(requests) for word in words)
    column = {word: at for at, word in enumerate(sorted(word for word in known if known[word] > 1))}
    kept = [frozenset(word for word in words if word in column) for words in requests]
    ways = sorted(set(kept), key=sorted)
    table = np.zeros((len(ways), max(1, len(column))), dtype=np.int32)
    for row, words in enumerate(ways):
        table[row, [column[word] for word in words]] = 1
    order = np.random.default_rng(seed).permutation(len(ways))
    labels = _settle(table, _join(table[order[:MOST]]), order)
    found = dict(zip(ways, labels, strict=True))
    sizes = Counter(found[words] for words in kept)
    rank = {
        label: at for at, (label, _) in enumerate(sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0])))
    }
    return [rank[found[words]] for words in kept]


class _Logs:
    """Sums of logarithms from tables: `word[m]` and `total[n]` are the logs of the rising factorials that the
    evidence of a kind is made of, `size[s]` that of (s - 1)!"""

    def __init__(self, table: "Array") -> None:
        import numpy as np

        rows, columns = table.shape
        self.word = np.concatenate(([0.0], np.cumsum(np.log(RARE + np.arange(rows + 1)))))
        self.total = np.concatenate(
            ([0.0], np.cumsum(np.log(columns * RARE + np.arange(2 * table.sum() + 1))))
        )
        self.size = np.concatenate(([0.0, 0.0], np.cumsum(np.log(np.arange(1, rows + 1)))))


def _join(table: "Array") -> "Array":
    """The kind of each row, joined pair by pair while the evidence for one kind is above that for two."""
    import numpy as np

    logs, rows = _Logs(table), len(table)
    counts, totals, sizes = table.copy(), table.sum(axis=1), np.ones(rows, dtype=np.int64)
    labels, alive = np.arange(rows), np.ones(rows, dtype=bool)
    both = (table @ table.T) * (logs.word[2] - 2 * logs.word[1])
    gains = both - logs.total[totals[:, None] + totals] + logs.total[totals][:, None] + logs.total[totals]
    gains -= np.log(NEW)
    np.fill_diagonal(gains, -np.inf)
    partner = gains.argmax(axis=1)
    best = gains[np.arange(rows), partner]
    while best.max() > 0:
        one = int(best.argmax())
        other = int(partner[one])
        counts[one] += counts[other]
        totals[one] += totals[other]
        sizes[one] += sizes[other]
        labels[labels == other] = one
        alive[other] = alive[one] = False
        gains[[one, other]] = gains[:, [one, other]] = best[[one, other]] = -np.inf
        rest = np.flatnonzero(alive)
        alive[one] = True
        if not len(rest):
            break
        shared = np.flatnonzero(counts[one])
        mine, theirs = counts[one, shared], counts[np.ix_(rest, shared)]
        gain = (logs.word[mine + theirs] - logs.word[mine] - logs.word[theirs]).sum(axis=1)
        gain -= logs.total[totals[one] + totals[rest]] - logs.total[totals[one]] - logs.total[totals[rest]]
        gain += (
            logs.size[sizes[one] + sizes[rest]] - logs.size[sizes[one]] - logs.size[sizes[rest]] - np.log(NEW)
        )
        gains[one, rest] = gains[rest, one] = gain
        for row in (one, *rest[(partner[rest] == one) | (partner[rest] == other) | (gain > best[rest])]):
            partner[row] = gains[row].argmax()
            best[row] = gains[row, partner[row]]
    return labels


def _settle(table: "Array", joined: "Array", order: "Array") -> "Array":
    """The kind of every row: each goes where it fits best, and again as the others have moved. `joined` are the
    kinds of the first rows in `order`."""
    import numpy as np

    logs, labels = _Logs(table), np.full(len(table), -1)
    kinds, labels[order[: len(joined)]] = np.unique(joined, return_inverse=True)
    counts = np.array([table[labels == kind].sum(axis=0) for kind in range(len(kinds))])
    totals, sizes = counts.sum(axis=1), np.bincount(labels[labels >= 0], minlength=len(kinds))
    for _ in range(SWEEPS):
        before = labels.copy()
        for row in range(len(table)):
            words, old = np.flatnonzero(table[row]), labels[row]
            if old >= 0:
                counts[old] -= table[row]
                totals[old] -= len(words)
                sizes[old] -= 1
            fit = np.log(RARE + counts[:, words]).sum(axis=1) + np.log(sizes + NEW)
            new = int((fit - logs.total[totals + len(words)] + logs.total[totals]).argmax())
            counts[new] += table[row]
            totals[new] += len(words)
            sizes[new] += 1
            labels[row] = new
        if (before == labels).all():
            break
    return labels
