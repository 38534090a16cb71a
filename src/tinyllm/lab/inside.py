"""Inside a language model while it writes: JSON frames that a page or a notebook can play, one for each token.

A frame follows one token through the model: ids, vectors and the neighbours of the last one, what each layer's
attention looks at, what each layer would already say (the logit lens, nostalgebraist 2020), logits, the
probabilities of the next token, and the one that is drawn. Knows nothing about how frames are shown.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from tinyllm.errors import RequestError
from tinyllm.lab.generate import Sampling
from tinyllm.lab.model import Model

Likely = list[tuple[str, float]]  # tokens and their probabilities, the likeliest first
SHOWN = 8  # numbers of a vector


class Spelling(Protocol):
    """Text to ids and back: letters, or a tokenizer."""

    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...


class Writer(Protocol):
    """A model, how its ids are spelled, the id at which its texts end, and the ids that a text begins with."""

    @property
    def model(self) -> Model: ...
    @property
    def letters(self) -> Spelling: ...
    @property
    def stop(self) -> int | None: ...
    def ids(self, text: str) -> list[int]: ...


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
        outputs = [(route, route.output[0, -1]) for route in trace.routes if route.output is not None]
        yield {
            "tokens": [letters.decode([id]) for id in ids],
            "ids": list(ids),
            "vectors": [_vector(model.embed.weight[id]) for id in ids],
            "neighbours": neighbours(model, letters, ids[-1], top),
            "layers": [
                {
                    "layer": route.layer,
                    "attention": None if route.weights is None else _rounded(route.weights[0, :, -1]),
                    "vector": _vector(output),
                    "lens": _likeliest(model.head(model.norm(output)).softmax(-1), letters, top),
                }
                for route, output in outputs
            ],
            "logits": _likeliest(logits[0, -1], letters, top),
            "next": _likeliest(odds[0], letters, top),
            "drawn": letters.decode([drawn]),
            "probability": round(float(odds[0, drawn]), 4),
            "macs": trace.cost.macs,
        }
        if drawn == writer.stop:
            return
        ids.append(drawn)


def neighbours(model: Model, letters: Spelling, id: int, top: int) -> Likely:
    """The tokens whose vectors point most nearly where that of `id` does, with the cosine between them."""
    return _nearest(model, letters, model.embed.weight[id], {id}, top)


def analogy(writer: Writer, a: str, b: str, c: str, top: int = 5) -> Likely:
    """What is to `c` as `b` is to `a`: the other tokens whose vectors point most nearly where b - a + c does.

    With the cosine between them (Mikolov et al. 2013). Raises RequestError for one that is not a single token.
    """
    ids = []
    for text in (a, b, c):
        found = writer.letters.encode(text)
        if len(found) != 1:
            raise RequestError(
                f"{text!r} is {len(found)} tokens of this model", hint="an analogy is between single tokens"
            )
        ids += found
    one, other, third = writer.model.embed.weight[ids]
    return _nearest(writer.model, writer.letters, other - one + third, set(ids), top)


@torch.no_grad()
def _nearest(model: Model, letters: Spelling, vector: Tensor, but: set[int], top: int) -> Likely:
    near = F.cosine_similarity(vector, model.embed.weight, dim=-1)  # (vocab,)
    near[list(but)] = -torch.inf
    return _likeliest(near, letters, min(top, len(near) - len(but)))


def lesson(writer: Writer, text: str, wanted: str, lr: float = 0.01) -> dict[str, Any]:
    """What one step of gradient descent on one text changes: the probability of the first token of `wanted`
    after it, and others'.

    The writer's own model stays as it is. Raises RequestError for letters that it lacks.
    """
    model = copy.deepcopy(writer.model)
    ids, goal = torch.tensor([writer.ids(text)]), writer.letters.encode(wanted)[0]

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
        "wanted": writer.letters.decode([goal]),
        "before": round(before[goal].item(), 4),
        "after": round(after[goal].item(), 4),
        "next_before": _likeliest(before.detach(), writer.letters, 5),
        "next_after": _likeliest(after, writer.letters, 5),
    }


def _likeliest(values: Tensor, letters: Spelling, top: int) -> Likely:
    best = values.topk(min(top, len(values)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [(letters.decode([id]), round(value, 4)) for id, value in pairs]


def _vector(vector: Tensor) -> dict[str, Any]:
    """How long a vector (C,) is, and as many of its numbers as can be shown."""
    first = [round(number, 4) for number in vector[:SHOWN].tolist()]
    return {"norm": round(float(vector.norm()), 4), "first": first}


def _rounded(weights: Tensor) -> list[list[float]]:
    """Attention weights (H, T), as numbers short enough to read."""
    return [[round(weight, 4) for weight in head] for head in weights.tolist()]
