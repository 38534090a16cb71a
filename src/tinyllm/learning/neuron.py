"""A neuron as a rival of the linear specialist for what fails most: a small Llama, trained through the seam.

It learns to read and write as the shipped neuron does, from the same calls found by search, and a fifth of the
phrasing is held out, of which the finished file must read half. Whether that is worth its price is for the trial
to say. Knows nothing about who trains, or which engine runs it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tinyllm.backends.neuron import encode, spell, words
from tinyllm.learning.expand import Expansion, Material
from tinyllm.learning.items import phrasing
from tinyllm.learning.proposal import Findings, Proposal
from tinyllm.learning.specialist import HELD_OUT, Example, Trained, readings
from tinyllm.protocols import Recipe, Trainer
from tinyllm.slots import REFUSE, canonical
from tinyllm.types import JSON

RECIPE = Recipe(
    vocab=512,  # and its whole words
    width=64,
    layers=2,
    hidden=176,
    reading=60,
    steps=240,
    dropout=0.1,
    seconds=120,
    memory=2 << 30,
    at_least=0.5,
)


@dataclass(frozen=True, slots=True)
class Neurons:
    """Proposes what the expansion does for what fails most, read by a neuron; where the network's file asks for it.

    Raises what the trainer raises.
    """

    expansion: Expansion
    trainer: Trainer
    progress: Callable[[int, int, float], None] | None = None
    recipe: Recipe = RECIPE

    async def __call__(self, findings: Findings) -> Sequence[Proposal]:
        cards: list[Mapping[str, JSON]] = []

        async def learn(of: Material) -> Trained:
            trained, card = await self._trained(of)
            cards.append(card)
            return trained

        if not findings.head.learning.neurons:
            return []
        made = await self.expansion.grown(findings, learn, worst=True)
        return [
            replace(
                proposal,
                reason=f"{proposal.reason}; read by a neuron of {card['parameters']:,} parameters, right in "
                f"{card['right']} of {card['held_out']} in phrasing that it had not seen",
            )
            for proposal, card in zip(made, cards, strict=True)
        ]

    async def _trained(self, of: Material) -> tuple[Trained, Mapping[str, JSON]]:
        """The file with its card, trained on an epoch of copies that is drawn anew each time."""
        ops = {name: op for name, op in self.expansion.ops.items() if op.tool in ("", of.tool)}
        kept, held = _divided([(slots, canonical(call, ops)) for slots, call in of.calls])
        refused, held_refused = _divided([(slots, REFUSE) for slots in of.others])

        def epoch(number: int) -> list[tuple[str, str]]:
            random = Random(f"{of.seed} {number}")
            drawn = readings(kept, [slots for slots, _ in refused], ops, of.rehearsed, random)
            own = [example for example in drawn if example[1] != REFUSE]
            return _pairs(own, [example for example in drawn if example[1] == REFUSE], random)

        whole = words(epoch(0), ops)
        recipe = replace(self.recipe, vocab=self.recipe.vocab + len(whole), words=whole)
        with TemporaryDirectory() as folder:
            out = Path(folder) / f"{of.tool}.gguf"
            card = await self.trainer.train(
                recipe,
                epoch,
                _pairs(held, held_refused, Random(of.seed)),
                out,
                seed=of.seed,
                progress=self.progress,
            )
            return Trained(out.read_bytes(), card["parameters"], card["macs"], "neuron"), card


def _divided(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """What is learned, and what is held out: one phrasing in `HELD_OUT`, where there are two at least."""
    held = set(sorted({phrasing(slots) for slots, _ in examples})[1::HELD_OUT])
    return (
        [example for example in examples if phrasing(example[0]) not in held],
        [example for example in examples if phrasing(example[0]) in held],
    )


def _pairs(own: Sequence[Example], refused: Sequence[Example], random: Random) -> list[tuple[str, str]]:
    """As the neuron reads and writes them; as many are to be refused as answered, or refusing all would look good."""
    chosen = random.sample(refused, min(len(own), len(refused)))
    return [(encode(slots), spell(call)) for slots, call in (*own, *chosen)]
