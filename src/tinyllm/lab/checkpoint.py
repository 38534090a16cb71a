"""Checkpoints: the state of a training as one file that is whole or not there, and known to be undamaged.

Knows nothing about what the state is made of.
"""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from tinyllm.errors import ModelFileError


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at `path` at once, so that a kill leaves the old one or the new one."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """The state saved at `path`. Raises ModelFileError where a bit of it has changed or is missing."""
    try:
        with zipfile.ZipFile(path) as file:  # torch reads its zip files without checking their sums
            damaged = file.testzip()
        if damaged is None:
            return torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        damaged = str(error)
    raise ModelFileError(
        f"the checkpoint {path.name!r} is damaged ({damaged})",
        hint=f"delete {path} and give the same command again: only what it held is trained anew",
    )
