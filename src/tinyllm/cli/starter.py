"""`tinyllm starter`: the shipped models, built anew."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from tinyllm.cli.output import json_flag, note, print_json, settings


@click.group()
def starter() -> None:
    """Example: tinyllm starter train --quick --out trial"""


@starter.command(short_help="Train every shipped model from a seed.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Default: the package's own folder."
)
@click.option("--seed", default=0, show_default=True, help="The same seed draws the same examples.")
@click.option(
    "--quick", is_flag=True, help="A trial of a minute or two, whose models are of no use: give --out."
)
@click.option(
    "--figures",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A result of benchmarks/readers.py, for the cards.",
)
@json_flag
@click.pass_context
def train(
    context: click.Context, out: Path | None, seed: int, quick: bool, figures: Path | None, as_json: bool
) -> None:
    """Example: tinyllm starter train --out weights

    About half an hour on one core; needs the `lab` extra. Requests by people are used where TINYLLM_DATA_DIR
    names a folder that holds them. The files are put in place when all are trained, each with a card.
    """
    if quick and out is None:
        raise click.UsageError(
            "--quick would replace the package's models by useless ones: give --out", context
        )
    from tinyllm.cli.trainer import LabTrainer
    from tinyllm.starter import shipped
    from tinyllm.starter.train import train as train_all

    with _bars() as tell:
        cards = train_all(
            LabTrainer(),
            settings().data_dir,
            out or shipped.WEIGHTS,
            seed=seed,
            quick=quick,
            progress=tell,
            figures=figures,
        )
    if as_json:
        print_json(cards)
    else:
        for file, card in cards.items():
            click.echo(f"{file:<14} {card['bytes']:>9,} bytes")
        note(f"in {out or shipped.WEIGHTS}")


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int, float], None]]:
    """A progress bar for each file in turn, on stderr."""
    with ExitStack() as stack:
        bars: dict[str, Any] = {}

        def tell(file: str, step: int, steps: int, loss: float) -> None:
            if file not in bars:
                stack.close()  # the bar before it is done
                bar = click.progressbar(
                    length=steps, label=f"{file:<13}", item_show_func=str, file=sys.stderr, width=30
                )
                bars[file] = stack.enter_context(bar)
            bars[file].update(step - bars[file].pos, f"loss {loss:.3f}")

        yield tell
