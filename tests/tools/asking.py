"""One call of a tool, from a test."""

import asyncio
from datetime import UTC, datetime

import pytest

from tinyllm.errors import ToolError
from tinyllm.protocols import Tool, ToolContext
from tinyllm.types import JSON, ToolResult

# Thursday, 26 November 2026, 15:30 in London
CONTEXT = ToolContext(clock=datetime(2026, 11, 26, 15, 30, tzinfo=UTC).timestamp(), seed=7)


def answer(tool: Tool, **arguments: JSON) -> ToolResult:
    return asyncio.run(tool.call(arguments, CONTEXT))


def refusal(tool: Tool, **arguments: JSON) -> ToolError:
    """The error of a call that must fail; every one of them shows a way on."""
    with pytest.raises(ToolError) as caught:
        answer(tool, **arguments)
    assert caught.value.hint
    assert len(str(caught.value)) < 1_500
    return caught.value
