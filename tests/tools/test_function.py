"""A user's own function as a tool: its schema, its results, and every fault of a user's module."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.asking import CONTEXT, answer, refusal
from tinyllm.errors import GraphError, ToolTimeout, ToolUnavailable
from tinyllm.tools.function import MAX_ABANDONED, Function

MODULE = '''
import asyncio
import datetime
import threading
import time
from typing import Literal

release = threading.Event()


def area(width: float, height: float = 2.0, unit: Literal["m", "cm"] = "m") -> str:
    """The area of a rectangle.

    More that a model need not know.
    """
    return f"{width * height:g} {unit}"


async def greet(name: str) -> dict[str, str]:
    await asyncio.sleep(0)
    return {"hello": name}


def weekday(day: datetime.date) -> int:
    return day.weekday()


def awkward(model_config: str, examples: int, _x: int, self: int) -> list[object]:
    return [model_config, examples, _x, self]


def hang() -> None:
    release.wait(20)


async def block() -> None:
    release.wait(20)


def stop(x: int) -> None:
    raise StopIteration(f"no {x}")


def leave() -> None:
    raise SystemExit(3)


def thing() -> object:
    return object()


def nan() -> float:
    return float("nan")


def flood() -> str:
    return "x" * 1_000_000


def bare(x): return x
def unknown(x: "Nope") -> None: ...
def odd(x: threading.Event) -> None: ...
def star(*numbers: int) -> None: ...
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("functions")
    (folder / "user_tools.py").write_text(MODULE)
    (folder / "user_needs.py").write_text("import not_there_at_all")
    (folder / "user_broken.py").write_text("1 / 0")
    (folder / "user_syntax.py").write_text("def (")
    return folder


def test_schema_from_the_signature(folder: Path) -> None:
    spec = Function("user_tools:area", folder=folder).spec
    assert (spec.name, spec.description, spec.repeatable) == ("area", "The area of a rectangle.", False)
    assert spec.parameters["properties"] == {
        "width": {"type": "number"},
        "height": {"type": "number"},
        "unit": {"type": "string", "enum": ["m", "cm"]},
    }
    assert spec.parameters["required"] == ["width"]
    assert Function("user_tools:area", name="rectangle", folder=folder).spec.name == "rectangle"


def test_marks_of_the_function(folder: Path) -> None:
    (folder / "marked_tools.py").write_text(
        "def page() -> str:\n    return ''\n\npage.untrusted = page.guarded = True\n", encoding="utf-8"
    )
    spec = Function("marked_tools:page", folder=folder).spec
    assert (spec.repeatable, spec.untrusted, spec.guarded) == (False, True, True)
    spec = Function("user_tools:area", folder=folder).spec
    assert (spec.untrusted, spec.guarded) == (False, False)


def test_results(folder: Path) -> None:
    def tool(name: str) -> Function:
        return Function(f"user_tools:{name}", folder=folder)

    assert answer(tool("area"), width=3).text == "6 m"
    assert answer(tool("area"), width="3", height=0.5, unit="cm").text == "1.5 cm"
    greeting = answer(tool("greet"), name="Bob")
    assert (greeting.value, greeting.text) == ({"hello": "Bob"}, '{"hello": "Bob"}')
    assert answer(tool("weekday"), day="2026-11-26").value == 3
    assert answer(tool("awkward"), model_config="a", examples=1, _x=2, self=3).value == ["a", 1, 2, 3]


def test_a_wrong_call(folder: Path) -> None:
    area = Function("user_tools:area", folder=folder)
    assert "did you mean 'width'" in refusal(area, widht=3).message
    assert "'width' is missing" in refusal(area).message
    assert "'width' is wrong, got 'x'" in refusal(area, width="x").message
    assert "use one of m, cm" in refusal(area, width=1, unit="km").message


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("stop", {"x": 1}, "stop failed: StopIteration: no 1"),
        ("leave", {}, "leave failed: SystemExit: 3"),
        ("thing", {}, "not JSON"),
        ("nan", {}, "not JSON"),
        ("flood", {}, "more than the 20000 allowed"),
    ],
)
def test_faults_of_the_function(folder: Path, name: str, arguments: dict[str, int], said: str) -> None:
    tool = Function(f"user_tools:{name}", folder=folder)
    with pytest.raises(Exception) as caught:
        answer(tool, **arguments)
    assert said in str(caught.value)
    assert type(caught.value).__name__ == "ToolError"


def test_functions_that_hang(folder: Path) -> None:
    async def calls(tool: Function, count: int) -> list[BaseException | object]:
        return list(
            await asyncio.gather(*(tool.call({}, CONTEXT) for _ in range(count)), return_exceptions=True)
        )

    try:
        block = Function("user_tools:block", folder=folder, seconds=0.1)
        assert isinstance(refusal(block), ToolTimeout)
        hang = Function("user_tools:hang", folder=folder, seconds=0.1)
        errors = asyncio.run(calls(hang, MAX_ABANDONED))
        assert all(isinstance(error, ToolTimeout) for error in errors)
        assert isinstance(refusal(hang), ToolUnavailable)  # no thread without end after thread without end
    finally:
        sys.modules["user_tools"].release.set()


def test_a_function_that_hangs_does_not_keep_the_process(folder: Path) -> None:
    (folder / "user_hangs.py").write_text("import time\ndef hang() -> None:\n    time.sleep(600)\n")
    program = (
        "import asyncio, sys\n"
        "from tinyllm.errors import ToolTimeout\n"
        "from tinyllm.protocols import ToolContext\n"
        "from tinyllm.tools.function import Function\n"
        "tool = Function('user_hangs:hang', folder=sys.argv[1], seconds=0.1)\n"
        "try:\n"
        "    asyncio.run(tool.call({}, ToolContext(0, 0)))\n"
        "except ToolTimeout:\n"
        "    print('timed out')\n"
    )
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "timed out\n"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("user_tools", "write it as module:function"),
        ("user_tools:aera", "did you mean 'area'"),
        ("user_tool:area", "did you mean 'user_tools'"),
        ("user_needs:x", "needs 'not_there_at_all', which is not installed"),
        ("user_broken:x", "raised ZeroDivisionError"),
        ("user_syntax:x", "raised SyntaxError"),
        ("user_tools:bare", "parameter 'x' of 'user_tools:bare' has no annotation"),
        ("user_tools:unknown", "name 'Nope' is not defined"),
        ("user_tools:odd", "no JSON form"),
        ("user_tools:star", "*numbers"),
        ("user_tools:release", "no function 'release'"),
    ],
)
def test_faults_of_the_module(folder: Path, target: str, said: str) -> None:
    with pytest.raises(GraphError) as caught:
        Function(target, folder=folder)
    assert said in str(caught.value)
    assert caught.value.hint
