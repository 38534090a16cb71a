"""`tinyllm completion`: the script that completes commands in a shell."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Example: eval "$(tinyllm completion bash)\""""
    kind = get_completion_class(shell)
    assert kind is not None  # the choices above are click's own
    click.echo(kind(context.find_root().command, {}, "tinyllm", "_TINYLLM_COMPLETE").source())
