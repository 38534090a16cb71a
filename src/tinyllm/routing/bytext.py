"""How much more or less often than its worth each route is right for one text: what cells alone cannot tell.

A linear model over a text's wide vector, learned from outcomes of which most may be missing, and kept in one
small file: 8-bit weights with one scale a route, and the waves that read style. Knows nothing about prices.
"""

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm.errors import ModelFileError
from tinyllm.routing import difference
from tinyllm.routing.texts import WIDTH, Manner, manner, read
from tinyllm.types import Cost

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FOLDS = 5  # of the requests, of which each is told by the others when it is judged
_MAGIC = b"TTXT1\n"
_LARGEST = 1 << 28  # bytes that a file may claim


@dataclass(frozen=True, slots=True)
class ByText:
    """`weights` are (places of a wide vector, labels) 8-bit, each label's column times its scale."""

    labels: tuple[str, ...]
    weights: "Array"
    scales: "Array"
    manner: Manner

    def __call__(self, text: str) -> tuple[dict[str, float], Cost]:
        """By label, what is to be added to the share of its answers that are right; and what that cost."""
        import numpy as np

        known = read([text])
        vector = self.manner.wide(known)[0]
        on = np.flatnonzero(vector)
        told = (vector[on] @ self.weights[on]) * self.scales
        macs = self.manner.waves.size + len(on) * len(self.labels)
        return {label: float(one) for label, one in zip(self.labels, told, strict=True)}, Cost(macs)

    def to_bytes(self) -> bytes:
        """The model as one file, the same bytes for the same model."""
        shape = [*self.weights.shape, *self.manner.waves.shape]
        head = json.dumps({"labels": self.labels, "shape": shape}, ensure_ascii=False).encode()
        exact = self.manner.centre, self.manner.spread, self.scales
        body = b"".join(part.astype("<f4").tobytes() for part in exact)
        body += self.manner.waves.astype("<f2").tobytes() + self.weights.astype("i1").tobytes()
        return _MAGIC + struct.pack("<I", len(head)) + head + zlib.compress(body, 9)


def from_bytes(data: bytes) -> ByText:
    """The model that `to_bytes` wrote. Raises ModelFileError where the bytes are damaged."""
    import numpy as np

    try:
        if not data.startswith(_MAGIC):
            raise ValueError("it does not begin as such a file does")
        (length,) = struct.unpack_from("<I", data, len(_MAGIC))
        start = len(_MAGIC) + 4
        head = json.loads(data[start : start + length])
        labels = tuple(str(label) for label in head["labels"])
        places, columns, rows, waves = (int(n) for n in head["shape"])
        marks = rows - 1
        counts = (
            ("<f4", marks),
            ("<f4", marks),
            ("<f4", columns),
            ("<f2", rows * waves),
            ("i1", places * columns),
        )
        size = sum(np.dtype(kind).itemsize * count for kind, count in counts)
        if not 0 < size <= _LARGEST or min(marks, columns, waves) < 1 or columns != len(labels):
            raise ValueError("its shape is wrong")
        if places != WIDTH + waves or marks != read([""]).style.shape[1]:
            raise ValueError("it was made by another version")
        body = zlib.decompressobj().decompress(data[start + length :], size + 1)
        if len(body) != size:
            raise ValueError("it is cut short")
        parts, at = [], 0
        for kind, count in counts:
            parts.append(np.frombuffer(body, dtype=kind, count=count, offset=at))
            at += parts[-1].nbytes
        centre, spread, scales, turns, weights = parts
        read_by = Manner(centre, spread, turns.reshape(rows, waves).astype(np.float32))
        return ByText(labels, weights.reshape(places, columns), scales, read_by)
    except (ValueError, KeyError, TypeError, struct.error, zlib.error) as error:
        message = f"a model of routes by text cannot be read: {error}"
        raise ModelFileError(message, hint="fetch the file again") from error


def train(texts: Sequence[str], labels: Sequence[str], scores: "Array", tried: "Array") -> ByText:
    """The model of outcomes (texts x labels) from 0 to 1, counted where `tried`."""
    import numpy as np

    known = read(texts)
    style = _rounded(manner(known))
    wide = style.wide(known)
    weights = wide.T @ _shares(wide @ wide.T, scores, tried)
    scales = np.maximum(np.abs(weights).max(axis=0), 1e-9) / 127
    return ByText(tuple(labels), np.rint(weights / scales).astype(np.int8), scales.astype(np.float32), style)


def held_out(texts: Sequence[str], scores: "Array", tried: "Array") -> "Array":
    """What models of the other texts would tell of each text, by label: an honest judgement of `train`."""
    import numpy as np

    known = read(texts)
    wide = manner(known).wide(known)
    alike, told = wide @ wide.T, np.zeros(scores.shape)
    folds = np.random.default_rng(0).permutation(len(texts)) % FOLDS
    for fold in range(FOLDS):
        here, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        told[here] = alike[np.ix_(here, rest)] @ _shares(alike[np.ix_(rest, rest)], scores[rest], tried[rest])
    return told


def _shares(alike: "Array", scores: "Array", tried: "Array") -> "Array":
    return difference.fit(alike, scores, tried, difference.penalty(alike, scores, tried)).shares


def _rounded(exact: Manner) -> Manner:
    """As it will be read back from a file."""
    import numpy as np

    return Manner(exact.centre, exact.spread, exact.waves.astype(np.float16).astype(np.float32))
