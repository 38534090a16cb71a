"""Byte-level BPE (Sennrich et al. 2016; bytes as in Radford et al. 2019) that llama.cpp tokenises alike.

Wraps the `tokenizers` library. Knows nothing about models; it only keeps to the two ways of cutting text into
words that have the same name and meaning in llama.cpp: `gpt-2`, and `smollm`, which also cuts every digit
apart.
"""

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

Pre = Literal["gpt-2", "smollm"]
Kind = Literal["normal", "user_defined", "control"]

END = "<|end|>"  # ends a text; generation stops at it
PAD = "<|pad|>"  # fills batches, and stands in for dropped input tokens; never generated


class Tokenizer:
    """Text to token ids and back. END is id 0, PAD is id 1, then come the `words` it was trained with."""

    def __init__(self, inner: tokenizers.Tokenizer):
        self._inner = inner
        self._layout = json.loads(inner.to_str())
        self._kinds: dict[int, Kind] = {
            added["id"]: "control" if added["special"] else "user_defined"
            for added in self._layout["added_tokens"]
        }
        self.end = self.id(END)
        self.pad = self.id(PAD)

    @classmethod
    def train(
        cls, texts: Iterable[str], size: int, words: Sequence[str] = (), pre: Pre = "smollm"
    ) -> "Tokenizer":
        """A tokenizer of `size` tokens learned from `texts`.

        Each of `words` (slots such as `<n0>`, call names) is one token wherever its characters stand, inside
        longer words too, so give call names a shape that requests lack. Raises ValueError if `size` cannot
        hold them beside the 256 bytes, a word is empty, repeated or a control token, or there is no text.
        """
        whole = [END, PAD, *words]
        if len(set(whole)) != len(whole) or "" in whole:
            raise ValueError(f"words must be distinct, not empty, and not {END} or {PAD}: {list(words)!r}")
        if size < 256 + len(whole):
            raise ValueError(f"size {size} is too small: 256 bytes and {len(whole)} whole tokens come first")
        inner = tokenizers.Tokenizer(models.BPE())
        letters = pre_tokenizers.ByteLevel(add_prefix_space=False)
        digits = pre_tokenizers.Digits(individual_digits=True)
        inner.pre_tokenizer = pre_tokenizers.Sequence([digits, letters]) if pre == "smollm" else letters
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=whole,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        # The trainer would learn merges inside whole tokens, which encoding never uses.
        cut = re.compile("|".join(re.escape(word) for word in sorted(whole, key=len, reverse=True)))
        parts = (part for text in texts for part in cut.split(text) if part)
        first = next(parts, None)
        if first is None:
            raise ValueError("there is no text to learn tokens from: all texts are empty")
        inner.train_from_iterator(itertools.chain((first,), parts), trainer)
        layout = json.loads(inner.to_str())
        for added in layout["added_tokens"]:  # the trainer calls every whole token special, that is: control
            added["special"] = added["content"] in (END, PAD)
        return cls(tokenizers.Tokenizer.from_str(json.dumps(layout)))

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """The tokenizer saved at `path`. Raises FileNotFoundError, or ValueError if it is not one of ours."""
        text = path.read_text(encoding="utf-8")
        try:
            inner = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"{path} is not a tokenizer file: {error}") from error
        return cls(inner)

    def save(self, path: Path) -> None:
        """Write a `tokenizer.json`, which `transformers` reads too."""
        path.write_text(self._inner.to_str(), encoding="utf-8")

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; whole tokens in it, control tokens included, become their ids."""
        return self._inner.encode(text).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, control tokens included; bytes that are not UTF-8 become U+FFFD."""
        return self._inner.decode(list(ids), skip_special_tokens=False)

    def id(self, token: str) -> int:
        """The id of one whole token, such as `<n0>`. Raises ValueError if the tokenizer lacks it."""
        found = self._inner.token_to_id(token)
        if found is None:
            raise ValueError(f"the tokenizer has no token {token!r}; name it in `words` when training")
        return found

    @property
    def size(self) -> int:
        return self._inner.get_vocab_size()

    @property
    def pre(self) -> Pre:
        """The llama.cpp name of how text is cut before merging."""
        return "smollm" if self._layout["pre_tokenizer"]["type"] == "Sequence" else "gpt-2"

    @property
    def merges(self) -> list[str]:
        """The learned merges, first learned first, as `left right`."""
        return [" ".join(pair) for pair in self._layout["model"]["merges"]]

    @property
    def pieces(self) -> list[tuple[str, Kind]]:
        """Every token by id: its text in the byte alphabet (whole tokens as they are) and its kind."""
        names = {id: text for text, id in self._inner.get_vocab().items()}
        return [(names[id], self._kinds.get(id, "normal")) for id in range(self.size)]
