"""Position codes: how a model is told where each token stands.

A code is an id function and what is done with the ids: a table whose rows are added to the embeddings, a
rotation of queries and keys, or numbers that are added to attention's scores. Knows nothing about blocks or plans.
"""

import torch
from torch import Tensor, nn


def order(tokens: Tensor, past: int) -> Tensor:
    """The usual ids (T,): the place of the last T of `tokens` (B, past + T) in the sequence."""
    return torch.arange(past, tokens.shape[1], device=tokens.device)


def abacus(tokens: Tensor, past: int, digits: Tensor) -> Tensor:
    """Ids (B, T) that number the digits within each run of `digits`, from 1; everything else is 0.

    Digits of equal value then share an id, wherever their numbers stand, as long as numbers are written with
    the least significant digit first (McLeish et al. 2024).
    """
    place = torch.arange(1, tokens.shape[1] + 1, device=tokens.device).expand(tokens.shape)
    is_digit = torch.isin(tokens, digits)
    before = place.masked_fill(is_digit, 0).cummax(dim=1).values  # the last place that was no digit
    return (place - before)[:, past:]


def table_bytes(table: nn.Embedding, lookups: int) -> int:
    """The size of the rows of `table` that so many lookups read; each is read once at most."""
    return min(lookups, table.num_embeddings) * table.embedding_dim * table.weight.element_size()


class Rope(nn.Module):
    """Rotary position embedding (Su et al. 2021): turns pairs of dimensions by the position.

    Pairs are neighbours, as in the paper and in llama.cpp, and a turn is a product of complex numbers.
    """

    turns: Tensor  # (context, D/2), complex of length one

    def __init__(self, dim: int, context: int, theta: float):
        super().__init__()
        speed = theta ** (-torch.arange(0, dim, 2, dtype=torch.float32) / dim)  # (D/2,) radians per position
        angle = torch.outer(torch.arange(context, dtype=torch.float32), speed)
        self.register_buffer("turns", torch.polar(torch.ones_like(angle), angle), persistent=False)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """`x` (B, T, H, D), turned by `positions` (T,)."""
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))  # (B, T, H, D/2)
        return torch.view_as_real(pairs * self.turns[positions, None]).flatten(-2).type_as(x)


class Coupled(nn.Module):
    """Adds to each head's score a learned number for how far apart the abacus ids are (Cho et al. 2024).

    All differences beyond `REACH` share one number (Shaw et al. 2018), so those of longer numbers are no new ones.
    """

    REACH = 4
    GAIN = 20.0  # scores grow to several units, weights by thousandths a step

    def __init__(self, heads: int):
        super().__init__()
        self.scores = nn.Embedding(2 * self.REACH + 1, heads)

    def forward(self, ids: Tensor, past: int) -> Tensor:
        """Scores (B, H, T, S) of the last T of `ids` (B, S), S being past + T, for all of them."""
        apart = (ids[:, None] - ids[:, past:, None]).clamp(-self.REACH, self.REACH)  # (B, T, S)
        return self.GAIN * self.scores(apart + self.REACH).permute(0, 3, 1, 2)


def sinusoids(context: int, width: int) -> Tensor:
    """A table (context, C) of sines and cosines, wavelengths from 2 pi to 20,000 pi (Vaswani et al. 2017)."""
    speed = 10_000 ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angle = torch.outer(torch.arange(context, dtype=torch.float32), speed)  # (context, C/2)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :width]


POSITIONS = ("rope", "learned", "sinusoidal", "abacus", "coupled", "none")


class Position(nn.Module):
    """The codes of one model; `config.position` names one or more of them, as in `abacus rope`.

    It adds those that are tables. Rotations and scores are attention's, which is handed `rope` and `scores`.
    """

    wave: Tensor | None
    digits: Tensor

    def __init__(self, config):
        super().__init__()
        kinds = config.position.split()
        self.learned = nn.Embedding(config.context, config.width) if "learned" in kinds else None
        self.abacus = nn.Embedding(config.context + 1, config.width) if "abacus" in kinds else None
        waves = sinusoids(config.context, config.width) * 0.02 if "sinusoidal" in kinds else None
        self.coupled = Coupled(config.heads) if "coupled" in kinds else None
        self.register_buffer("wave", waves, persistent=False)  # as small as the embeddings that it joins
        self.register_buffer("digits", torch.tensor(config.digits, dtype=torch.long), persistent=False)
        turning = "rope" in kinds and "attention" in config.mixers
        self.rope = Rope(config.head_dim, config.context, config.theta) if turning else None

    def forward(self, x: Tensor, tokens: Tensor, past: int) -> Tensor:
        """Embeddings `x` (B, T, C) of the last T of `tokens` (B, past + T), with the tables' rows added."""
        if self.learned is not None:
            x = x + self.learned(order(tokens, past))
        if self.wave is not None:
            x = x + self.wave[order(tokens, past)]
        if self.abacus is not None:
            x = x + self.abacus(abacus(tokens, past, self.digits))
        return x

    def weight_bytes(self, tokens: Tensor, past: int) -> int:
        """The size of what is read for the last T of `tokens` (B, past + T): rows of tables that were learned."""
        B, S = tokens.shape
        T = S - past
        lookups = (self.learned, T), (self.abacus, B * T), (self.coupled and self.coupled.scores, B * T * S)
        return sum(table_bytes(table, count) for table, count in lookups if table is not None)

    def scores(self, tokens: Tensor, past: int) -> Tensor | None:
        """What attention adds to its scores for `tokens` (B, past + T): (B, H, T, past + T), or nothing."""
        return None if self.coupled is None else self.coupled(abacus(tokens, 0, self.digits), past)
