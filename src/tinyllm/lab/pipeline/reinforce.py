"""Reinforcement learning on answers that can be checked: REINFORCE with the group's mean as baseline.

Each question is answered several times by chance. What came out right is made likelier, what came out wrong
less likely, as far as it was better or worse than the model usually does there (Williams 1992; the group
baseline is GRPO's, Shao et al. 2024, here without its clipping and its leash to the old model: every sample is
used once, while it is fresh). Knows nothing about where questions come from, nor what makes an answer right.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from tinyllm.lab import checkpoint, optim
from tinyllm.lab.generate import Sampling, generate
from tinyllm.lab.model import Model

Prompts = Callable[
    [int], Sequence[tuple[list[int], Any]]
]  # of a step: ids, and what the reward needs to know
Reward = Callable[[Any, list[int]], float]  # that, and the ids which were answered: 0 to 1
Told = Callable[[int, int, float, float], None]  # step, steps, mean reward, seconds left


@dataclass(frozen=True)
class Settings:
    steps: int
    lr: float
    group: int
    optimizer: optim.Name
    longest: int  # tokens of an answer
    clip: float = 1.0
    temperature: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Card:
    """What a training took. Of sampling every token counts each weight once."""

    steps: int
    tokens: int
    macs: int
    reward: float  # of the last ten steps


def reinforce(
    model: Model,
    prompts: Prompts,
    reward: Reward,
    settings: Settings,
    stop: int,
    told: Told,
    keep: Path,
    every: int = 5,
) -> Card:
    """Train `model` in place and return the card. State is kept in the file `keep`, and taken up from there."""
    named = list(model.named_parameters())
    made = optim.optimizers(named, settings.optimizer, settings.lr, weight_decay=0.0)
    device = model.embed.weight.device
    step = tokens = macs = 0
    rewards: list[float] = []
    start = time.monotonic()
    if keep.exists():
        kept = checkpoint.load(keep)
        if kept["settings"] != asdict(settings):
            raise ValueError(f"{keep} holds a training with other settings; delete it to begin anew")
        step, tokens, macs = kept["counts"]
        rewards = list(kept["rewards"])
        model.load_state_dict(kept["weights"])
        for optimizer, state in zip(made, kept["optimizers"], strict=True):
            optimizer.load_state_dict(state)
    while step < settings.steps:
        asked = prompts(step)
        ids = [prompt for prompt, _ in asked for _ in range(settings.group)]
        choose = Sampling(settings.temperature, seed=settings.seed * 100_003 + step).chooser()
        answers = generate(model, ids, settings.longest, stop, None, choose)
        right = torch.tensor(
            [reward(asked[i // settings.group][1], answer) for i, answer in enumerate(answers)]
        )
        grouped = right.view(-1, settings.group)  # (questions, G)
        advantage = (grouped - grouped.mean(1, keepdim=True)).flatten()
        rewards.append(right.mean().item())
        # An answer that was cut has no end to learn.
        whole = [[*a, stop] if len(a) < settings.longest else a for a in answers]
        chosen = [i for i in range(len(ids)) if advantage[i] != 0]
        sampled = sum(len(ids[i]) + len(answer) for i, answer in enumerate(answers))
        tokens += sampled
        macs += sampled * model.parameter_count
        for optimizer in made:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * min(1.0, (settings.steps - step) / (settings.steps / 2))
        if chosen:
            rows = [(ids[i], whole[i], advantage[i].item()) for i in chosen]
            macs += _descend(model, rows, sum(map(len, whole)), device)
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            for optimizer in made:
                optimizer.step()
        step += 1
        if step % every == 0 or step == settings.steps:
            state = {
                "settings": asdict(settings),
                "counts": (step, tokens, macs),
                "rewards": rewards,
                "weights": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in made],
            }
            checkpoint.save(keep, state)
        left = (time.monotonic() - start) / step * (settings.steps - step)
        told(step, settings.steps, rewards[-1], left)
    last = rewards[-10:]
    return Card(step, tokens, macs, sum(last) / len(last))


def _descend(
    model: Model, rows: list[tuple[list[int], list[int], float]], total: int, device: torch.device
) -> int:
    """Leave in the weights the gradient of -advantage x log-probability, a mean over `total` tokens; returns macs."""
    macs = 0
    rows = sorted(rows, key=lambda row: len(row[0]) + len(row[1]))
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        longest = max(len(prompt) + len(answer) for prompt, answer, _ in part)
        ids = torch.zeros(len(part), longest, dtype=torch.long)
        weight = torch.zeros(len(part), longest)
        for row, (prompt, answer, advantage) in enumerate(part):
            end = len(prompt) + len(answer)
            ids[row, :end] = torch.tensor(prompt + answer)
            weight[row, len(prompt) : end] = advantage
        ids, weight = ids.to(device), weight.to(device)
        at = weight[:, 1:] != 0
        logits, trace = model(ids[:, :-1], at=at)  # (N, vocab)
        losses = F.cross_entropy(logits, ids[:, 1:][at], reduction="none")
        ((losses * weight[:, 1:][at]).sum() / total).backward()
        macs += 3 * trace.cost.macs  # the backward pass costs two forward ones
    return macs
