"""Text as a sparse vector: hashed words, pairs, triples and letters. Stable across machines and versions.

Knows nothing about what the text is about, or about labels.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from zlib import crc32

_WORD = re.compile(r"[^\W_]+|[^\w\s]")


def features(text: str, notes: Sequence[str] = (), *, bits: int, letters: bool = True) -> list[int]:
    """The indices below 2**bits that are on for a text, in order. `notes` are features of their own.

    Words count, neighbours (two, three, and two around a gap), and the letters of each word in threes to
    fives, so that a slip in one word leaves most of it standing. Without `letters` words alone count.
    """
    words = ["<", *_WORD.findall(text.lower()[:4000]), ">"]
    mask = (1 << bits) - 1
    found: set[int] = set()
    for word in words[1:-1]:
        found.update(_letters(word) if letters else (crc32(word.encode()),))
    pairs = [f"{a} {b}" for a, b in pairwise(words)]
    found.update(crc32(pair.encode()) for pair in pairs)
    found.update(crc32(f"{pair} {c}".encode()) for pair, c in zip(pairs, words[2:], strict=False))
    found.update(crc32(f"{a} _ {c}".encode()) for a, c in zip(words, words[2:], strict=False))
    found.update(crc32(f"#{note}".encode()) for note in notes)
    return sorted({index & mask for index in found})


@lru_cache(maxsize=8_192)  # words, of some 700 bytes each
def _letters(word: str) -> tuple[int, ...]:
    """The hashes of a word and of the letters in it; of a name with a digit, such as a slot's, of itself."""
    hashes = {crc32(word.encode())}
    if len(word) > 2 and word.isalpha():
        marked = f"^{word}$"
        for size in (3, 4, 5):
            hashes.update(crc32(f"~{marked[i : i + size]}".encode()) for i in range(len(marked) - size + 1))
    return tuple(hashes)
