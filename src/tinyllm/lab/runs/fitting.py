"""The model of a run: built from its config, trained in its folder, measured on sequences.

Knows nothing about what ids stand for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from tinyllm.errors import RequestError
from tinyllm.lab.folder import Folder
from tinyllm.lab.model import Config, Model
from tinyllm.lab.pair import Pair
from tinyllm.lab.train import Card, Examples, Settings, train

Floats = NDArray[np.float64]
LOOKS = 6  # how often a training is looked at
# What of a config is of the trainer; a run's `dropout` is the model's, that of `Settings` is another.
TRAINING = ("steps", "batch", "lr", "optimizer", "weight_decay", "threads")


def shaped(folder: Folder, vocab: int, context: int, **change: Any) -> Config:
    """The shape of a model that the folder's config gives, with `change`."""
    given = {field.name: folder.config[field.name] for field in fields(Config) if field.name in folder.config}
    return Config(**({"vocab": vocab, "context": context, "tied": False} | given | change))


def settings(folder: Folder, **change: Any) -> Settings:
    """How the folder's config says that a model is trained, with `change`."""
    given = {name: folder.config[name] for name in TRAINING if name in folder.config}
    return Settings(**(given | {"seed": folder.seed} | change))


def fit(
    folder: Folder,
    model: Model | Pair,
    examples: Examples,
    look: Callable[[int], Mapping[str, float] | None] = lambda step: None,
    part: str = "",
    how: Settings | None = None,
    looks: int = LOOKS,
) -> Card:
    """Train `model` as the folder's config says, or `how`, and leave it ready to be asked.

    `look` is called with the step a few times on the way and at the end; what it returns stands beside the loss
    in the curve. A run of several trainings names each `part`: its checkpoint and curve bear that name.
    """
    how = how or settings(folder)
    folder.device = chosen_device(folder.device)
    model.to(folder.device).train()
    every = max(1, how.steps // looks)
    recent: list[float] = []

    def progress(step: int, steps: int, loss: float, left: float) -> None:
        recent.append(loss)
        folder.tell(part or folder.run, step, steps, loss, left)
        if step % every == 0 or step == steps:
            model.eval()
            seen = look(step) or {}
            model.train()
            folder.log(f"{part} train".strip(), step, loss=sum(recent) / len(recent), **seen)
            recent.clear()

    name = f"checkpoint-{part}.pt" if part else "checkpoint.pt"
    card = train(model, examples, how, progress, folder.path / name, every)
    model.eval()
    return card


def losses_of(model: Model, sequences: Sequence[Sequence[int]], given: int = 1) -> Floats:
    """The loss of every token but the first `given` of each sequence, in order."""
    was = model.training
    model.eval()
    device = model.embed.weight.device
    size = max(1, 16_384 // max(map(len, sequences)))
    parts = []
    with torch.inference_mode():
        for start in range(0, len(sequences), size):
            batch = [torch.tensor(sequence, device=device) for sequence in sequences[start : start + size]]
            ids = pad_sequence(batch, batch_first=True, padding_value=-1)  # (B, T)
            wanted = ids[:, 1:]
            at = wanted >= 0
            at[:, : given - 1] = False
            logits, _ = model(ids[:, :-1].clamp(min=0), at=at)  # (N, vocab), row by row
            parts.append(F.cross_entropy(logits, wanted[at], reduction="none").double().cpu())
    model.train(was)
    return torch.cat(parts).numpy()


def mixed(one: Floats, other: Floats) -> Floats:
    """The losses of the best mixture of two models' probabilities, the weight of each half taken from the other."""
    halves = [slice(0, len(one) // 2), slice(len(one) // 2, None)]
    weights = np.linspace(0, 1, 101)

    def losses(weight: float, half: slice) -> Floats:
        return -np.log(weight * one[half] + (1 - weight) * other[half])

    return np.concatenate(
        [
            losses(min(weights, key=lambda weight: losses(weight, rest).sum()), half)
            for half, rest in zip(halves, reversed(halves), strict=True)
        ]
    )


def chosen_device(device: str) -> str:
    """The device that `auto` means here. Raises RequestError for one that the machine lacks."""
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise RequestError("this machine has no CUDA device that torch can use", hint="--device cpu")
    return ("cuda" if there else "cpu") if device == "auto" else device
