"""Algebra: right answers, a parser that lets nothing through to sympy, and a worker that can be killed."""

import gc
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.tools.asking import answer, refusal
from tinyllm.errors import ToolTimeout
from tinyllm.tools.algebra import Algebra
from tinyllm.types import JSON


@pytest.fixture(scope="module")
def algebra() -> Iterator[Algebra]:
    tool = Algebra(seconds=10)
    yield tool
    tool.close()


@pytest.mark.parametrize(
    ("operation", "expression", "value", "text"),
    [
        ("solve", "3x + 5 = 20", ["5"], "x = 5"),
        ("solve", "x**2 + 4*x + 4 = 0", ["-2"], "x = -2"),
        ("solve", "x^2 = 2", ["-sqrt(2)", "sqrt(2)"], "x = -sqrt(2) ≈ -1.41421 or x = sqrt(2) ≈ 1.41421"),
        ("solve", "x(x+1) = 6", ["-3", "2"], "x = -3 or x = 2"),
        ("solve", "x^2 + 1 = 0", [], "x^2 + 1 = 0 has no real solution."),
        ("solve", "1/x = 0", [], "1/x = 0 has no real solution."),
        ("solve", "abs(x) = 3", ["-3", "3"], "x = -3 or x = 3"),
        ("solve", "x^5 - x + 1 = 0", ["-1.16730397826"], "x ≈ -1.16730397826"),
        ("solve", "e^x = 5", ["ln(5)"], "x = ln(5) ≈ 1.60944"),
        ("solve", "2 = 3", False, "That has no solution: it is never true."),
        ("solve", "x = x", True, "That is true whatever the variables are."),
        ("derive", "x^3", "3*x^2", "The derivative of x^3 with respect to x is 3*x^2."),
        ("derive", "ln(t)", "1/t", "The derivative of ln(t) with respect to t is 1/t."),
        ("integrate", "2x", "x^2 + C", "The integral of 2x with respect to x is x^2 + C."),
        ("factor", "x^2 + 4x + 4", "(x + 2)^2", "x^2 + 4x + 4 factored is (x + 2)^2."),
        ("expand", "(x+2)^2", "x^2 + 4*x + 4", "(x+2)^2 expanded is x^2 + 4*x + 4."),
        ("simplify", "(x^2-1)/(x-1)", "x + 1", "(x^2-1)/(x-1) simplified is x + 1."),
    ],
)
def test_answers(algebra: Algebra, operation: str, expression: str, value: JSON, text: str) -> None:
    result = answer(algebra, operation=operation, expression=expression)
    assert (result.value, result.text) == (value, text)


def test_the_variable_can_be_named(algebra: Algebra) -> None:
    assert answer(algebra, operation="solve", expression="y = 2x + 1", variable="y").value == ["2*x + 1"]
    assert "use one of x, y" in refusal(algebra, operation="solve", expression="y = 2x", variable="z").hint


@pytest.mark.parametrize(
    ("operation", "expression", "said"),
    [
        ("solve", "__import__('os').system('true')", "cannot be read"),
        ("solve", "x.__class__.__mro__ = 1", "cannot be read"),
        ("solve", "lambda: x = 1", "cannot be read"),
        ("simplify", "exec('1')", "'exec' cannot be used in algebra"),
        ("simplify", "globals()", "'globals' cannot be used in algebra"),
        ("solve", "2^(10^9) = x", "powers above 100"),
        ("solve", "x = 9^9^9^9", "powers above 100"),
        ("simplify", "((((9^99)^99)^99)^99)", "too large"),
        ("solve", "(" * 60 + "x" + ")" * 60, "nested deeper"),
        ("solve", "x" * 1_000_000, "longer than 500"),
        ("solve", "1/0 = x", "divided by zero"),
        ("solve", "x + e^x = ln(x)", "no closed form"),
        ("integrate", "x^x", "no closed form"),
        ("factor", "x = 2", "not an equation"),
        ("simplify", "sin", "write sin(x)"),
        ("simplify", "sni(x)", "did you mean 'sin'"),
        ("simplify", "x = = 2", "expected a number"),
        ("integral", "x", "did you mean 'integrate'"),
    ],
)
def test_refusals(algebra: Algebra, operation: str, expression: str, said: str) -> None:
    assert said in str(refusal(algebra, operation=operation, expression=expression))


def test_a_problem_without_end_is_killed_and_the_next_one_answered() -> None:
    algebra = Algebra(seconds=0.5)
    try:
        answer(algebra, operation="factor", expression="x^2 - 1")
        first = algebra._worker
        assert isinstance(refusal(algebra, operation="expand", expression="((x+y+1)^99)^99"), ToolTimeout)
        assert first is not None
        assert first.poll() is not None
        assert answer(algebra, operation="factor", expression="x^2 - 1").value == "(x - 1)*(x + 1)"
        second = algebra._worker
        answer(algebra, operation="factor", expression="x^2 - 4")
        assert algebra._worker is second  # it is used again
        assert second is not None
        second.kill()
        second.wait()
        assert answer(algebra, operation="factor", expression="x^2 - 4").value == "(x - 2)*(x + 2)"
    finally:
        algebra.close()
        algebra.close()
        gc.collect()


def test_the_worker_ends_with_its_parent() -> None:
    program = (
        "import asyncio, os\n"
        "from tinyllm.protocols import ToolContext\n"
        "from tinyllm.tools.algebra import Algebra\n"
        "algebra = Algebra(seconds=20)\n"
        "asyncio.run(algebra.call({'operation': 'factor', 'expression': 'x^2-1'}, ToolContext(0, 0)))\n"
        "print(algebra._worker.pid, flush=True); os._exit(1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    worker = int(done.stdout)
    for _ in range(100):
        if not _is_running(worker):
            return
        time.sleep(0.1)
    raise AssertionError(f"worker {worker} outlived its parent")


def _is_running(pid: int) -> bool:
    if sys.platform == "win32":
        listed = subprocess.run(
            ["tasklist", "/FI", f"PID eq {pid}"], capture_output=True, text=True, check=True
        )
        return str(pid) in listed.stdout
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")
