"""`tinyllm models`: the models of a network, what they run on and which nodes use them."""

from typing import TYPE_CHECKING, Any

import click

from tinyllm.cli.output import amount, json_flag, network_flag, print_json, settings

if TYPE_CHECKING:
    from tinyllm.graph import NodeSpec


@click.command()
@network_flag
@json_flag
def models(network: str | None, as_json: bool) -> None:
    """Example: tinyllm models --network ollama"""
    from tinyllm.cli.wiring import load_graph

    chosen = settings(network=network)
    graph = load_graph(chosen.network, chosen)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "backend": model.backend,
            "model": model.model,
            "parameters": model.parameters,
            "nodes": [node for node, spec in graph.nodes.items() if name in models_of(spec)],
        }
        for name, model in graph.models.items()
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        size = amount(row["parameters"]) if row["parameters"] else "?"
        click.echo(
            f"{row['name']:<14} {row['backend']:<10} {row['model']:<24} {size:>8}  {', '.join(row['nodes'])}"
        )


def models_of(spec: "NodeSpec") -> set[str]:
    """The models that a node asks, those of its checks included."""
    return {getattr(part, "model", None) or "" for part in (spec, *getattr(spec, "checks", ()))}
