"""`tinyllm`: finds the command, runs it, and turns every error into a message and an exit code.

Exit codes: 0 answered, refused or escalated; 1 failed; 2 wrong usage or file; 3 a backend cannot be reached;
130 Ctrl-C. A command's module is imported only when it runs, so that help costs next to nothing.
"""

import io
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from tinyllm.errors import RequestError, TinyLLMError

# Name -> module and the line that `tinyllm --help` shows.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Play a mixed set of questions through the starter network."),
    "ask": ("ask", "Answer one question."),
    "chat": ("chat", "Talk to a network."),
    "serve": ("serve", "Answer over HTTP, for any client of OpenAI or Ollama."),
    "keys": ("keys", "Make and remove the keys that `serve` asks for."),
    "mcp": ("mcp", "Use tools of other programs, and be one of theirs."),
    "batch": ("batch", "Answer a file of questions; resumes where it stopped."),
    "graph": ("graph", "Show, check or begin a network."),
    "trace": ("trace", "Show how an answer came about."),
    "feedback": ("feedback", "Say whether an answer was good, or what is right."),
    "grades": ("grades", "See how the answers were graded, and grade more of them."),
    "failures": ("failures", "See which answers were wrong, of which kind, and by whose fault."),
    "memory": ("memory", "See and change what networks remember of you."),
    "learn": ("learn", "Find what fails, try changes, adopt what is proven."),
    "teach": ("teach", "Bring examples of what the network should answer, and let it learn them."),
    "history": ("versions", "See what the network has become, version by version."),
    "trials": ("trials", "See which changes were tried, and what each showed."),
    "diff": ("versions", "See in what two versions or files differ."),
    "rollback": ("versions", "Go back to an earlier version."),
    "queue": ("queue", "List and answer the questions that wait for a person."),
    "store": ("store", "See, export and delete what is kept."),
    "models": ("models", "List the models of a network."),
    "config": ("config", "Show the settings and where each comes from."),
    "starter": ("starter", "Build the shipped models anew."),
    "lab": ("lab", "Build and train models yourself, from one weight to a language model."),
    "bench": ("bench", "Run a standing experiment on your own data."),
    "doctor": ("doctor", "Check the installation, each fault with its mend."),
    "completion": ("completion", "Print the completion script of a shell."),
}


class Commands(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"tinyllm.cli.{COMMANDS[name][0]}"), name)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            if " " in args[0].strip():
                raise RequestError("a question needs its command", hint=f"tinyllm ask {args[0]!r}")
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}{meant}", context)
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line and exit with its code; never shows a traceback unless TINYLLM_DEBUG is set."""
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
        except TinyLLMError as error:
            _tell(error.message, error.hint)
            code = error.exit_code
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            code = 2
        except click.ClickException as error:
            if isinstance(error, click.UsageError) and error.ctx:
                _tell(error.format_message(), f"{error.ctx.command_path} --help")
            else:
                _tell(error.format_message(), "tinyllm --help")
            code = 2
        except click.Abort:
            click.echo("stopped", err=True)
            code = 130
        except OSError as error:
            told = f"{error.filename!r}: {error.strerror}" if error.filename else str(error)
            _tell(told, "check the path, its permissions and the space on the disk")
            _drop_output()
            code = 1
        except Exception as error:  # the process's outermost edge: a fault of ours, told rather than thrown
            if os.environ.get("TINYLLM_DEBUG"):
                raise
            _tell(
                f"unexpected {type(error).__name__}: {error}",
                "set TINYLLM_DEBUG=1 to see where, and report it",
            )
            code = 1
        sys.exit(code if isinstance(code, int) else 0)


def _drop_output() -> None:
    """Let go what a full disk would not take: Python tries again at its end, and then sets a code of its own."""
    with suppress(OSError, ValueError):  # no file stands behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(message: str, hint: str) -> None:
    from tinyllm.cli.output import plain  # messages quote what servers and files say

    color = False if os.environ.get("NO_COLOR") else None
    click.echo(f"{click.style('error:', fg='red')} {plain(message)}", err=True, color=color)
    if hint:
        click.echo(f"next: {plain(hint)}", err=True)


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"tinyllm {version('tinyllm-network')}")
        context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Version."
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Example: tinyllm ask "what is 847 * 392?"

    A network of small language models that answers like a larger one at a fraction of its cost.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that lacks a character still shows the rest
    cli(prog_name="tinyllm")
