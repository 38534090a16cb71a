"""`tinyllm feedback`: what a person says of an answer."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import json_flag, note, plain, print_json
from tinyllm.cli.stored import run_named, with_store
from tinyllm.errors import RequestError
from tinyllm.types import Grade

if TYPE_CHECKING:
    from tinyllm.protocols import Store

USER = "local"  # whoever sits at this machine


@click.command()
@click.argument("run_id", metavar="RUN_ID|last")
@click.argument("opinion", metavar="[good|bad]", type=click.Choice(["good", "bad"]), required=False)
@click.option("--answer", metavar="TEXT", help="What is right; kept as a reference.")
@json_flag
@click.pass_context
def feedback(
    context: click.Context, run_id: str, opinion: str | None, answer: str | None, as_json: bool
) -> None:
    """Example: tinyllm feedback last good

    What you say later replaces what you said before, but a right answer goes on counting until you give another:
    tinyllm feedback last --answer "48 tablespoons"
    """
    if (opinion is None) == (answer is None):
        raise click.UsageError("say good or bad, or give the right --answer", context)
    if answer is not None and not answer.strip():
        raise click.UsageError("the right --answer is empty", context)
    from tinyllm.engine.trace import fold
    from tinyllm.grading import correction, thumb, verdicts

    async def keep(store: "Store") -> tuple[Grade, Sequence[Grade]]:
        trace = fold(await store.events(await run_named(store, run_id)))
        told = thumb(trace, USER, opinion == "good")
        grade = told if answer is None else correction(trace, USER, answer)
        if not await store.grade(grade):
            raise RequestError(
                f"you said this of run {trace.run_id!r} before",
                hint="nothing to do; say something else to replace it",
            )
        return grade, await store.grades(run_id=trace.run_id)

    grade, grades = with_store(keep)
    counts = verdicts(grades).get(grade.run_id, grade)
    if as_json:
        print_json({**asdict(grade), "counts": counts.kind == grade.kind})
        return
    good = "right" if grade.score else "wrong"
    click.echo(f"run {grade.run_id} is {good}, by your {grade.kind} ({plain(grade.reason)})")
    if counts.kind != grade.kind:
        note(f"its {counts.kind} still counts ({plain(counts.reason)}); --answer TEXT may overrule it")
