"""The composable model: stored blocks, a plan that runs them, and the price of every forward pass.

With the plain config it is a Llama (Touvron et al. 2023); other mixers make it a recurrent net, a WaveNet, an
encoder or a decoder. It knows nothing about text (ids in, logits out), about training or about files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from tinyllm.lab.blocks import FFNS, NORMS, Block
from tinyllm.lab.mixers import MIXERS, Here, Recurrent, State, weight_bytes, weight_macs
from tinyllm.lab.plan import Option, Plan
from tinyllm.lab.position import POSITIONS, Position
from tinyllm.lab.slots import LATENT, PAUSE, Slots


@dataclass(frozen=True)
class Config:
    """The shape of a model. Raises ValueError, saying what to change, if the numbers cannot work together.

    `groups` is the number of key-value heads, `hidden` the inner width of the FFN, `context` the longest
    sequence in tokens. `tied` uses the embedding table as output head too, which halves what a small model
    spends on its vocabulary (Press & Wolf 2016). For q8_0 files let `width` and `hidden` be multiples of 32.

    `mixer` names one mixer or several that the layers take in turn (`gru bahdanau`), `position` one code or
    several. `window` is how many positions attention or the fixed window sees, itself included; `digits` are
    the token ids that abacus and coupled positions number; `pauses` adds the vector that pause slots need.
    While training, `dropout` is the share of what a block adds that is left out (Srivastava et al. 2014), and
    `unread` the share of tokens that are read as nothing, though still to be predicted (Iyyer et al. 2015).
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
    norm: str = "rms"
    position: str = "rope"
    causal: bool = True
    window: int | None = None
    digits: tuple[int, ...] = ()
    pauses: bool = False
    dropout: float = 0.0
    unread: float = 0.0

    def __post_init__(self) -> None:
        for size in ("vocab", "width", "layers", "heads", "groups", "hidden", "context"):
            if getattr(self, size) < 1:
                raise ValueError(f"{size} must be 1 or more, not {getattr(self, size)}")
        for what, name, known in (
            *(("mixer", name, MIXERS) for name in self.mixers or ("",)),
            *(("position", name, POSITIONS) for name in self.position.split() or ("",)),
            ("ffn", self.ffn, FFNS),
            ("norm", self.norm, NORMS),
        ):
            if name not in known:
                raise ValueError(f"there is no {what} {name!r}; there are {', '.join(known)}")
        if {"attention", "cross"} & {*self.mixers}:
            if self.width % self.heads or (self.width // self.heads) % 2:
                raise ValueError(f"width {self.width} must be an even multiple of heads {self.heads}")
            if self.heads % self.groups:
                raise ValueError(f"heads {self.heads} must be a multiple of groups {self.groups}")
        if not (0 <= self.dropout < 1 and 0 <= self.unread < 1):
            raise ValueError(
                f"dropout and unread must be 0 or more and below 1, not {self.dropout}, {self.unread}"
            )
        if (self.window or 0) < 1 and (self.window is not None or "window" in self.mixers):
            raise ValueError(f"window must be 1 or more where a mixer has one, not {self.window}")
        if bool({"abacus", "coupled"} & {*self.position.split()}) != bool(self.digits):
            raise ValueError(
                "abacus or coupled positions and `digits` (the token ids of digits) need each other"
            )

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    @property
    def mixers(self) -> tuple[str, ...]:
        return tuple(self.mixer.split())


@dataclass(frozen=True)
class Cost:
    """What a forward pass took: multiply-accumulates, and the bytes of weights it read."""

    macs: int = 0
    weight_bytes: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.macs + other.macs, self.weight_bytes + other.weight_bytes)


@dataclass(frozen=True)
class Route:
    """What happened in one slot of the plan: the stored layer that ran, and, where the pass was watched, its
    output (B, T, C) and the attention weights (B, H, T, S) of a mixer that has them. `ran` (B, T), boolean, tells
    which positions an option of the plan ran for; None: all."""

    layer: int
    output: Tensor | None = None
    weights: Tensor | None = None
    ran: Tensor | None = None


@dataclass(frozen=True)
class Trace:
    """The record of one forward pass: its price, and one route per slot of the plan (per stretch of input)."""

    cost: Cost
    routes: tuple[Route, ...]


class Cache:
    """What the past of a batch left behind: its `tokens` (B, S), and one state per slot of `plan`.

    The first forward pass that it is given to sets the plan; another plan could not read its states.
    """

    def __init__(self) -> None:
        self.tokens: Tensor | None = None
        self.last: Tensor | None = None  # (B, C), the last hidden vector: what a latent slot is fed
        self.plan: Plan | None = None
        self.states: list[State] = []

    @property
    def length(self) -> int:
        return 0 if self.tokens is None else self.tokens.shape[1]


class Model(nn.Module):
    """A sequence model over token ids; with causal mixers, a language model.

    `plan` is how it runs unless a call says otherwise; the plain one by default. Weights are drawn from
    `seed` alone (normal, 0.02; projections into the residual scaled by depth, Radford et al. 2019).
    """

    def __init__(self, config: Config, plan: Plan | None = None, seed: int = 0):
        super().__init__()
        self.config = config
        self.plan = plan or Plan.plain(config.layers)
        self.plan.check(config.layers)
        self.embed = nn.Embedding(config.vocab, config.width)
        self.blocks = nn.ModuleList([Block(config, layer) for layer in range(config.layers)])
        self.norm = NORMS[config.norm](config.width, config.eps)
        self.head = nn.Linear(config.width, config.vocab, bias=False)
        if config.tied:
            self.head.weight = self.embed.weight
        self.position = Position(config)
        self.pause = nn.Parameter(torch.zeros(config.width)) if config.pauses else None
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                into_residual = name.endswith((".o.weight", ".down.weight", ".mix.weight"))
                scale = 0.02 / (2 * len(self.plan)) ** 0.5 if into_residual else 0.02
                nn.init.normal_(weight, std=scale, generator=generator)
        for module in self.modules():
            if isinstance(module, Recurrent):
                module.reset(generator)

    def forward(
        self,
        ids: Tensor | Slots,
        cache: Cache | None = None,
        plan: Plan | None = None,
        at: Tensor | None = None,
        memory: Tensor | None = None,
        watch: bool = False,
    ) -> tuple[Tensor, Trace]:
        """Logits for the token after each position of `ids` (B, T), and the trace of the pass.

        With a `cache` the ids continue what it holds, and it grows by T. `at` (B, T), boolean, picks the
        positions whose logits are wanted: the answer is then (N, vocab) instead of (B, T, vocab), and the
        head costs only that. `memory` (B, M, C) is what cross-attention reads, and `watch` keeps in the trace
        what each layer made. Raises ValueError beyond the context or for a plan that names a missing layer.
        """
        x, trace = self.hidden(ids, cache, plan, memory, watch)
        x = self.norm(x if at is None else x[at])  # (B, T, C) or (N, C)
        rows = x.numel() // self.config.width
        cost = Cost(weight_macs(self.head, rows), weight_bytes(self.head))
        return self.head(x), Trace(trace.cost + cost, trace.routes)

    def hidden(
        self,
        ids: Tensor | Slots,
        cache: Cache | None = None,
        plan: Plan | None = None,
        memory: Tensor | None = None,
        watch: bool = False,
    ) -> tuple[Tensor, Trace]:
        """What the last block makes of `ids`, (B, T, C), before norm and head: the memory of a decoder.

        Arguments and errors are those of `forward`.
        """
        plan = plan or self.plan
        plan.check(len(self.blocks))
        if cache is not None and not self.config.causal:
            raise ValueError("a model that is not causal cannot be fed in pieces: leave the cache out")
        cache = cache or Cache()
        if cache.plan not in (None, plan):
            raise ValueError(f"the cache was filled by plan '{cache.plan}' and cannot serve plan '{plan}'")
        slots = ids if isinstance(ids, Slots) else Slots.tokens(ids)
        total = cache.length + slots.ids.shape[1]
        if total > self.config.context:
            raise ValueError(f"{total} positions do not fit the context of {self.config.context} tokens")
        parts, cost, routes = list[Tensor](), Cost(), list[Route]()
        for stretch in slots.stretches() if isinstance(ids, Slots) else (slots,):
            past = cache.length
            x = self._enter(stretch, cache)  # (B, T, C), and the cache now holds the tokens too
            positions = torch.arange(past, cache.length, device=x.device)
            scores = self.position.scores(cast(Tensor, cache.tokens), past)
            here = Here(positions, self.position.rope, scores, memory, watch)
            states, inputs, wants = list[State](), list[Tensor](), dict[Option, Tensor]()
            for slot, layer in enumerate(plan.order):
                inputs.append(x)
                on = None  # the positions (B, T) that this slot is for
                for option in plan.options:
                    if option.start == slot:
                        wants[option] = _unsettled(inputs, option)
                    if option.start <= slot < option.end:
                        on = wants[option] if on is None else on & wants[option]
                block = cast(Block, self.blocks[layer])
                # Where all go on, it is the plain model, to the bit.
                some = here if on is None or on.all() else replace(here, on=on)
                made = block(x, some, cache.states[slot] if past else None)
                x = made.y
                states.append(made.state)
                cost += Cost(made.macs, weight_bytes(block) - made.unread)
                routes.append(Route(layer, x if watch else None, made.weights, on))
            cache.plan, cache.states, cache.last = plan, states, x[:, -1]
            parts.append(x)
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0], Trace(cost, tuple(routes))

    def _enter(self, slots: Slots, cache: Cache) -> Tensor:
        """The vectors (B, T, C) that stand at `slots`, positions added; their tokens join the cache."""
        past, ids = cache.length, slots.ids
        cache.tokens = ids if cache.tokens is None else torch.cat((cache.tokens, ids), dim=1)
        x = self.embed(ids)  # (B, T, C)
        if self.training and self.config.unread:
            x = x * (torch.rand(ids.shape, device=x.device) >= self.config.unread)[..., None]
        pause, latent = slots.kinds == PAUSE, slots.kinds == LATENT
        if pause.any():
            if self.pause is None:
                raise ValueError("the model has no vector for pauses: build it with pauses=True")
            x = torch.where(pause[..., None], self.pause, x)
        if latent.any():  # only ever the first position of a stretch
            if cache.last is None:
                raise ValueError("a latent needs a position before it, whose hidden vector it is")
            x = torch.where(latent[..., None], self.norm(cache.last)[:, None], x)
        return self.position(x, cache.tokens, past)

    @property
    def parameter_count(self) -> int:
        """How many numbers the model stores; tied weights count once."""
        return sum(weight.numel() for weight in self.parameters())


def _unsettled(inputs: Sequence[Tensor], option: Option) -> Tensor:
    """Which positions (B, T) the slots before `option` still changed; `inputs` (B, T, C) are those of each slot."""
    now, before = inputs[option.start], inputs[option.before]
    if option.start == 0:
        return torch.ones(now.shape[:-1], dtype=torch.bool, device=now.device)
    return (now - before).norm(dim=-1) >= option.tolerance * now.norm(dim=-1)
