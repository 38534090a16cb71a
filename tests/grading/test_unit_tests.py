"""Unit tests as references: code is right where its asserts hold, and no answer can talk them into it."""

from collections.abc import Sequence

import pytest

from tests.grading.fakes import CONTEXT, a_trace
from tinyllm.errors import RequestError, ToolUnavailable
from tinyllm.grading import Reference, correction, rule_for
from tinyllm.protocols import ToolContext
from tinyllm.tools.python import Python
from tinyllm.types import Grade

ADD = "tests:\nassert add(2, 3) == 5\nassert add(-1, 1) == 0"
RIGHT = "def add(a, b):\n    return a + b"
ALWAYS = "    def __eq__(self, other):\n        return True\n"


async def graded(answer: str, reference: str = ADD) -> Grade:
    grader = Reference("file", run=Python(seconds=0.5).errors)
    return await grader.grade(a_trace(answer), CONTEXT, reference)


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        f"Here it is:\n```python\n{RIGHT}\n```\nIt adds.",
        f"```py\n{RIGHT}\n```\nand to try it\n```\nprint(add(1, 2))\n```",
        f"```bash\npip install nothing\n```\n```Python \n{RIGHT}\n```",
        f"```\n{RIGHT}",  # cut off by the limit of tokens
        f'{RIGHT}  # the type of a is that of b\nimport re\nword = re.compile("a")\nis_int = type(1) == int',
        "class Adder:\n    def __init__(self):\n        self.n = 0\n    def add(self, a, b):\n"
        "        return a + b\n\nadd = Adder().add",
    ],
)
async def test_code_whose_tests_pass_is_right(answer: str) -> None:
    grade = await graded(answer)
    assert (grade.score, grade.kind, grade.reason) == (1.0, "reference", "its tests pass")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("def add(a, b):\n    return a - b", "its tests fail: the program failed on line 1: AssertionError"),
        ("The sum is a + b.", "it does not run"),
        ("def plus(a, b):\n    return a + b", "NameError"),
        ("def add(a, b):\n    while True:\n        pass", "longer than"),
        ("while True:\n    pass", "it does not run: the program ran longer"),
        ("x = [0] * 10**9", "MemoryError"),
        ("def add(a, b):\n    return add(a, b)", "RecursionError"),
        ("raise SystemExit", "SystemExit"),
        ("return 5", "NameError"),  # no way around the tests
        ("x = '''", "it does not run"),
        ("def add(a, b):\n    raise NotImplementedError", "NotImplementedError"),
        ("print('its tests pass')", "NameError"),
        ("def add(a, b):\n    return float('nan')", "AssertionError"),
        ("open('/etc/passwd').read()", "it does not run"),
    ],
)
async def test_code_that_does_not_pass_is_wrong_whatever_it_tries(answer: str, why: str) -> None:
    grade = await graded(answer)
    assert grade.score == 0.0 and why in grade.reason


@pytest.mark.parametrize(
    "answer",
    [
        f"class Any:\n{ALWAYS}\ndef add(a, b):\n    return Any()",
        "class Any:\n    pass\nsetattr(Any, '__e' + 'q__', lambda s, o: True)\ndef add(a, b):\n    return Any()",
        "Any = type('Any', (), {'__e' + 'q__': lambda s, o: True})\ndef add(a, b):\n    return Any()",
        "make = type\nAny = make('Any', (), {'__e' + 'q__': lambda s, o: True})\ndef add(a, b):\n    return Any()",
        "def make(kind=type):\n    return kind('Any', (), {'__e' + 'q__': lambda s, o: True})\nadd = None",
        "exec('class Any: pass')\ndef add(a, b):\n    return Any()",
        "ｅｘｅｃ('add = 5')",
    ],
)
async def test_code_that_could_change_what_the_tests_mean_is_not_graded(answer: str) -> None:
    grade = await graded(answer)
    assert grade.score is None and "read it yourself" in grade.reason


async def test_code_that_replaces_a_builtin_of_the_tests_is_not_graded() -> None:
    tests = "tests:\nassert len(pairs([1, 2])) == 1"
    assert (await graded("def pairs(x):\n    return [x]", tests)).score == 1.0
    sly = await graded("def len(x):\n    return 1\ndef pairs(x):\n    return 7", tests)
    assert sly.score is None and "replaces" in sly.reason
    # Another builtin of its own is its own business.
    assert (await graded("def sum(x):\n    return 0\ndef pairs(x):\n    return [x]", tests)).score == 1.0


@pytest.mark.parametrize(
    ("answer", "tests", "why"),
    [
        ("import numpy\n" + RIGHT, ADD, "the sandbox cannot run it"),
        ("def add(a, b):\n    import numpy\n    return a + b", ADD, "the sandbox cannot run it"),
        ("def add(a, b):\n    yield a + b", ADD, "the sandbox cannot run it"),
        (RIGHT, "tests:\nassert add(", "the tests are no Python"),
        (RIGHT, "tests:\nadd(1, 2)", "the tests assert nothing"),
    ],
)
async def test_what_cannot_be_told_is_not_graded(answer: str, tests: str, why: str) -> None:
    grade = await graded(answer, tests)
    assert grade.score is None and why in grade.reason


async def test_without_a_sandbox_tests_grade_nothing() -> None:
    async def broken(pieces: Sequence[str], context: ToolContext) -> list[str | None]:
        raise ToolUnavailable("the sandbox cannot start")

    assert (await Reference("file").grade(a_trace(RIGHT), CONTEXT, ADD)).score is None
    grade = await Reference("file", run=broken).grade(a_trace(RIGHT), CONTEXT, ADD)
    assert (grade.score, grade.reason) == (None, "the sandbox cannot start")
    with pytest.raises(RequestError, match="unit tests"):
        correction(a_trace(RIGHT), "me", ADD)


async def test_a_run_without_an_answer_fails_its_tests_and_other_references_stay_as_they_are() -> None:
    grader = Reference("file", run=Python().errors)
    assert (await grader.grade(a_trace("", status="refused"), CONTEXT, ADD)).score == 0.0
    assert (await grader.grade(a_trace("it is 4"), CONTEXT, "4")).score == 1.0
    assert rule_for("tests are fun") == "exact"
    assert (await grader.grade(a_trace("tests are fun"), CONTEXT, "tests are fun")).score == 1.0
