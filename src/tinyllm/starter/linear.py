"""How the linear reader and the router of the starter network are trained.

The router tells the network's routes apart. Knows nothing about where the files lie.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinyllm.backends.reader import LinearReader, vector
from tinyllm.routing import Linear, calibrate, train
from tinyllm.slots import REFUSE
from tinyllm.starter.calls import OPS

if TYPE_CHECKING:
    from tinyllm.starter.corpus import Example

BITS = 17
REFUSAL_WEIGHT = 0.3  # of a refused example: there are many, and they are easy
ROUTES: Mapping[str, str] = {
    "calculator": "numbers",
    "algebra": "numbers",
    "statistics": "numbers",
    "units": "measures",
    "dates": "everyday",
    "time": "everyday",
    "text": "everyday",
    "chance": "everyday",
    REFUSE: REFUSE,
}
FEWEST = 4  # examples of a call without which it is no class


def skill(call: str) -> str:
    """The tool that a call belongs to, or "refuse"."""
    return OPS[call.split()[0]].tool or REFUSE


def route(example: "Example") -> str:
    """The route of the starter network that answers an example: one of ROUTES, or "refuse"."""
    if example.call == "calc e0" and example.slots.template in ("e0", "e0 ="):
        return "calculator"  # nothing but symbols: the tool can read it as it stands
    return ROUTES[skill(example.call)]


def train_reader(
    examples: "Sequence[Example]",
    *,
    seed: int,
    held_out: "Sequence[Example]" = (),
    progress: Callable[[int, int, float], None] | None = None,
    card: Mapping[str, Any] | None = None,
) -> LinearReader:
    """A reader trained on examples, its probabilities calibrated on `held_out` ones where given."""
    return LinearReader(_train(examples, lambda example: example.call, seed, held_out, progress, card), OPS)


def train_router(
    examples: "Sequence[Example]",
    *,
    seed: int,
    held_out: "Sequence[Example]" = (),
    progress: Callable[[int, int, float], None] | None = None,
    card: Mapping[str, Any] | None = None,
) -> Linear:
    """A classifier of routes, trained and calibrated likewise."""
    return _train(examples, route, seed, held_out, progress, card)


def _train(
    examples: "Sequence[Example]",
    label: "Callable[[Example], str]",
    seed: int,
    held_out: "Sequence[Example]",
    progress: Callable[[int, int, float], None] | None,
    card: Mapping[str, Any] | None,
) -> Linear:
    pairs = [(vector(example.slots, BITS), label(example)) for example in examples]
    counts: dict[str, int] = {}
    for _, name in pairs:
        counts[name] = counts.get(name, 0) + 1
    kept = [pair for pair in pairs if counts[pair[1]] >= FEWEST]
    model = train(kept, bits=BITS, seed=seed, weights={REFUSE: REFUSAL_WEIGHT}, progress=progress, card=card)
    return calibrate(model, [(vector(example.slots, BITS), label(example)) for example in held_out])
