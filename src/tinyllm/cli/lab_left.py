"""What runs of the lab have left: two compared, curves drawn, a model talked to or looked into."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyllm.cli.lab_words import RUNS_DIR, figure_text, lab_errors
from tinyllm.cli.output import json_flag, note, plain, print_json, settings
from tinyllm.errors import NotFound, RequestError

if TYPE_CHECKING:
    from tinyllm.lab.generate import Sampling


@click.command(short_help="Two finished runs side by side: settings that differ, and figures.")
@click.argument("one")
@click.argument("other")
@json_flag
def compare(one: str, other: str, as_json: bool) -> None:
    """Example: tinyllm lab compare names-gru names-transformer

    Each is a run's name, whose folder is under runs/, or a folder.
    """
    with lab_errors():
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
            click.echo(f"{key:24}" + "".join(f"{figure_text(value):>22}" for value in pair))
    return None


@click.command(short_help="Draw the curves of runs in one picture, as PNG and SVG.")
@click.argument("names", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Without its ending. Default: runs/chart.")
def chart(names: tuple[str, ...], out: Path | None) -> None:
    """Example: tinyllm lab chart names-count names-mlp names-gru names-transformer

    Beside the dev curve of each run stands its final figure; a run without curves is a level line.
    """
    with lab_errors():
        from tinyllm.lab.chart import draw

        path = draw([_folder(name) for name in names], out or RUNS_DIR / "chart")
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


@click.command(short_help="Talk to a model of the pipeline; another one goes on from what you type.")
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
    with lab_errors():
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


@click.command(short_help="Look inside a model while it writes, letter by letter.")
@click.argument("name")
@click.argument("text", default="")
@click.option("--count", default=5, show_default=True, help="Letters or tokens to write.")
@click.option("--teach", metavar="LETTER", help="Instead, take one step of training on TEXT and LETTER.")
@click.option(
    "--analogy", nargs=3, metavar="A B C", help="Instead, say what is to C as B is to A, by their vectors."
)
@_sampling_options
@json_flag
def look(
    name: str,
    text: str,
    count: int,
    teach: str | None,
    analogy: tuple[str, str, str] | None,
    as_json: bool,
    **drawing: Any,
) -> None:
    """Example: tinyllm lab look names-transformer emm --json

    Shows for each letter what the layers attend to, what each would already say, and what is drawn. With --json
    these are frames that a page or a notebook can play, one a line. --teach says how one step changes the odds.
    To a model of `lab pipeline` TEXT is a question, and what it writes are tokens.
    """
    with lab_errors():
        from tinyllm.lab import inside, saved
        from tinyllm.lab.pipeline import talk

        folder = _folder(name)
        writer: inside.Writer
        writer = talk.Answerer(*talk.load(folder)) if talk.is_there(folder) else saved.load(folder)
        if analogy:
            likely = inside.analogy(writer, *analogy)
            if as_json:
                return print_json({"analogy": list(analogy), "likely": likely}, indent=None)
            a, b, c = analogy
            found = "  ".join(f"{token!r} {cosine:.2f}" for token, cosine in likely)
            return click.echo(f"{a!r} is to {b!r} as {c!r} is to {found}")
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


@click.command(short_help="Which layers pay: plans of a model held against each other.")
@click.argument("name")
@click.argument("written", metavar="[PLAN]...", nargs=-1)
@click.option("--tokens", type=click.IntRange(1), default=20_000, show_default=True, help="Of held-out text.")
@json_flag
def plans(name: str, written: tuple[str, ...], tokens: int, as_json: bool) -> None:
    """Example: tinyllm lab plans shakespeare-gpt "0 1 2 3" "0 (1 2)*2 3" "0 1 2? 3?0.8"

    Shows for each plan of a trained model its loss on text that it has not learned from (of a chat model: on what it
    shall say), how much more that is than with the first plan, and what a token costs. Without plans: each layer run
    twice, and each left out.
    """
    with lab_errors():
        from tinyllm.lab.data import read
        from tinyllm.lab.plan import Plan
        from tinyllm.lab.runs import depths

        data_dir, asked = settings().data_dir, [Plan.parse(text) for text in written]
        model, sequences = depths.held_out(_folder(name), lambda source: read(source, data_dir), tokens)
        told = depths.table(model, sequences, asked or depths.scan(model.config.layers))
    if as_json:
        return print_json(told)
    wide = max(len(row["plan"]) for row in told["plans"])
    click.echo(f"{'plan':{wide}}{'loss':>9}{'more':>9}   {'95% interval':<20}{'MACs a token':>14}")
    for row in told["plans"]:
        low, high = row["more_interval"]
        apart = f"{row['more']:>+9.4f}   {f'{low:+.4f} to {high:+.4f}':<20}"
        click.echo(f"{row['plan']:{wide}}{row['loss']:>9.4f}{apart}{row['macs_a_token']:>14,}")
    return note(
        f"{told['tokens']:,} tokens; the best plan at each of them, known beforehand: {told['best']:.4f}"
    )


def _folder(name: str) -> Path:
    """The folder of the run `name`, or the folder itself. Raises NotFound where there is no run, saying how to
    make it."""
    from tinyllm.lab.folder import begun
    from tinyllm.lab.runs import RUNS

    for path in (Path(name), RUNS_DIR / name):
        if begun(path):
            return path
    depth = name.removeprefix("pipeline-")
    if name in RUNS:
        hint = f"tinyllm lab run {name}"
    elif name != depth and depth.isdecimal():
        hint = f"tinyllm lab pipeline --depth {depth}"
    else:
        there = sorted(path.name for path in RUNS_DIR.glob("*") if begun(path))
        hint = f"runs/ has {', '.join(there)}" if there else "`tinyllm lab list` shows what can be run"
    raise NotFound(f"there is no run {name!r}, neither as a folder nor in runs/", hint=hint)


def _odds(likely: list[tuple[str, float]]) -> str:
    return "  ".join(f"{letter!r} {probability:.0%}" for letter, probability in likely)
