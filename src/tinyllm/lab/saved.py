"""A language model that a run left in its folder, ready to write. Knows nothing about how it was trained."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from tinyllm.errors import ModelFileError, NotFound
from tinyllm.lab import checkpoint
from tinyllm.lab.generate import Sampling, write
from tinyllm.lab.letters import Letters
from tinyllm.lab.model import Config, Model


@dataclass(frozen=True)
class Writer:
    """A model and its letters. A text begins with the first letter, and ends before `stop` if there is one."""

    model: Model
    letters: Letters
    stop: int | None

    def ids(self, text: str) -> list[int]:
        """The ids of the beginning `text`. Raises RequestError for a letter that the model lacks."""
        return [0, *self.letters.encode(text)]

    def write(self, text: str, length: int, sampling: Sampling) -> Iterator[str]:
        """At most `length` letters that go on from `text`; of a long text the model sees the last half context."""
        for step in islice(write(self.model, self.ids(text), sampling.chooser(), slide=True), length):
            if step.id == self.stop:
                return
            yield self.letters.decode([step.id])


def save(path: Path, config: Config, letters: Letters, stop: int | None) -> None:
    """Leave in the folder of a run what else than the checkpoint `load` needs."""
    kept = {"config": asdict(config), "letters": letters.letters, "stop": stop}
    (path / "model.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> Writer:
    """The language model in the folder `path` of a run, also of one that was stopped.

    Raises NotFound where there is none, ModelFileError where it is damaged.
    """
    if not (path / "model.json").exists() or not (path / "checkpoint.pt").exists():
        if (path / "tokenizer.json").exists():
            raise NotFound(
                f"the pipeline in {str(path)!r} is not finished",
                hint="give its `tinyllm lab pipeline` command again: it goes on from where it was",
            )
        raise NotFound(
            f"there is no model of letters in {str(path)!r}",
            hint="`lab run names-rnn` leaves one, other names and plays too; `lab pipeline` one for `lab chat`",
        )
    try:
        kept = json.loads((path / "model.json").read_text(encoding="utf-8"))
        model = Model(Config(**kept["config"] | {"digits": tuple(kept["config"]["digits"])}))
        model.load_state_dict(checkpoint.load(path / "checkpoint.pt")["weights"])
        return Writer(model.eval(), Letters(kept["letters"], kept["letters"]), kept["stop"])
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelFileError(
            f"the model in {str(path)!r} is damaged: {error}", hint="run with --fresh to begin anew"
        ) from error
