"""The requests of the growth experiment: skills known on day one, new ones, and requests to be refused.

They are drawn from the starter's patterns. Of each operation's patterns a share is held out, as phrasing that
the stream never uses. A question's reference is its bare answer, as a person would write it: never a call.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tinyllm.errors import ToolError
from tinyllm.grading import REFUSED, compare
from tinyllm.protocols import Tool, ToolContext
from tinyllm.slots import REFUSE, figure
from tinyllm.slots import fill as to_call
from tinyllm.starter.calls import OPS
from tinyllm.starter.corpus import Example, Pattern, fill, patterns
from tinyllm.types import Message, Request, ToolResult

CLOCK = 1_750_000_000.0  # of the first request
HELD_OUT = 0.3  # of an operation's patterns
NEW, REFUSALS = 0.6, 0.1  # shares of the stream; the rest is what day one knows
KINDS_OF_A_TOOL = 2
_LEADS = re.compile(r"=|≈|\b(?:is|are)\b(?: about)?")


@dataclass(frozen=True, slots=True)
class Question:
    """A request with its right answer; `kind` is the operation behind it, which only the report may see."""

    request: Request
    reference: str
    kind: str


@dataclass(frozen=True, slots=True)
class Skills:
    """Which operations are `old` (known on day one) and `new`, and the patterns in use and held out."""

    old: Sequence[str]
    new: Sequence[str]
    seen: Mapping[str, Sequence[Pattern]]
    unseen: Mapping[str, Sequence[Pattern]]
    tools: Mapping[str, Tool]


def draw_skills(seed: int, tools: Mapping[str, Tool]) -> Skills:
    """Old are the calculator's operations; new are the two of each other tool that have the most patterns."""
    random, table = Random(seed), patterns()
    by_tool: defaultdict[str, list[str]] = defaultdict(list)
    for op in sorted(table, key=lambda op: (-len(table[op]), op)):
        by_tool[OPS[op].tool].append(op)
    new = [op for tool in sorted(tools) if tool != "calculator" for op in by_tool[tool][:KINDS_OF_A_TOOL]]
    old = sorted(by_tool["calculator"])
    seen, unseen = {}, {}
    for op in (*old, *new, REFUSE):
        lines = random.sample(table[op], len(table[op]))
        held = round(len(lines) * HELD_OUT)
        seen[op], unseen[op] = lines[held:], lines[:held]
    return Skills(old, new, seen, unseen, tools)


def day_one(skills: Skills, n: int, seed: int) -> list[Example]:
    """What the reader of day one is trained on: arithmetic, and requests that nothing here answers."""
    random, drawn = Random(seed), list[Example]()
    while len(drawn) < n:
        op = REFUSE if random.random() < 0.25 else random.choice(skills.old)
        if example := fill(random.choice(skills.seen[op]), random):
            drawn.append(example)
    return drawn


async def questions(
    skills: Skills,
    n: int,
    seed: int,
    *,
    unseen: bool = False,
    old: bool = False,
    begin: int = 0,
    pace: float = 600.0,
) -> list[Question]:
    """`n` questions in phrasing of the stream, or held out; of `old` skills alone where asked for.

    The first is the stream's `begin`th; `pace` is the seconds from one to the next.
    """
    random, drawn = Random(seed), list[Question]()
    table = skills.unseen if unseen else skills.seen
    while len(drawn) < n:
        draw = random.random()
        op = random.choice(skills.old if old or draw >= NEW + REFUSALS else skills.new)
        if not old and NEW <= draw < NEW + REFUSALS:
            op = REFUSE
        example = fill(random.choice(table[op]), random)
        context = ToolContext(CLOCK + pace * (begin + len(drawn)), seed * 100_000 + len(drawn))
        if example and (reference := await _reference(example, skills.tools, context)):
            turn = Message("user", example.text)
            drawn.append(Question(Request((turn,), seed=context.seed, clock=context.clock), reference, op))
    return drawn


async def _reference(example: Example, tools: Mapping[str, Tool], context: ToolContext) -> str | None:
    try:
        call = to_call(example.call, example.slots, OPS)
        return _bare(await tools[call.name].call(call.arguments, context)) if call else REFUSED
    except ToolError:
        return None


def _bare(result: ToolResult) -> str | None:
    """The shortest way to write the answer that still grades the whole sentence as right."""
    tail = _LEADS.split(result.text)[-1].strip().rstrip(".")
    forms = [str(result.value)] if figure(result.value) is not None else []
    for form in (*forms, tail, result.text):
        if form and compare(result.text, form).score == 1.0:
            return form
    return None
