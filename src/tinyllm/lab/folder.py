"""The folder of a run: config, metrics as JSON lines, parts that are done, plots, and at the end a card.

A run that was killed goes on in its folder, and one that has finished is only read. Knows nothing about what a
run does.
"""

import json
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tinyllm.errors import ModelFileError, NotFound, RequestError
from tinyllm.lab import data

_SPENT = "spent.json"  # the CPU seconds of a run that is not finished
Told = Callable[[str, int, int, float, float], None]  # what, step, steps, loss, seconds left


class Folder:
    """Where one run writes, and what it is told: its config, seed, device and data.

    Raises RequestError where `path` holds a run with another config or seed, unless `fresh` deletes it first.
    """

    def __init__(
        self,
        path: Path,
        run: str,
        config: Mapping[str, Any],
        *,
        seed: int = 0,
        data_dir: Path | None = None,
        device: str = "cpu",
        fresh: bool = False,
        told: Told | None = None,
    ):
        self.path, self.run, self.config, self.seed = path, run, dict(config), seed
        self.device = device
        self._data_dir, self._told = data_dir, told
        self._spent, self._started = 0.0, time.process_time()
        mine = {"run": run, "seed": seed, "config": self.config}
        if path.is_dir() and any(path.iterdir()) and not (path / "metrics.jsonl").exists():
            raise RequestError(f"{str(path)!r} holds something else than a run", hint="give another --out")
        if fresh and (path / "config.json").exists():
            shutil.rmtree(path)
        if begun(path):
            theirs = _read(path / "config.json")
            if theirs != mine:
                raise RequestError(
                    f"{str(path)!r} holds another run: {_difference(theirs, mine)}",
                    hint="give another folder with --out, or --fresh to delete this one",
                )
        path.mkdir(parents=True, exist_ok=True)
        if (path / _SPENT).exists():
            self._spent = _read(path / _SPENT)["cpu_seconds"]
        self._rows = metrics(path)
        self._seen = {(row["curve"], row["step"]) for row in self._rows}
        # A kill may have cut the last line.
        (path / "metrics.jsonl").write_text("".join(map(_line, self._rows)), encoding="utf-8")
        _write(path / "config.json", mine)

    def text(self, name: str) -> str:
        """The text of a data set; see `data.read`."""
        return data.read(name, self._data_dir)

    def log(self, curve: str, step: int, **values: float | str) -> None:
        """Add a point to a curve; one that was logged before a kill is not logged again."""
        if (curve, step) not in self._seen:
            row = {"curve": curve, "step": step, **values}
            self._seen.add((curve, step))
            self._rows.append(row)
            with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(_line(row))
            self._clock()

    def curve(self, name: str, value: str = "loss") -> tuple[list[int], list[float]]:
        """Steps and values of a curve that was logged."""
        rows = [row for row in self._rows if row["curve"] == name and value in row]
        return [row["step"] for row in rows], [row[value] for row in rows]

    def tell(self, what: str, step: int, steps: int, loss: float, left: float) -> None:
        """Tell the person who waits how far the run is."""
        if self._told is not None:
            self._told(what, step, steps, loss, left)

    def once(self, part: str, make: Callable[[], Any]) -> Any:
        """What `make` returns (JSON), made only once: a run that goes on takes the parts that are done."""
        path = self.path / "parts.json"
        parts = _read(path) if path.exists() else {}
        if part not in parts:
            parts[part] = make()
            _write(path, parts)
            self._clock()
        return parts[part]

    def plot(self, name: str, figure: Any) -> None:
        """Save a matplotlib figure as PNG and SVG."""
        save_figure(self.path / name, figure)

    def finish(self, figures: Mapping[str, Any], **card: Any) -> dict[str, Any]:
        """Write the card, which marks the run as finished; returns its metrics."""
        whole = {
            "run": self.run,
            "metrics": dict(figures),
            "config": self.config,
            "seed": self.seed,
            "device": self.device,
            "cpu_seconds": round(self._cpu_seconds, 1),  # of all stretches, up to what each logged last
            "machine": machine(),
            **card,
        }
        _write(self.path / "card.json", whole)
        return dict(figures)

    @property
    def _cpu_seconds(self) -> float:
        return self._spent + time.process_time() - self._started

    def _clock(self) -> None:
        """Leave what was spent, for a stretch that goes on after a kill."""
        _write(self.path / _SPENT, {"cpu_seconds": self._cpu_seconds})

    @property
    def finished(self) -> dict[str, Any] | None:
        """The metrics of a run that is done."""
        return _read(self.path / "card.json")["metrics"] if (self.path / "card.json").exists() else None


def machine() -> dict[str, Any]:
    """What a figure was measured on."""
    libraries = {}
    for name in ("numpy", "torch"):
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:  # runs that need no torch run without it
            continue
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "processor_model": _processor_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **libraries,
    }


def _processor_model() -> str | None:
    """What the processor is called, where the system tells it."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # only Linux has it
        told = ""
    name = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    return name[1] if name else platform.processor() or None


def card(path: Path) -> dict[str, Any]:
    """The card of a finished run. Raises NotFound where `path` holds none."""
    if not (path / "card.json").exists():
        raise NotFound(
            f"there is no finished run in {str(path)!r}",
            hint="one that was stopped goes on with the command that began it",
        )
    return _read(path / "card.json")


def metrics(path: Path) -> list[dict[str, Any]]:
    """The rows that the run in `path` has logged, without a last one that was cut short."""
    try:
        lines = (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise ModelFileError(
                    f"line {number} of {str(path / 'metrics.jsonl')!r} is damaged",
                    hint="run with --fresh to begin anew",
                ) from None
    return rows


def begun(path: Path) -> bool:
    """Whether a run has done anything in `path` but write its config and shape."""
    first = ("config.json", "metrics.jsonl", "model.json")
    others = [file for file in path.glob("*") if file.name not in first]
    return (path / "config.json").exists() and bool(others or metrics(path))


def save_figure(path: Path, figure: Any) -> None:
    """Save a matplotlib figure as `path` with .png and .svg."""
    for kind in ("png", "svg"):
        figure.savefig(path.with_name(f"{path.name}.{kind}"), dpi=120, bbox_inches="tight")


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row) + "\n"


def _write(path: Path, value: Any) -> None:
    """Write JSON at once: a kill leaves the old file or the new one."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFileError(
            f"{str(path)!r} is damaged: {error}", hint="run with --fresh to begin anew"
        ) from None


def _difference(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
    if theirs["run"] != mine["run"]:
        return f"{theirs['run']!r}"
    old = {"seed": theirs["seed"], **theirs["config"]}
    new = {"seed": mine["seed"], **mine["config"]}
    changed = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
    return ", ".join(f"{name} is {old.get(name)}, not {new.get(name)}" for name in sorted(changed))
