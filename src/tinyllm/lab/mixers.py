"""Mixers: the part of a block that moves information between positions.

Each takes new positions and what it remembers of the past, and returns what it adds to the residual, what it
will remember, and the multiply-accumulates that it took. Feeding a sequence at once or in pieces gives the
same answer. Nothing here knows about layers, plans or the task.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyllm.lab.position import Rope

# What a mixer remembers of the past: keys and values (B, G, S, D), hidden vectors, or earlier inputs.
State = tuple[Tensor, ...]


@dataclass(frozen=True)
class Here:
    """Where a mixer is at work: the new `positions` (T,), and the `memory` (B, M, C) that cross-attention reads.

    `scores` (B, H, T, S) are added to those of self-attention. `watch` asks for attention weights, which the
    fused kernel does not give: they are computed beside it. `on` (B, T), boolean, are the positions that want an
    answer (None: all); of the others only what is remembered counts, made of the vector that they have.
    """

    positions: Tensor
    rope: Rope | None = None
    scores: Tensor | None = None
    memory: Tensor | None = None
    watch: bool = False
    on: Tensor | None = None

    def wanted(self, x: Tensor) -> int:
        """At how many positions of `x` (B, T, C) an answer is wanted."""
        return x.shape[0] * x.shape[1] if self.on is None else int(self.on.sum())


class Mixed(NamedTuple):
    y: Tensor  # (B, T, C)
    state: State
    macs: int
    weights: Tensor | None = None  # (B, H, T, S), rows sum to one
    unread: int = 0  # bytes of weights that were not needed


def weight_macs(module: nn.Module, rows: int) -> int:
    """Multiply-accumulates of every projection in `module`, each applied to `rows` vectors."""
    return rows * sum(weight.numel() for weight in module.parameters() if weight.ndim == 2)


def weight_bytes(*modules: nn.Module) -> int:
    """The size of all weights of `modules`."""
    return sum(weight.nbytes for module in modules for weight in module.parameters())


def _at(on: Tensor | None, layer: nn.Linear, x: Tensor) -> Tensor:
    """`layer`, which keeps the width, of `x` (B, T, C) at the positions `on`; elsewhere zeros."""
    return layer(x) if on is None else torch.zeros_like(x).index_put((on,), layer(x[on]))


class Attention(nn.Module):
    """Self-attention (Vaswani et al. 2017); H query heads share G key-value heads (Ainslie et al. 2023).

    Causal unless the config says otherwise; with `window` a position sees itself and the `window - 1` before
    it (Beltagy et al. 2020), and no more than that is remembered.
    """

    def __init__(self, config, layer: int):
        super().__init__()
        self.heads, self.groups, self.dim = config.heads, config.groups, config.head_dim
        self.causal, self.window = config.causal, config.window
        self.q = nn.Linear(config.width, self.heads * self.dim, bias=False)
        self.k = nn.Linear(config.width, self.groups * self.dim, bias=False)
        self.v = nn.Linear(config.width, self.groups * self.dim, bias=False)
        self.o = nn.Linear(self.heads * self.dim, config.width, bias=False)

    def forward(self, x: Tensor, here: Here, past: State | None) -> Mixed:
        B, T, _ = x.shape
        k = self.k(x).view(B, T, self.groups, self.dim)
        v = self.v(x).view(B, T, self.groups, self.dim).transpose(1, 2)  # (B, G, T, D)
        if here.rope is not None:
            k = here.rope(k, here.positions)
        k = k.transpose(1, 2)  # (B, G, T, D)
        if past is not None:
            k, v = torch.cat((past[0], k), dim=2), torch.cat((past[1], v), dim=2)  # (B, G, S, D)
        S = k.shape[2]
        # As many keys as the next position can see besides itself; `window` 1 needs none.
        keep = S if self.window is None else min(S, self.window - 1)
        state = k[:, :, S - keep :], v[:, :, S - keep :]
        macs, wanted = B * T * (weight_macs(self.k, 1) + weight_macs(self.v, 1)), here.wanted(x)
        if not wanted:
            return Mixed(torch.zeros_like(x), state, macs, unread=weight_bytes(self.q, self.o))
        q = _at(here.on, self.q, x).view(B, T, self.heads, self.dim)
        if here.rope is not None:
            q = here.rope(q, here.positions)
        q = q.transpose(1, 2)  # (B, H, T, D)
        plain = past is None and self.causal and self.window is None and here.scores is None
        mask = None if plain or (T == 1 and here.scores is None) else self._mask(here, S)
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=plain, enable_gqa=self.heads != self.groups
        )
        weights = None
        if here.watch:
            weights = _weights(q, k, self._mask(here, S))
        macs += wanted * (weight_macs(self.q, 1) + weight_macs(self.o, 1))
        macs += 2 * B * self.heads * self.dim * T * S  # pairs that are masked or not wanted count as well
        return Mixed(_at(here.on, self.o, y.transpose(1, 2).reshape(B, T, -1)), state, macs, weights)

    def _sees(self, positions: Tensor, S: int) -> Tensor:
        """Which of the S latest positions each of `positions` (T,) may look at: (T, S), boolean."""
        keys = positions[-1] - torch.arange(S - 1, -1, -1, device=positions.device)  # (S,)
        back = positions[:, None] - keys  # (T, S)
        seen = back >= 0 if self.causal else torch.ones_like(back, dtype=torch.bool)
        return seen if self.window is None else seen & (back.abs() < self.window)

    def _mask(self, here: Here, S: int) -> Tensor:
        """What is added to the scores of the S latest positions: minus infinity where they are not seen."""
        seen = self._sees(here.positions, S)
        scores = torch.zeros_like(seen, dtype=torch.float32) if here.scores is None else here.scores[..., -S:]
        return scores.masked_fill(~seen, -torch.inf)


def _weights(q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention weights (B, H, T, S) of queries (B, H, T, D) over keys (B, G, S, D)."""
    scores = q @ k.repeat_interleave(q.shape[1] // k.shape[1], dim=1).mT / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores + mask
    return scores.softmax(dim=-1)


class CrossAttention(nn.Module):
    """Dot-product attention over a memory (Luong et al. 2015; multi-head as in Vaswani et al. 2017)."""

    def __init__(self, config, layer: int):
        super().__init__()
        self.heads, self.dim = config.heads, config.head_dim
        self.q, self.k, self.v, self.o = (nn.Linear(config.width, config.width, bias=False) for _ in range(4))

    def forward(self, x: Tensor, here: Here, past: State | None) -> Mixed:
        B, T, C = x.shape
        macs = B * T * 2 * C * C
        if past is None:  # the memory does not change: its keys and values are made once
            memory = _memory(here)
            past = tuple(
                part.unflatten(2, (self.heads, self.dim)).transpose(1, 2)  # (B, H, M, D)
                for part in (self.k(memory), self.v(memory))
            )
            macs += B * memory.shape[1] * 2 * C * C
        k, v = past
        q = self.q(x).view(B, T, self.heads, self.dim).transpose(1, 2)  # (B, H, T, D)
        y = F.scaled_dot_product_attention(q, k, v)
        macs += 2 * B * T * C * k.shape[2]
        weights = _weights(q, k) if here.watch else None
        return Mixed(self.o(y.transpose(1, 2).reshape(B, T, C)), past, macs, weights)


class Bahdanau(nn.Module):
    """Additive attention over a memory: scores v tanh(W x + U m) (Bahdanau et al. 2014, section A.1.2)."""

    def __init__(self, config, layer: int):
        super().__init__()
        self.w, self.u, self.o = (nn.Linear(config.width, config.width, bias=False) for _ in range(3))
        self.v = nn.Linear(config.width, 1, bias=False)

    def forward(self, x: Tensor, here: Here, past: State | None) -> Mixed:
        B, T, C = x.shape
        macs = B * T * 2 * C * C
        if past is None:
            memory = _memory(here)
            past = self.u(memory), memory  # (B, M, C) each
            macs += B * memory.shape[1] * C * C
        keys, memory = past
        scores = self.v(torch.tanh(self.w(x)[:, :, None] + keys[:, None]))[..., 0]  # (B, T, M)
        weights = scores.softmax(dim=-1)
        macs += 2 * B * T * memory.shape[1] * C
        return Mixed(self.o(weights @ memory), past, macs, weights[:, None] if here.watch else None)


def _memory(here: Here) -> Tensor:
    if here.memory is None:
        raise ValueError("cross-attention has nothing to read: give the forward pass a `memory` (B, M, C)")
    return here.memory


class Recurrent(nn.Module):
    """A recurrent layer: plain (Elman 1990), LSTM (Hochreiter & Schmidhuber 1997) or GRU (Cho et al. 2014).

    Its input has dropout too: what goes from state to state has none (Zaremba et al. 2014).
    """

    def __init__(self, config, cell: type[nn.RNN | nn.LSTM | nn.GRU]):
        super().__init__()
        self.drop = nn.Dropout(config.dropout)
        self.cell = cell(config.width, config.width, batch_first=True)

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw the weights: orthogonal from state to state (Saxe et al. 2013), and an LSTM that remembers."""
        C = self.cell.hidden_size
        for name, weight in self.cell.named_parameters():
            if name == "bias_ih_l0" and isinstance(self.cell, nn.LSTM):
                weight.zero_()[C : 2 * C] = 1.0  # the forget gate's bias (Jozefowicz et al. 2015)
            elif weight.ndim == 1:
                weight.zero_()
            elif name == "weight_hh_l0":
                for gate in weight.split(C):
                    nn.init.orthogonal_(gate, generator=generator)
            else:
                nn.init.normal_(weight, std=C**-0.5, generator=generator)

    def forward(self, x: Tensor, here: Here, past: State | None) -> Mixed:
        B, T, _ = x.shape
        is_lstm = isinstance(self.cell, nn.LSTM)
        before = past if past is None or is_lstm else past[0]
        y, state = self.cell(self.drop(x), before)  # state (1, B, C), LSTM: a pair
        return Mixed(y, state if is_lstm else (state,), weight_macs(self, B * T))


class Convolution(nn.Module):
    """A causal convolution: one projection of `taps` earlier inputs, `dilation` apart (van den Oord et al. 2016).

    With a dilation of 1 it is the fixed window of Bengio et al. (2003).
    """

    def __init__(self, config, taps: int, dilation: int):
        super().__init__()
        self.taps, self.dilation = taps, dilation
        self.mix = nn.Linear(taps * config.width, config.width, bias=False)

    def forward(self, x: Tensor, here: Here, past: State | None) -> Mixed:
        B, T, C = x.shape
        reach = (self.taps - 1) * self.dilation  # how far back the first tap lies
        before = x.new_zeros(B, reach, C) if past is None else past[0]
        x = torch.cat((before, x), dim=1)  # (B, reach + T, C)
        taps = [x[:, tap * self.dilation :][:, :T] for tap in range(self.taps)]
        y = self.mix(torch.cat(taps, dim=-1))
        return Mixed(y, (x[:, T:],), weight_macs(self, B * T))


class Nothing(nn.Module):
    """No mixing: each position sees itself alone. A model of nothing else is a bigram model."""

    def __init__(self, config, layer: int):
        super().__init__()

    def forward(self, x: Tensor, here: Here, past: State | None) -> Mixed:
        return Mixed(torch.zeros_like(x), (), 0)


MIXERS = {
    "attention": Attention,
    "cross": CrossAttention,
    "bahdanau": Bahdanau,
    "rnn": lambda config, layer: Recurrent(config, nn.RNN),
    "lstm": lambda config, layer: Recurrent(config, nn.LSTM),
    "gru": lambda config, layer: Recurrent(config, nn.GRU),
    "conv": lambda config, layer: Convolution(config, 2, 2**layer),  # layer by layer, twice as far: a tree
    "window": lambda config, layer: Convolution(config, config.window, 1),
    "none": Nothing,
}
