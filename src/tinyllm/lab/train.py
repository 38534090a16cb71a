"""The trainer: examples and settings in, better weights and a card out.

Trains whatever weights of the model want a gradient, so a frozen base with an adapter is the same call. It
knows nothing about where examples come from, nor what becomes of the weights. A run that is given a
checkpoint file goes on where it was killed, to the same weights as if it had not been.
"""

import itertools
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from tinyllm.lab import checkpoint, optim
from tinyllm.lab.diverged import EXPLODED, Diverged
from tinyllm.lab.model import Cost, Model
from tinyllm.lab.pair import Pair


@dataclass(frozen=True)
class Example:
    """A sequence of token ids, and for each whether the model shall learn to predict it from those before."""

    ids: tuple[int, ...]
    learn: tuple[bool, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.learn) or not any(self.learn[1:]):
            raise ValueError(
                f"an example needs a token to learn, and one mask entry per token: it has {len(self.learn)} "
                f"entries for {len(self.ids)} tokens, {sum(self.learn[1:])} of them to learn"
            )

    @classmethod
    def answer(cls, prompt: Sequence[int], answer: Sequence[int]) -> "Example":
        """Learn `answer` after `prompt`, but not the prompt itself."""
        return cls((*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer))

    @classmethod
    def text(cls, ids: Sequence[int]) -> "Example":
        """Learn every token of `ids` after the first."""
        return cls(tuple(ids), (False,) + (True,) * (len(ids) - 1))


Examples = Sequence[Example] | Callable[[int], Sequence[Example]]  # fixed, or drawn afresh for each epoch
Progress = Callable[[int, int, float, float], bool | None]


@dataclass(frozen=True)
class Settings:
    """How to train. `lr` is the peak, reached after `warmup` (a fraction of the steps) and then decayed.

    `dropout` replaces that share of input tokens by `blank` (Iyyer et al. 2015): only tokens that are not to
    be learned and not in `keep`, so that answers and slots stay whole.
    """

    steps: int
    batch: int = 64
    lr: float = 3e-3
    warmup: float = 0.05
    decay: Literal["cosine", "linear"] = "cosine"
    optimizer: optim.Name = "muon"
    weight_decay: float = 0.1
    clip: float = 1.0
    dropout: float = 0.0
    blank: int = 1
    keep: frozenset[int] = frozenset()
    seed: int = 0
    threads: int = 1  # more threads than free cores make small matrices slower

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("dropout", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be 0 or more and below 1, not {getattr(self, name)}")
        if not 0 < self.lr <= 1e37:  # a larger one times 10, as AdamW begins, is no number of 32 bits
            raise ValueError(f"lr must be above 0 and at most 1e37, not {self.lr}")
        if self.optimizer not in get_args(optim.Name):
            known = ", ".join(get_args(optim.Name))
            raise ValueError(f"there is no optimizer {self.optimizer!r}; there are {known}")

    def rate(self, step: int) -> float:
        """The learning rate of `step`, counted from 0; it ends near zero."""
        warm = max(1, round(self.steps * self.warmup))
        if step < warm:
            return self.lr * (step + 1) / warm
        left = (self.steps - step) / (self.steps - warm + 1)  # from 1 down to just above 0
        return self.lr * (left if self.decay == "linear" else 0.5 - 0.5 * math.cos(math.pi * left))


@dataclass(frozen=True)
class Card:
    """What a training run was and what it took. `loss` is in nats per learned token, over the last steps."""

    steps: int
    tokens: int  # input tokens, padding not counted
    macs: int  # forward and backward, padding counted, since it is computed
    seconds: float
    loss: float
    parameters: int  # trained
    settings: Settings


def train(
    model: Model | Pair,
    examples: Examples,
    settings: Settings,
    progress: Progress | None = None,
    keep: Path | None = None,
    every: int = 200,
) -> Card:
    """Train `model` in place, repeatably from one seed, and return the card of the run.

    `progress(step, steps, loss, eta)` is called after every step, eta in seconds; returning True ends the run
    there. With `keep` the state is saved to that file at the beginning, `every` so many steps and at the end, and
    a state that is there already is taken up. None is saved before the next loss and gradient have shown that its
    weights are good. Raises ValueError for examples that do not fit the model or a state of other settings,
    ModelFileError for a damaged one, and Diverged when a loss explodes or a loss, a gradient or a weight stops
    being finite.
    """
    with torch.random.fork_rng():  # chance inside the model depends on the seed alone, and disturbs nobody's
        torch.manual_seed(settings.seed)
        return _train(model, examples, settings, progress, keep, every)


def _train(
    model: Model | Pair,
    examples: Examples,
    settings: Settings,
    progress: Progress | None,
    keep: Path | None,
    every: int,
) -> Card:
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    made = optim.optimizers(trained.items(), settings.optimizer, settings.lr, settings.weight_decay)
    device = model.embed.weight.device
    draw = torch.Generator().manual_seed(settings.seed)
    # The backward pass costs two forward passes, or about one where frozen weights want no gradient.
    passes = 3 if len(trained) == len(list(model.parameters())) else 2
    recent: deque[float] = deque(maxlen=20)
    step = tokens = macs = 0
    start = time.monotonic()

    def card() -> Card:
        loss = sum(recent) / len(recent) if recent else math.nan
        numbers = sum(weight.numel() for weight in trained.values())
        return Card(step, tokens, macs, time.monotonic() - start, loss, numbers, settings)

    # Running statistics of norms are no parameters, but part of the model all the same.
    saved = model.state_dict()
    stored = trained | {name: value for name, value in model.named_buffers() if name in saved}
    good: dict[str, Tensor] = {}

    def state() -> dict[str, Any]:
        return {
            "settings": asdict(settings) | {"keep": sorted(settings.keep), "threads": 1},
            "counts": (step, tokens, macs, time.monotonic() - start),
            "recent": list(recent),
            "draw": draw.get_state(),
            "chance": torch.get_rng_state(),  # of the dropout inside the model
            "chance_cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            "weights": {name: value.detach().clone() for name, value in stored.items()},
            "optimizers": [optimizer.state_dict() for optimizer in made],
        }

    def put_back(weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in weights.items():
                stored[name].copy_(value)

    if keep is not None and keep.exists():
        kept = checkpoint.load(keep)
        if kept["settings"] != state()["settings"]:
            raise ValueError(f"{keep} holds a training with other settings; delete it to begin anew")
        step, tokens, macs, seconds = kept["counts"]
        start -= seconds
        recent.extend(kept["recent"])
        draw.set_state(kept["draw"])
        torch.set_rng_state(kept["chance"])
        # What was begun on a processor has none.
        if device.type == "cuda" and kept.get("chance_cuda") is not None:
            torch.cuda.set_rng_state(kept["chance_cuda"], device)
        put_back(kept["weights"])
        for optimizer, value in zip(made, kept["optimizers"], strict=True):
            optimizer.load_state_dict(value)
        if step == settings.steps:
            return card()

    def diverged(what: str) -> Diverged:
        put_back(good)
        return Diverged(what, step, card())

    def sound(inputs: Tensor, ids: Tensor, learn: Tensor) -> tuple[float, Cost]:
        """The loss of a batch and what it cost, with the gradients in place; all of them as they should be."""
        logits, trace = model(inputs[:, :-1].to(device), at=learn[:, 1:].to(device))  # (N, vocab)
        loss = F.cross_entropy(logits, ids[:, 1:][learn[:, 1:]].to(device))
        now = loss.item()
        if not now <= EXPLODED:  # nor is NaN
            raise diverged(f"the loss became {now:.4g}")
        for optimizer in made:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained.values(), settings.clip).item()
        if not math.isfinite(norm):
            raise diverged(f"the gradient became {norm}")
        # Of those weights too that the batch leaves alone.
        size = torch.nn.utils.get_total_norm(trained.values()).item()
        if not math.isfinite(size):
            raise diverged(f"the norm of the weights became {size}")
        return now, trace.cost

    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        batches = _batches(examples, settings, model.config.vocab, model.config.context)
        for ids, learn, count in itertools.islice(batches, step, None):
            due = state() if keep is not None and step % every == 0 else None
            inputs = _drop(ids, learn, settings, draw)
            loss, cost = sound(inputs, ids, learn)
            # The weights are good; what the update makes of them shows only in the next loss and gradient.
            if keep is not None and due is not None:
                checkpoint.save(keep, due)
            good = {name: weight.detach().clone() for name, weight in stored.items()}
            rate = settings.rate(step)
            for optimizer in made:
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
            step += 1
            tokens += count
            macs += passes * cost.macs
            recent.append(loss)
            eta = (time.monotonic() - start) / step * (settings.steps - step)
            if (progress and progress(step, settings.steps, loss, eta)) or step == settings.steps:
                break
        last = state()
        sound(inputs, ids, learn)  # a look at what the last update has made; it trains nothing
        put_back(last["weights"])  # running statistics have seen one batch too many
        if keep is not None:
            checkpoint.save(keep, last)
    finally:
        torch.set_num_threads(threads)
    return card()


def _batches(
    examples: Examples, settings: Settings, vocab: int, context: int
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Batches without end: ids and learn (B, T), padded on the right, and how many inputs are not padding.

    Each epoch is shuffled, then stretches of it are sorted by length, so that a batch has little padding.
    Causal attention never looks right, so padding changes no answer.
    """
    shuffle = random.Random(settings.seed)
    for epoch in itertools.count():
        pool = list(examples(epoch) if callable(examples) else examples)
        if not pool:
            raise ValueError(f"there are no examples to train on in epoch {epoch}")
        for example in pool:
            if len(example.ids) > context + 1:
                raise ValueError(f"an example of {len(example.ids)} tokens exceeds the context of {context}")
            if max(example.ids) >= vocab:
                raise ValueError(f"an example has token {max(example.ids)}, the vocabulary only {vocab}")
        shuffle.shuffle(pool)
        stretch = settings.batch * 16
        batches = []
        for start in range(0, len(pool), stretch):
            near = sorted(pool[start : start + stretch], key=lambda example: len(example.ids))
            batches += [near[i : i + settings.batch] for i in range(0, len(near), settings.batch)]
        shuffle.shuffle(batches)
        for batch in batches:
            longest = max(len(example.ids) for example in batch)
            fill = [longest - len(example.ids) for example in batch]
            # One call for the whole batch: a tensor for each example takes longer than a small model's step.
            ids = torch.tensor([example.ids + (0,) * n for example, n in zip(batch, fill, strict=True)])
            learn = torch.tensor(
                [example.learn + (False,) * n for example, n in zip(batch, fill, strict=True)]
            )
            yield ids, learn, ids.numel() - len(batch) - sum(fill)


def _drop(ids: Tensor, learn: Tensor, settings: Settings, draw: torch.Generator) -> Tensor:
    """`ids` with a share of the tokens that are only read replaced by the blank."""
    if not settings.dropout:
        return ids
    keep = learn | torch.isin(ids, torch.tensor(sorted(settings.keep), dtype=ids.dtype))
    chosen = torch.rand(ids.shape, generator=draw) < settings.dropout
    return ids.masked_fill(chosen & ~keep, settings.blank)
