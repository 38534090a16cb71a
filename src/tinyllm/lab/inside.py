"""Inside a language model while it writes: JSON frames that a page or a notebook can play, one for each token.

A frame follows one token through the model: ids, the neighbours of its vector, what each layer's attention
looks at, what each layer would already say (the logit lens, nostalgebraist 2020), the probabilities of the
next token, and the one that is drawn. Knows nothing about how frames are shown.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tinyllm.errors import RequestError
from tinyllm.lab.generate import Sampling
from tinyllm.lab.letters import Letters
from tinyllm.lab.model import Model
from tinyllm.lab.saved import Writer

Likely = list[tuple[str, float]]  # tokens and their probabilities, the likeliest first


@torch.inference_mode()
def frames(
    writer: Writer, text: str, count: int, sampling: Sampling, top: int = 5
) -> Iterator[dict[str, Any]]:
    """Frames of `count` tokens that go on from `text`, fewer where the text ends or the context is full.

    Raises RequestError for a text that does not fit the context, or a letter that the model lacks.
    """
    model, letters = writer.model, writer.letters
    ids, choose = writer.ids(text), sampling.chooser()
    room = model.config.context - len(ids) + 1
    if room < 1:
        raise RequestError(
            f"the text is too long by {1 - room}", hint="cut it, or train with a longer context"
        )
    for _ in range(min(count, room)):
        logits, trace = model(torch.tensor([ids]), watch=True)
        odds = sampling.probabilities(logits[:, -1])  # (1, vocab)
        drawn = int(choose(logits[:, -1]))
        lens = [
            model.head(model.norm(route.output[0, -1])).softmax(-1)
            for route in trace.routes
            if route.output is not None
        ]
        yield {
            "tokens": list(letters.decode(ids)),
            "ids": list(ids),
            "neighbours": neighbours(model, letters, ids[-1], top),
            "layers": [
                {
                    "layer": route.layer,
                    "attention": None if route.weights is None else _rounded(route.weights[0, :, -1]),
                    "lens": _likeliest(odds_, letters, top),
                }
                for route, odds_ in zip(trace.routes, lens, strict=True)
            ],
            "next": _likeliest(odds[0], letters, top),
            "drawn": letters.decode([drawn]),
            "probability": round(float(odds[0, drawn]), 4),
            "macs": trace.cost.macs,
        }
        if drawn == writer.stop:
            return
        ids.append(drawn)


def neighbours(model: Model, letters: Letters, id: int, top: int) -> Likely:
    """The tokens whose vectors point most nearly where that of `id` does, with the cosine between them."""
    with torch.no_grad():
        near = F.cosine_similarity(model.embed.weight[id], model.embed.weight, dim=-1)  # (vocab,)
        near[id] = -torch.inf
    return _likeliest(near, letters, min(top, len(letters) - 1))


def lesson(writer: Writer, text: str, wanted: str, lr: float = 0.01) -> dict[str, Any]:
    """What one step of gradient descent on one text changes: the probability of `wanted` after it, and others'.

    The writer's own model stays as it is. Raises RequestError for letters that it lacks.
    """
    model = copy.deepcopy(writer.model)
    ids, (goal,) = torch.tensor([writer.ids(text)]), writer.letters.encode(wanted[:1])

    def odds() -> Tensor:
        logits = model(ids)[0]
        return logits[0, -1].softmax(-1)  # (vocab,)

    before = odds()
    (-before[goal].log()).backward()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.grad is not None:
                weight.sub_(lr * weight.grad)
        after = odds()
    return {
        "text": text,
        "wanted": wanted[:1],
        "before": round(before[goal].item(), 4),
        "after": round(after[goal].item(), 4),
        "next_before": _likeliest(before.detach(), writer.letters, 5),
        "next_after": _likeliest(after, writer.letters, 5),
    }


def _likeliest(values: Tensor, letters: Letters, top: int) -> Likely:
    best = values.topk(min(top, len(values)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [(letters.decode([id]), round(value, 4)) for id, value in pairs]


def _rounded(weights: Tensor) -> list[list[float]]:
    """Attention weights (H, T), as numbers short enough to read."""
    return [[round(weight, 4) for weight in head] for head in weights.tolist()]
