"""Requests as vectors, learned from the texts alone: what they speak of, and how they are written.

A compact vector holds the main directions of a text's n-grams (latent semantic analysis, Deerwester et al. 1990)
beside its marks of style. A wide one is a signed hash of its n-grams (Weinberger et al. 2009) beside waves over
its style, whose inner products are near where the styles are (Rahimi and Recht 2007). Knows nothing about choices.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm.routing.features import features

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

BITS = 18
WIDTH = 8192  # buckets of a wide vector
WAVES = 256
TOPICS = 32
_HASHED = 1024  # buckets of which topics are directions
_NARROW = 0.6  # likeness of style is exp(-_NARROW / 2 x the mean squared difference of its marks)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_COUNTED = (r"[.?!]", r"\d", r"[$]", r"%", r",", r"\?", r"\n", r"\\", r"_", r"\(", r"['\"]", r"=", r":")
_PARTS = re.compile(r"\b(half|third|quarter|twice|double|triple|fraction|percent)\b")
_TURNS = re.compile(r"\b(if|then|after|before|each|every|per|than|remaining|left)\b")


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts as they are kept: the features that are on, text after text, and a row of style for each."""

    flat: "Array"
    counts: "Array"
    style: "Array"

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, rows: "Array") -> "Texts":
        import numpy as np

        ends = np.cumsum(self.counts)
        starts = ends - self.counts
        flat = np.concatenate([self.flat[starts[row] : ends[row]] for row in rows] or [self.flat[:0]])
        return Texts(flat, self.counts[rows], self.style[rows])


@dataclass(frozen=True, slots=True)
class Manner:
    """What marks of style are measured by (`centre`, `spread`), and the waves over them; the last row of `waves`
    are phases. `manner` learns it."""

    centre: "Array"
    spread: "Array"
    waves: "Array"

    def wide(self, texts: Texts) -> "Array":
        """One row a text: its words, of length one, then waves over its style, of length one on average."""
        import numpy as np

        return np.hstack([words(texts), self.waved(texts)])

    def waved(self, texts: Texts) -> "Array":
        import numpy as np

        turns = self.marks(texts) @ self.waves[:-1] + self.waves[-1]
        return np.asarray(np.cos(turns) * (2 / self.waves.shape[1]) ** 0.5)

    def marks(self, texts: Texts) -> "Array":
        import numpy as np

        return np.clip((texts.style - self.centre) / self.spread, -4, 4).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Space:
    """What the weights and directions of topics are; `space` learns them."""

    rarity: "Array"
    directions: "Array"
    manner: Manner

    def compact(self, texts: Texts) -> "Array":
        """One row a text: TOPICS directions of length one, then the marks of style."""
        import numpy as np

        topics = _buckets(texts, self.rarity[texts.flat], _HASHED) @ self.directions
        return np.hstack([_unit(topics), self.manner.marks(texts)])


def read(texts: Sequence[str]) -> Texts:
    """The features and the style of texts. The slow part, to be done once for each text."""
    import numpy as np

    found = [features(text, bits=BITS, letters=False) for text in texts]
    flat = np.array([index for one in found for index in one], dtype=np.int64)
    style = np.array([_style(text) for text in texts], dtype=np.float32)
    return Texts(flat, np.array([len(one) for one in found], dtype=np.int64), style)


def words(texts: Texts) -> "Array":
    """One row of length one a text: its n-grams, each of one weight, hashed to WIDTH buckets."""
    import numpy as np

    return _buckets(texts, np.ones(len(texts.flat), dtype=np.float32), WIDTH)


def space(texts: Texts, seed: int = 0) -> Space:
    """The space of some texts: rare n-grams weigh more (those of one text alone: nothing).

    The directions are the leading singular ones, by random projection and power iteration (Halko et al. 2011).
    """
    import numpy as np

    known = np.bincount(texts.flat, minlength=1 << BITS)
    rarity = np.where(known > 1, np.log((len(texts) + 1) / (known + 1)) + 0.3, 0.0).astype(np.float32)
    rows = _buckets(texts, rarity[texts.flat], _HASHED)
    basis = np.random.default_rng(seed).standard_normal((_HASHED, TOPICS + 10)).astype(np.float32)
    for _ in range(3):
        basis, _ = np.linalg.qr(rows.T @ (rows @ basis))
    _, _, turn = np.linalg.svd(rows @ basis, full_matrices=False)
    return Space(rarity, basis @ turn[:TOPICS].T, manner(texts, seed))


def manner(texts: Texts, seed: int = 0) -> Manner:
    """The manner of some texts."""
    import numpy as np

    random = np.random.default_rng([seed, 1])
    size = texts.style.shape[1]
    speeds = random.standard_normal((size, WAVES)) * (_NARROW / size) ** 0.5
    phases = random.uniform(0, 2 * np.pi, (1, WAVES))
    waves = np.vstack([speeds, phases]).astype(np.float32)
    return Manner(texts.style.mean(axis=0), texts.style.std(axis=0) + 1e-6, waves)


def _buckets(texts: Texts, weights: "Array", width: int) -> "Array":
    import numpy as np

    mixed = (texts.flat.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    bucket = (mixed % np.uint64(width)).astype(np.int64)
    sign = np.where((mixed >> np.uint64(20)) & np.uint64(1), 1.0, -1.0)
    row = np.repeat(np.arange(len(texts)), texts.counts)
    total = np.zeros((len(texts), width), dtype=np.float32)
    np.add.at(total, (row, bucket), (sign * weights).astype(np.float32))
    return _unit(total)


def _unit(rows: "Array") -> "Array":
    import numpy as np

    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))


def _style(text: str) -> list[float]:
    """Lengths, marks, numbers, case and ends of a text; counts as square roots, so that long texts are tame."""
    words, stripped = text.split(), text.strip()
    numbers = [float(number[:15]) for number in _NUMBER.findall(text.replace(",", ""))]
    capitals = sum(word[:1].isupper() for word in words)
    first, last = stripped[:1], stripped[-1:]
    return [
        math.log1p(len(text)),
        math.log1p(len(words)),
        sum(map(len, words)) / max(1, len(words)),
        *(math.sqrt(len(re.findall(pattern, text))) for pattern in _COUNTED),
        math.sqrt(len(numbers)),
        math.sqrt(len(set(numbers))),
        math.log1p(max(numbers, default=0.0)),
        math.log1p(min(numbers, default=0.0)),
        math.sqrt(sum(not number.is_integer() for number in numbers)),
        float("/" in text),
        math.sqrt(len(_PARTS.findall(text))),
        math.sqrt(len(_TURNS.findall(text))),
        math.sqrt(capitals),
        capitals / max(1, len(words)),
        sum(not c.isalnum() and not c.isspace() for c in text) / max(1, len(text)),
        float(first.isupper()),
        float(first.islower()),
        float(last == "?"),
        float(last == "."),
        float(last.isalnum()),
    ]
