"""`tinyllm lab`: experiments from one weight to language models, each in a folder of its own."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyllm.cli.output import json_flag, note, plain, print_json, settings, terminal
from tinyllm.errors import NotFound, RequestError, SettingsError, TinyLLMError
from tinyllm.types import JSON

if TYPE_CHECKING:
    from tinyllm.lab.folder import Told
    from tinyllm.lab.generate import Sampling

_OUT = click.Path(file_okay=False, path_type=Path)
_RUNS = Path("runs")


@click.group()
def lab() -> None:
    """Example: tinyllm lab run perceptron

    Needs the `lab` extra: pip install 'tinyllm-network[lab]'. Runs write to the folder runs/NAME.
    """


@lab.command("list", short_help="Every run with its reference figure, ours, and how long it takes.")
@json_flag
def list_runs(as_json: bool) -> None:
    """Example: tinyllm lab list"""
    with _lab():
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
    with _lab(), _bars() as told:
        from tinyllm.lab.folder import Folder
        from tinyllm.lab.runs import configured, find

        chosen = find(name)
        folder = Folder(
            out or _RUNS / name,
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
        click.echo(f"{key:24}{_figure(value)}{against}")
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
    with _lab(), _bars() as told:
        from tinyllm.lab.folder import Folder
        from tinyllm.lab.pipeline import dial, report, stages
        from tinyllm.lab.runs import configured

        chosen = dial.settings(depth)
        config = configured(dial.run(depth), _pairs(changes))
        folder = Folder(
            out or _RUNS / f"pipeline-{depth}",
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


@lab.command(short_help="Two finished runs side by side: settings that differ, and figures.")
@click.argument("one")
@click.argument("other")
@json_flag
def compare(one: str, other: str, as_json: bool) -> None:
    """Example: tinyllm lab compare names-gru names-transformer

    Each is a run's name, whose folder is under runs/, or a folder.
    """
    with _lab():
        from tinyllm.lab.folder import card

        cards = [card(_folder(name)) for name in (one, other)]
    settings_, figures = (
        {key: [card_[part].get(key) for card_ in cards] for key in {**cards[0][part], **cards[1][part]}}
        for part in ("config", "metrics")
    )
    differing = {key: pair for key, pair in settings_.items() if pair[0] != pair[1]}
    spent = {"cpu_seconds": [card_["cpu_seconds"] for card_ in cards]}
    if as_json:
        return print_json({"runs": [one, other], "config": differing, "metrics": figures, **spent})
    click.echo(f"{'':24}{one:>22}{other:>22}")
    for part in (differing, figures | spent):
        for key, pair in part.items():
            click.echo(f"{key:24}" + "".join(f"{_figure(value):>22}" for value in pair))
    return None


@lab.command(short_help="Draw the curves of runs in one picture, as PNG and SVG.")
@click.argument("names", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Without its ending. Default: runs/chart.")
def chart(names: tuple[str, ...], out: Path | None) -> None:
    """Example: tinyllm lab chart names-count names-mlp names-gru names-transformer

    Beside the dev curve of each run stands its final figure; a run without curves is a level line.
    """
    with _lab():
        from tinyllm.lab.chart import draw

        path = draw([_folder(name) for name in names], out or _RUNS / "chart")
    click.echo(f"{path}.png")
    click.echo(f"{path}.svg")


def _sampling_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--seed", default=0, show_default=True, help="The same seed draws the same letters."),
        click.option("--top-p", type=float, help="Draw from the likeliest that hold this probability."),
        click.option("--top-k", type=int, help="Draw from so many of the likeliest."),
        click.option(
            "--temperature",
            type=float,
            help="Near 0: always the likeliest. Default: 0.8; in a conversation, 0.",
        ),
    ):
        command = option(command)
    return command


@lab.command(short_help="Talk to a model of the pipeline; another one goes on from what you type.")
@click.argument("name")
@click.option(
    "--length", default=200, show_default=True, help="At most so many letters, of a model that goes on."
)
@_sampling_options
def chat(name: str, length: int, **drawing: Any) -> None:
    """Example: tinyllm lab chat runs/pipeline-2

    Each line that you type, or that a file brings, is a question to a model of `lab pipeline`. To a model of the
    runs `names-*` or `shakespeare-gpt` it is the beginning of a text; an empty one lets the model begin.
    """
    with _lab():
        from tinyllm.lab import saved
        from tinyllm.lab.pipeline import talk

        folder = _folder(name)
        if talk.is_there(folder):
            return _talk(folder, drawing)
        writer = saved.load(folder)
        sampling = _sampling(drawing)
        note(f"it knows {''.join(writer.letters.letters[1:])!r}; Ctrl-D (Windows: Ctrl-Z, Enter) ends")
        for line in sys.stdin:
            beginning = line.rstrip("\n")
            try:
                click.echo(beginning, nl=False)
                for piece in writer.write(beginning, length, sampling):
                    click.echo(piece, nl=False)
                click.echo()
            except RequestError as error:  # a letter that it does not know: try another
                click.echo()
                note(str(error))
    return None


def _talk(folder: Path, drawing: dict[str, Any]) -> None:
    """Answer each line of stdin; what the calculator was asked goes to stderr."""
    from tinyllm.lab.generate import likeliest
    from tinyllm.lab.pipeline import talk

    model, tokenizer = talk.load(folder)
    drawn = any(drawing[name] is not None for name in ("temperature", "top_k", "top_p"))
    choose = _sampling(drawing).chooser() if drawn else likeliest
    note("ask it for a sum; Ctrl-D (Windows: Ctrl-Z, Enter) ends")
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            (turn,) = talk.hold(model, tokenizer, [line], choose)
        except RequestError as error:  # too long: ask another
            note(str(error))
            continue
        if turn.result is not None:
            note(f"  calculator: {turn.result}")
        click.echo(plain(turn.reply))


def _sampling(drawing: dict[str, Any]) -> "Sampling":
    from tinyllm.lab.generate import Sampling

    return Sampling(**{"temperature": 0.8} | {key: x for key, x in drawing.items() if x is not None})


@lab.command(short_help="Look inside a model while it writes, letter by letter.")
@click.argument("name")
@click.argument("text")
@click.option("--count", default=5, show_default=True, help="Letters to write.")
@click.option("--teach", metavar="LETTER", help="Instead, take one step of training on TEXT and LETTER.")
@_sampling_options
@json_flag
def look(name: str, text: str, count: int, teach: str | None, as_json: bool, **drawing: Any) -> None:
    """Example: tinyllm lab look names-transformer emm --json

    Shows for each letter what the layers attend to, what each would already say, and what is drawn. With --json
    these are frames that a page or a notebook can play, one a line. --teach says how one step changes the odds.
    """
    with _lab():
        from tinyllm.lab import inside, saved

        writer = saved.load(_folder(name))
        if teach:
            step = inside.lesson(writer, text, teach)
            if as_json:
                return print_json(step, indent=None)
            odds = f"{step['before']:.1%} before, {step['after']:.1%} after one step"
            return click.echo(f"{step['wanted']!r} after {text!r}: {odds}")
        for frame in inside.frames(writer, text, count, _sampling(drawing)):
            if as_json:
                print_json(frame, indent=None)
                continue
            click.echo(f"{''.join(frame['tokens'])!r}")
            for layer in frame["layers"]:
                click.echo(f"  after layer {layer['layer']}   {_odds(layer['lens'])}")
            click.echo(f"  drawn {frame['drawn']!r} from {_odds(frame['next'])}")
    return None


@contextmanager
def _lab() -> Iterator[None]:
    """The lab's own words for what went wrong, and what to install where its libraries are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"the lab needs {error.name!r}, which is not installed", hint="pip install 'tinyllm-network[lab]'"
        ) from error
    except MemoryError as error:
        raise RequestError("the memory is full", hint="--set a smaller batch or width") from error
    except ValueError as error:  # how the lab refuses a setting or an option
        command = click.get_current_context().command_path
        raise RequestError(str(error), hint=f"change what was given: {command} --help") from error
    except RuntimeError as error:
        told = str(error)
        if "out of memory" in told or "not enough memory" in told:
            raise RequestError("the memory is full", hint="--set a smaller batch or width") from error
        if type(error).__name__ == "Diverged":
            raise TinyLLMError(
                told,
                hint="--fresh and a lower --set lr; until then the folder keeps the last good checkpoint",
            ) from error
        raise


@contextmanager
def _bars() -> Iterator["Told"]:
    """A progress bar for each part of a run, on stderr; where that is no terminal, a line for each tenth."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        bars: dict[str, Any] = {}

        def told(what: str, step: int, steps: int, loss: float, left: float) -> None:
            if what not in bars:
                stack.close()  # the bar before it is done
                made = click.progressbar(
                    length=steps, label=f"{what:20}", item_show_func=str, file=sys.stderr, width=30
                )
                bars[what] = stack.enter_context(made)
            bars[what].update(step - bars[what].pos, f"loss {loss:.4f}")

        try:
            yield told if terminal() else _line
        except KeyboardInterrupt:
            note("\nthe same command goes on from the last checkpoint")
            raise


def _line(what: str, step: int, steps: int, loss: float, left: float) -> None:
    if step == steps or step * 10 // steps > (step - 1) * 10 // steps:
        note(f"{what:20}{step:>7} of {steps}  loss {loss:.4f}  {left:.0f} s left")


def _pairs(changes: tuple[str, ...]) -> dict[str, str]:
    for change in changes:
        if "=" not in change:
            raise click.UsageError(f"write --set {change!r} as KEY=VALUE", click.get_current_context())
    return dict(change.split("=", 1) for change in changes)


def _folder(name: str) -> Path:
    """The folder of the run `name`, or the folder itself. Raises NotFound where there is no run, saying how to
    make it."""
    from tinyllm.lab.folder import begun
    from tinyllm.lab.runs import RUNS

    for path in (Path(name), _RUNS / name):
        if begun(path):
            return path
    depth = name.removeprefix("pipeline-")
    if name in RUNS:
        hint = f"tinyllm lab run {name}"
    elif name != depth and depth.isdecimal():
        hint = f"tinyllm lab pipeline --depth {depth}"
    else:
        there = sorted(path.name for path in _RUNS.glob("*") if begun(path))
        hint = f"runs/ has {', '.join(there)}" if there else "`tinyllm lab list` shows what can be run"
    raise NotFound(f"there is no run {name!r}, neither as a folder nor in runs/", hint=hint)


def _figure(value: JSON) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " to ".join(map(_figure, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _odds(likely: list[tuple[str, float]]) -> str:
    return "  ".join(f"{letter!r} {probability:.0%}" for letter, probability in likely)


def _duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"
