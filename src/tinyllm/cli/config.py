"""`tinyllm config`: the settings in force and where each one comes from; secrets are never shown."""

import click

from tinyllm.cli.output import json_flag, print_json


@click.group()
def config() -> None:
    """Example: tinyllm config show --origin"""


@config.command(short_help="Every setting, secrets masked.")
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@json_flag
def show(origin: bool, as_json: bool) -> None:
    """Example: tinyllm config show --origin"""
    from tinyllm.settings import read_settings

    rows = list(read_settings().rows())
    if as_json:
        print_json({n: {"value": v, "origin": o} if origin else v for n, v, o in rows})
        return
    width = max(len(name) for name, _, _ in rows)
    for name, value, source in rows:
        shown = "(not set)" if value is None else str(value)
        click.echo(f"{name:<{width}}  {shown}" + (f"  <- {source}" if origin else ""))
