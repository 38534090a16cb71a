"""What the plain model is trained on, and how long: as large as the reading neuron, but alone and without tools.

It learns to say the answers outright, as a rival of the starter network on the same sort of requests. Knows
nothing about the trainer beyond its seam.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

from tinyllm.errors import ToolError
from tinyllm.protocols import Recipe, Tool, ToolContext, Trainer
from tinyllm.slots import REFUSE, fill
from tinyllm.starter.calls import OPS
from tinyllm.starter.corpus import Example, from_patterns
from tinyllm.tools.table import TOOLS
from tinyllm.types import JSON

PLAIN = Recipe(
    vocab=2048, width=128, layers=4, hidden=352, reading=200, steps=1000, batch=96, seconds=6 * 3600
)
PAIRS = 20_000  # drawn once: computing their answers takes two minutes
HELD = 200  # drawn beside them, to be asked of the finished model
LONGEST = 100  # characters of an answer; the others, such as factorials, are left out
REFUSAL = "I cannot answer that."
MOMENTS = (ToolContext(1.79e9, 1), ToolContext(1.7312e9, 2))  # an answer is learned if it holds in both
_CHANGING = frozenset(("chance", "dates", "time"))  # tools whose answers may depend on the moment
# What stands before the answer in a tool's sentence, and notes in brackets: "3 * 4 = 12" is "12".
_BEFORE = re.compile(r".* (?:=|≈|is|are|was a|will be a|has|occurs|spelled) (?:about )?")
_NOTE = re.compile(r" \([^()]*[≈:][^()]*\)")


def asked(question: str) -> str:
    """A question as the plain model reads it."""
    return question + "\n"


def brief(sentence: str) -> str:
    """The answer alone, without the question that a tool repeats in its sentence."""
    return _BEFORE.sub("", _NOTE.sub("", sentence), count=1).rstrip(".")


async def plain_pairs(seed: int, count: int) -> list[tuple[str, str]]:
    """Requests drawn from the patterns and their answers, which tools compute or which refuse.

    What depends on the moment or on chance is left out, as no model could learn it.
    """
    random = Random(seed)
    tools = {name: TOOLS[name]() for name in {op.tool for op in OPS.values() if op.tool}}
    pairs: list[tuple[str, str]] = []
    while len(pairs) < count:
        for example in from_patterns(random.getrandbits(32), count // 4 + 1):
            if answer := await _answer(example, tools):
                pairs.append((asked(example.text), answer))
    for tool in tools.values():
        if close := getattr(tool, "close", None):
            close()
    return pairs[:count]


async def _answer(example: Example, tools: dict[str, Tool]) -> str | None:
    if example.call == REFUSE:
        return REFUSAL
    call = fill(example.call, example.slots, OPS)
    assert call is not None, "only refusals have no call"
    moments = MOMENTS if call.name in _CHANGING else MOMENTS[:1]
    try:
        said = {(await tools[call.name].call(call.arguments, moment)).text for moment in moments}
    except ToolError:
        return None
    answer = brief(said.pop())
    return answer if not said and len(answer) <= LONGEST else None


async def train_plain(
    trainer: Trainer,
    out: Path,
    *,
    seed: int,
    quick: bool = False,
    progress: Callable[[int, int, float], None] | None = None,
) -> dict[str, JSON]:
    """Write the plain model's GGUF and return its card; `quick` is a trial that learns next to nothing."""
    drawn = await plain_pairs(seed, 300 if quick else PAIRS)
    held = await plain_pairs(seed + 1, 20 if quick else HELD)  # what was learned too, the trainer leaves out
    recipe = replace(PLAIN, reading=2, steps=4) if quick else PLAIN
    made = await trainer.train(recipe, lambda _: drawn, held, out, seed=seed, progress=progress)
    return {**made, "pairs": len(drawn)}
