"""The parts that a block is made of: a position code, a mixer and a feed-forward network.

A mixer moves information between positions, a feed-forward network (FFN) works on each position alone; a
block is one of each, with a norm before and a residual around both. Each part says what a forward pass costs
it. Nothing here knows in which order blocks run, nor what the model is for.

Together they are the Llama architecture (Touvron et al. 2023), so that a model made of them exports as is.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# What a mixer remembers of the past; for attention keys and values, each (B, G, S, D).
State = tuple[Tensor, Tensor]


def weight_macs(module: nn.Module, rows: int) -> int:
    """Multiply-accumulates of every projection in `module`, each applied to `rows` vectors."""
    return rows * sum(weight.numel() for weight in module.parameters() if weight.ndim == 2)


def weight_bytes(module: nn.Module) -> int:
    """Bytes of weights that one use of `module` reads."""
    return sum(weight.nbytes for weight in module.parameters())


class RMSNorm(nn.Module):
    """Scale vectors (..., C) to a root mean square of one, then by learned gains (Zhang & Sennrich 2019)."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


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


class Attention(nn.Module):
    """Causal self-attention; H query heads share G key-value heads (Ainslie et al. 2023)."""

    def __init__(self, config):
        super().__init__()
        self.heads, self.groups, self.dim = config.heads, config.groups, config.head_dim
        self.q = nn.Linear(config.width, self.heads * self.dim, bias=False)
        self.k = nn.Linear(config.width, self.groups * self.dim, bias=False)
        self.v = nn.Linear(config.width, self.groups * self.dim, bias=False)
        self.o = nn.Linear(self.heads * self.dim, config.width, bias=False)

    def forward(self, x: Tensor, rope: Rope, positions: Tensor, past: State | None) -> tuple[Tensor, State]:
        """`x` (B, T, C) at `positions` (T,), after a `past` of S; returns (B, T, C) and the new state."""
        B, T, _ = x.shape
        q = rope(self.q(x).view(B, T, self.heads, self.dim), positions).transpose(1, 2)  # (B, H, T, D)
        k = rope(self.k(x).view(B, T, self.groups, self.dim), positions).transpose(1, 2)  # (B, G, T, D)
        v = self.v(x).view(B, T, self.groups, self.dim).transpose(1, 2)  # (B, G, T, D)
        mask = None
        if past is not None:
            k, v = torch.cat((past[0], k), dim=2), torch.cat((past[1], v), dim=2)  # (B, G, S + T, D)
            if T > 1:
                mask = torch.arange(k.shape[2], device=x.device) <= positions[:, None]  # (T, S + T)
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=past is None, enable_gqa=self.heads != self.groups
        )
        return self.o(y.transpose(1, 2).reshape(B, T, -1)), (k, v)

    def macs(self, B: int, T: int, seen: int) -> int:
        """Cost of T new positions that attend over `seen` in all; masked pairs count as well."""
        return weight_macs(self, B * T) + 2 * B * self.heads * self.dim * T * seen


class SwiGLU(nn.Module):
    """A dense gated feed-forward network: down(silu(gate(x)) * up(x)) (Shazeer 2020)."""

    def __init__(self, config):
        super().__init__()
        self.gate = nn.Linear(config.width, config.hidden, bias=False)
        self.up = nn.Linear(config.width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        return self.down(F.silu(self.gate(x)) * self.up(x))

    def macs(self, B: int, T: int) -> int:
        return weight_macs(self, B * T)


MIXERS = {"attention": Attention}
FFNS = {"swiglu": SwiGLU}


class Block(nn.Module):
    """One layer: x + mixer(norm(x)), then x + ffn(norm(x))."""

    mixer: Attention
    ffn: SwiGLU

    def __init__(self, config):
        super().__init__()
        self.mixer_norm = RMSNorm(config.width, config.eps)
        self.mixer = MIXERS[config.mixer](config)
        self.ffn_norm = RMSNorm(config.width, config.eps)
        self.ffn = FFNS[config.ffn](config)

    def forward(self, x: Tensor, rope: Rope, positions: Tensor, past: State | None) -> tuple[Tensor, State]:
        """`x` (B, T, C) at `positions` (T,); returns (B, T, C) and the state that the next call needs."""
        mixed, state = self.mixer(self.mixer_norm(x), rope, positions, past)
        x = x + mixed
        return x + self.ffn(self.ffn_norm(x)), state

    def macs(self, B: int, T: int, seen: int) -> int:
        """Multiply-accumulates of B sequences of T new positions that look at `seen` positions in all."""
        return self.mixer.macs(B, T, seen) + self.ffn.macs(B, T)
