"""A GPT on the plays of Shakespeare, character by character, beside the count table.

Losses are nats per character of the last tenth of the text, all of it, in windows that overlap by half.
"""

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tinyllm.lab import saved
from tinyllm.lab.chart import curves
from tinyllm.lab.counts import CountTable
from tinyllm.lab.folder import Folder
from tinyllm.lab.generate import Sampling, generate
from tinyllm.lab.letters import Letters, encoded_plays, mean_figures
from tinyllm.lab.model import Model
from tinyllm.lab.runs.fitting import Floats, fit, losses_of, mixed, shaped
from tinyllm.lab.train import Example

ORDER = 7  # of the count table that the model is mixed with: the best one on the dev set
GLANCE = 20_000  # characters of the dev set that are looked at on the way
SAMPLINGS = (
    Sampling(0.5),
    Sampling(1.0),
    Sampling(1.0, top_k=10),
    Sampling(1.0, top_p=0.9),
)


def gpt(folder: Folder) -> dict[str, Any]:
    """`shakespeare-gpt` and `shakespeare-gpt-long`: what it writes is kept at every look."""
    letters, learn, dev = encoded_plays(folder.text("tinyshakespeare.txt"))
    context = folder.config["context"]
    model = Model(shaped(folder, len(letters), context), seed=folder.seed)
    saved.save(folder.path, model.config, letters, stop=None)

    def look(step: int) -> None:
        folder.log("dev", step, loss=float(text_losses(model, dev[:GLANCE]).mean()))
        folder.log("sample", step, text=_written(model, letters, Sampling(0.8)))

    fit(folder, model, partial(windows, learn, context, folder.seed), look)
    losses = text_losses(model, dev)
    table = CountTable([learn], len(letters), ORDER)
    counted = -np.log(table.probabilities([dev]))
    figures = {
        **mean_figures("dev_loss", losses),
        "dev_n": len(losses),
        **mean_figures("count_dev_loss", counted),
        **mean_figures("less_than_count_dev_loss", counted - losses),  # of the same characters
        **mean_figures("mixed_dev_loss", mixed(np.exp(-losses), np.exp(-counted))),
        "tokens": folder.config["steps"] * folder.config["batch"] * context,
        "parameters": model.parameter_count,
    }
    levels = {"count table, whole dev": "count_dev_loss", "mixed with it, whole dev": "mixed_dev_loss"}
    curves(folder, {label: figures[name] for label, name in levels.items()})
    samples = {str(sampling): _written(model, letters, sampling) for sampling in SAMPLINGS}
    return folder.finish(figures, samples=samples)


def windows(learn: Sequence[int], context: int, seed: int, epoch: int) -> list[Example]:
    """As many stretches of the text, drawn anew for every epoch, as are as long together as it is.

    Raises ValueError for a text that is no longer than the context.
    """
    if len(learn) <= context:
        raise ValueError(f"a text of {len(learn)} characters is too short for a context of {context}")
    draw = random.Random(seed * 1000 + epoch)
    starts = [draw.randrange(len(learn) - context) for _ in range(max(1, len(learn) // context))]
    return [Example.text(learn[start : start + context + 1]) for start in starts]


def text_losses(model: Model, ids: Sequence[int]) -> Floats:
    """The loss of every token of one long text but the first; each is told half a context at least, where there is."""
    half = model.config.context // 2
    first = losses_of(model, [ids[: 2 * half + 1]])
    starts = range(half, len(ids) - 1 - half, half)
    if not starts:
        return first
    rest = losses_of(model, [ids[start : start + 2 * half + 1] for start in starts], given=half + 1)
    return np.concatenate((first, rest))


def _written(model: Model, letters: Letters, sampling: Sampling) -> str:
    (ids,) = generate(model, [letters.encode("\n")], model.config.context, None, None, sampling.chooser())
    return letters.decode(ids)
