"""`tinyllm bench`: the standing experiments."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tinyllm.cli.output import json_flag, note, print_json
from tinyllm.types import JSON

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


def _out(files: str) -> Callable[[Any], Any]:
    return click.option(
        "--out", default=".", show_default=True, type=_FOLDER, help=f"Where {files} are written."
    )


@click.group()
def bench() -> None:
    """Example: tinyllm bench routing --outcomes outcomes.jsonl --models prices.json"""


@bench.command(short_help="What routing among recorded models gets right, and at which price.")
@click.option("--outcomes", "source", required=True, type=_FILE, help="Lines of query and scores.")
@click.option("--models", "models", type=_FILE, help="The price_per_million_tokens of each model.")
@click.option("--train", "train", type=_FILE, help="Outcomes to learn from. Default: five folds.")
@click.option("--labels", type=int, help="Learn from so many fully labelled rows only.")
@click.option(
    "--small", metavar="PATTERN", help="Which models are small, as *7b*|*8b*; without --models: free."
)
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same report.")
@click.option(
    "--orderings", default=3, show_default=True, type=click.IntRange(1), help="How often rows are shuffled."
)
@_out("routing-NAME.json and .svg")
@json_flag
def routing(
    source: Path,
    models: Path | None,
    train: Path | None,
    labels: int | None,
    small: str | None,
    seed: int,
    orderings: int,
    out: Path,
    as_json: bool,
) -> None:
    """Example: tinyllm bench routing --outcomes outcomes.jsonl --models prices.json --labels 600

    Replays recorded outcomes of real models: policies see only the query, `task` serves the task oracle alone.
    Of two models without --models the weaker costs 0 and the stronger 1. Takes minutes.
    """
    from tinyllm.bench.outcomes import prices, read
    from tinyllm.bench.prices import picture
    from tinyllm.bench.routing import report

    outcomes = read(source)
    training = read(train) if train else None
    with click.progressbar(length=1000, label="routing", file=sys.stderr, width=30) as bar:
        made = report(
            outcomes,
            prices(training or outcomes, models, small),
            training=training,
            labels=labels,
            small=small,
            seed=seed,
            orderings=orderings,
            progress=lambda step, steps: bar.update(1000 * step // steps - bar.pos),
        )
    made = _placed(_rounded(made))
    name = "-".join(["routing", source.stem.removeprefix("outcomes_"), *([str(labels)] if labels else [])])
    written = _write(out, name, made, picture(made))
    if as_json:
        print_json(made)
    else:
        _show(made)
    note(written)


@bench.command(short_help="A network that knows arithmetic learns other skills from graded traffic.")
@click.option("--quick", is_flag=True, help="One seed and 500 requests: under a minute on a quiet machine.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="How many lives.")
@_out("growth.json and growth.svg")
@json_flag
def growth(quick: bool, seeds: int, out: Path, as_json: bool) -> None:
    """Example: tinyllm bench growth --quick

    Day one knows arithmetic and refuses the rest. Answers are graded by references; failing kinds are found,
    specialists trained, proven and adopted. Controls learn from the same requests. Takes about an hour.
    """
    from tinyllm.bench.growth import FIRST, QUICK, Plan, report
    from tinyllm.bench.plot import picture

    plan = QUICK if quick else Plan(seeds=tuple(range(FIRST, FIRST + seeds)))
    with click.progressbar(length=len(plan.seeds) * plan.requests, file=sys.stderr, width=30) as bar:

        def told(seed: int, done: int) -> None:
            bar.label = f"seed {seed}"
            bar.update(plan.seeds.index(seed) * plan.requests + done - bar.pos)

        made = _placed(report(plan, told))
    written = _write(out, "growth", made, picture(made))
    if as_json:
        print_json(made)
    else:
        _tell(made)
    note(written)


def _write(out: Path, name: str, made: JSON, drawn: str) -> str:
    """Write a report and its picture; what to tell of that."""
    out.mkdir(parents=True, exist_ok=True)
    files = out / f"{name}.json", out / f"{name}.svg"
    for file, text in zip(files, (json.dumps(made, indent=1) + "\n", drawn), strict=True):
        file.write_text(text, encoding="utf-8", newline="\n")
    return f"written: {files[0]} and {files[1]}"


def _placed(made: JSON) -> JSON:
    """The report with the command that gives the same one, files by their names alone, and the machine."""
    context = click.get_current_context()
    given = [context.command_path]
    for option in context.command.params:
        value = context.params[str(option.name)]
        if option.name not in ("out", "as_json") and value not in (None, option.default):
            given += [
                option.opts[0],
                *([] if value is True else [shlex.quote(getattr(value, "name", str(value)))]),
            ]
    machine = {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}
    return {"command": " ".join(given), "machine": machine, **made}


def _rounded(made: JSON) -> JSON:
    """Numbers to five digits after the point, which is more than is known."""
    if isinstance(made, float):
        return round(made, 5)
    if isinstance(made, list):
        return [_rounded(one) for one in made]
    return {name: _rounded(one) for name, one in made.items()} if isinstance(made, dict) else made


def _tell(made: JSON) -> None:
    click.echo(f"{'':24}{'fails, seen':>14}{'fails, unseen':>16}{'skills kept':>14}")
    for name, row in made["networks"].items():
        seen, unseen = (row[test]["failure"] for test in ("seen", "unseen"))
        click.echo(f"{name.replace('_', ' '):24}{seen:>14.1%}{unseen:>16.1%}{row['kept']:>14.1%}")
    for version in made["versions"]:
        what = f"after {version['requests']} requests, seed {version['seed']}: {version['nodes']} nodes"
        click.echo(f"{what}, {version['sealed_failure']:.1%} fail (p {version['p_value']:.2g})")


def _show(made: JSON) -> None:
    click.echo(f"{'policy':38}{'accuracy':>10}{'interval':>16}{'price':>10}")
    for row in made["policies"]:
        low, high = row["interval"]
        right = f"{row['accuracy']:10.3f}{f'{low:.3f}-{high:.3f}':>16}"
        click.echo(f"{row['name']:38}{right}{row['price']:10.3f}")
    for name, found in made["equal_accuracy"].items():
        low, high = ("never" if edge is None else f"{edge:.3f}" for edge in found["interval"])
        told = "never" if found["price"] is None else f"{found['price']:.3f} ({low}-{high})"
        click.echo(f"as right as {made['best_single']}, {name.replace('_', ' ')}: {told}")
    if made["apgr"] is not None:
        click.echo(f"APGR {made['apgr']:.3f}, CPT(50%) {made['cpt50']:.1%}, CPT(80%) {made['cpt80']:.1%}")
    note("shadows' price is in each bandit's; the report has the curves")
