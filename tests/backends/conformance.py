"""The models that every backend must bring to the conformance suite, and how each brings them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.llama_server import KEY
from tests.support.tiny_checkpoint import write_talker
from tests.support.tiny_gguf import write_scripted
from tinyllm.backends import build
from tinyllm.backends.scripted import Answer, Scripted
from tinyllm.cli.checkpoint import Checkpoint, Options
from tinyllm.lab.pipeline import talk
from tinyllm.protocols import Backend
from tinyllm.types import Message, Prompt, Sampling, TokenScore, ToolCall, ToolSpec

PIECES = ("one ", "two ", "three ", "four ", "five")
TEXT = "".join(PIECES)
CALL = ToolCall("calculator", {"expression": "847*392"})
CALL_PIECES = (
    "<tool_call>\n",
    '{"name": "calculator", ',
    '"arguments": {"expression": "847*392"}}',
    "\n</tool_call>",
)
SPEC = ToolSpec(
    "calculator",
    "Computes an expression.",
    {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
)


@dataclass(frozen=True)
class Models:
    """How one kind of backend says TEXT, talks without end, and calls a tool (None: it cannot).

    `waits` is false for a backend that has nothing to wait for, so that no timeout can strike it.
    """

    speaker: Callable[[], Backend]
    talker: Callable[[], Backend]
    caller: Callable[[], Backend] | None = None
    scores: bool = True
    waits: bool = True


def ask(text: str = "hi", **fields: object) -> Prompt:
    names = Sampling.__dataclass_fields__
    sampling = Sampling(**{k: v for k, v in fields.items() if k in names})  # type: ignore[arg-type]
    rest = {k: v for k, v in fields.items() if k not in names}
    return Prompt((Message("user", text),), sampling=sampling, listened=True, **rest)  # type: ignore[arg-type]


def write_models(folder: Path) -> dict[str, Path]:
    """The three models as GGUF files."""
    return {
        "speaker": write_scripted(folder / "speaker.gguf", PIECES),
        "talker": write_scripted(folder / "talker.gguf", PIECES, forever=True),
        "caller": write_scripted(folder / "caller.gguf", CALL_PIECES),
    }


def scripted() -> Models:
    scores = tuple(TokenScore(piece, -0.1) for piece in PIECES)
    return Models(
        speaker=lambda: Scripted("speaker", [Answer(TEXT, scores=scores)]),
        talker=lambda: Scripted("talker", [Answer("word " * 10_000, delay=0.001)]),
        caller=lambda: Scripted("caller", [Answer(tool_calls=(CALL,))]),
    )


def recorded(folder: Path) -> Models:
    path = folder / "record.jsonl"
    row = {"query": "hi", "responses": {"speaker": TEXT, "talker": "word " * 10_000}}
    path.write_text(json.dumps(row) + "\n")

    def make(model: str) -> Callable[[], Backend]:
        return lambda: build(model, "recorded", {"path": str(path), "model": model})

    return Models(make("speaker"), make("talker"), scores=False, waits=False)


def llamacpp(files: dict[str, Path]) -> Models:
    def make(model: str) -> Callable[[], Backend]:
        return lambda: build(model, "llamacpp", {"path": str(files[model]), "parallel": 2})

    return Models(make("speaker"), make("talker"), make("caller"))


def checkpoint(folder: Path) -> Models:
    write_talker(folder / "speaker", PIECES)
    write_talker(folder / "talker", PIECES, forever=True)
    write_talker(folder / "caller", (talk.OPEN, "847*392", talk.CLOSE))

    def make(model: str) -> Callable[[], Backend]:
        return lambda: Checkpoint(model, Options(path=folder / model))

    return Models(make("speaker"), make("talker"), make("caller"))


def openai(urls: dict[str, str]) -> Models:
    def make(model: str) -> Callable[[], Backend]:
        return lambda: build(model, "openai", {"base_url": urls[model], "model": "tiny", "key": KEY})

    return Models(make("speaker"), make("talker"), make("caller"))
