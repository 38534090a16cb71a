"""`tinyllm ask`: one question, one answer."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import (
    cost_line,
    fault,
    json_flag,
    network_flag,
    no_store_flag,
    note,
    plain,
    print_json,
    quality_flag,
    reply_json,
    right_flag,
    route_line,
    seed_flag,
    settings,
    terminal,
)
from tinyllm.errors import TinyLLMError, named
from tinyllm.types import Cost

if TYPE_CHECKING:
    from tinyllm.api import Network

MOST_BYTES = 4_000_000  # of standard input; more could not be asked anyway


@click.command()
@click.argument("words", metavar="TEXT", nargs=-1, required=True)
@json_flag
@network_flag
@no_store_flag
@click.option("--stream", is_flag=True, help="Print the answer while it is made.")
@quality_flag
@right_flag
@seed_flag
@click.pass_context
def ask(
    context: click.Context,
    words: Sequence[str],
    as_json: bool,
    network: str | None,
    no_store: bool,
    stream: bool,
    quality: float | None,
    right: float | None,
    seed: int | None,
) -> None:
    """Example: tinyllm ask "convert 3 miles to km"

    Answers TEXT, or what stands on standard input where TEXT is `-`.
    """
    if stream and as_json:
        raise click.UsageError("--stream and --json exclude each other", context)
    text = " ".join(words)  # without quotes it is one question too
    if text == "-":
        text = sys.stdin.buffer.read(MOST_BYTES).decode("utf-8", "replace").strip()
    from tinyllm.api import load

    chosen = settings(network=network)
    with load(chosen.network, settings=chosen, store=None if no_store else "default") as net:
        if stream:
            net.call(_stream(net, text, quality, right, seed))
        else:
            reply = net.ask(text, quality=quality, right=right, seed=seed)
            if as_json:
                print_json(reply_json(reply), indent=None)
            elif reply.status != "failed":  # a failure is no answer: the error below tells it
                click.echo(plain(reply.answer))
                if reply.ticket:
                    note(_how_to_answer(reply.ticket))
                if terminal():
                    note(route_line(reply))
            if reply.status == "failed":
                raise fault(reply)


def _how_to_answer(ticket: str) -> str:
    return f"ticket {ticket}: answer it with `tinyllm queue answer {ticket} TEXT`"


async def _stream(
    net: "Network", text: str, quality: float | None, right: float | None, seed: int | None
) -> None:
    shown = ""
    broken: TinyLLMError | None = None
    async for event in net.stream(text, quality=quality, right=right, seed=seed):
        if event.kind == "token" and event.data["final"]:  # what a gate may reject is not shown
            shown += event.data["text"]
            click.echo(plain(event.data["text"]), nl=False)
        elif event.kind == "node_failed":
            data = event.data
            broken = broken or named(data["error"], data["message"], data.get("hint", ""))
        elif event.kind == "run_finished":
            data = event.data
            if data["status"] == "failed":
                click.echo("\n" if shown else "", nl=False)
                raise broken or TinyLLMError(data["answer"], hint=f"tinyllm trace {event.run_id}")
            # Another node may have answered after all: then the answer that stands follows on its own line.
            if shown.strip() != data["answer"].strip():
                click.echo(("\n" if shown else "") + plain(data["answer"]), nl=False)
            click.echo()
            if data["ticket"]:
                note(_how_to_answer(data["ticket"]))
            if terminal():
                cost = cost_line(Cost(**data["cost"]), data["latency_ms"])
                note(click.style(f"[{data['status']}] {' > '.join(data['route'])} ({cost})", dim=True))
