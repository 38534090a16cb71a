"""Greedy decoding with a cache, many prompts at once; it knows nothing about text."""

from collections import defaultdict
from collections.abc import Sequence

import torch

from tinyllm.lab.model import Cache, Model
from tinyllm.lab.plan import Plan


@torch.inference_mode()
def greedy(
    model: Model,
    prompts: Sequence[Sequence[int]],
    limit: int,
    stop: int | None = None,
    plan: Plan | None = None,
) -> list[list[int]]:
    """The most likely continuation of each prompt, token by token, at most `limit` tokens.

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
            ids = logits.argmax(-1, keepdim=True)  # (B, 1)
            for row, token in enumerate(ids[:, 0].tolist()):
                ended[row] = ended[row] or token == stop
                if not ended[row]:
                    answers[indices[row]].append(token)
            if all(ended):
                break
    return answers
