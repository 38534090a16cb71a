"""`tinyllm memory`: what networks remember of a user, for the user to see and change."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import json_flag, note, plain, print_json, terminal
from tinyllm.cli.stored import with_store
from tinyllm.protocols import Fact

if TYPE_CHECKING:
    from tinyllm.protocols import Store

user_flag = click.option("--user", default="local", show_default=True, help="Whose memory.")
EMPTY = 'nothing is remembered of user {!r}: tinyllm memory add "prefers Python over JavaScript"'


@click.group()
def memory() -> None:
    """Example: tinyllm memory add "prefers Python over JavaScript"

    What stands here reaches the networks that have a memory node; it is told to their models and sways their
    routers.
    """


@memory.command("list", short_help="What is remembered, oldest first.")
@user_flag
@json_flag
def list_(user: str, as_json: bool) -> None:
    """Example: tinyllm memory list --json"""

    async def work(store: "Store") -> Sequence[Fact]:
        return await store.facts(user=user)

    facts = with_store(work)
    if as_json:
        print_json([asdict(fact) for fact in facts])
        return
    for fact in facts:
        told = datetime.fromtimestamp(fact.created).isoformat(" ", "minutes")
        click.echo(f"{fact.id}  {told}  {plain(fact.text)}")
    if not facts:
        note(EMPTY.format(user))


@memory.command(short_help="Remember one thing more.")
@click.argument("text")
@user_flag
@json_flag
def add(text: str, user: str, as_json: bool) -> None:
    """Example: tinyllm memory add "use metric units"

    A preference ("prefers X over Y", "use ...", "answer in ...", "avoid ...") always reaches the network;
    other facts do where they share words with the question, or are new.
    """

    async def work(store: "Store") -> Fact:
        return await store.remember(text, user=user)

    _tell(with_store(work), as_json, "remembered")


@memory.command(short_help="Put another text in a fact's place.")
@click.argument("fact")
@click.argument("text")
@user_flag
@json_flag
def edit(fact: str, text: str, user: str, as_json: bool) -> None:
    """Example: tinyllm memory edit f1a2b3c4d "prefers Rust"

    The old text is gone.
    """

    async def work(store: "Store") -> Fact:
        return await store.edit(fact, text, user=user)

    _tell(with_store(work), as_json, "remembered")


@memory.command(short_help="Forget one thing, or --all.")
@click.argument("fact", required=False)
@click.option("--all", "everything", is_flag=True, help="All that is remembered of the user.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@user_flag
@json_flag
@click.pass_context
def forget(
    context: click.Context, fact: str | None, everything: bool, yes: bool, user: str, as_json: bool
) -> None:
    """Example: tinyllm memory forget f1a2b3c4d

    Nothing of its text stays in the store.
    """
    if (fact is None) != everything:
        raise click.UsageError("name one fact, or say --all", context)
    if everything and not yes:
        if as_json or not terminal():
            raise click.UsageError("--all forgets everything: say --yes as well", context)
        click.confirm(f"forget all that is remembered of user {user!r}?", abort=True, err=True)

    async def work(store: "Store") -> Sequence[str]:
        gone = [known.id for known in await store.facts(user=user)] if fact is None else [fact]
        for each in gone:
            await store.forget(each, user=user)
        return gone

    gone = with_store(work)
    if as_json:
        print_json({"forgotten": list(gone)})
    else:
        click.echo(f"forgotten: {', '.join(gone)}" if gone else "there was nothing to forget")


def _tell(fact: Fact, as_json: bool, what: str) -> None:
    if as_json:
        print_json(asdict(fact))
    else:
        click.echo(f"{what} as {fact.id}: {plain(fact.text)}")
