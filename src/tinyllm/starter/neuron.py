"""What the reading neuron is trained on, and how long: a Llama from scratch that reads a request into a call.

How requests and calls are spelled is `backends/neuron.py`'s, so that the model is asked as it was taught.
Knows nothing about the trainer beyond its seam, nor about which engine runs the model.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from random import Random

from tinyllm.backends.neuron import encode, spell, words
from tinyllm.protocols import Recipe, Trainer
from tinyllm.starter.calls import OPS
from tinyllm.starter.corpus import PATTERNS, from_humans, from_patterns
from tinyllm.starter.human import SKILLS, Row
from tinyllm.types import JSON

RECIPE = Recipe(
    vocab=2048,
    width=128,
    layers=4,
    hidden=352,
    reading=400,
    steps=1100,
    batch=192,
    dropout=0.1,
    seconds=6 * 3600,  # of which an idle core takes a quarter of an hour
)
HELD = 300  # requests drawn beside those that are learned, to be asked of the finished neuron
OTHERS = 6_000  # human rows of other intents in an epoch: there are many, and they are easy
_REUSED = 2  # epochs on one drawing, which takes a third of the time of training on it

Pair = tuple[str, str]


def pairs(seed: int, people: Sequence[Row], patterns: int = PATTERNS) -> Callable[[int], Sequence[Pair]]:
    """The requests and calls of an epoch, as the neuron reads and writes them; redrawn every other epoch."""
    skills = [row for row in people if row.intent in SKILLS]
    others = [row for row in people if row.intent not in SKILLS]

    @lru_cache(maxsize=1)
    def drawn(drawing: int) -> Sequence[Pair]:
        random = Random(f"{seed} {drawing}")
        examples = from_patterns(random.getrandbits(32), patterns)
        examples += from_humans(random.getrandbits(32), skills)
        chosen = random.sample(others, min(OTHERS, len(others)))
        examples += from_humans(random.getrandbits(32), chosen, copies=0)
        return [(encode(example.slots), spell(example.call)) for example in examples]

    return lambda epoch: drawn(epoch // _REUSED)


def held_out(seed: int, count: int) -> list[Pair]:
    """Requests drawn from the patterns apart from the epochs; the trainer leaves out those that were learned too."""
    drawn = from_patterns(Random(f"{seed} held out").getrandbits(32), count)
    return [(encode(example.slots), spell(example.call)) for example in drawn[:count]]


async def train_neuron(
    trainer: Trainer,
    people: Sequence[Row],
    out: Path,
    *,
    seed: int,
    quick: bool = False,
    progress: Callable[[int, int, float], None] | None = None,
) -> dict[str, JSON]:
    """Write the neuron's GGUF and return its card; `quick` is a trial that learns next to nothing."""
    examples = pairs(seed, people, 500) if quick else pairs(seed, people)
    recipe = replace(RECIPE, words=words(examples(0), OPS))
    if quick:
        recipe = replace(recipe, reading=2, steps=4)
    held = held_out(seed, 20 if quick else HELD)
    made = await trainer.train(recipe, examples, held, out, seed=seed, progress=progress)
    return {**made, "human_rows": len(people)}
