"""Writes models as the lab leaves them, whose weights are a table from each token to the next.

`write_talker` leaves what `lab pipeline` leaves, and it answers every prompt with the given pieces; `write_letters`
leaves what the runs on names and plays leave, and it says the alphabet. Nothing here is trained.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from tinyllm.lab import checkpoint, saved
from tinyllm.lab.letters import Letters
from tinyllm.lab.model import Config, Model
from tinyllm.lab.pipeline import talk
from tinyllm.lab.tokenizer import Tokenizer

WIDTH = 64


def write_talker(folder: Path, pieces: Sequence[str], *, forever: bool = False, layers: int = 1) -> Path:
    """A model that answers every prompt with `pieces`, one token each, and then ends (or begins again)."""
    words = (*talk.WORDS, *(piece for piece in pieces if piece not in talk.WORDS))
    tokenizer = Tokenizer.train(["a"], 258 + len(words), words)
    ids = [tokenizer.id(piece) for piece in pieces]
    follows = dict(zip(ids, [*ids[1:], ids[0] if forever else tokenizer.end], strict=True))
    first = dict.fromkeys(set(range(tokenizer.size)) - set(ids), ids[0])
    config = Config(
        tokenizer.size, WIDTH, layers, heads=2, groups=2, hidden=WIDTH, context=16_384, tied=False
    )
    talk.save(folder, _table(config, follows | first), tokenizer)
    return folder


def write_letters(folder: Path, letters: str, *, layers: int = 1, context: int = 8) -> Path:
    """A model that goes on with the next of `letters`, and after the last one ends."""
    known = Letters(letters, ".")
    follows = {id: (id + 1) % len(known) for id in range(len(known))}
    config = Config(len(known), WIDTH, layers, heads=2, groups=2, hidden=WIDTH, context=context, tied=False)
    folder.mkdir(parents=True)
    saved.save(folder, config, known, stop=0)
    checkpoint.save(folder / "checkpoint.pt", {"weights": _table(config, follows).state_dict()})
    return folder


def _table(config: Config, follows: Mapping[int, int]) -> Model:
    """A model that says `follows[id]` after `id`: its blocks add nothing, embedding and head speak.

    Ids that have one follower share a dimension, so there may be no more followers than the model is wide.
    """
    model = Model(config)
    followers = {id: place for place, id in enumerate(dict.fromkeys(follows.values()))}
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.zero_()
        for id, follower in follows.items():
            model.embed.weight[id, followers[follower]] = 1
            model.head.weight[follower, followers[follower]] = 1
    return model
