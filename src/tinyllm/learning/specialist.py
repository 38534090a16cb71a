"""Small linear readers for new kinds of requests, and the router in front of them, trained on found calls.

Every example of every model here, new kind or old, is varied in the same ways: other values in its slots, words
dropped, other manners and marks around it. What one kind alone showed (say, a final question mark) would be
taken for its sign. Knows nothing about graphs, or where the calls were found.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from tinyllm.backends.reader import is_legal, vector
from tinyllm.routing import train
from tinyllm.slots import REFUSE, Ops, Slot, Slots

BITS = 15
COPIES = 6  # varied copies of a request, beside itself
DROPPED = 0.25  # of the words of a copy
EPOCHS = 8
REFUSAL_WEIGHT = 0.1  # of a refused example: the router sends few such requests
_ENDS = ("", "", "?", "?", ".", "!")
_MANNERS = ("hey", "hi", "hello", "ok", "okay", "so", "um", "please", "thanks", "alright")

Example = tuple[Slots, str]


@dataclass(frozen=True, slots=True)
class Trained:
    """A model as a file. `macs` are the multiply-accumulates of its training."""

    data: bytes
    parameters: int
    macs: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def train_reader(calls: Sequence[Example], others: Sequence[Slots], ops: Ops, *, seed: int = 0) -> Trained:
    """A reader of the requests of `calls` that refuses what is like the `others`."""
    random = Random(seed)
    refused = [(again, REFUSE) for slots in others for again in (slots, _varied(slots, random))]
    return _train([*varied(calls, ops, random), *refused], seed)


def varied(calls: Sequence[Example], ops: Ops, random: Random) -> list[Example]:
    """The requests with their calls, and copies of each: other values, words dropped, another dress."""
    pool = _pool([slots for slots, _ in calls])
    return [
        (again, call) for slots, call in calls for again in (slots, *_copies(slots, call, pool, ops, random))
    ]


def train_router(kinds: Mapping[str, Sequence[Slots]], *, seed: int = 0) -> Trained:
    """A router that tells the kinds apart: by label, the requests of each."""
    random = Random(seed)
    examples = [
        (again, label)
        for label, requests in kinds.items()
        for slots in requests
        for again in (slots, *(_varied(slots, random) for _ in range(COPIES)))
    ]
    return _train(examples, seed)


def _train(examples: Sequence[Example], seed: int) -> Trained:
    pairs = [(vector(slots, BITS), label) for slots, label in examples]
    model = train(pairs, bits=BITS, seed=seed, epochs=EPOCHS, weights={REFUSE: REFUSAL_WEIGHT})
    return Trained(model.to_bytes(), model.weights.size, EPOCHS * macs_of(pairs, len(model.labels)))


def macs_of(pairs: Sequence[tuple[Sequence[int], str]], labels: int) -> int:
    """The multiply-accumulates of one epoch: three for each weight that an example touches (forward, gradient
    and update)."""
    return 3 * sum(len(features) for features, _ in pairs) * labels


def _copies(
    slots: Slots, call: str, pool: Mapping[str, Sequence[Slot]], ops: Ops, random: Random
) -> list[Slots]:
    """The request with other values and in other dress, as far as its call stays legal."""
    drawn = (_varied(_refilled(slots, pool, random), random) for _ in range(COPIES))
    return [again for again in drawn if is_legal(call, again, ops)]


def _pool(requests: Sequence[Slots]) -> Mapping[str, Sequence[Slot]]:
    """All values that were seen, by kind; units by dimension too, for those of one request share it."""
    pool: dict[str, list[Slot]] = {}
    for slots in requests:
        for slot in slots.values.values():
            pool.setdefault(slot.kind, []).append(slot)
            if slot.kind == "u":
                pool.setdefault(f"u:{slot.sort}", []).append(slot)
    return pool


def _refilled(slots: Slots, pool: Mapping[str, Sequence[Slot]], random: Random) -> Slots:
    units = random.choice(pool["u"]).sort if "u" in pool else ""
    values = {}
    for name, slot in slots.values.items():
        kind = f"u:{units}" if slot.kind == "u" else slot.kind
        values[name] = random.choice([one for one in pool[kind] if _alike(one, slot)] or [slot])
    return replace(slots, values=values)


def _alike(one: Slot, slot: Slot) -> bool:
    return one.sort == slot.sort or slot.kind == "u"


def _varied(slots: Slots, random: Random) -> Slots:
    """The request with words dropped, and with manners and marks around it that say nothing."""
    words = slots.template.split()
    while words and (words[-1] in _MANNERS or words[-1] in _ENDS):
        words.pop()
    while words and words[0] in _MANNERS:
        words.pop(0)
    words = [word for word in words if word in slots.values or random.random() >= DROPPED]
    if random.random() < 0.1:
        words.insert(0, random.choice(_MANNERS))
    if random.random() < 0.1:
        words.append(random.choice(_MANNERS))
    return replace(slots, template=" ".join((*words, random.choice(_ENDS))).strip())
