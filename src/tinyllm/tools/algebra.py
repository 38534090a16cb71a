"""Algebra: equations solved, expressions derived, integrated, factored, expanded and simplified.

sympy works in a process of its own, because a hard problem can take for ever and only a process can be
killed. The process starts when it is first needed, is used again, and ends with this one: its input closes.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from tinyllm.errors import ToolError, ToolTimeout, ToolUnavailable
from tinyllm.protocols import ToolContext
from tinyllm.tools.arguments import Arguments, check, describe
from tinyllm.tools.expression import parse
from tinyllm.tools.threads import run_in_thread
from tinyllm.types import JSON, ToolResult

START = 30.0  # seconds that the worker may take to import sympy on a busy machine


class AlgebraArguments(Arguments):
    operation: Literal["solve", "derive", "integrate", "factor", "expand", "simplify"]
    expression: str = Field(max_length=500, description="such as 3x + 5 = 20; multiplication may be left out")
    variable: str | None = Field(None, max_length=1, description="x where there is one, else the only letter")
    examples: ClassVar = (
        {"operation": "solve", "expression": "3x + 5 = 20"},
        {"operation": "derive", "expression": "x^3 + 2x"},
        {"operation": "integrate", "expression": "2x"},
        {"operation": "factor", "expression": "x^2 + 4x + 4"},
        {"operation": "expand", "expression": "(x + 2)^2"},
        {"operation": "simplify", "expression": "(x^2 - 1)/(x - 1)"},
    )


class Algebra:
    """Works on symbols. A value is an expression as text, or a list of them. `seconds` bounds one call."""

    def __init__(self, seconds: float = 5.0) -> None:
        self.seconds = seconds
        self._worker: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self.spec = describe(
            "algebra",
            "Solve an equation, or derive, integrate, factor, expand or simplify an expression with "
            "variables. log is to base 10, ln natural.",
            AlgebraArguments,
        )

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Work it out. Raises ToolError for what cannot be read or has no closed form, ToolTimeout."""
        asked = check(AlgebraArguments, arguments)
        parse(asked.expression, variables=True)  # refuse here what the worker would: it is quicker
        line = json.dumps(asked.model_dump())
        limit = START + 2 * self.seconds
        answer = json.loads(await run_in_thread(lambda: self._ask(line), seconds=limit, what="the algebra"))
        if "error" in answer:
            raise ToolError(answer["error"], hint=answer["hint"])
        return ToolResult(answer["value"], answer["text"])

    def close(self) -> None:
        """End the worker. Safe to call twice; a later call starts another."""
        worker, self._worker = self._worker, None
        if worker:
            _end(worker)

    def _ask(self, line: str) -> str:
        """The worker's answer to one line. Raises ToolTimeout after `seconds` and kills the worker."""
        with self._lock:
            if self._worker is None or self._worker.poll() is not None:
                self._worker = _start()
                if not _exchange(self._worker, "", START):
                    self.close()
                    raise ToolUnavailable(
                        "the algebra worker does not start", hint="reinstall the package sympy"
                    )
            answer = _exchange(self._worker, line, self.seconds)
            if answer:
                return answer
            self.close()
        raise ToolTimeout(
            f"the algebra took longer than {self.seconds:g} s or too much memory",
            hint="ask for something simpler",
        )


def _start() -> "subprocess.Popen[str]":
    root = Path(__file__).parents[2]  # the folder that holds the package, wherever it was imported from
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tinyllm.tools.algebra_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )


def _exchange(worker: "subprocess.Popen[str]", line: str, seconds: float) -> str:
    """Send a line (none where empty) and read one; "" where the worker ended, or had to be killed."""
    assert worker.stdin and worker.stdout
    timer = threading.Timer(seconds, worker.kill)
    timer.start()
    try:
        if line:
            worker.stdin.write(line + "\n")
            worker.stdin.flush()
        return worker.stdout.readline()
    except OSError:
        return ""
    finally:
        timer.cancel()


def _end(worker: "subprocess.Popen[str]") -> None:
    assert worker.stdin and worker.stdout
    worker.kill()
    worker.wait()
    worker.stdout.close()
    try:
        worker.stdin.close()
    except OSError:
        pass  # what was not yet written has no reader any more
