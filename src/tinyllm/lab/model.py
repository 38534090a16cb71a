"""The composable language model: stored blocks, a plan that runs them, and the price of every forward pass.

With the plain plan it is a Llama (Touvron et al. 2023). It knows nothing about text (ids in, logits out),
about training or about files.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from tinyllm.lab.blocks import FFNS, MIXERS, Block, RMSNorm, Rope, State, weight_bytes, weight_macs
from tinyllm.lab.plan import Plan


@dataclass(frozen=True)
class Config:
    """The shape of a model. Raises ValueError, saying what to change, if the numbers cannot work together.

    `groups` is the number of key-value heads, `hidden` the inner width of the FFN, `context` the longest
    sequence in tokens. `tied` uses the embedding table as output head too, which halves what a small model
    spends on its vocabulary (Press & Wolf 2016). For q8_0 files let `width` and `hidden` be multiples of 32.
    """

    vocab: int
    width: int = 128
    layers: int = 4
    heads: int = 4
    groups: int = 2
    hidden: int = 352
    context: int = 256
    theta: float = 10_000.0
    eps: float = 1e-5
    tied: bool = True
    mixer: str = "attention"
    ffn: str = "swiglu"

    def __post_init__(self) -> None:
        if min(self.vocab, self.width, self.layers, self.heads, self.groups, self.hidden, self.context) < 1:
            raise ValueError(f"every size of a model must be 1 or more: {self}")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"width {self.width} / heads {self.heads} must be even and whole (RoPE pairs)")
        if self.heads % self.groups:
            raise ValueError(f"heads {self.heads} must be a multiple of groups {self.groups}")
        if self.mixer not in MIXERS or self.ffn not in FFNS:
            raise ValueError(f"unknown {self.mixer!r} or {self.ffn!r}: mixers {[*MIXERS]}, ffns {[*FFNS]}")

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True)
class Cost:
    """What a forward pass took: multiply-accumulates, and the bytes of weights it read."""

    macs: int = 0
    weight_bytes: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.macs + other.macs, self.weight_bytes + other.weight_bytes)


@dataclass(frozen=True)
class Trace:
    """The record of one forward pass."""

    cost: Cost


class Cache:
    """What the past of a batch left behind: `length` positions, one state per slot of `plan`.

    The first forward pass that it is given to sets the plan; another plan could not read its states.
    """

    def __init__(self) -> None:
        self.length = 0
        self.plan: Plan | None = None
        self.states: list[State] = []


class Model(nn.Module):
    """A decoder-only language model over token ids.

    `plan` is how it runs unless a call says otherwise; the plain one by default. Weights are drawn from
    `seed` alone (normal, 0.02; projections into the residual scaled by depth, Radford et al. 2019).
    """

    def __init__(self, config: Config, plan: Plan | None = None, seed: int = 0):
        super().__init__()
        self.config = config
        self.plan = plan or Plan.plain(config.layers)
        self.plan.check(config.layers)
        self.embed = nn.Embedding(config.vocab, config.width)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.norm = RMSNorm(config.width, config.eps)
        self.head = nn.Linear(config.width, config.vocab, bias=False)
        if config.tied:
            self.head.weight = self.embed.weight
        self.rope = Rope(config.head_dim, config.context, config.theta)
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                into_residual = name.endswith((".o.weight", ".down.weight"))
                scale = 0.02 / (2 * len(self.plan)) ** 0.5 if into_residual else 0.02
                nn.init.normal_(weight, std=scale, generator=generator)

    def forward(
        self, ids: Tensor, cache: Cache | None = None, plan: Plan | None = None, at: Tensor | None = None
    ) -> tuple[Tensor, Trace]:
        """Logits for the token after each position of `ids` (B, T), and the trace of the pass.

        With a `cache` the ids continue what it holds, and it grows by T. `at` (B, T), boolean, picks the
        positions whose logits are wanted: the answer is then (N, vocab) instead of (B, T, vocab), and the
        head costs only that. Raises ValueError beyond the context or for a plan that names a missing layer.
        """
        plan = plan or self.plan
        plan.check(len(self.blocks))
        cache = cache or Cache()
        if cache.plan not in (None, plan):
            raise ValueError(f"the cache was filled by plan '{cache.plan}' and cannot serve plan '{plan}'")
        B, T = ids.shape
        past = cache.length
        if past + T > self.config.context:
            raise ValueError(f"{past + T} positions do not fit the context of {self.config.context} tokens")
        positions = torch.arange(past, past + T, device=ids.device)
        x = self.embed(ids)  # (B, T, C)
        cost, states = Cost(), list[State]()
        for slot, layer in enumerate(plan.order):
            block = cast(Block, self.blocks[layer])
            x, state = block(x, self.rope, positions, cache.states[slot] if past else None)
            states.append(state)
            cost += Cost(block.macs(B, T, past + T), weight_bytes(block))
        cache.length, cache.plan, cache.states = past + T, plan, states
        x = self.norm(x if at is None else x[at])  # (B, T, C) or (N, C)
        rows = x.numel() // self.config.width
        cost += Cost(weight_macs(self.head, rows), weight_bytes(self.head))
        return self.head(x), Trace(cost)

    @property
    def parameter_count(self) -> int:
        """How many numbers the model stores; tied weights count once."""
        return sum(weight.numel() for weight in self.parameters())
