"""What a training's own process does: trains, writes the file, and asks it what was held out.

It says what it needs and how far it is over a line to the process that began it. When that one dies the line
breaks, and this one clears its folder and ends. torch is imported here, once the limits stand.
"""

import asyncio
import itertools
import os
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyllm.protocols import Recipe
from tinyllm.types import JSON

if TYPE_CHECKING:
    from tinyllm.lab.tokenizer import Pre, Tokenizer
    from tinyllm.lab.train import Card, Example

OUT_OF_MEMORY = 12  # the exit code; nothing can be said any more where no memory is left
NOT_LOADED = 127  # the system loader's own, where torch's libraries alone take more than is allowed

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Task:
    """What to train, and the file to write, alone in its folder."""

    recipe: Recipe
    file: Path
    seed: int
    threads: int
    pre: "Pre"


def work(connection: Connection, task: Task) -> None:
    """Train, and say the card or what broke. Ends the process where memory runs out or its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; who began this ends it
    line = _Line(connection, task.file.parent)
    _limit_memory(task.recipe.memory)
    try:
        line.say("done", _trained(line, task))
    except Exception as error:  # a process's edge: whatever it is, the other side raises it
        if _no_memory(error):
            os._exit(OUT_OF_MEMORY)
        line.say("broken", f"{type(error).__name__}: {error}")


class _Line:
    """The line to who began this process; a thread listens, so that its end is heard at any time."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        self._heard: queue.SimpleQueue[list[Pair]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, *what: Any) -> None:
        with suppress(OSError):  # nobody is there any more: the listener ends it all
            self._connection.send(what)

    def ask(self, *what: Any) -> list[Pair]:
        self.say(*what)
        return self._heard.get()

    def _listen(self) -> None:
        try:
            while True:
                self._heard.put(self._connection.recv())
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except (EOFError, OSError):
            shutil.rmtree(self._folder, ignore_errors=True)
            os._exit(1)


def _trained(line: _Line, task: Task) -> dict[str, JSON]:
    """Write the model and return its card."""
    from tinyllm.lab.export import write_gguf
    from tinyllm.lab.model import Config, Model
    from tinyllm.lab.tokenizer import Tokenizer
    from tinyllm.lab.train import Example, Settings, train

    recipe = task.recipe
    first = (a + b for a, b in line.ask("epoch", 0))
    tokenizer = Tokenizer.train(first, recipe.vocab, recipe.words, task.pre)
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
        seed=task.seed,
    )
    epochs = itertools.count()

    def drawn(reading: bool) -> "list[Example]":
        """The next epoch; what is longer than the context is left out."""
        made = []
        for text, target in line.ask("epoch", next(epochs)):
            prompt, answer = tokenizer.encode(text), (*tokenizer.encode(target), tokenizer.end)
            if len(prompt) + len(answer) <= recipe.context:
                made.append(Example.text((*prompt, *answer)) if reading else Example.answer(prompt, answer))
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
            seed=task.seed + before,
            threads=task.threads,
        )

        def tell(step: int, steps: int, loss: float, eta: float) -> None:
            line.say("step", before + step, total, loss)

        return train(model, lambda _: drawn(reading), settings, tell)

    cards = [phase(0, recipe.reading, reading=True)] if recipe.reading else []
    cards.append(phase(recipe.reading, recipe.steps, reading=False))
    write_gguf(model, tokenizer, task.file, name=task.file.stem)
    fitting = _fitting(line.ask("held"), tokenizer, recipe.context)
    return {
        "parameters": model.parameter_count,
        "steps": total,
        "tokens": sum(card.tokens for card in cards),
        "macs": sum(card.macs for card in cards),
        "seconds": round(sum(card.seconds for card in cards)),
        "loss": round(cards[-1].loss, 5),
        "held_out": len(fitting),
        "right": asyncio.run(_right(task.file, fitting, recipe.context)),
    }


def _fitting(held: Sequence[Pair], tokenizer: "Tokenizer", context: int) -> list[tuple[str, str, int]]:
    """The held-out examples that fit the model, as those did that it learned; with the tokens of the target and
    its end."""
    counted = [(text, target, len(tokenizer.encode(target)) + 1) for text, target in held]
    return [one for one in counted if len(tokenizer.encode(one[0])) + one[2] <= context]


async def _right(file: Path, held: Sequence[tuple[str, str, int]], context: int) -> int:
    """How many of these inputs the file answers with the very target and then its end, run by the engine that
    networks run it with: greedily, and without a grammar to help it."""
    from tinyllm.backends.folding import complete
    from tinyllm.backends.llamacpp import LlamaCpp, Options
    from tinyllm.types import Message, Prompt, Sampling

    model = LlamaCpp(file.stem, Options(path=file, template="raw", context=max(64, context)))
    right = 0
    try:
        for text, target, tokens in held:
            asked = Prompt((Message("user", text),), sampling=Sampling(max_tokens=tokens))
            said = await complete(model, asked)
            right += said.text == target and said.finish == "stop"
    finally:
        await model.close()
    return right


def _limit_memory(most: int) -> None:
    """No more than so many bytes of data: what is mapped to be written, threads' unused stacks left out."""
    if sys.platform == "linux":  # macOS has the name and not the thing, Windows has neither
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))


def _no_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out: torch and the engine have no class for that."""
    said = str(error)
    signs = ("allocate memory", "bad_alloc", "failed to map", "free memory")
    return isinstance(error, MemoryError) or any(sign in said for sign in signs)
