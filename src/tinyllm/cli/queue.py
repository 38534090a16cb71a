"""`tinyllm queue`: the questions that wait for a person."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import json_flag, note, print_json
from tinyllm.cli.stored import with_store
from tinyllm.protocols import Ticket

if TYPE_CHECKING:
    from tinyllm.protocols import Store


@click.group()
def queue() -> None:
    """Example: tinyllm queue list"""


@queue.command("list", short_help="Those that wait, oldest first.")
@click.option("--all", "everything", is_flag=True, help="Settled ones too.")
@json_flag
def list_(everything: bool, as_json: bool) -> None:
    """Example: tinyllm queue list --json"""

    async def tickets(store: "Store") -> Sequence[Ticket]:
        return await store.tickets(waiting=not everything)

    found = with_store(tickets)
    if as_json:
        print_json([asdict(ticket) for ticket in found])
        return
    for ticket in found:
        asked = datetime.fromtimestamp(ticket.created).isoformat(" ", "minutes")
        click.echo(f"{ticket.id}  {asked}  {ticket.question!r}  ({ticket.reason})")
        if ticket.answer is not None:
            click.echo(f"  answered: {ticket.answer!r}")
    if not found:
        note("nothing waits")


@queue.command(short_help="Settle one.")
@click.argument("ticket")
@click.argument("text")
@json_flag
def answer(ticket: str, text: str, as_json: bool) -> None:
    """Example: tinyllm queue answer t-1a2b "Yes, until Friday."

    The answer is kept as a reference for later.
    """

    async def settle(store: "Store") -> Ticket:
        return await store.settle(ticket, text)

    settled = with_store(settle)
    if as_json:
        print_json(asdict(settled))
    else:
        click.echo(f"{settled.id}: {settled.question!r} is answered")
