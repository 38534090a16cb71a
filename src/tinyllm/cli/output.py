"""How replies are shown: data on stdout, everything else on stderr, and flags that several commands share."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tinyllm.errors import TinyLLMError
from tinyllm.types import JSON, Cost, Reply

if TYPE_CHECKING:
    from tinyllm.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
network_flag = click.option("--network", metavar="NAME|FILE", help="The network to use.")
no_store_flag = click.option(
    "--no-store",
    is_flag=True,
    help="Keep nothing of this, and use nothing that was learned.",
)
quality_flag = click.option(
    "--quality",
    type=click.FloatRange(0, 1),
    help="From 0, cheap, to 1, good; below 0.5 no model checks the answer.  [default: the network's]",
)
right_flag = click.option(
    "--right",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="The cheapest way that is right so often: 0.9 is nine times in ten.  [default: the network's]",
)
seed_flag = click.option("--seed", type=int, help="Repeat chance exactly.")


def settings(**flags: Any) -> "Settings":
    """The settings in force, flags above all."""
    from tinyllm.settings import read_settings

    chosen = read_settings(flags).settings
    context = click.get_current_context(silent=True)
    if context and context.color is None and chosen.color != "auto":
        context.color = chosen.color == "always"
    return chosen


def print_json(value: JSON, *, indent: int | None = 2) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=indent, default=str))


def note(text: str) -> None:
    """Say something that is not data."""
    click.echo(text, err=True)


def plain(text: str) -> str:
    """The text without the control characters with which a model could steer a terminal."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text)


def terminal(stream: Any = None) -> bool:
    return bool((stream or sys.stderr).isatty())


def reply_json(reply: Reply) -> dict[str, JSON]:
    """A reply as the object that other tools may rely on."""
    from tinyllm.engine.scope import tool_run_json

    return {
        "answer": reply.answer,
        "status": reply.status,
        "route": list(reply.route),
        "tool_calls": [tool_run_json(run) for run in reply.tool_calls],
        "cost": asdict(reply.cost),
        "latency_ms": reply.latency_ms,
        "run_id": reply.run_id,
        "graph": reply.graph,
        **({"ticket": reply.ticket} if reply.ticket else {}),
        **({"reason": reply.reason} if reply.status == "refused" else {}),
    }


def fault(reply: Reply) -> TinyLLMError:
    """Why a failed run failed, for people."""
    return reply.error or TinyLLMError(reply.answer, hint=f"tinyllm trace {reply.run_id}")


def cost_line(cost: Cost, milliseconds: float) -> str:
    """What was spent, for people: `1.2M macs, 31 tokens, 14 ms`."""
    parts = [f"{amount(cost.macs)} macs", f"{cost.tokens_in + cost.tokens_out} tokens"]
    parts.append(f"{milliseconds:.0f} ms")
    if cost.money:
        parts.append(f"{cost.money:.6f} money")
    return ", ".join(parts)


def making_line(asked: int, cost: Cost) -> str:
    """What a change of the network cost to make, for people; nothing where that is not counted.

    `asked 120 requests another way to make it: 4.1M macs, 3400 tokens, 5200 ms, 0.030000 money`.
    """
    if asked:
        return f"asked {asked} requests another way to make it: {cost_line(cost, cost.milliseconds)}"
    return f"making it took {amount(cost.macs)} macs" if cost.macs else ""


def amount(number: float) -> str:
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.1f}{unit}"
    return f"{number:.0f}"


def route_line(reply: Reply) -> str:
    return click.style(
        f"[{reply.status}] {' > '.join(reply.route)} ({cost_line(reply.cost, reply.latency_ms)})", dim=True
    )
