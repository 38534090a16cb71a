"""`tinyllm teach`: a person brings examples, and the network learns from them."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyllm.cli.learn import Consent, Told, progress
from tinyllm.cli.output import json_flag, network_flag, note, settings

if TYPE_CHECKING:
    from tinyllm.learning.cycle import Report


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--trust", is_flag=True, help="Vouch for the examples: what answers them need not be proven.")
@click.option("--dry-run", is_flag=True, help="Show what would be tried and why; adopt nothing.")
@click.option("-y", "--yes", is_flag=True, help="Adopt without asking.")
@click.option("--last", default=1000, show_default=True, type=click.IntRange(1), help="Runs to look at.")
@click.option("--seed", default=0, show_default=True, help="Whatever is drawn, is drawn from it.")
@network_flag
@json_flag
def teach(
    file: Path,
    trust: bool,
    dry_run: bool,
    yes: bool,
    last: int,
    seed: int,
    network: str | None,
    as_json: bool,
) -> None:
    """Example: tinyllm teach examples.jsonl --trust

    Asks what FILE holds (ten to twenty requests of one kind do), and looks for a change that answers what went
    wrong. As ever it is adopted only if requests that it was not made from prove it, which takes more than
    twenty. With --trust your word stands for the proof: a quarter of the examples is kept back and must come
    out right, and older graded requests must not be lost.

    FILE has one JSON object a line with `query` and `answer`.
    """
    from tinyllm.cli.wiring import open_learning
    from tinyllm.learning.lessons import read_lessons, study
    from tinyllm.learning.teach import teach as vouched

    lessons = read_lessons(file)
    for number, why in lessons.bad:
        note(f"line {number} is no example and is left out: {why}")
    chosen = settings(network=network)
    told = Told(as_json, dry_run)

    async def work() -> "Report":
        consent = Consent(yes, as_json)
        if trust:
            consent = replace(consent, again=f"tinyllm teach {file} --trust --yes")
        async with open_learning(chosen, consent, progress, seed=seed, limit=last) as learning:
            store = learning.learner.store

            def tell(done: int, of: int) -> None:
                progress("asking", done, of)

            await study(lessons, lessons.rows, learning.ask, store, seed=seed, tell=tell, run=learning.run)
            if trust:
                return await vouched(learning.learner, lessons, dry=dry_run)
            return await replace(learning.learner, taught=lessons).cycle(dry=dry_run)

    report = asyncio.run(work())
    told.hear(f"{len(lessons.rows)} examples asked; with all older answers", report)
    told.close()
    if not trust and not any(done.version for done in report.rounds):
        note(
            f"`tinyllm teach {file} --trust` tries it on your word, without the proof (--dry-run only shows it)"
        )
