"""Conversations: how they are spelled in tokens, and how one is held, with the calculator in between.

A turn is `<|user|>QUESTION<|assistant|>`, then either a reply, or a call, the tool's result and the reply
after it. A call is spelled as Hermes models do, in JSON, which llama.cpp reads by itself; all of it that never
changes is one token. Knows nothing about training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from tinyllm.errors import ModelFileError, RequestError
from tinyllm.lab import export
from tinyllm.lab.generate import Choose, generate
from tinyllm.lab.model import Model
from tinyllm.lab.pipeline import calculator
from tinyllm.lab.pipeline.questions import Question
from tinyllm.lab.tokenizer import END, Tokenizer
from tinyllm.lab.train import Example

USER, ASSISTANT, TOOL = "<|user|>", "<|assistant|>", "<|tool|>"
OPEN = '<tool_call>\n{"name": "calculator", "arguments": {"expression": "'
CLOSE = '"}}\n</tool_call>'
WORDS = (USER, ASSISTANT, TOOL, OPEN, CLOSE)
_MODEL = "model"  # the folder of it, in that of the run
LONGEST = 48  # tokens of a call or a reply
# The same for llama.cpp and `transformers`; llama.cpp finds out by itself how calls are written here.
TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role == "user" %}{{ "<|user|>" + message.content }}
{%- elif message.role == "tool" %}{{ "<|tool|>" + message.content }}
{%- elif message.role == "assistant" %}{{ "<|assistant|>" }}
{%- if message.content %}{{ message.content }}{% endif -%}
{%- for call in message.tool_calls or [] -%}
{{ '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson + '}\\n</tool_call>' }}
{%- endfor %}{{ "<|end|>" }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ "<|assistant|>" }}{% endif -%}
"""


def asked(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a question that waits for an answer. Its own control tokens are text like any other."""
    return tokenizer.encode(f"{spelled('user', text)}{ASSISTANT}")


def spelled(role: str, text: str, sums: Sequence[str] = ()) -> str:
    """A message of a conversation as the model reads it, with the `sums` that it asks the calculator for.

    Only users, the assistant and the tool speak in what it has learned: of another role nothing is read.
    """
    if role == "assistant":
        return f"{ASSISTANT}{_plain(text)}{''.join(f'{OPEN}{_plain(sum)}{CLOSE}' for sum in sums)}{END}"
    return f"{mark}{_plain(text)}" if (mark := {"user": USER, "tool": TOOL}.get(role)) else ""


def reply(question: Question) -> str:
    """What is said at the end of its turn."""
    value = question.value
    return question.reply if value is None else question.reply.format(calculator.said(value))


def answered(tokenizer: Tokenizer, question: Question) -> list[tuple[list[int], list[int]]]:
    """The turn of `question` in pieces: what is read, and what the model shall say next."""
    prompt, end = asked(tokenizer, question.text), [tokenizer.end]
    if question.sum is None:
        return [(prompt, tokenizer.encode(reply(question)) + end)]
    call = tokenizer.encode(f"{OPEN}{question.sum}{CLOSE}") + end
    heard = tokenizer.encode(f"{TOOL}{calculator.result(question.sum)}{ASSISTANT}")
    return [(prompt, call), (heard, tokenizer.encode(reply(question)) + end)]


def example(tokenizer: Tokenizer, *questions: Question) -> Example:
    """The turns of `questions`, of which what the assistant says is to be learned."""
    ids, learn = list[int](), list[bool]()
    for question in questions:
        for read, say in answered(tokenizer, question):
            ids += read + say
            learn += [False] * len(read) + [True] * len(say)
    return Example(tuple(ids), tuple(learn))


def call_of(said: str) -> str | None:
    """The sum that the model asks for, or None where it makes no whole call."""
    whole = said.startswith(OPEN) and said.endswith(CLOSE)
    return said.removeprefix(OPEN).removesuffix(CLOSE) if whole else None


@dataclass(frozen=True)
class Turn:
    """What came of a question: what the model said first, the tool's result if that was a call, and the reply."""

    said: str
    result: str | None
    reply: str


def hold(model: Model, tokenizer: Tokenizer, questions: Sequence[str], choose: Choose) -> list[Turn]:
    """The turns that follow from `questions`, each of them alone. Raises RequestError for one that is too long."""
    prompts = [asked(tokenizer, text) for text in questions]
    for text, prompt in zip(questions, prompts, strict=True):
        if len(prompt) + LONGEST > model.config.context:
            room = model.config.context - LONGEST
            raise RequestError(
                f"{text[:40]!r} has {len(prompt)} tokens",
                hint=f"ask in {room} tokens or fewer, about 50 words",
            )
    first = [tokenizer.decode(ids) for ids in generate(model, prompts, LONGEST, tokenizer.end, None, choose)]
    turns = [Turn(said, None, said) for said in first]
    heard = dict[int, list[int]]()
    for i, said in enumerate(first):
        if (call := call_of(said)) is not None:
            result = calculator.result(call)
            turns[i] = Turn(said, result, result)  # what stands where the model makes no reply of it
            ids = prompts[i] + tokenizer.encode(f"{said}{END}{TOOL}{result}{ASSISTANT}")
            # Of an error, which it has never read, it would make `That is .`
            if len(ids) <= model.config.context and not result.startswith(calculator.ERROR):
                heard[i] = ids
    replies = generate(model, list(heard.values()), LONGEST, tokenizer.end, None, choose)
    for i, ids in zip(heard, replies, strict=True):
        turns[i] = Turn(first[i], turns[i].result, tokenizer.decode(ids))
    return turns


def save(folder: Path, model: Model, tokenizer: Tokenizer) -> None:
    """Leave the model in the folder of a run, as `transformers` reads it too."""
    export.write_safetensors(model, tokenizer, folder / _MODEL)
    (folder / _MODEL / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8", newline="\n")


def is_there(folder: Path) -> bool:
    """Whether a model that one can talk to was left in `folder`."""
    return (folder / _MODEL).is_dir()


def load(folder: Path) -> tuple[Model, Tokenizer]:
    """The model that `save` left in `folder`. Raises ModelFileError where it is damaged."""
    try:
        model, tokenizer = export.read_safetensors(folder / _MODEL)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelFileError(
            f"the model in {str(folder)!r} is damaged: {error}",
            hint=f"delete {folder / 'card.json'} and run the pipeline again: what it learned is kept",
        ) from error
    return model.eval(), tokenizer


def _plain(text: str) -> str:
    """`text` without anything that would be read as a control token."""
    for word in (*WORDS, END):
        text = text.replace(word, " ")
    return text.strip()
