"""The table of tools: every schema is sound, every example works, every reader's operation is served."""

import json
import subprocess
import sys

import pytest

from tests.tools.asking import answer, refusal
from tinyllm.protocols import Tool
from tinyllm.starter.calls import OPS
from tinyllm.tools.table import TOOLS
from tinyllm.types import JSON

VALUES = {
    "n": "12",
    "n n": "5",
    "u": "meter",
    "d": "today",
    "t": "15:30",
    "z": "Asia/Tokyo",
    "w": "potato",
    "c": "o",
}


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tool]:
    notes = tmp_path_factory.mktemp("notes")
    (notes / "a.txt").write_text("garage door code 4711")
    (notes / "own.py").write_text("def own(x: int = 1) -> int:\n    return x\n")
    options: dict[str, dict[str, JSON]] = {"lookup": {"folder": notes}}
    options["function"] = {"target": "own:own", "folder": notes}
    return {name: build(**options.get(name, {})) for name, build in TOOLS.items()}


@pytest.mark.parametrize("name", TOOLS)
def test_schema_and_examples(tools: dict[str, Tool], name: str) -> None:
    tool = tools[name]
    assert tool.spec.name == ("own" if name == "function" else name)
    assert tool.spec.description
    parameters = json.loads(json.dumps(tool.spec.parameters))
    assert (parameters["type"], parameters["additionalProperties"]) == ("object", False)
    assert '"title":' not in json.dumps(parameters)
    assert "null" not in json.dumps(parameters)
    for example in parameters.get("examples", [{}]):
        result = answer(tool, **example)
        json.dumps(result.value, allow_nan=False)
        assert result.text
    wrong = refusal(tool, nonsense=1)
    assert "unknown argument 'nonsense'" in wrong.message


@pytest.mark.parametrize("name", [op.name for op in OPS.values() if op.tool])
def test_every_operation_of_the_readers_is_served(tools: dict[str, Tool], name: str) -> None:
    op = OPS[name]
    expression = "3*x+5=20" if name == "solve" else "x**2+4*x+4" if op.tool == "algebra" else "78*81-5"
    slots = []
    for place, kinds in enumerate(op.kinds):
        kind = kinds.split()[0]
        value = {"e": expression, "l": "3, 7, 9, 24", "u": kind[2:] or "meter"}
        slots.append(value.get(kind[0]) or {"n": ["12", "4"][place % 2]}.get(kind[0]) or VALUES[kind[0]])
    if name == "from_binary":
        slots = ["1010"]
    if name == "from_hex":
        slots = ["1f"]
    arguments = {
        key: slots[0].split(", ")
        if value == ["{0}"]
        else [v.format(*slots) for v in value]
        if isinstance(value, list)
        else value.replace(":()", "").format(*slots)
        if isinstance(value, str)
        else value
        for key, value in op.arguments.items()
    }
    result = answer(tools[op.tool], **arguments)
    assert result.text


def test_the_table_imports_no_tool_and_building_one_nothing_heavy() -> None:
    program = (
        "import sys; from tinyllm.tools.table import TOOLS\n"
        "own = {m for m in sys.modules if m.startswith('tinyllm.tools.')}\n"
        "assert own == {'tinyllm.tools.table'}, own\n"
        "for name in TOOLS.keys() - {'lookup', 'function'}:\n"
        "    TOOLS[name]()\n"
        "heavy = {'pint', 'sympy', 'numpy', 'pydantic_monty', 'sqlite3'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
