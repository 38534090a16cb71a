"""Downhill on arrays in the folder of a run: told, logged and kept, so that a run goes on where it was stopped.

Knows nothing about models: what it is given says how good the weights are, and moves them.
"""

import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyllm.errors import ModelFileError
from tinyllm.lab.diverged import EXPLODED, Diverged
from tinyllm.lab.folder import Folder
from tinyllm.lab.scratch.tensor import Adam, Array, Tensor

State = dict[str, Any]


def path_of(folder: Folder, part: str = "") -> Path:
    """Where the state of a part of a run is kept."""
    return folder.path / (f"checkpoint-{part}.npz" if part else "checkpoint.npz")


def fit(
    folder: Folder, weights: Sequence[Tensor], loss: Callable[[int], Tensor], rate: float, part: str = ""
) -> None:
    """Train with Adam for the config's `steps` at a falling `rate`, from where the checkpoint of `part` stands."""
    adam, steps = Adam(weights, rate), folder.config["steps"]
    kept = load(path_of(folder, part))
    if kept:
        adam.steps = int(kept["step"])
        for index, weight in enumerate(weights):
            weight.data, adam.state[index] = kept[f"weight{index}"], kept[f"adam{index}"]

    def look(step: int) -> tuple[float, list[Array]]:
        now = loss(step)
        now.backward()
        return float(now.data), [weight.grad for weight in weights if weight.grad is not None]

    def state() -> State:
        made: State = {}
        for index, weight in enumerate(weights):
            made |= {f"weight{index}": weight.data, f"adam{index}": adam.state[index]}
        return made

    downhill(folder, adam.steps, look, lambda step: adam.step(1 - step / steps), state, part)


def downhill(
    folder: Folder,
    begin: int,
    look: Callable[[int], tuple[float, Iterable[Array]]],
    move: Callable[[int], None],
    state: Callable[[], State],
    part: str = "",
) -> None:
    """Every step of the config from `begin` on: `look` at the loss and its gradients, then `move` the weights.

    The `state` is kept 20 times on the way, only ever once loss and gradients have shown that its weights are
    good. Raises Diverged where they are not.
    """
    steps = folder.config["steps"]
    recent, begun = list[float](), time.monotonic()
    for step in range(begin, steps + 1):
        with np.errstate(all="ignore"):  # numbers that grow beyond all bounds are told of below
            loss, slopes = look(step)
        if not loss <= EXPLODED:  # nor is NaN
            raise Diverged(f"the loss became {loss:.4g}", step)
        if not all(np.isfinite(slope).all() for slope in slopes):
            raise Diverged("a gradient stopped being finite", step)
        if step % max(1, steps // 20) == 0 or step == steps:
            if recent:
                folder.log(f"{part} train".strip(), step, loss=float(np.mean(recent)))
            recent.clear()
            _keep(path_of(folder, part), state() | {"step": np.array(step)})
        if step == steps:
            break
        with np.errstate(all="ignore"):
            move(step)
        recent.append(loss)
        left = (time.monotonic() - begun) / (step + 1 - begin) * (steps - step - 1)
        folder.tell(part or folder.run, step + 1, steps, loss, left)


def _keep(path: Path, state: State) -> None:
    partial = path.with_name("part.npz")
    np.savez(partial, **state)
    partial.replace(path)


def load(path: Path) -> State:
    """The state in a checkpoint, or nothing. Raises ModelFileError where it is damaged."""
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:  # its zip file carries sums, which reading checks
            return dict(file)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise ModelFileError(
            f"the checkpoint {path.name!r} is damaged ({error})", hint="run with --fresh to begin anew"
        ) from None
