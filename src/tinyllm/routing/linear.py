"""A multinomial linear classifier over sparse binary features: trained, calibrated, kept in one small file.

Softmax regression by mini-batch Adagrad. Each example is scaled to length one. The file holds 8-bit weights
with one scale per label and is the same, byte for byte, for the same weights. Knows nothing about text.
"""

import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm.errors import ModelFileError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_MAGIC = b"TLIN1\n"
_LARGEST = 1 << 30  # bytes of weights that a file may claim


@dataclass(frozen=True, slots=True)
class Linear:
    """`weights` are (features, labels) 8-bit, each label's column times its `scale`; logits are divided by
    `temperature`. `card` says what it was trained on."""

    labels: tuple[str, ...]
    weights: "Array"
    scales: "Array"
    bias: "Array"
    temperature: float
    card: Mapping[str, Any]

    @property
    def bits(self) -> int:
        """The width of the feature space: features are below 2**bits."""
        return int(self.weights.shape[0]).bit_length() - 1

    def logits(self, features: Sequence[int]) -> "Array":
        """One number per label, calibrated: their softmax are probabilities."""
        import numpy as np

        total = self.weights[np.asarray(features, dtype=np.intp)].sum(axis=0, dtype=np.int32)
        length = max(1, len(features)) ** 0.5
        return np.asarray((total * self.scales / length + self.bias) / self.temperature)

    def probabilities(self, features: Sequence[int], allowed: "Array | None" = None) -> "Array":
        """The probability of each label; of the `allowed` ones (a mask) alone where given."""
        import numpy as np

        logits = self.logits(features)
        if allowed is not None:
            logits = np.where(allowed, logits, -np.inf)
        odds = np.exp(logits - logits.max())
        return np.asarray(odds / odds.sum())

    def to_bytes(self) -> bytes:
        """The model as one file, the same bytes for the same model."""
        head = {
            "labels": self.labels,
            "shape": list(self.weights.shape),
            "temperature": self.temperature,
            "card": dict(self.card),
        }
        header = json.dumps(head, sort_keys=True, ensure_ascii=False).encode()
        body = self.scales.astype("<f4").tobytes() + self.bias.astype("<f4").tobytes()
        body += self.weights.astype("i1").tobytes()
        return _MAGIC + struct.pack("<I", len(header)) + header + zlib.compress(body, 9)


def from_bytes(data: bytes, name: str = "the model") -> Linear:
    """The model that `to_bytes` wrote. Raises ModelFileError where the bytes are damaged."""
    import numpy as np

    try:
        if not data.startswith(_MAGIC):
            raise ValueError("it does not begin as such a file does")
        (length,) = struct.unpack_from("<I", data, len(_MAGIC))
        start = len(_MAGIC) + 4
        head = json.loads(data[start : start + length])
        rows, columns = (int(n) for n in head["shape"])
        size = columns * 8 + rows * columns
        if size > _LARGEST or len(head["labels"]) != columns or rows & (rows - 1):
            raise ValueError("its shape is wrong")
        body = zlib.decompressobj().decompress(data[start + length :], size)
        if len(body) != size:
            raise ValueError("it is cut short")
        numbers = np.frombuffer(body, dtype="<f4", count=2 * columns)
        weights = np.frombuffer(body, dtype="i1", offset=8 * columns).reshape(rows, columns)
        return Linear(
            tuple(head["labels"]),
            weights,
            numbers[:columns],
            numbers[columns:],
            float(head["temperature"]),
            head["card"],
        )
    except (ValueError, KeyError, TypeError, struct.error, zlib.error) as error:
        raise ModelFileError(f"{name} cannot be read: {error}", hint="rebuild or fetch the file") from error


def train(
    examples: Sequence[tuple[Sequence[int], str]],
    *,
    bits: int,
    seed: int = 0,
    epochs: int = 4,
    rate: float = 4.0,
    decay: float = 1e-6,
    weights: Mapping[str, float] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    card: Mapping[str, Any] | None = None,
    start: Linear | None = None,
) -> Linear:
    """A classifier trained on (features, label) pairs, uncalibrated (temperature 1).

    Training goes on from `start`, whose labels stay, where it is given. `weights` multiply the loss of a
    label's examples; `decay` is the L2 penalty. `progress` is told (step, steps, loss). A step is dense over the
    features of its own batch, and touches no others.
    """
    import numpy as np
    from scipy.sparse import csr_matrix

    labels = tuple(sorted({label for _, label in examples} | set(start.labels if start else ())))
    place = {label: i for i, label in enumerate(labels)}
    target = np.array([place[label] for _, label in examples])
    importance = np.array([(weights or {}).get(label, 1.0) for _, label in examples], dtype=np.float32)
    sizes = np.array([len(features) for features, _ in examples])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    flat = np.concatenate([np.asarray(features, dtype=np.int64) for features, _ in examples])
    matrix = np.zeros((1 << bits, len(labels)), dtype=np.float32)
    squares = np.full_like(matrix, 1e-3)
    bias = np.zeros(len(labels), dtype=np.float32)
    bias_squares = np.full_like(bias, 1e-3)
    if start is not None:
        known = [place[label] for label in start.labels]
        matrix[:, known], bias[known] = start.weights * start.scales, start.bias
    random = np.random.default_rng(seed)
    batch = 256
    steps = epochs * -(-len(examples) // batch)
    step = 0
    for _ in range(epochs):
        order = random.permutation(len(examples))
        for first in range(0, len(order), batch):
            rows = order[first : first + batch]
            columns = np.concatenate([flat[starts[row] : starts[row + 1]] for row in rows])
            used, inverse = np.unique(columns, return_inverse=True)
            lengths = np.repeat(np.maximum(sizes[rows], 1).astype(np.float32) ** -0.5, sizes[rows])
            ends = np.concatenate([[0], np.cumsum(sizes[rows])])
            held = csr_matrix((lengths, inverse, ends), shape=(len(rows), len(used)))
            active = matrix[used]
            logits = held @ active + bias
            logits -= logits.max(axis=1, keepdims=True)
            odds = np.exp(logits)
            odds /= odds.sum(axis=1, keepdims=True)
            chosen = target[rows]
            loss = float(-np.log(odds[np.arange(len(rows)), chosen] + 1e-9).mean())
            odds[np.arange(len(rows)), chosen] -= 1.0
            odds *= importance[rows, None] / len(rows)
            slope = held.T @ odds + decay * active
            speed = squares[used] + slope * slope
            squares[used] = speed
            now = rate * (1 - step / steps)
            matrix[used] = active - now * slope / np.sqrt(speed)
            drift = odds.sum(axis=0)
            bias_squares += drift * drift
            bias -= now * drift / np.sqrt(bias_squares)
            step += 1
            if progress:
                progress(step, steps, loss)
    scales = np.maximum(np.abs(matrix).max(axis=0), 1e-9) / 127
    return Linear(
        labels, np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32), bias, 1.0, card or {}
    )


def calibrate(model: Linear, examples: Sequence[tuple[Sequence[int], str]]) -> Linear:
    """The model with the temperature under which held-out examples are likeliest (searched from 0.2 to 5)."""
    from dataclasses import replace

    import numpy as np

    place = {label: i for i, label in enumerate(model.labels)}
    known = [(features, place[label]) for features, label in examples if label in place]
    if not known:
        return model
    plain = replace(model, temperature=1.0)
    logits = np.stack([plain.logits(features) for features, _ in known])
    target = np.array([label for _, label in known])

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        top = scaled.max(axis=1)
        log_total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float((log_total - scaled[np.arange(len(target)), target]).mean())

    best = min((float(t) for t in np.geomspace(0.2, 5.0, 60)), key=loss)
    return replace(model, temperature=best)
