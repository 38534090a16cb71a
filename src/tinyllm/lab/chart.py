"""Pictures: an empty pair of axes for any run, and the curves of many runs in one. It knows only folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyllm.errors import RequestError
from tinyllm.lab.folder import Folder, card, metrics, save_figure


def axes(x: str, y: str, width: float = 7, height: float = 4) -> tuple[Any, Any]:
    """A matplotlib figure and its axes, with what they show; no window is opened."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    made = figure.add_subplot(xlabel=x, ylabel=y)
    made.spines[["top", "right"]].set_visible(False)
    return figure, made


def curves(folder: Folder, levels: Mapping[str, float], top: float | None = None) -> None:
    """Draw the losses of training and dev that a run has logged, above level lines, as its picture `loss`."""
    figure, plot = axes("step", "nats a character")
    for name in ("train", "dev"):
        plot.plot(*folder.curve(name), label=name)
    for (label, level), dash in zip(levels.items(), ("--", ":"), strict=False):
        plot.axhline(level, ls=dash, color="grey", label=label)
    plot.set_ylim(top=top)
    plot.legend()
    folder.plot("loss", figure)


def draw(folders: Sequence[Path], path: Path) -> Path:
    """Draw the finished runs in `folders` and save the picture as `path` with .png and .svg.

    Raises NotFound for a folder without a finished run, RequestError for one that has no loss to draw.
    """
    figure, plot = axes("step", "loss", 8, 5)
    highest = []
    for folder in folders:
        done = card(folder)
        name, figures = done["run"], done["metrics"]
        points = {
            curve: [
                (row["step"], row["loss"])
                for row in metrics(folder)
                if row["curve"] == curve and "loss" in row
            ]
            for curve in ("dev", "train")
        }
        drawn = points["dev"] or points["train"]
        last = figures.get("dev_loss", figures.get("train_loss"))
        if last is None and not drawn:
            raise RequestError(f"{name!r} has no loss to draw", hint=f"its figures: {', '.join(figures)}")
        last = drawn[-1][1] if last is None else last
        if done["config"].get("steps") and drawn:
            plot.plot(*zip(*drawn, strict=True), label=f"{name}: {last:.4f}")
        else:  # a table has no steps
            plot.axhline(last, ls="--", color="grey", label=f"{name}: {last:.4f}")
        highest.append(drawn[len(drawn) // 4][1] if len(drawn) > 4 else last)
    plot.set_ylim(top=max(highest) * 1.02)
    plot.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(path, figure)
    return path
