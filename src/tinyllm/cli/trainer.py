"""Joins the lab to the `Trainer` seam: examples as text in, a verified GGUF file out.

The one place where the runtime and the lab meet. A training is a process of its own (`cli/training.py`), which
this one gives its examples, listens to, and ends. Knows nothing about how a model is trained.
"""

import asyncio
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tinyllm.cli.lab_words import lacking
from tinyllm.cli.training import NOT_LOADED, OUT_OF_MEMORY, Pair, Task, work
from tinyllm.errors import TinyLLMError, TrainingError
from tinyllm.protocols import Recipe
from tinyllm.types import JSON

if TYPE_CHECKING:
    from tinyllm.lab.tokenizer import Pre

Draw = Callable[[int], Sequence[Pair]]
Told = Callable[[int, int, float], None]

NEEDS = ("torch", "gguf", "safetensors", "tokenizers")  # of the `lab` extra
_LOOK = 0.02  # seconds between two looks at what the process says


class LabTrainer:
    """Trains Llama-architecture models with the lab, each in a process that ends with this one at the latest.

    `threads` more than the free cores slow it down. The recipe's limit of memory holds on Linux; elsewhere no
    system call limits what a process maps, and its `seconds` alone hold.
    """

    def __init__(self, *, threads: int = 1, pre: "Pre" = "smollm") -> None:
        self.threads = threads
        self.pre = pre

    async def train(
        self,
        recipe: Recipe,
        examples: Draw,
        held: Sequence[Pair],
        out: Path,
        *,
        seed: int,
        progress: Told | None = None,
    ) -> Mapping[str, JSON]:
        """Put a q8_0 GGUF in place; the vocabulary is learned from the first epoch. Raises as the seam says."""
        for module in NEEDS:
            if find_spec(module) is None:
                raise lacking(ModuleNotFoundError(name=module))
        # Beside its place, so that it can be renamed into it; whatever happens, the folder goes.
        with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent, ignore_cleanup_errors=True) as folder:
            made = Path(folder) / out.name
            task = Task(recipe, made, seed, self.threads, self.pre)
            card = await _Training(task, examples, held, progress).run()
            right, held_out = int(card["right"]), int(card["held_out"])
            if recipe.at_least and right < recipe.at_least * max(1, held_out):
                raise TrainingError(
                    f"{out.name} says {right} of {held_out} held-out examples rightly, and "
                    f"{recipe.at_least:.0%} is asked for",
                    hint="train more steps, on more examples, or ask for less",
                )
            made.replace(out)
        return card


class _Training:
    """One training, watched: the process's questions for epochs are answered, and what it tells is passed on."""

    def __init__(self, task: Task, examples: Draw, held: Sequence[Pair], progress: Told | None) -> None:
        self._task = task
        self._examples = examples
        self._held = held
        self._unseen = {text for text, _ in held}
        self._progress = progress
        self._at = "before its first step"

    async def run(self) -> dict[str, JSON]:
        """The card. Raises TrainingError; the process has ended, however this comes to its end."""
        # Not forked: threads and event loops do not survive that.
        context = multiprocessing.get_context("spawn")
        line, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self._task), daemon=True)
        seconds = self._task.recipe.seconds
        try:
            async with asyncio.timeout(seconds):
                process.start()
                theirs.close()
                return await self._heard(line)
        except TimeoutError:
            raise TrainingError(
                f"{self._what} took more than {seconds:g} s and was ended {self._at}",
                hint="allow it more seconds, or train fewer steps",
            ) from None
        except (EOFError, OSError):
            process.join()
            raise self._ended(process.exitcode or 0) from None
        finally:
            if process.pid is not None:
                process.kill()
                process.join()
            line.close()

    async def _heard(self, line: Connection) -> dict[str, JSON]:
        while True:
            if not line.poll():
                await asyncio.sleep(_LOOK)
                continue
            match line.recv():
                case "epoch", int(epoch):
                    await asyncio.to_thread(self._give, line, epoch)
                case ("held",):
                    line.send([pair for pair in self._held if pair[0] in self._unseen])
                case "step", int(step), int(steps), float(loss):
                    self._at = f"after step {step} of {steps}"
                    if self._progress is not None:
                        self._progress(step, steps, loss)
                case "broken", str(why):
                    raise TrainingError(
                        f"{self._what} broke {self._at}: {why}", hint="mend the recipe or the examples"
                    )
                case "done", dict(card):
                    return card

    def _give(self, line: Connection, epoch: int) -> None:
        """Draw and send an epoch, in a thread: both may take long, and the time limit holds meanwhile."""
        pairs = list(self._examples(epoch))
        self._unseen.difference_update(text for text, _ in pairs)
        line.send(pairs)

    def _ended(self, code: int) -> TinyLLMError:
        """What became of a process that said nothing before its end."""
        if code in (OUT_OF_MEMORY, NOT_LOADED):
            return TrainingError(
                f"{self._what} needs more than the {self._task.recipe.memory / 2**20:,.0f} MiB that it may take; "
                f"it ended {self._at}",
                hint="allow it more memory, or train a smaller model or batch",
            )
        how = f"was killed by signal {-code}" if code < 0 else f"ended by itself with code {code}"
        return TrainingError(
            f"{self._what} {how} {self._at}",
            hint="see that memory is free (the system kills what has none left)",
        )

    @property
    def _what(self) -> str:
        return f"the training of {self._task.file.name}"
