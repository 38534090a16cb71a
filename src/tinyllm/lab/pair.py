"""An encoder and a decoder as one model: it reads a source, then writes a target of which it sees the source.

Two models of the usual kind, joined by cross-attention. It knows nothing about what the ids stand for.
"""

import torch
from torch import Tensor, nn

from tinyllm.lab.mixers import weight_bytes
from tinyllm.lab.model import Cache, Config, Cost, Model, Trace


class Pair(nn.Module):
    """Reads the first `source` ids of each sequence, and writes those after them (Sutskever et al. 2014).

    The last id of the source is the mark at which the decoder begins. The decoder attends to all that the
    encoder made (Bahdanau et al. 2014), or with `fixed` to its last vector alone (Cho et al. 2014).
    """

    def __init__(self, encoder: Model, decoder: Model, source: int, fixed: bool = False):
        super().__init__()
        self.encoder, self.decoder, self.source, self.fixed = encoder, decoder, source, fixed

    @property
    def config(self) -> Config:
        return self.decoder.config

    @property
    def embed(self) -> nn.Embedding:
        return self.decoder.embed

    @property
    def parameter_count(self) -> int:
        """How many numbers both models store."""
        return self.encoder.parameter_count + self.decoder.parameter_count

    def read(self, sources: Tensor) -> tuple[Tensor, Cost]:
        """What the decoder attends to (B, M, C), M being `source` or 1, and its price."""
        x, trace = self.encoder.hidden(sources)
        norm = self.encoder.norm
        return norm(x[:, -1:] if self.fixed else x), trace.cost + Cost(0, weight_bytes(norm))

    def forward(self, ids: Tensor, at: Tensor | None = None, watch: bool = False) -> tuple[Tensor, Trace]:
        """Logits after the mark and each position after it, and the trace; arguments as for a `Model`.

        `ids` (B, T) are source and target, and `at` (B, T) picks among the positions from the mark on.
        """
        memory, cost = self.read(ids[:, : self.source])
        mark = self.source - 1
        wanted = None if at is None else at[:, mark:]
        logits, trace = self.decoder(ids[:, mark:], at=wanted, memory=memory, watch=watch)
        return logits, Trace(trace.cost + cost, trace.routes)

    @torch.inference_mode()
    def write(self, sources: Tensor, length: int) -> Tensor:
        """The likeliest target of `sources` (B, source), token by token: (B, length)."""
        memory, _ = self.read(sources)
        cache, ids, written = Cache(), sources[:, -1:], []
        for _ in range(length):
            logits, _ = self.decoder(ids, cache, memory=memory)
            ids = logits[:, -1].argmax(-1, keepdim=True)
            written.append(ids)
        return torch.cat(written, dim=1)
