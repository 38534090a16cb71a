"""A block: a mixer and a feed-forward network, each with a norm before it and a residual around it.

A mixer moves information between positions, a feed-forward network (FFN) works on each position alone.
Nothing here knows in which order blocks run, nor what the model is for. With attention, SwiGLU and RMSNorm a
block is a layer of Llama (Touvron et al. 2023), so that a model made of them exports as is.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyllm.lab.mixers import MIXERS, Here, Mixed, State, weight_bytes, weight_macs


class RMSNorm(nn.Module):
    """Scale vectors (..., C) to a root mean square of one, then by learned gains (Zhang & Sennrich 2019)."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class BatchNorm(nn.BatchNorm1d):
    """Standardise each dimension of (..., C) over all positions of a batch (Ioffe & Szegedy 2015).

    Evaluated (`model.eval()`), it takes the means and variances that training has seen on average.
    """

    def __init__(self, width: int, eps: float):
        super().__init__(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -2)).view_as(x)


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


class MLP(nn.Module):
    """A dense feed-forward network: down(gelu(up(x))) (Hendrycks & Gimpel 2016)."""

    def __init__(self, config):
        super().__init__()
        self.up = nn.Linear(config.width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        return self.down(F.gelu(self.up(x)))


FFNS = {"swiglu": SwiGLU, "mlp": MLP}
NORMS = {"rms": RMSNorm, "layer": nn.LayerNorm, "batch": BatchNorm}


class Block(nn.Module):
    """One layer: x + mixer(norm(x)), then x + ffn(norm(x))."""

    def __init__(self, config, layer: int):
        super().__init__()
        norm = NORMS[config.norm]
        self.mixer_norm = norm(config.width, config.eps)
        self.mixer = MIXERS[config.mixers[layer % len(config.mixers)]](config, layer)
        self.ffn_norm = norm(config.width, config.eps)
        self.ffn = FFNS[config.ffn](config)
        self.dropout = config.dropout

    def forward(self, x: Tensor, here: Here, past: State | None) -> Mixed:
        """`x` (B, T, C) after the `past`; returns (B, T, C), the state that the next call needs, and the cost.

        Positions that `here` does not want keep their vector, and spare the FFN and most of attention.
        """
        mixed, on = self.mixer(self.mixer_norm(x), here, past), here.on
        wanted = here.wanted(x)
        if not wanted:
            return mixed._replace(y=x, unread=mixed.unread + weight_bytes(self.ffn, self.ffn_norm))
        rows = x + self._drop(mixed.y) if on is None else x[on] + self._drop(mixed.y[on])  # (N, C)
        rows = rows + self._drop(self.ffn(self.ffn_norm(rows)))
        macs = mixed.macs + weight_macs(self.ffn, wanted)
        return mixed._replace(y=rows if on is None else x.index_put((on,), rows), macs=macs)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x
