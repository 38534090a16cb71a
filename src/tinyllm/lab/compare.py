"""Counterfactuals: what the loss and the cost of a text had been, had the same model run another way.

The one question that a search for better plans, a use of pauses and a choice of depth all ask. Knows nothing about
who asks it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tinyllm.lab.model import Cost, Model
from tinyllm.lab.plan import Plan
from tinyllm.lab.slots import PAUSE, Slots


@dataclass(frozen=True)
class Way:
    """One way to run a model: its plan (None: the model's own), and how many pauses it takes before it answers."""

    plan: Plan | None = None
    pauses: int = 0


@torch.inference_mode()
def compare(model: Model, x: Tensor, options: Sequence[Way], given: int = 1) -> list[tuple[Tensor, Cost]]:
    """For each of `options` the loss, in nats, of every token of `x` (B, T) but the first `given`, and the cost.

    Losses are (B, T - given), on the device of the model; pauses stand behind what is given. Raises ValueError for a
    way that the model cannot go.
    """
    was, wanted = model.training, x[:, given:]
    model.eval()
    found = []
    for way in options:
        slots = Slots.tokens(x[:, :given]).then(PAUSE, way.pauses) + Slots.tokens(x[:, given:-1])
        at = torch.zeros_like(slots.ids, dtype=torch.bool)
        at[:, given - 1 + way.pauses :] = True
        logits, trace = model(slots, plan=way.plan, at=at)  # (B * (T - given), vocab)
        losses = F.cross_entropy(logits, wanted.flatten(), reduction="none")
        found.append((losses.view_as(wanted), trace.cost))
    model.train(was)
    return found
