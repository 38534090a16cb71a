"""Small linear readers for new kinds of requests, and the router in front of them, trained on found calls.

Every example of every model here, new kind or old, is varied in the same ways: other values in its slots, words
dropped, other manners and marks around it. What one kind alone showed (say, a final question mark) would be
taken for its sign. What the readers of day one were trained on is rehearsed beside the new (Robins 1995,
"Catastrophic forgetting, rehearsal and pseudorehearsal"). A reader's probabilities are calibrated on phrasing
that it has not seen (Guo et al. 2017). Knows nothing about graphs, or where the calls were found.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from tinyllm.backends.reader import is_legal, vector
from tinyllm.learning.items import phrasing
from tinyllm.routing import Linear, calibrate, train
from tinyllm.slots import REFUSE, Ops, Slot, Slots, canonical

BITS = 15
COPIES = 6  # varied copies of a request, beside itself
DROPPED = 0.25  # of the words of a copy
EPOCHS = 8
REFUSAL_WEIGHT = 0.1  # of a refused example: the router sends few such requests
OWN, OTHERS = 6_000, 1_000  # rehearsed examples of a reader: of its own calls, and of what it refuses
HELD_OUT = 5  # one phrasing in so many tells how sure a reader may be
FEWEST_HELD = 30  # examples of these, or it stays as sure as it is
_ENDS = ("", "", "?", "?", ".", "!")
_MANNERS = ("hey", "hi", "hello", "ok", "okay", "so", "um", "please", "thanks", "alright")

Example = tuple[Slots, str]
Pair = tuple[Sequence[int], str]
_UNITS = ("u", "")

Pool = Mapping[tuple[str, str], Sequence[Slot]]


@dataclass(frozen=True, slots=True)
class Trained:
    """A model as a file: a linear one, or a language model. `macs` are the multiply-accumulates of its training."""

    data: bytes
    parameters: int
    macs: int
    kind: Literal["reader", "neuron", "router"] = "reader"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def train_reader(
    calls: Sequence[Example],
    others: Sequence[Slots],
    ops: Ops,
    *,
    rehearsed: Sequence[Example] = (),
    seed: int = 0,
) -> Trained:
    """A reader of the requests of `calls` that refuses what is like the `others`.

    Of `rehearsed` examples its own calls are learned too, and the rest is refused.
    """
    examples = readings(calls, others, ops, rehearsed, Random(seed))
    spent = list[int]()

    def fit(pairs: Sequence[Pair]) -> Linear:
        model, macs = _fit(pairs, seed)
        spent.append(macs)
        return model

    model = calibrated(examples, BITS, fit)
    return Trained(model.to_bytes(), model.weights.size, sum(spent))


def readings(
    calls: Sequence[Example],
    others: Sequence[Slots],
    ops: Ops,
    rehearsed: Sequence[Example],
    random: Random,
) -> list[Example]:
    """What a reader of the requests of `calls` learns from, its copies drawn from `random`."""
    own = [(slots, canonical(call, ops)) for slots, call in rehearsed if call != REFUSE][:OWN]
    rest = [slots for slots, call in rehearsed if call == REFUSE][:OTHERS]
    return [
        *varied(calls, ops, random),
        *((again, call) for slots, call in own for again in (slots, _varied(slots, random))),
        *((again, REFUSE) for slots in others for again in (slots, _varied(slots, random))),
        *((slots, REFUSE) for slots in rest),
    ]


def calibrated(examples: Sequence[Example], bits: int, fit: Callable[[Sequence[Pair]], Linear]) -> Linear:
    """A model of the examples that is as sure as it may be, as phrasing tells that is held out while another one
    is fitted; where too little can be, as it comes. Of the copies of a request only itself tells."""
    pairs = [(vector(slots, bits), call) for slots, call in examples]
    model = fit(pairs)
    asked: dict[str, tuple[Slots, Pair]] = {}
    for (slots, _), pair in zip(examples, pairs, strict=True):
        asked.setdefault(slots.text, (slots, pair))
    held = {text: pair for text, (slots, pair) in asked.items() if int(phrasing(slots), 16) % HELD_OUT == 0}
    if len(held) < FEWEST_HELD:
        return model
    kept = fit([pair for (slots, _), pair in zip(examples, pairs, strict=True) if slots.text not in held])
    return replace(model, temperature=calibrate(kept, list(held.values())).temperature)


def varied(calls: Sequence[Example], ops: Ops, random: Random) -> list[Example]:
    """The requests with their calls, and copies of each: other values, words dropped, another dress."""
    pool = _pool([slots for slots, _ in calls])
    plain = ((slots, canonical(call, ops)) for slots, call in calls)
    return [
        (again, call) for slots, call in plain for again in (slots, *_copies(slots, call, pool, ops, random))
    ]


def train_router(
    kinds: Mapping[str, Sequence[Slots]],
    *,
    rehearsed: Sequence[tuple[Slots, str]] = (),
    seed: int = 0,
) -> Trained:
    """A router that tells the kinds apart: by label, the requests of each. `rehearsed` ones have their label."""
    random = Random(seed)
    examples = [
        (again, label)
        for label, requests in kinds.items()
        for slots in requests
        for again in (slots, *(_varied(slots, random) for _ in range(COPIES)))
    ]
    pairs = [(vector(slots, BITS), label) for slots, label in (*examples, *rehearsed)]
    model, macs = _fit(pairs, seed)
    return Trained(model.to_bytes(), model.weights.size, macs, "router")


def _fit(pairs: Sequence[Pair], seed: int) -> tuple[Linear, int]:
    """A classifier, and the multiply-accumulates of its training."""
    model = train(pairs, bits=BITS, seed=seed, epochs=EPOCHS, weights={REFUSE: REFUSAL_WEIGHT})
    return model, EPOCHS * macs_of(pairs, len(model.labels))


def macs_of(pairs: Sequence[Pair], labels: int) -> int:
    """The multiply-accumulates of one epoch: three for each weight that an example touches (forward, gradient
    and update)."""
    return 3 * sum(len(features) for features, _ in pairs) * labels


def _copies(slots: Slots, call: str, pool: Pool, ops: Ops, random: Random) -> list[Slots]:
    """The request with other values and in other dress, as far as its call stays legal."""
    drawn = (_varied(_refilled(slots, pool, random), random) for _ in range(COPIES))
    return [again for again in drawn if is_legal(call, again, ops)]


def _pool(requests: Sequence[Slots]) -> Pool:
    """All values that were seen, by kind and sort; all units, too, for those of one request share a dimension."""
    pool: dict[tuple[str, str], list[Slot]] = {}
    for slots in requests:
        for slot in slots.values.values():
            pool.setdefault((slot.kind, slot.sort), []).append(slot)
            if slot.kind == "u":
                pool.setdefault(_UNITS, []).append(slot)
    return pool


def _refilled(slots: Slots, pool: Pool, random: Random) -> Slots:
    units = random.choice(pool[_UNITS]).sort if _UNITS in pool else ""
    values = {}
    for name, slot in slots.values.items():
        values[name] = random.choice(pool[slot.kind, units if slot.kind == "u" else slot.sort])
    return replace(slots, values=values)


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
