"""Clusters: all traffic of a node, what failed and what did not, in kinds of requests with names.

Knows nothing about why requests fail, or how their likeness is found.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tinyllm.grading import node_of
from tinyllm.learning.alike import kinds_of, telling
from tinyllm.learning.items import Item
from tinyllm.learning.proposal import Cluster

EXAMPLES = 3
NAME_WORDS = 2
_SLOTS = {
    "n": "number", "u": "unit", "d": "date", "t": "time", "z": "zone", "w": "word", "c": "letter", "l": "list",
    "e": "formula",
}  # fmt: skip


def clusters(items: Iterable[Item], *, seed: int = 0) -> list[Cluster]:
    """The kinds of requests that each node answers, those with most failures first."""
    by_node: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_node[node_of(item.trace)].append(item)
    found = [cluster for node, own in by_node.items() for cluster in _of_node(node, own, seed)]
    return sorted(found, key=lambda c: (-sum(not i.passed for i in c.items), -len(c.items), c.node, c.name))


def _of_node(node: str, items: Sequence[Item], seed: int) -> list[Cluster]:
    words = [telling(item.request.text) for item in items]
    members: defaultdict[int, list[int]] = defaultdict(list)
    for at, kind in enumerate(kinds_of(words, seed=seed)):
        members[kind].append(at)
    whole = Counter(word for way in words for word in way)
    taken: set[frozenset[str]] = set()
    made = []
    for _, rows in sorted(members.items()):
        own = Counter(word for at in rows for word in words[at])
        rest = max(1, len(words) - len(rows))
        # How much more often a word stands in these requests than in the node's others.
        tells = {w: count / len(rows) - (whole[w] - count) / rest for w, count in own.items()}
        typical = _typical([(words[at], items[at].request.text) for at in rows], tells)
        name = _name(tells, typical[0], taken)
        made.append(Cluster(name, node, tuple(items[at] for at in rows), typical))
    return made


def _typical(requests: Iterable[tuple[frozenset[str], str]], tells: Mapping[str, float]) -> tuple[str, ...]:
    """The requests that hold most of what tells their kind and little else, each another way of asking."""
    ways: dict[frozenset[str], str] = {}
    for words, text in sorted(requests, key=lambda pair: pair[1]):
        ways.setdefault(words, text)
    ranked = sorted(
        ways, key=lambda words: (-sum(map(tells.__getitem__, words)) / (len(words) + 4), ways[words])
    )
    return tuple(ways[words] for words in ranked[:EXAMPLES])


def _name(tells: Mapping[str, float], example: str, taken: set[frozenset[str]]) -> str:
    """The words that tell the kind best, in the order of a typical request; where there are none, its slots.

    Of a node's kinds no two have the same name: a name that is taken goes on with the next word.
    """
    ranked = sorted(tells, key=lambda word: (-tells[word], word))
    words = [word for word in ranked if any(c.isalnum() for c in word) and "#" not in word]
    words = words or [_SLOTS[word[0]] for word in ranked if word.endswith(("1", "2", "3"))]
    for count in range(NAME_WORDS, max(NAME_WORDS, len(words)) + 1):
        best = frozenset(words[:count])
        if best not in taken:
            break
    taken.add(best)
    line = example.lower()
    return " ".join(sorted(best, key=lambda word: (word not in line, line.find(word), word))) or "anything"
