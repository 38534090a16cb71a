"""The linear reader and the skill router of the starter network: hashed n-grams over a request with slots.

The reader takes a whole call over slots for one class, and chooses among the legal ones only, so that it can
never point at what is not there. The router tells the skills apart. Knows nothing about where its file lies.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinyllm.errors import ToolError
from tinyllm.routing import Linear, calibrate, features, train
from tinyllm.slots import REFUSE, Slots, read_call
from tinyllm.starter.calls import OPS

if TYPE_CHECKING:
    import numpy as np

    from tinyllm.starter.corpus import Example

BITS = 17
REFUSAL_WEIGHT = 0.3  # of a refused example: there are many, and they are easy
FEWEST = 4  # examples of a call without which it is no class


@dataclass(frozen=True, slots=True)
class Reading:
    """A call over slots and how probable it is, among all legal calls of the request."""

    call: str
    probability: float


@dataclass(frozen=True, slots=True)
class LinearReader:
    """Reads a request into a call. One of its predictions costs well under a millisecond."""

    model: Linear
    _masks: "dict[tuple[tuple[str, str], ...], np.ndarray[Any, Any]]" = field(
        default_factory=dict, repr=False
    )

    def read(self, slots: Slots) -> Reading:
        """The most probable legal call."""
        odds = self.model.probabilities(vector(slots), self._legal(slots))
        best = int(odds.argmax())
        return Reading(self.model.labels[best], float(odds[best]))

    def _legal(self, slots: Slots) -> "np.ndarray[Any, Any]":
        """Which labels are legal calls: it depends on the names and sorts of the slots alone, and is kept."""
        import numpy as np

        key = tuple(
            (name, slot.value if slot.sort == "time" else slot.sort) for name, slot in slots.values.items()
        )
        mask = self._masks.get(key)
        if mask is None:
            mask = np.array([is_legal(label, slots) for label in self.model.labels])
            if len(self._masks) < 5_000:
                self._masks[key] = mask
        return mask


def vector(slots: Slots) -> list[int]:
    """A request as a classifier sees it: its text with slot names, and what the slots hold in a word."""
    return features(slots.template, slots.notes, bits=BITS)


def is_legal(call: str, slots: Slots) -> bool:
    try:
        read_call(call, slots, OPS)
    except ToolError:
        return False
    return True


def skill(call: str) -> str:
    """The tool that a call belongs to, or "refuse"."""
    return OPS[call.split()[0]].tool or REFUSE


def train_reader(
    examples: "Sequence[Example]",
    *,
    seed: int,
    held_out: "Sequence[Example]" = (),
    progress: Callable[[int, int, float], None] | None = None,
    card: Mapping[str, Any] | None = None,
) -> LinearReader:
    """A reader trained on examples, its probabilities calibrated on `held_out` ones where given."""
    return LinearReader(_train(examples, lambda call: call, seed, held_out, progress, card))


def train_router(
    examples: "Sequence[Example]",
    *,
    seed: int,
    held_out: "Sequence[Example]" = (),
    progress: Callable[[int, int, float], None] | None = None,
    card: Mapping[str, Any] | None = None,
) -> Linear:
    """A classifier of skills, trained and calibrated likewise."""
    return _train(examples, skill, seed, held_out, progress, card)


def _train(
    examples: "Sequence[Example]",
    label: Callable[[str], str],
    seed: int,
    held_out: "Sequence[Example]",
    progress: Callable[[int, int, float], None] | None,
    card: Mapping[str, Any] | None,
) -> Linear:
    pairs = [(vector(example.slots), label(example.call)) for example in examples]
    counts: dict[str, int] = {}
    for _, name in pairs:
        counts[name] = counts.get(name, 0) + 1
    kept = [pair for pair in pairs if counts[pair[1]] >= FEWEST]
    model = train(kept, bits=BITS, seed=seed, weights={REFUSE: REFUSAL_WEIGHT}, progress=progress, card=card)
    return calibrate(model, [(vector(example.slots), label(example.call)) for example in held_out])
