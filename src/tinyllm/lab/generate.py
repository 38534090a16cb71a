"""Decoding with a cache, many prompts at once, greedy or sampled; it knows nothing about text."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tinyllm.lab.model import Cache, Cost, Model
from tinyllm.lab.plan import Plan

Choose = Callable[[Tensor], Tensor]  # logits (N, vocab) to ids (N, 1)


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn: from the `top_k` likeliest, of these the fewest that hold `top_p` of the probability.

    Temperature divides the logits first; near 0 only the likeliest is left. None leaves a limit out.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be 1 or more, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p}")

    def probabilities(self, logits: Tensor) -> Tensor:
        """The probabilities (N, vocab) that tokens are drawn with (nucleus: Holtzman et al. 2019)."""
        odds = (logits / self.temperature).softmax(-1)
        ranked, order = odds.sort(dim=-1, descending=True, stable=True)
        if self.top_k is not None:
            ranked[:, self.top_k :] = 0
        if self.top_p is not None:
            before = ranked.cumsum(-1) - ranked
            ranked[before >= self.top_p * ranked.sum(-1, keepdim=True)] = 0
        kept = torch.zeros_like(odds).scatter(-1, order, ranked)
        return kept / kept.sum(-1, keepdim=True)

    def chooser(self) -> Choose:
        """A function that draws a token for each row, repeatably from the seed."""
        generator = torch.Generator().manual_seed(self.seed)
        return lambda logits: torch.multinomial(self.probabilities(logits).cpu(), 1, generator=generator)


def likeliest(logits: Tensor) -> Tensor:
    """The likeliest token of each row: (N, vocab) to (N, 1)."""
    return logits.argmax(-1, keepdim=True)


def greedy(
    model: Model,
    prompts: Sequence[Sequence[int]],
    limit: int,
    stop: int | None = None,
    plan: Plan | None = None,
) -> list[list[int]]:
    """The most likely continuation of each prompt, token by token; see `generate`."""
    return generate(model, prompts, limit, stop, plan, likeliest)


@torch.inference_mode()
def generate(
    model: Model,
    prompts: Sequence[Sequence[int]],
    limit: int,
    stop: int | None,
    plan: Plan | None,
    choose: Choose,
) -> list[list[int]]:
    """The continuation of each prompt by tokens that `choose` takes, at most `limit` of them.

    A continuation ends before the token `stop`, or where the context is full. Prompts of one length run as
    one batch, so that no padding enters the cache.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    lengths = defaultdict(list)
    for index, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"prompt {index} is empty: there is nothing to continue")
        lengths[len(prompt)].append(index)
    device = model.embed.weight.device
    for length, indices in lengths.items():
        cache, ended = Cache(), [False] * len(indices)
        ids = torch.tensor([list(prompts[index]) for index in indices], device=device)  # (B, T)
        for _ in range(min(limit, model.config.context - length + 1)):
            last = torch.zeros_like(ids, dtype=torch.bool)
            last[:, -1] = True
            logits, _ = model(ids, cache=cache, plan=plan, at=last)
            ids = choose(logits).to(device)  # (B, 1)
            for row, token in enumerate(ids[:, 0].tolist()):
                ended[row] = ended[row] or token == stop
                if not ended[row]:
                    answers[indices[row]].append(token)
            if all(ended):
                break
    return answers


@dataclass(frozen=True)
class Step:
    """One token that was written: its natural log-probability among all tokens, and what the pass cost."""

    id: int
    logprob: float
    cost: Cost


@torch.inference_mode()
def write(
    model: Model, ids: Sequence[int], choose: Choose, plan: Plan | None = None, slide: bool = False
) -> Iterator[Step]:
    """Yield what goes on from `ids`, token by token: until the context is full, or without end where texts `slide`.

    Then the model goes on from the last half of a context whenever one is full.
    """
    context, device, text = model.config.context, model.embed.weight.device, list(ids)
    half = max(1, context // 2)
    while True:
        cache, new = Cache(), text[-half:] if slide and len(text) >= context else text[:]
        while cache.length + len(new) <= context:
            read = torch.tensor([new], device=device)  # (1, T)
            last = torch.zeros_like(read, dtype=torch.bool)
            last[:, -1] = True
            logits, trace = model(read, cache=cache, plan=plan, at=last)  # (1, vocab)
            id = int(choose(logits))
            yield Step(id, float(logits[0].log_softmax(-1)[id]), trace.cost)
            text.append(id)
            new = [id]
        if not slide:
            return
