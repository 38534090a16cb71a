"""Plans: the order in which stored layers are executed, apart from the layers themselves.

A transformer keeps L layers and usually runs each of them once, in order. A plan makes that order a value,
so that depth can be spent where it pays: repeat a stretch (looped transformers, Giannou et al. 2023), share
one layer among several places (ALBERT, Lan et al. 2019), leave one out, or let every position decide how deep
it goes. This module knows nothing about tensors; the model asks a plan only for its order and its options.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

TOLERANCE = 0.3  # of an option whose plan names none: a small GPT leaves out one vector in a hundred
LONGEST = 1000  # slots of a plan: a hundred times as deep as any model here, and no slip of the pen
_TOKEN = re.compile(
    r"\s*(?:(?P<layer>\d+)|\*\s*(?P<times>\d+)|(?P<open>\()|(?P<close>\))"
    r"|(?:\*\s*<=\s*(?P<most>\d+)\s*)?(?P<option>\?)(?P<tolerance>\d*\.\d+)?)"
)


@dataclass(frozen=True, order=True)
class Option:
    """A stretch of slots, `start` up to `end`, that only those positions run which are not settled.

    A position is settled where as many slots before the stretch changed its vector by less than `tolerance` of
    the vector's length (saturation, Schuster et al. 2022). At the very beginning none is.
    """

    start: int
    end: int
    tolerance: float = TOLERANCE

    @property
    def before(self) -> int:
        """The slot from which on the change counts."""
        return max(0, 2 * self.start - self.end)


@dataclass(frozen=True)
class Plan:
    """The layers to run, first to last: place i of `order` is slot i, its value the stored layer run there.

    Parameters belong to layers and key-value caches to slots: a layer that runs twice has one set of weights
    and two caches. What is in `options` is decided by every position for itself, in every forward pass.
    """

    order: tuple[int, ...]
    options: tuple[Option, ...] = ()

    def __post_init__(self) -> None:
        if not self.order:
            raise ValueError("a plan runs at least one layer; write for instance '0 1 2 3'")

    @classmethod
    def plain(cls, layers: int) -> "Plan":
        """The usual plan: every one of `layers` stored layers once, in order."""
        return cls(tuple(range(layers)))

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """The plan written in `text`, such as `0 1 2 3`, `0 (1 2)*4 3`, `0 1? 2` or `0 (1 2)*<=4? 3`.

        `*N` repeats the layer or the bracket before it; brackets nest. `?` makes it an option; `*<=N?` runs it
        once, and again as often as positions want, up to N times. Either may be given a tolerance: `1?0.05`.
        Raises ValueError where `text` is not a plan, naming the place.
        """
        groups: list[list[_Piece]] = [[]]  # open brackets, each in pieces, since `*` repeats only the last
        place = 0
        text = text.rstrip()
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None:
                raise ValueError(
                    f"plan {text!r}: cannot read {text[place:].strip()!r}; use layers, ( ), *N, ? and *<=N?"
                )
            if token["layer"]:
                groups[-1].append(_Piece((int(token["layer"]),)))
            elif token["open"]:
                groups.append([])
            elif token["close"]:
                if len(groups) == 1:
                    raise ValueError(f"plan {text!r}: ')' at {token.start('close')} closes nothing")
                inner = groups.pop()
                groups[-1].append(_joined(inner))
            else:
                times = int(token["times"] or token["most"] or 1)
                if not groups[-1] or not groups[-1][-1].order or times < 1:
                    sign = token[0].strip()
                    raise ValueError(
                        f"plan {text!r}: {sign!r} must follow a layer or ')', and N be 1 or more"
                    )
                piece = groups[-1].pop()
                if times * len(piece.order) > LONGEST:
                    raise ValueError(f"plan {text!r} runs more than {LONGEST:,} layers; repeat fewer times")
                if token["option"]:
                    left = piece.optional(float(token["tolerance"] or TOLERANCE))
                    again = [piece, *[left] * (times - 1)] if token["most"] else [left]
                else:
                    again = [piece] * times
                groups[-1].append(_joined(again))
            place = token.end()
        if len(groups) > 1:
            raise ValueError(f"plan {text!r}: a '(' is never closed")
        whole = _joined(groups[0])
        return cls(whole.order, tuple(sorted(set(whole.options))))

    def check(self, layers: int) -> None:
        """Raise ValueError if the plan names a layer that a model of `layers` stored layers lacks."""
        missing = sorted({layer for layer in self.order if layer >= layers})
        if missing:
            raise ValueError(f"plan '{self}' names layer {missing[0]}, the model stores 0 to {layers - 1}")

    def __len__(self) -> int:
        return len(self.order)

    def __str__(self) -> str:
        words = [str(layer) for layer in self.order]
        for option in sorted(self.options, key=lambda option: option.end - option.start):  # inner ones first
            if option.end > option.start + 1 or not words[option.start].isdecimal():
                words[option.start] = f"({words[option.start]}"
                words[option.end - 1] += ")"
            own = option.tolerance != TOLERANCE
            words[option.end - 1] += f"?{Decimal(repr(option.tolerance)):f}" if own else "?"
        return " ".join(words)


@dataclass(frozen=True)
class _Piece:
    """A part of a plan that is being read; slots are counted from its beginning."""

    order: tuple[int, ...] = ()
    options: tuple[Option, ...] = ()

    def optional(self, tolerance: float) -> "_Piece":
        return replace(self, options=(*self.options, Option(0, len(self.order), tolerance)))


def _joined(pieces: Sequence[_Piece]) -> _Piece:
    order, options = list[int](), list[Option]()
    for piece in pieces:
        at = len(order)
        options += [replace(one, start=one.start + at, end=one.end + at) for one in piece.options]
        order += piece.order
    return _Piece(tuple(order), tuple(options))
