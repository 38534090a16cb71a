"""Slots: what stands at each input position of a model: a token, a pause or a latent.

A pause is a learned vector that gives the model time and no information (Goyal et al. 2023). A latent is the
model's own last hidden vector, fed back in place of a token (Hao et al. 2024). Knows nothing about models.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

TOKEN, PAUSE, LATENT = range(3)


@dataclass(frozen=True)
class Slots:
    """The inputs of a batch: token `ids` (B, T), and the `kinds` (B, T) of the positions; only tokens use ids."""

    ids: Tensor
    kinds: Tensor

    @classmethod
    def tokens(cls, ids: Tensor) -> "Slots":
        """Plain input: a token everywhere."""
        return cls(ids, torch.full_like(ids, TOKEN))

    def then(self, kind: int, count: int) -> "Slots":
        """These slots with `count` of PAUSE or LATENT after them."""
        more = self.ids.new_full((self.ids.shape[0], count), kind)
        return self + Slots(torch.zeros_like(more), more)

    def __add__(self, other: "Slots") -> "Slots":
        return Slots(torch.cat((self.ids, other.ids), dim=1), torch.cat((self.kinds, other.kinds), dim=1))

    def stretches(self) -> Iterator["Slots"]:
        """Pieces that can run at once, in order: each position that is a latent anywhere begins a new one."""
        T = self.ids.shape[1]
        latent = (self.kinds == LATENT).any(dim=0).nonzero()[:, 0].tolist()
        cuts = sorted({0, *latent, T})
        for start, end in itertools.pairwise(cuts):
            yield Slots(self.ids[:, start:end], self.kinds[:, start:end])
