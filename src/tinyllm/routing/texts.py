"""Requests as vectors, learned from the texts alone: what they speak of, and how they are written.

A wide vector is a signed hash of weighted n-grams (Weinberger et al. 2009), a compact one the main directions
of those (latent semantic analysis, Deerwester et al. 1990) beside the marks of style. Knows nothing about
choices or outcomes.
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
WIDTH = 1024  # buckets of a wide vector
TOPICS = 32
_STYLE = 0.2  # how much a mark of style weighs beside the n-grams, in a wide vector
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
class Space:
    """What the weights, directions and scales of vectors are; `space` learns them."""

    rarity: "Array"
    directions: "Array"
    centre: "Array"
    spread: "Array"

    def wide(self, texts: Texts) -> "Array":
        """One row a text: WIDTH buckets of length one, then the marks of style."""
        import numpy as np

        return np.hstack([_buckets(texts, self.rarity), _STYLE * self._style(texts)])

    def compact(self, texts: Texts) -> "Array":
        """One row a text: TOPICS directions of length one, then the marks of style."""
        import numpy as np

        return np.hstack([_unit(_buckets(texts, self.rarity) @ self.directions), self._style(texts)])

    def _style(self, texts: Texts) -> "Array":
        import numpy as np

        return np.clip((texts.style - self.centre) / self.spread, -4, 4).astype(np.float32)


def read(texts: Sequence[str]) -> Texts:
    """The features and the style of texts. The slow part, to be done once for each text."""
    import numpy as np

    found = [features(text, bits=BITS) for text in texts]
    flat = np.array([index for one in found for index in one], dtype=np.int64)
    style = np.array([_style(text) for text in texts], dtype=np.float32)
    return Texts(flat, np.array([len(one) for one in found], dtype=np.int64), style)


def space(texts: Texts, seed: int = 0) -> Space:
    """The space of some texts: rare n-grams weigh more (those of one text alone: nothing).

    The directions are the leading singular ones, by random projection and power iteration (Halko et al. 2011).
    """
    import numpy as np

    known = np.bincount(texts.flat, minlength=1 << BITS)
    rarity = np.where(known > 1, np.log((len(texts) + 1) / (known + 1)) + 0.3, 0.0).astype(np.float32)
    rows = _buckets(texts, rarity)
    basis = np.random.default_rng(seed).standard_normal((WIDTH, TOPICS + 10)).astype(np.float32)
    for _ in range(3):
        basis, _ = np.linalg.qr(rows.T @ (rows @ basis))
    _, _, turn = np.linalg.svd(rows @ basis, full_matrices=False)
    directions = basis @ turn[:TOPICS].T
    return Space(rarity, directions, texts.style.mean(axis=0), texts.style.std(axis=0) + 1e-6)


def _buckets(texts: Texts, rarity: "Array") -> "Array":
    import numpy as np

    mixed = (texts.flat.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    bucket = (mixed % np.uint64(WIDTH)).astype(np.int64)
    sign = np.where((mixed >> np.uint64(20)) & np.uint64(1), 1.0, -1.0)
    row = np.repeat(np.arange(len(texts)), texts.counts)
    total = np.bincount(row * WIDTH + bucket, sign * rarity[texts.flat], minlength=len(texts) * WIDTH)
    return _unit(total.reshape(len(texts), WIDTH).astype(np.float32))


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
