"""Plans: the order in which stored layers are executed, apart from the layers themselves.

A transformer keeps L layers and usually runs each of them once, in order. A plan makes that order a value,
so that depth can be spent where it pays: repeat a stretch (looped transformers, Giannou et al. 2023), share
one layer among several places (ALBERT, Lan et al. 2019) or leave one out. This module knows nothing about
tensors; the model asks a plan only for its order.
"""

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\s*(?:(?P<layer>\d+)|(?P<times>\*\s*\d+)|(?P<open>\()|(?P<close>\)))")


@dataclass(frozen=True)
class Plan:
    """The layers to run, first to last: place i of `order` is slot i, its value the stored layer run there.

    Parameters belong to layers and key-value caches to slots: a layer that runs twice has one set of weights
    and two caches.
    """

    order: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.order:
            raise ValueError("a plan runs at least one layer; write for instance '0 1 2 3'")

    @classmethod
    def plain(cls, layers: int) -> "Plan":
        """The usual plan: every one of `layers` stored layers once, in order."""
        return cls(tuple(range(layers)))

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """The plan written in `text`, such as `0 1 2 3`, `0 1 2 1 2 3` or `0 (1 2)*4 3`.

        `*N` repeats the layer or the bracket before it; brackets nest. Raises ValueError where `text` is not
        a plan, naming the place.
        """
        groups: list[list[list[int]]] = [[]]  # open brackets, each in pieces, since `*` repeats only the last
        place = 0
        text = text.rstrip()
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None:
                raise ValueError(
                    f"plan {text!r}: cannot read {text[place:].strip()!r}; use layers, ( ) and *N"
                )
            if token["layer"]:
                groups[-1].append([int(token["layer"])])
            elif token["open"]:
                groups.append([])
            elif token["close"]:
                if len(groups) == 1:
                    raise ValueError(f"plan {text!r}: ')' at {token.start('close')} closes nothing")
                inner = groups.pop()
                groups[-1].append([layer for piece in inner for layer in piece])
            else:
                times = int(token["times"][1:])
                if not groups[-1] or times < 1:
                    raise ValueError(f"plan {text!r}: '*{times}' must follow a layer or ')' and be 1 or more")
                groups[-1][-1] *= times
            place = token.end()
        if len(groups) > 1:
            raise ValueError(f"plan {text!r}: a '(' is never closed")
        return cls(tuple(layer for piece in groups[0] for layer in piece))

    def check(self, layers: int) -> None:
        """Raise ValueError if the plan names a layer that a model of `layers` stored layers lacks."""
        missing = sorted({layer for layer in self.order if layer >= layers})
        if missing:
            raise ValueError(f"plan '{self}' names layer {missing[0]}, the model stores 0 to {layers - 1}")

    def __len__(self) -> int:
        return len(self.order)

    def __str__(self) -> str:
        return " ".join(map(str, self.order))
