"""`tinyllm graph`: shows a network, judges a file, writes a first one."""

from difflib import get_close_matches
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import json_flag, note, print_json, settings
from tinyllm.cli.stored import with_store
from tinyllm.errors import GraphError, SettingsError

if TYPE_CHECKING:
    from tinyllm.graph import Graph


class _ShowByDefault(click.Group):
    """`graph starter` means `graph show starter`."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not Path(args[0]).exists():
            for near in get_close_matches(args[0], self.commands, 1, cutoff=0.7):
                raise click.UsageError(f"there is no command {args[0]!r}; did you mean {near!r}?", context)
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["show", *args]
        return super().parse_args(context, args)


@click.group(cls=_ShowByDefault)
def graph() -> None:
    """Example: tinyllm graph starter

    `graph [NAME|FILE]` shows a network; `graph check FILE` judges a file, `graph init` writes a first one.
    """


@graph.command(short_help="Show a network (the default).")
@click.argument("name", metavar="[NAME|FILE|VERSION]", required=False)
@json_flag
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print a Mermaid flowchart.")
@click.option("--svg", metavar="FILE", help="Write a picture; `-` is standard output.")
def show(name: str | None, as_json: bool, as_mermaid: bool, svg: str | None) -> None:
    """Example: tinyllm graph starter --svg starter.svg

    VERSION is one of `tinyllm history`, or the id of a graph in the store. Without a name, what answers now.
    """
    from tinyllm.cli import pictures

    network = _find(name)
    if as_json:
        print_json({"id": network.id, **network.as_json()})
    elif as_mermaid:
        click.echo(pictures.mermaid(network))
    elif svg:
        with click.open_file(svg, "w", encoding="utf-8") as file:
            file.write(pictures.svg(network))
        if svg != "-":
            note(f"wrote {svg}")
    else:
        click.echo(pictures.text(network))


@graph.command(short_help="Judge a file; every fault with its line.")
@click.argument("file", metavar="NAME|FILE")
@json_flag
@click.pass_context
def check(context: click.Context, file: str, as_json: bool) -> None:
    """Example: tinyllm graph check network.yaml

    Whether what it needs is here, `tinyllm doctor --network network.yaml` says.
    """
    from tinyllm.cli.wiring import NODE_TOOLS, read_network
    from tinyllm.cli.workshop import require_backend
    from tinyllm.graph import parse

    try:
        network = parse(read_network(file), source=file, tools=NODE_TOOLS)
    except GraphError as error:
        if not as_json:
            raise
        print_json({"ok": False, "problems": list(error.problems)})
        context.exit(2)
    if as_json:
        print_json({"ok": True, "id": network.id, "nodes": len(network.nodes)})
    else:
        click.echo(f"{file}: a legal network of {len(network.nodes)} nodes, {network.id}")
        chosen = settings()
        try:
            for name, model in network.models.items():
                require_backend(name, model, chosen)
        except SettingsError as error:
            note(f"it cannot run here yet: {error.message}\nnext: {error.hint}")


@graph.command(short_help="Write a commented first network.")
@click.argument("file", type=click.Path(path_type=Path), default=Path("network.yaml"))
def init(file: Path) -> None:
    """Example: tinyllm graph init network.yaml

    Writes a commented first network; a file that is there already is left alone.
    """
    try:
        with file.open("x", encoding="utf-8", newline="\n") as out:
            out.write(files("tinyllm.cli").joinpath("first_network.yaml").read_text(encoding="utf-8"))
    except FileExistsError:
        raise click.UsageError(f"{str(file)!r} is there already: name another file") from None
    click.echo(str(file))
    note(f'next: tinyllm ask --network {file} "what is 12% of 80?"')


def _find(name: str | None) -> "Graph":
    """The network called so, in the file of that name, or of that version; without a name what answers now."""
    from tinyllm.cli.versions import graph_named, is_stored, note_rising
    from tinyllm.cli.wiring import effective, load_file, load_graph

    chosen = settings(network=None if name is None or is_stored(name) else name)
    if name is None:
        from tinyllm.learning.versions import head_of

        head = with_store(partial(head_of, base=load_file(chosen.network)))
        note_rising(head)
        return effective(head.graph, chosen)
    if is_stored(name):
        return with_store(partial(graph_named, name=name, settings=chosen))
    return load_graph(chosen.network, chosen)
