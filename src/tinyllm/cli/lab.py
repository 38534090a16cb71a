"""`tinyllm lab`: experiments from one weight to language models, each in a folder of its own."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tinyllm.cli.lab_left import chart, chat, compare, look, plans
from tinyllm.cli.lab_words import RUNS_DIR, bars, figure_text, lab_errors
from tinyllm.cli.output import json_flag, note, print_json, settings
from tinyllm.types import JSON

_OUT = click.Path(file_okay=False, path_type=Path)


@click.group()
def lab() -> None:
    """Example: tinyllm lab run perceptron

    Needs the `lab` extra: pip install 'tinyllm-network[lab]'. Runs write to the folder runs/NAME.
    """


@lab.command("list", short_help="Every run with its reference figure, ours, and how long it takes.")
@json_flag
def list_runs(as_json: bool) -> None:
    """Example: tinyllm lab list"""
    with lab_errors():
        from tinyllm.lab.runs import RUNS
    rows: list[dict[str, JSON]] = [
        {
            "name": name,
            "about": run.about,
            **asdict(run.figure),
            "data": list(run.needs),
        }
        for name, run in RUNS.items()
    ]
    if as_json:
        return print_json(rows)
    click.echo(f"{'run':22}{'figure':22}{'reference':>10}{'ours':>10}{'time':>8}  about")
    for name, run in RUNS.items():
        figure = run.figure
        shown = "".join(f"{'-' if x is None else f'{x:.4g}':>10}" for x in (figure.reference, figure.ours))
        click.echo(f"{name:22}{figure.metric:22}{shown}{_duration(figure.seconds):>8}  {run.about}")
    return None


@lab.command(short_help="Do one run; goes on where it was stopped.")
@click.argument("name")
@click.option("--out", type=_OUT, help="Default: runs/NAME.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same run.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting of the run.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--fresh", is_flag=True, help="Delete what is in the run's folder and begin anew.")
@json_flag
def run(
    name: str, out: Path | None, seed: int, changes: tuple[str, ...], device: str, fresh: bool, as_json: bool
) -> None:
    """Example: tinyllm lab run names-gru --set steps=500 --out runs/short

    Writes config.json, metrics.jsonl, checkpoint, plots and, at the end, card.json. With --json one object of
    metrics is printed at the end. TINYLLM_DATA_DIR names the folder with data sets.
    """
    with lab_errors(), bars() as told:
        from tinyllm.lab.folder import Folder
        from tinyllm.lab.runs import configured, find

        chosen = find(name)
        folder = Folder(
            out or RUNS_DIR / name,
            name,
            configured(chosen, _pairs(changes)),
            seed=seed,
            data_dir=settings().data_dir,
            device=device,
            fresh=fresh,
            told=told,
        )
        figures = folder.finished
        if figures is None:
            figures = chosen.function()(folder)
        else:
            note(f"finished before; --fresh does it again: {folder.path}")
    if as_json:
        return print_json(figures, indent=None)
    for key, value in figures.items():
        figure = chosen.figure
        judged = key == figure.metric and figure.reference is not None
        against = f"  (reference {figure.reference:g}, {figure.source})" if judged else ""
        click.echo(f"{key:24}{figure_text(value)}{against}")
    return note(f"in {folder.path}")


@lab.command(short_help="One dial: a chat model of your own, from text to talk.")
@click.option(
    "--depth", type=int, required=True, help="Layers; all else follows. 2: six minutes of one core."
)
@click.option("--out", type=_OUT, help="Default: runs/pipeline-DEPTH.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same model.")
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change what follows from the depth."
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--fresh", is_flag=True, help="Delete what is in the folder and begin anew.")
@json_flag
def pipeline(
    depth: int,
    out: Path | None,
    seed: int,
    changes: tuple[str, ...],
    device: str,
    fresh: bool,
    as_json: bool,
) -> None:
    """Example: tinyllm lab pipeline --depth 2

    Tokenizer, pre-training, mid-training, fine-tuning, reinforcement learning, evaluation, and a model to talk
    to: `tinyllm lab chat runs/pipeline-2`. Started again, it goes on where it was stopped.
    """
    with lab_errors(), bars() as told:
        from tinyllm.lab.folder import Folder
        from tinyllm.lab.pipeline import dial, report, stages
        from tinyllm.lab.runs import configured

        chosen = dial.settings(depth)
        config = configured(dial.run(depth), _pairs(changes))
        folder = Folder(
            out or RUNS_DIR / f"pipeline-{depth}",
            "pipeline",
            config,
            seed=seed,
            data_dir=settings().data_dir,
            device=device,
            fresh=fresh,
            told=told,
        )
        figures = folder.finished
        if figures is None:
            stages.check(folder)
            for name, value in config.items():
                why = chosen[name].reason if value == chosen[name].value else "--set"
                note(f"{name:18}{value!s:>8}  {why}")
            figures = stages.run(folder)
        else:
            note(f"finished before; --fresh does it again: {folder.path}")
    if as_json:
        return print_json(figures, indent=None)
    for what, shown in report.lines(figures):
        click.echo(f"{what:42}{shown}")
    return note(f"in {folder.path}, with card.md; talk to it: tinyllm lab chat {folder.path}")


@lab.command(params=run.params[1:], short_help="Scaling laws of small models, and what they predict.")
@click.pass_context
def scaling(context: click.Context, /, **_: Any) -> None:
    """Example: tinyllm lab scaling --set ratio=2 --out runs/short

    Trains models of several widths on budgets of compute, fits loss against parameters and data, and holds a
    prediction for a larger budget against a model trained on it. It is the run `scaling`: stopped, it goes on
    with the models that are left.
    """
    context.forward(run, name="scaling")


def _duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"


def _pairs(changes: tuple[str, ...]) -> dict[str, str]:
    for change in changes:
        if "=" not in change:
            raise click.UsageError(f"write --set {change!r} as KEY=VALUE", click.get_current_context())
    return dict(change.split("=", 1) for change in changes)


for _left in (compare, chart, chat, look, plans):
    lab.add_command(_left)
