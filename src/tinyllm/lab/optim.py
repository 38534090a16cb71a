"""Muon, and the choice of optimiser for a set of weights.

Knows nothing about models or data: weights that are matrices are told apart by their names and shapes.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

Name = Literal["adamw", "muon"]


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly, to each of `matrices` (N, rows, columns).

    Newton-Schulz iteration with the quintic of Jordan et al. (2024): singular values land near 1, which is
    all that Muon needs. In float32, since bfloat16 is slow on processors without it.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(Optimizer):
    """Momentum whose matrix updates are orthogonalised (Jordan et al. 2024).

    Updates are scaled by 0.2 sqrt(longer side), so that the learning rate and weight decay of AdamW fit
    (Liu et al. 2025). Weights of one shape are stacked and handled together.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closures here
        for group in self.param_groups:
            shapes = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    shapes[weight.shape].append(weight)
            for shape, weights in shapes.items():
                updates = []
                for weight in weights:
                    state = self.state[weight]
                    momentum = state.setdefault("momentum", torch.zeros_like(weight))
                    momentum.lerp_(weight.grad, 1 - group["momentum"])
                    updates.append(weight.grad.lerp(momentum, group["momentum"]))  # Nesterov
                scale = 0.2 * max(shape) ** 0.5
                for weight, update in zip(weights, orthogonalize(torch.stack(updates)), strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(update, alpha=-group["lr"] * scale)


def optimizers(
    named: Iterable[tuple[str, Tensor]], name: Name, lr: float, weight_decay: float
) -> list[Optimizer]:
    """The optimisers that together train the `named` weights which want a gradient.

    `muon` takes the matrices inside blocks; embeddings, head and gains go to AdamW, and only matrices decay.
    """
    inner: list[Tensor] = []
    outer: list[Tensor] = []
    gains: list[Tensor] = []
    for key, weight in named:
        if weight.requires_grad:
            kind = gains if weight.ndim < 2 else inner if "blocks." in key else outer
            kind.append(weight)
    if name == "adamw":
        inner, outer = [], inner + outer
    groups = [{"params": outer, "weight_decay": weight_decay}, {"params": gains, "weight_decay": 0.0}]
    made: list[Optimizer] = [Muon(inner, lr, weight_decay)] if inner else []
    groups = [group for group in groups if group["params"]]
    if groups:
        made.append(AdamW(groups, lr=lr, betas=(0.9, 0.95)))
    return made
