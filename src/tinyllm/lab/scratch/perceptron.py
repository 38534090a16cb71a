"""A model is a file of numbers: the perceptron (Rosenblatt 1958), with two weights and a bias."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

Example = tuple[float, float, int]  # two inputs and the class, 0 or 1


@dataclass(frozen=True)
class Perceptron:
    w1: float = 0.0
    w2: float = 0.0
    b: float = 0.0

    def __call__(self, x1: float, x2: float) -> int:
        """1 on one side of the line w1 x1 + w2 x2 + b = 0, else 0."""
        return int(self.w1 * x1 + self.w2 * x2 + self.b > 0)

    def trained(self, examples: Iterable[Example], rate: float = 0.1) -> "Perceptron":
        """The perceptron after one look at each example: a wrong answer moves the line, a right one does not."""
        w1, w2, b = self.w1, self.w2, self.b
        for x1, x2, wanted in examples:
            miss = wanted - Perceptron(w1, w2, b)(x1, x2)
            w1, w2, b = w1 + rate * miss * x1, w2 + rate * miss * x2, b + rate * miss
        return Perceptron(w1, w2, b)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Perceptron":
        """The perceptron in a file. Raises ValueError where it is not three numbers named w1, w2 and b."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{name: float(value) for name, value in found.items()})
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a perceptron: three numbers w1, w2 and b ({error})") from None
