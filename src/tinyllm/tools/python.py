"""Python: a program in a sandbox, with hard limits on time, memory, recursion and output.

The sandbox is pydantic-monty's interpreter in a process of its own, one for each call: it has no files, no
network and no modules of the host. Starting it costs 5 ms.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import Field
from pydantic_core import to_jsonable_python

from tinyllm.errors import ToolError, ToolTimeout, ToolUnavailable
from tinyllm.protocols import ToolContext
from tinyllm.tools.arguments import Arguments, check, describe
from tinyllm.types import JSON, ToolResult

MAX_CODE = 20_000
MAX_OUTPUT = 4_000  # characters of printed text and of the value
MEMORY = 64 * 2**20
RECURSION = 200
_LACKS = (
    "A subset of Python: no inheritance, no yield, no del, no property, classmethod or staticmethod; of the "
    "standard library parts of math, re, json, datetime, random, itertools, functools, collections, decimal, "
    "dataclasses, bisect, copy and typing; no files, no network, no packages."
)


class PythonArguments(Arguments):
    code: str = Field(max_length=MAX_CODE, description="the program; its last expression is the result")
    examples: ClassVar = (
        {"code": "total = sum(n * n for n in range(10))\ntotal"},
        {"code": "for n in range(3):\n    print(n)"},
    )


class Python:
    """Runs a program; its value is its last expression (JSON), or what it printed where there is none.

    `seconds` bounds its computing time. Clock and random numbers are those of the run, so that it repeats.
    """

    def __init__(self, seconds: float = 2.0) -> None:
        self.seconds = seconds
        self.spec = describe(
            "python",
            f"Run a Python program and return its last expression or its output. {_LACKS}",
            PythonArguments,
        )

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Run the program. Raises ToolTimeout, or ToolError with the program's own error."""
        code = check(PythonArguments, arguments).code
        printed = _Printed()
        async with self._session(context) as feed:
            return _result(await feed(code, printed), printed)

    async def errors(self, pieces: Sequence[str], context: ToolContext) -> list[str | None]:
        """What goes wrong in pieces that run one after another in one sandbox: an error for each, None where it
        ran; after an error nothing runs. Raises ToolUnavailable."""
        found: list[str | None] = []
        async with self._session(context) as feed:
            for piece in pieces:
                try:
                    await feed(piece, _Printed())
                except ToolError as error:
                    return [*found, error.message]
                found.append(None)
        return found

    @asynccontextmanager
    async def _session(self, context: ToolContext) -> AsyncIterator["_Feed"]:
        """A sandbox of its own; what it is fed raises ToolTimeout, or ToolError with the program's own error."""
        import pydantic_monty as monty

        limits: monty.ResourceLimits = {
            "max_feed_duration_secs": self.seconds,
            "max_memory": MEMORY,
            "max_recursion_depth": RECURSION,
            "max_suspensions": 100,
            "max_total_sleep_secs": self.seconds,
        }
        policy: monty.OSPolicy = {
            "datetime": datetime.fromtimestamp(context.clock, UTC),
            "random_start": {"seed": context.seed},
        }
        try:
            async with (
                monty.AsyncMonty(min_processes=1, max_processes=1, request_timeout=self.seconds + 2) as pool,
                pool.checkout(limits=limits, os_policy=policy) as session,
            ):

                async def feed(code: str, printed: _Printed) -> Any:
                    try:
                        return await session.feed_run(code, print_callback=printed)
                    except monty.MontyCrashedError as error:
                        if error.timed_out:
                            raise self._timeout() from None
                        raise ToolError(
                            "the program crashed the sandbox", hint="use less memory or recursion"
                        ) from error
                    except monty.MontyError as error:
                        if isinstance(error.exception(), TimeoutError):
                            raise self._timeout() from None
                        raise _program_error(error, printed) from None

                yield feed
        except (monty.MontyError, FileNotFoundError, RuntimeError, OSError) as error:
            raise ToolUnavailable(
                f"the Python sandbox cannot start: {error}", hint="reinstall the package pydantic-monty"
            ) from error

    def _timeout(self) -> ToolTimeout:
        return ToolTimeout(f"the program ran longer than {self.seconds:g} s", hint="make it do less")


_Feed = Callable[[str, "_Printed"], Awaitable[Any]]


class _Printed:
    """What a program prints, up to MAX_OUTPUT characters."""

    def __init__(self) -> None:
        self.text = ""
        self.cut = False

    def __call__(self, stream: str, text: str) -> None:
        room = MAX_OUTPUT - len(self.text)
        self.text += text[:room]
        self.cut = self.cut or len(text) > room


def _program_error(error: Any, printed: _Printed) -> ToolError:
    """The program's error with its line, and why where the subset is to blame."""
    frames = error.traceback() if hasattr(error, "traceback") else []
    line = f" on line {frames[-1].line}" if frames else ""
    said = str(error)[:500]
    lacking = any(name in said for name in ("NotImplementedError", "ModuleNotFoundError", "PermissionError"))
    before = f"; it had printed {printed.text[-200:]!r}" if printed.text else ""
    return ToolError(
        f"the program failed{line}: {said}{before}", hint=_LACKS if lacking else "correct the program"
    )


def _result(value: Any, printed: _Printed) -> ToolResult:
    try:
        plain = to_jsonable_python(value, fallback=str)
        shown = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise ToolError(
            f"the program's value cannot be returned: {error}"[:300], hint="print what is needed"
        ) from error
    if len(shown) > MAX_OUTPUT:
        raise ToolError(
            f"the program's value has {len(shown)} characters, more than {MAX_OUTPUT}",
            hint="return a part of it",
        )
    output = printed.text.rstrip("\n") + ("\n(output cut here)" if printed.cut else "")
    if value is None:
        text = output or "The program ran; it printed nothing and its last line is no expression."
        return ToolResult(output or None, text)
    return ToolResult(plain, f"{output}\n{shown}" if output else shown)
