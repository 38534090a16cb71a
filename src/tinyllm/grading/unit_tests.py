"""Unit tests as a reference: an answer's Python is right if the asserts hold, run in a sandbox that is handed in.

Answers are hostile until they are graded. Tests are fed to the sandbox after the answer and apart from it, so that
no `return` and no open quote of the answer reaches them. Code that could change what `==` or a builtin means is
left ungraded: for it the asserts prove nothing. Knows nothing about the sandbox.
"""

import ast
import builtins
import re
import secrets
import unicodedata
from collections.abc import Awaitable, Callable, Sequence

from tinyllm.errors import ToolUnavailable
from tinyllm.grading.reference import TESTS, Verdict, against
from tinyllm.protocols import ToolContext
from tinyllm.types import Grade, GradeKind, Trace

Run = Callable[[Sequence[str], ToolContext], Awaitable[Sequence[str | None]]]
"""Runs pieces of Python one after another in one sandbox. Returns the error of each, None where it ran; after an
error nothing runs. Raises ToolUnavailable."""

_BLOCK = re.compile(r"```([^\n`]*)\n(.*?)(?:```|\Z)", re.DOTALL)
_PYTHON = ("", "python", "python3", "py")  # what a fence may say of its block
# What can give a value its own idea of equality, under whatever name: in code, for prose may speak of a type.
_SLY = re.compile(
    r"\b(?:exec|eval|setattr|locals|globals|vars|builtins)\b|\btype\s*\([^()]*,"
    r"|(?:[=(,\[{:@\\]|\b(?:return|or|and|else|if|in|is|not|match|with|yield|await|lambda))\s*type\b(?!\s*\()"
    r"|__(?!(?:init|post_init|name|main|str|repr|doc)__)\w+__"
)


async def prove(trace: Trace, reference: str | None, run: Run | None, context: ToolContext) -> Verdict:
    """How a run's answer stands to its reference, which may be tests: without a sandbox those cannot tell."""
    tests = tests_of(reference)
    if tests is None or trace.status != "answered":
        return against(trace, reference)
    if run is None:
        return Verdict(None, "there is no sandbox to run its tests in")
    try:
        return await _passes(code_of(trace.answer), tests, run, context)
    except ToolUnavailable as error:
        return Verdict(None, error.message)


def tests_of(reference: str | None) -> str | None:
    """The asserts of a reference whose first line begins with `tests:`; None for any other."""
    text = (reference or "").lstrip()
    return text[len(TESTS) :].strip() if text.startswith(TESTS) else None


def code_of(answer: str) -> str:
    """The Python of an answer: its fenced blocks, or all of it where there are none."""
    blocks = [code for info, code in _BLOCK.findall(answer) if info.strip().casefold() in _PYTHON]
    return "\n".join(blocks) if blocks else answer


class Reference:
    """The grader that holds a run against its reference; `name` says where references come from.

    `run` is the sandbox of references that are unit tests.
    """

    kind: GradeKind = "reference"

    def __init__(self, name: str, *, run: Run | None = None) -> None:
        self.name = name
        self.run = run

    async def grade(self, trace: Trace, context: ToolContext, reference: str | None = None) -> Grade:
        """The grade; without a reference it abstains, and a run that gave no answer where there is one fails."""
        score, reason = await prove(trace, reference, self.run, context)
        return Grade(trace.run_id, self.kind, self.name, score, reason, reference)


async def _passes(code: str, tests: str, run: Run, context: ToolContext) -> Verdict:
    try:
        tree = list(ast.walk(ast.parse(tests)))
    except (SyntaxError, ValueError) as error:
        return Verdict(None, f"the tests are no Python: {error}")
    if not any(isinstance(node, ast.Assert) for node in tree):
        return Verdict(None, "the tests assert nothing")
    if _SLY.search(unicodedata.normalize("NFKC", code)):
        return Verdict(None, "the code could change what its tests mean: read it yourself")
    used = {node.id for node in tree if isinstance(node, ast.Name)}
    own = {node.id for node in tree if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names = sorted((used - own) & set(dir(builtins)))
    kept = f"kept_{secrets.token_hex(8)}"  # a name that no answer can know
    same = " and ".join([f"{name} is {kept}[{place}]" for place, name in enumerate(names)] or ["True"])
    pieces = (f"{kept} = [{', '.join(names)}]", code, f"assert {same}", tests)
    said = await run(pieces, context)
    at, wrong = len(said) - 1, said[-1]
    if wrong is None:
        return Verdict(1.0, "its tests pass")
    if at == 0 or "ModuleNotFoundError" in wrong or (at == 1 and "NotImplementedError" in wrong):
        return Verdict(None, f"the sandbox cannot run it: {wrong}")
    if at == 2:
        return Verdict(None, "the code replaces what its tests use: read it yourself")
    return Verdict(0.0, f"{'it does not run' if at == 1 else 'its tests fail'}: {wrong}")
