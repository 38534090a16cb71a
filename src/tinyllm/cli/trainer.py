"""Joins the lab to the `Trainer` seam: examples as text in, a GGUF file out.

The one place where the runtime and the lab meet; torch is imported when a training begins.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinyllm.cli.lab_words import lacking
from tinyllm.protocols import Recipe
from tinyllm.types import JSON

if TYPE_CHECKING:
    from tinyllm.lab.tokenizer import Pre
    from tinyllm.lab.train import Card

Draw = Callable[[int], Sequence[tuple[str, str]]]
Told = Callable[[int, int, float], None]


class LabTrainer:
    """Trains Llama-architecture models with the lab. `threads` more than the free cores slow it down."""

    def __init__(self, *, threads: int = 1, pre: "Pre" = "smollm") -> None:
        self.threads = threads
        self.pre = pre

    def train(
        self, recipe: Recipe, examples: Draw, out: Path, *, seed: int, progress: Told | None = None
    ) -> Mapping[str, JSON]:
        """Write a q8_0 GGUF; the vocabulary is learned from the first epoch. Raises SettingsError without the
        `lab` extra."""
        try:
            from tinyllm.lab.export import write_gguf
            from tinyllm.lab.model import Config, Model
            from tinyllm.lab.tokenizer import Tokenizer
            from tinyllm.lab.train import Example, Settings, train
        except ModuleNotFoundError as error:
            raise lacking(error) from error

        tokenizer = Tokenizer.train((a + b for a, b in examples(0)), recipe.vocab, recipe.words, self.pre)
        model = Model(
            Config(
                vocab=tokenizer.size,
                width=recipe.width,
                layers=recipe.layers,
                heads=recipe.heads,
                groups=recipe.groups,
                hidden=recipe.hidden,
                context=recipe.context,
            ),
            seed=seed,
        )

        epochs = itertools.count()

        def drawn(reading: bool) -> list[Example]:
            """The next epoch; what is longer than the context is left out."""
            made = []
            for text, target in examples(next(epochs)):
                prompt, answer = tokenizer.encode(text), (*tokenizer.encode(target), tokenizer.end)
                if len(prompt) + len(answer) <= recipe.context:
                    made.append(
                        Example.text((*prompt, *answer)) if reading else Example.answer(prompt, answer)
                    )
            return made

        total = recipe.reading + recipe.steps

        def phase(before: int, steps: int, reading: bool) -> "Card":
            settings = Settings(
                steps=steps,
                batch=recipe.batch,
                lr=recipe.lr,
                decay="linear" if reading else "cosine",
                dropout=0.0 if reading else recipe.dropout,
                blank=tokenizer.pad,
                keep=frozenset(map(tokenizer.id, recipe.words)),
                seed=seed + before,
                threads=self.threads,
            )

            def tell(step: int, steps: int, loss: float, eta: float) -> None:
                if progress is not None:
                    progress(before + step, total, loss)

            return train(model, lambda _: drawn(reading), settings, tell)

        cards = [phase(0, recipe.reading, reading=True)] if recipe.reading else []
        cards.append(phase(recipe.reading, recipe.steps, reading=False))
        write_gguf(model, tokenizer, out, name=out.stem)
        return {
            "parameters": model.parameter_count,
            "steps": total,
            "tokens": sum(card.tokens for card in cards),
            "macs": sum(card.macs for card in cards),
            "seconds": round(sum(card.seconds for card in cards)),
            "loss": round(cards[-1].loss, 5),
        }
