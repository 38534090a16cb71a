"""`tinyllm keys`: who may ask the server."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import amount, json_flag, note, print_json, settings
from tinyllm.cli.stored import with_store
from tinyllm.errors import NotFound, RequestError
from tinyllm.protocols import Usage

if TYPE_CHECKING:
    from tinyllm.protocols import Store


@click.group()
def keys() -> None:
    """Example: tinyllm keys add laptop

    As soon as there is a key, `tinyllm serve` answers nobody without one. A running server heeds a change
    within a second.
    """


@keys.command(short_help="Make one; it is shown once.")
@click.argument("name")
@click.option("--tenant", help="Whose it is; the name, if left out. Tenants never see each other's runs.")
@click.option(
    "--right", "rights", multiple=True, type=click.Choice(["answer", "feedback", "admin"]), default=["answer"],
    help="What it may do; may be given several times.", show_default=True,
)  # fmt: skip
@click.option("--rate", type=click.IntRange(1), help="Requests a minute.")
@click.option("--tokens", type=click.IntRange(1), help="Tokens a day for its tenant.")
@click.option("--money", type=click.FloatRange(0, min_open=True), help="Money a day for its tenant.")
def add(
    name: str,
    tenant: str | None,
    rights: Sequence[str],
    rate: int | None,
    tokens: int | None,
    money: float | None,
) -> None:
    """Example: tinyllm keys add laptop --rate 60 --tokens 100000

    Prints the key. Only its hash is kept, so it cannot be shown again.
    """
    from pydantic import ValidationError

    from tinyllm.server.keys import Key, digest, new_secret, read_keys, write_keys

    path = settings().keys_file
    known = read_keys(path)
    if any(key.name == name for key in known):
        raise RequestError(f"there is a key {name!r} already", hint=f"tinyllm keys remove {name}")
    secret = new_secret()
    fields = {
        "name": name,
        "sha256": digest(secret),
        "tenant": tenant or name,
        "rights": rights,
        "rate": rate,
    }
    try:
        key = Key.model_validate({**fields, "tokens": tokens, "money": money, "created": time.time()})
    except ValidationError:
        raise RequestError(
            f"{name!r} or its tenant is no name", hint="use letters, digits, '-', '_', '.' and '@'"
        ) from None
    write_keys(path, [*known, key])
    click.echo(secret)
    note(f"key {name!r} of tenant {key.tenant!r} may {', '.join(rights)}; it is not shown again")


@keys.command("list", short_help="All of them, with what was spent today.")
@json_flag
def list_(as_json: bool) -> None:
    """Example: tinyllm keys list"""
    from tinyllm.server.keys import read_keys

    known = read_keys(settings().keys_file)
    today = time.time() // 86_400 * 86_400

    async def spent(store: "Store") -> dict[str, Usage]:
        return {
            tenant: await store.usage(tenant=tenant, since=today) for tenant in {key.tenant for key in known}
        }

    usage = with_store(spent) if known else {}
    if as_json:
        shown = [key.model_dump(mode="json", exclude={"sha256"}) for key in known]
        for row in shown:
            row["today"] = usage[row["tenant"]]
        print_json(shown)
        return
    for key in known:
        used = usage[key.tenant]
        tokens = amount(used.cost.tokens_in + used.cost.tokens_out)
        click.echo(
            f"{key.name:<20} {key.tenant:<20} {', '.join(key.rights):<24} today: {used.runs} runs, {tokens} tokens"
        )
    if not known:
        note("there is no key: `tinyllm serve` answers anybody on this machine")


@keys.command(short_help="Take one back.")
@click.argument("name")
def remove(name: str) -> None:
    """Example: tinyllm keys remove laptop"""
    from tinyllm.server.keys import read_keys, write_keys

    path = settings().keys_file
    known = read_keys(path)
    kept = [key for key in known if key.name != name]
    if len(kept) == len(known):
        raise NotFound(f"there is no key {name!r}", hint="tinyllm keys list")
    write_keys(path, kept)
    click.echo(f"key {name!r} is removed")
