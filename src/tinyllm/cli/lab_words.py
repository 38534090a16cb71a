"""How the commands of the lab speak: what went wrong, how far a run is, and figures."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyllm.cli.output import note, terminal
from tinyllm.errors import RequestError, SettingsError, TinyLLMError
from tinyllm.types import JSON

if TYPE_CHECKING:
    from tinyllm.lab.folder import Told

RUNS_DIR = Path("runs")


def lacking(error: ModuleNotFoundError) -> SettingsError:
    """What to do where a library of the lab is missing."""
    return SettingsError(
        f"the lab needs {error.name!r}, which is not installed", hint="pip install 'tinyllm-network[lab]'"
    )


@contextmanager
def lab_errors() -> Iterator[None]:
    """The lab's own words for what went wrong, and what to install where its libraries are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise lacking(error) from error
    except MemoryError as error:
        raise RequestError("the memory is full", hint="--set a smaller batch or width") from error
    except ValueError as error:  # how the lab refuses a setting or an option
        command = click.get_current_context().command_path
        raise RequestError(str(error), hint=f"change what was given: {command} --help") from error
    except RuntimeError as error:
        told = str(error)
        if "out of memory" in told or "not enough memory" in told:
            raise RequestError("the memory is full", hint="--set a smaller batch or width") from error
        if type(error).__name__ == "Diverged":
            raise TinyLLMError(
                told,
                hint="--fresh and a lower --set lr; until then the folder keeps the last good checkpoint",
            ) from error
        raise


@contextmanager
def bars() -> Iterator["Told"]:
    """A progress bar for each part of a run, on stderr; where that is no terminal, a line for each tenth."""
    with ExitStack() as stack:
        begun: dict[str, Any] = {}

        def told(what: str, step: int, steps: int, loss: float, left: float) -> None:
            if what not in begun:
                stack.close()  # the bar before it is done
                made = click.progressbar(
                    length=steps, label=f"{what:20}", item_show_func=str, file=sys.stderr, width=30
                )
                begun[what] = stack.enter_context(made)
            begun[what].update(step - begun[what].pos, f"loss {loss:.4f}")

        try:
            yield told if terminal() else _line
        except KeyboardInterrupt:
            note("\nthe same command goes on from the last checkpoint")
            raise


def _line(what: str, step: int, steps: int, loss: float, left: float) -> None:
    if step == steps or step * 10 // steps > (step - 1) * 10 // steps:
        note(f"{what:20}{step:>7} of {steps}  loss {loss:.4f}  {left:.0f} s left")


def figure_text(value: JSON) -> str:
    """A figure in four digits, an interval as `LOW to HIGH`, none as `-`."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return " to ".join(map(figure_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
