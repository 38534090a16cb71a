"""Low-rank adapters (LoRA, Hu et al. 2021): a small change to a frozen model, kept apart from it.

Knows nothing about training or files. `attach` puts a fresh adapter on every projection of every block,
after which only the adapter trains; `detach` takes it off and leaves the model as it was.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyllm.lab.model import Model


class LoraLinear(nn.Module):
    """base x + (alpha / rank) B A x, with the base frozen; B starts at zero: the model starts unchanged."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, generator: torch.Generator):
        super().__init__()
        rows, columns = base.weight.shape
        self.base = base
        self.scale = alpha / rank
        drawn = torch.randn(rank, columns, generator=generator) / columns**0.5
        self.a = nn.Parameter(drawn.to(base.weight))  # (rank, in)
        self.b = nn.Parameter(base.weight.new_zeros(rows, rank))  # (out, rank)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + F.linear(F.linear(x, self.a), self.b) * self.scale


def projections(model: Model) -> dict[str, nn.Module]:
    """Every projection of every block, by name (`blocks.0.mixer.q`), with or without an adapter on it."""
    return {
        f"blocks.{name}": module
        for name, module in model.blocks.named_modules()
        if isinstance(module, nn.Linear | LoraLinear) and not name.endswith(".base")
    }


def attach(model: Model, rank: int = 8, alpha: float | None = None, seed: int = 0) -> None:
    """Freeze `model` and put an adapter of `rank` on all its projections; `alpha` is 2 * rank by default.

    Raises ValueError if it carries one already or the rank is below 1.
    """
    if rank < 1:
        raise ValueError(f"the rank of an adapter must be 1 or more, not {rank}")
    if any(isinstance(module, LoraLinear) for module in projections(model).values()):
        raise ValueError("the model carries an adapter already; detach it first")
    generator = torch.Generator().manual_seed(seed)
    model.requires_grad_(False)
    for name, module in projections(model).items():
        assert isinstance(module, nn.Linear)
        _replace(model, name, LoraLinear(module, rank, alpha or 2.0 * rank, generator))


def detach(model: Model) -> None:
    """Take the adapter off and unfreeze the model: bit for bit what it was before `attach`."""
    for name, module in adapter(model).items():
        _replace(model, name, module.base)
    model.requires_grad_(True)


def adapter(model: Model) -> dict[str, LoraLinear]:
    """The adapted projections by name. Raises ValueError if the model carries no adapter."""
    found = {name: module for name, module in projections(model).items() if isinstance(module, LoraLinear)}
    if not found:
        raise ValueError("the model carries no adapter; attach one first")
    return found


def _replace(model: Model, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, module)
