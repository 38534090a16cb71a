"""Requests written by people, with the calls that answer them, and their division for cross-validation.

The rows are CLINC150's (CC BY 3.0), which is not shipped; the labels are (`human_calls.jsonl`), by hash of
the text. Knows nothing about slots or readers.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from random import Random

from tinyllm.errors import NotFound
from tinyllm.slots import REFUSE, find

FILE = "clinc150_train.jsonl"
SKILLS = (
    "calculator",
    "measurement_conversion",
    "date",
    "time",
    "timezone",
    "spelling",
    "roll_dice",
    "flip_coin",
)
_ALIKE = 0.7  # share of words in common from which two requests are near-duplicates


@dataclass(frozen=True, slots=True)
class Row:
    """A request with its right calls in literal form, the nearest first; other intents are refused."""

    text: str
    intent: str
    calls: tuple[tuple[str, ...], ...]


def rows(directory: Path) -> list[Row]:
    """Every human row in a data directory. Raises NotFound, saying where to get them."""
    path = directory / FILE
    if not path.is_file():
        raise NotFound(
            f"{FILE!r} is not in {str(directory)!r}",
            hint="take the train and val parts of CLINC150 (github.com/clinc/oos-eval), a {split, text, "
            "intent} object a line, and set TINYLLM_DATA_DIR to their folder",
        )
    labels = _labels()
    found: list[Row] = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            key = hashlib.sha256(row["text"].encode()).hexdigest()[:16]
            if key in labels:
                found.append(Row(row["text"], row["intent"], labels[key]))
            elif row["intent"] not in SKILLS:
                found.append(Row(row["text"], row["intent"], ((REFUSE,),)))
    return found


def folds(rows: Sequence[Row], k: int, seed: int) -> list[int]:
    """The fold (0 to k-1) of every row: near-duplicates share one, and every intent is spread evenly.

    Two rows of an intent are near-duplicates when their texts with slot names agree in 70% of their words;
    chains of near-duplicates stay together.
    """
    random = Random(seed)
    by_intent: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        by_intent.setdefault(row.intent, []).append(i)
    fold = [0] * len(rows)
    for intent in sorted(by_intent):
        groups = _groups([_words(rows[i].text) for i in by_intent[intent]])
        random.shuffle(groups)
        groups.sort(key=len, reverse=True)
        sizes = [0] * k
        for group in groups:
            smallest = min(range(k), key=lambda f: (sizes[f], random.random()))
            sizes[smallest] += len(group)
            for member in group:
                fold[by_intent[intent][member]] = smallest
    return fold


def _labels() -> dict[str, tuple[tuple[str, ...], ...]]:
    text = resources.files("tinyllm.starter").joinpath("human_calls.jsonl").read_text(encoding="utf-8")
    labels = {}
    for line in text.splitlines():
        row = json.loads(line)
        labels[row["key"]] = tuple(tuple(call) for call in (row["call"], *row.get("also", ())))
    return labels


def _words(text: str) -> frozenset[str]:
    return frozenset(re.sub(r"\b([a-z])\d+\b", r"\1#", find(text).template).split())


def _groups(texts: Sequence[Iterable[str]]) -> list[list[int]]:
    """Chains of near-duplicates, by union and find."""
    sets = [frozenset(text) for text in texts]
    parent = list(range(len(sets)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, one in enumerate(sets):
        for j in range(i):
            other = sets[j]
            if len(one & other) >= _ALIKE * len(one | other):
                parent[root(i)] = root(j)
    groups: dict[int, list[int]] = {}
    for i in range(len(sets)):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())
