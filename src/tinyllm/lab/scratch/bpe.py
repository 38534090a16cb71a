"""Byte-pair encoding (Sennrich et al. 2016): text as bytes, the commonest pair made one token, again and again.

Small and slow, to be read; the lab's `Tokenizer` uses the `tokenizers` library, and both agree.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

Pair = tuple[int, int]
Cut = Callable[[str], Iterable[str]]  # text into chunks that no token crosses, such as words


def whole(text: str) -> list[str]:
    """No cutting: tokens may cross anything."""
    return [text]


class BPE:
    """Text to token ids and back. Ids 0 to 255 are bytes; id 256 + i is the pair `merges[i]` joined."""

    def __init__(self, merges: Sequence[Pair] = (), cut: Cut = whole):
        self.merges, self.cut = list(merges), cut
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.tokens = [bytes([byte]) for byte in range(256)]
        for left, right in self.merges:
            self.tokens.append(self.tokens[left] + self.tokens[right])

    @classmethod
    def train(cls, text: str, merges: int, cut: Cut = whole) -> "BPE":
        """An encoding of at most 256 + `merges` tokens; of pairs equally common the first in the text wins.

        Raises ValueError for an empty text.
        """
        chunks = Counter(tuple(chunk.encode()) for chunk in cut(text))
        if not any(chunks):
            raise ValueError("there is no text to learn pairs from")
        learned: list[Pair] = []
        while len(learned) < merges:
            counts: Counter[Pair] = Counter()
            for chunk, times in chunks.items():
                for pair in pairwise(chunk):
                    counts[pair] += times
            if not counts:
                break
            best = max(counts, key=counts.__getitem__)
            joined = 256 + len(learned)
            again: Counter[tuple[int, ...]] = Counter()
            for chunk, times in chunks.items():
                again[tuple(_join(chunk, best, joined))] += times
            chunks = again
            learned.append(best)
        return cls(learned, cut)

    def encode(self, text: str) -> list[int]:
        """The token ids of `text`."""
        return [id for chunk in self.cut(text) for id in self.encode_bytes(chunk.encode())]

    def encode_bytes(self, content: bytes) -> list[int]:
        """The token ids of any bytes, not cut: the merge learned first is done first, wherever it stands."""
        ids = list(content)
        while True:
            ranked = [(self._ranks[pair], pair) for pair in pairwise(ids) if pair in self._ranks]
            if not ranked:
                return ids
            rank, pair = min(ranked)
            ids = _join(ids, pair, 256 + rank)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of `ids`. Raises ValueError for an id that is no token."""
        try:
            return b"".join(self.tokens[id] for id in ids)
        except IndexError:
            raise ValueError(f"there are only {len(self.tokens)} tokens") from None

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")


def _join(ids: Sequence[int], pair: Pair, joined: int) -> list[int]:
    """`ids` with every `pair` replaced by `joined`, from the left."""
    out, place = [], 0
    while place < len(ids):
        if tuple(ids[place : place + 2]) == pair:
            out.append(joined)
            place += 2
        else:
            out.append(ids[place])
            place += 1
    return out
