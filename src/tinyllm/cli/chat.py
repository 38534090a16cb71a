"""`tinyllm chat`: a conversation; each question is asked with what was said before."""

import re
import sys
import uuid

import click

from tinyllm.cli.output import (
    fault,
    network_flag,
    no_store_flag,
    note,
    plain,
    print_json,
    quality_flag,
    reply_json,
    right_flag,
    route_line,
    settings,
    terminal,
)
from tinyllm.errors import TinyLLMError
from tinyllm.types import Message

_TURNS = 40  # messages that the network still sees


@click.command()
@network_flag
@no_store_flag
@quality_flag
@right_flag
@click.option("--json", "as_json", is_flag=True, help="Print one object a reply.")
def chat(
    network: str | None, no_store: bool, quality: float | None, right: float | None, as_json: bool
) -> None:
    """Example: tinyllm chat

    Ask, and ask on: "how many ml are in 3 cups?", then "and in pints?". An empty line is passed over;
    `exit`, Ctrl-D or Ctrl-C ends it.
    """
    from tinyllm.api import load

    chosen = settings(network=network)
    session = uuid.uuid4().hex
    said: list[Message] = []
    told: set[str] = set()  # sentences of refusals
    lines = sys.stdin
    asking = terminal(lines) and terminal()
    if asking:
        note(f"network {chosen.network}; `exit` or Ctrl-D ends")
    with load(chosen.network, settings=chosen, store=None if no_store else "default") as net:
        while True:
            if asking:
                click.echo("> ", nl=False, err=True)
            line = lines.readline()
            text = line.strip()
            if not line or text in ("exit", "quit", "/exit", "/quit"):
                return
            if not text:
                continue
            said = [*said, Message("user", text)][-_TURNS:]
            try:
                reply = net.ask(said, session=session, quality=quality, right=right)
            except TinyLLMError as error:
                _tell(error)
                said.pop()
                continue
            if as_json:
                print_json(reply_json(reply), indent=None)
            if reply.status == "failed":
                _tell(fault(reply))
                said.pop()
                continue
            if not as_json:
                click.echo(plain(_news(reply.answer, told) if reply.status == "refused" else reply.answer))
            if asking:
                note(route_line(reply))
            said.append(Message("assistant", reply.answer))


def _news(refusal: str, told: set[str]) -> str:
    """The sentences of a refusal that have not been told before, and are now; the first where all have been."""
    sentences = re.split(r"(?<=[.!?])\s+", refusal)
    news = [sentence for sentence in sentences if sentence not in told] or sentences[:1]
    told.update(sentences)
    return " ".join(news)


def _tell(error: TinyLLMError) -> None:
    """One question that cannot be answered does not end the conversation, nor is it remembered."""
    note(plain(f"error: {error.message}\nnext: {error.hint or 'ask it differently'}"))
