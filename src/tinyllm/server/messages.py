"""Conversations, tools and wishes as OpenAI's clients send them, read into a `Request`.

Unknown fields are ignored, since clients send many; what is known must be right, and an error names its field.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tinyllm.server.access import Caller
from tinyllm.server.background import is_background
from tinyllm.server.faults import BadParameter
from tinyllm.types import JSON, Message, Request, Role, SamplingWish, ToolCall, ToolChoice, ToolSpec

MOST_CHOICES = 8
_SCHEMA = 100_000  # characters of a schema


class Body(BaseModel):
    """The whole body of a request."""

    # Or pydantic keeps 16,384 short texts that it has read: users' words, and memory that grows for hours.
    model_config = ConfigDict(cache_strings="keys")


B = TypeVar("B", bound=Body)


class Part(BaseModel):
    type: str = "text"
    text: str | None = None
    refusal: str | None = None


class Function(BaseModel):
    name: str
    arguments: str | dict[str, Any] | None = None


class Call(BaseModel):
    id: str | None = None
    function: Function


class Turn(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None


class FunctionSpec(BaseModel):
    name: str = Field(min_length=1, max_length=256)
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(BaseModel):
    type: Literal["function"] = "function"
    function: FunctionSpec


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Extra(BaseModel):
    """What only this server understands, under the key `tinyllm`. Left out, `learn` is as the prompt looks: what
    chat programs ask on their own behalf is not learned from."""

    model_config = ConfigDict(extra="forbid")

    session: str | None = Field(default=None, max_length=200)
    quality: float | None = Field(default=None, ge=0, le=1)
    right: float | None = Field(default=None, gt=0, lt=1)
    forced: dict[str, str] = Field(default_factory=dict)
    learn: bool | None = None


class Wishes(Body):
    """What chat and plain completion have in common."""

    model: str = ""
    stream: bool | None = False
    stream_options: dict[str, Any] | None = None
    n: int | None = Field(default=None, ge=1, le=MOST_CHOICES)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    stop: Annotated[list[str] | None, BeforeValidator(_as_list)] = Field(default=None, max_length=16)
    seed: int | None = None
    user: str | None = Field(default=None, max_length=200)
    tinyllm: Extra = Field(default_factory=Extra)

    @property
    def include_usage(self) -> bool:
        return bool((self.stream_options or {}).get("include_usage"))


class Chat(Wishes):
    messages: list[Turn] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    response_format: dict[str, Any] | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None


def parsed(kind: type[B], body: bytes) -> B:
    """The body as that kind. Raises BadParameter naming the field."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise BadParameter(f"{where}: {fault['msg']}" if where else fault["msg"], where or None) from None


def message(turn: Turn, place: int) -> Message:
    """One turn of a conversation. Raises BadParameter for what is not text."""
    where = f"messages.{place}"
    role: Role = _ROLES.get(turn.role, "user")
    calls = [_call(call, f"{where}.tool_calls.{i}", i) for i, call in enumerate(turn.tool_calls or ())]
    return Message(role, text_of(turn.content, f"{where}.content"), tuple(calls), turn.tool_call_id)


_ROLES: Mapping[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant",
    "tool": "tool", "function": "tool",
}  # fmt: skip


def text_of(content: str | list[Part] | None, where: str) -> str:
    """The text of a content, whose parts are joined by line ends. Raises BadParameter for any other part."""
    if content is None or isinstance(content, str):
        return content or ""
    for place, part in enumerate(content):
        if part.text is None and part.refusal is None:
            raise BadParameter(f"{where}.{place}: this network reads text, not {part.type!r}", where)
    return "\n".join(part.text or part.refusal or "" for part in content)


def _call(call: Call, where: str, place: int) -> ToolCall:
    given = call.function.arguments
    try:
        arguments = json.loads(given or "{}") if given is None or isinstance(given, str) else given
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise BadParameter(f"{where}.function.arguments: this is not the JSON of an object", where)
    return ToolCall(call.function.name, arguments, call.id or f"call_{place}")


def tools_of(
    tools: list[Tool] | None, choice: str | dict[str, Any] | None
) -> tuple[tuple[ToolSpec, ...], ToolChoice]:
    """The caller's tools that may be called, and whether one must be. Raises BadParameter."""
    specs = tuple(_spec(tool.function) for tool in tools or ())
    if choice in (None, "auto"):
        return specs, "auto"
    if choice == "none":
        return (), "auto"
    if isinstance(choice, dict):
        named = _within(choice, "function").get("name")
        specs = tuple(spec for spec in specs if spec.name == named)
        if not specs:
            raise BadParameter(
                f"tool_choice names the tool {named!r}, which is not among `tools`", "tool_choice"
            )
    elif choice not in ("required", "any"):
        raise BadParameter(f"tool_choice {choice!r} is none of auto, none, required", "tool_choice")
    if not specs:
        raise BadParameter("tool_choice requires a tool, and there is none in `tools`", "tool_choice")
    return specs, "required"


def _spec(function: FunctionSpec) -> ToolSpec:
    parameters = function.parameters or {"type": "object", "properties": {}}
    return ToolSpec(function.name, function.description or function.name, parameters)


def schema_of(form: Mapping[str, JSON] | None) -> Mapping[str, JSON] | None:
    """The JSON schema that the answer must have. Raises BadParameter for what is no schema."""
    kind = (form or {}).get("type", "text")
    if form is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    schema = _within(form, "json_schema").get("schema") if kind == "json_schema" else None
    if not isinstance(schema, dict):
        raise BadParameter("response_format has no json_schema.schema", "response_format")
    return legal(schema, "response_format")


def _within(form: Mapping[str, JSON], name: str) -> Mapping[str, JSON]:
    """What stands under that name; some clients leave the level out."""
    found = form.get(name) or form
    return found if isinstance(found, dict) else {}


def legal(schema: Mapping[str, JSON], where: str) -> Mapping[str, JSON]:
    """The schema, if it is one. Its regular expressions are never run, so `patternProperties` cannot be met."""
    from jsonschema import Draft202012Validator, SchemaError

    text = json.dumps(schema)
    if len(text) > _SCHEMA:
        raise BadParameter(f"{where} is longer than {_SCHEMA} characters", where)
    if '"patternProperties"' in text:
        raise BadParameter(f"{where}: patternProperties is not supported", where)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise BadParameter(f"{where} is no JSON schema: {error.message[:200]}", where) from None
    return schema


def sampling_of(wishes: Wishes, max_tokens: int | None = None) -> SamplingWish:
    sampling = SamplingWish()
    if wishes.temperature is not None:
        sampling["temperature"] = wishes.temperature
    if wishes.top_p is not None:
        sampling["top_p"] = wishes.top_p
    if (limit := max_tokens or wishes.max_tokens) is not None:
        sampling["max_tokens"] = limit
    if stop := tuple(text for text in wishes.stop or () if text):  # nothing would end before its first word
        sampling["stop"] = stop
    return sampling


def requests_of(
    wishes: Wishes, request: Request, caller: Caller, sampling: SamplingWish
) -> tuple[Request, ...]:
    """One request for each answer that is wanted; each has another seed, so that they can differ."""
    learn = wishes.tinyllm.learn
    request = replace(
        request,
        sampling=sampling,
        user=wishes.user or caller.user,
        tenant=caller.tenant,
        session=wishes.tinyllm.session,
        quality=wishes.tinyllm.quality,
        right=wishes.tinyllm.right,
        forced=wishes.tinyllm.forced,
        seed=wishes.seed,
        budget=caller.budget,
        learn=not is_background(request.messages) if learn is None else learn,
    )
    if not wishes.n or wishes.n == 1:
        return (request,)
    first = wishes.seed or 0
    return tuple(
        replace(request, seed=None if wishes.seed is None else first + place) for place in range(wishes.n)
    )
