"""The Python sandbox: what it runs, and a dozen ways to break out of it or wear it down."""

import pytest

from tests.tools.asking import answer, refusal
from tinyllm.errors import ToolTimeout
from tinyllm.tools.python import MAX_OUTPUT, Python
from tinyllm.types import JSON

PYTHON = Python(seconds=0.5)


@pytest.mark.parametrize(
    ("code", "value", "text"),
    [
        ("sum(n * n for n in range(10))", 285, "285"),
        ("print('a'); print('b')", "a\nb", "a\nb"),
        ("print('a')\n[1, (2, 3)]", [1, [2, 3]], "a\n[1, [2, 3]]"),
        ("'text'", "text", "text"),
        ("2 ** 200", 2**200, str(2**200)),
        ("import datetime\nstr(datetime.datetime.now())", "2026-11-26 15:30:00", "2026-11-26 15:30:00"),
        ("x = 3", None, "The program ran; it printed nothing and its last line is no expression."),
    ],
)
def test_programs(code: str, value: JSON, text: str) -> None:
    result = answer(PYTHON, code=code)
    assert (result.value, result.text) == (value, text)


def test_random_numbers_are_those_of_the_run() -> None:
    code = "import random\n[random.random() for _ in range(3)]"
    assert answer(PYTHON, code=code).value == answer(PYTHON, code=code).value


def test_nothing_is_left_of_an_earlier_program() -> None:
    answer(PYTHON, code="secret = 1")
    assert "secret" in refusal(PYTHON, code="secret").message


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = []\nwhile True:\n    x.append('a' * 100000)", "MemoryError"),
        ("'a' * 10**10", "MemoryError"),
        ("[0] * 10**10", "MemoryError"),
        ("2 ** (10**9)", "MemoryError"),
        ("9 ** 9 ** 9 ** 9", "MemoryError"),
        ("def f(n):\n    return f(n + 1)\nf(0)", "RecursionError"),
        ("import os\nos.listdir('/')", "PermissionError"),
        ("import os\nos.system('true')", "Error"),
        ("open('/etc/passwd').read()", "PermissionError"),
        ("open('note.txt', 'w').write('x')", "PermissionError"),
        ("import socket", "ModuleNotFoundError"),
        ("import subprocess", "ModuleNotFoundError"),
        ("__import__('os')", "NameError"),
        ("().__class__.__bases__[0].__subclasses__()", "AttributeError"),
        ("raise ValueError('x' * 10**6)", "ValueError"),
        ("import sys\nsys.exit(3)", "Error"),
        ("def", "line 1"),
        ("1 +\n\nx.y", "line 1"),
        ("x = 1\n\nx.foo", "line 3"),
        ("class A: pass\nclass B(A): pass", "inheritance"),
        ("'a' * 5000", "5000 characters"),
        ("10 ** 5000", "cannot be returned"),
        ("float('nan')", "cannot be returned"),
        ("x" * 1_000_000, "longer than 20000"),
    ],
)
def test_hostile_and_wrong_programs(code: str, said: str) -> None:
    assert said in refusal(PYTHON, code=code).message


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass",
        "sum(range(10**12))",
        "import time\ntime.sleep(60)",
        "while True: print('x' * 1000)",
    ],
)
def test_programs_without_end(code: str) -> None:
    assert isinstance(refusal(PYTHON, code=code), ToolTimeout)


def test_a_flood_of_output_is_cut() -> None:
    text = answer(PYTHON, code="for n in range(2000): print('x' * 100)").text
    assert text.endswith("(output cut here)")
    assert len(text) < MAX_OUTPUT + 100


def test_the_description_names_what_is_missing() -> None:
    assert "no inheritance" in PYTHON.spec.description
    assert "no inheritance" in refusal(PYTHON, code="import socket").hint
