"""What every tool shares: arguments declared as a model, checked, and refused in words that mend the call.

Knows nothing about any one tool, or about who calls it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tinyllm.errors import ToolError
from tinyllm.types import JSON, ToolSpec

SHOWN = 60  # characters of a wrong value that an error quotes


class Arguments(BaseModel):
    """The arguments of one tool. `examples` are calls that work: they teach the model that calls the tool."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    examples: ClassVar[Sequence[Mapping[str, JSON]]]


A = TypeVar("A", bound=Arguments)


def describe(name: str, description: str, model: type[Arguments]) -> ToolSpec:
    """The tool as a model sees it: the JSON schema of its arguments without what only pydantic needs."""
    parameters = plain_schema(model)
    if model.examples:
        parameters["examples"] = [dict(example) for example in model.examples]
    return ToolSpec(name, description, parameters)


def plain_schema(model: type[BaseModel]) -> dict[str, JSON]:
    """The JSON schema of a model, without titles and with every optional field shown as its own type."""
    schema: dict[str, JSON] = _plain(model.model_json_schema())
    schema.pop("description", None)  # the docstring of the class speaks to programmers
    return schema


def check(model: type[A], arguments: Mapping[str, JSON]) -> A:
    """The arguments as a value. Raises ToolError naming each fault and showing a call that works."""
    try:
        return model.model_validate(dict(arguments))
    except ValidationError as error:
        faults = [_fault(model, fault) for fault in error.errors(include_url=False)[:5]]
    raise ToolError("; ".join(dict.fromkeys(faults)), hint=example_of(model, arguments.get("operation")))


def example_of(model: type[Arguments], operation: JSON = None) -> str:
    """A hint that shows a call that works, of the same operation where there is one."""
    fitting = [e for e in model.examples if e.get("operation") == operation] or list(model.examples)
    if not fitting:
        return f"give {', '.join(_names(model))}"
    return f"for example {json.dumps(fitting[0], ensure_ascii=False)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' with the nearest known name, or nothing where none is near."""
    names = list(known)
    close = get_close_matches(word.lower()[:SHOWN], names, n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def quoted(value: object) -> str:
    """The value as an error shows it: short, on one line."""
    if isinstance(value, int) and value.bit_length() > 200:
        return "a number of very many digits"
    text = repr(value[: SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN + 2 else f"{text[:SHOWN]}..."


def need(condition: object, message: Callable[[], str] | str, hint: str = "") -> None:
    """Pass where the condition holds. Raises ToolError with the message where it does not."""
    if not condition:
        raise ToolError(message if isinstance(message, str) else message(), hint=hint)


def _names(model: type[Arguments]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _fault(model: type[Arguments], fault: Any) -> str:
    """One error of pydantic in words for a model."""
    field = str(fault["loc"][0]) if fault["loc"] else "arguments"
    given, context = fault["input"], fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return f"argument {field!r} is missing"
        case "extra_forbidden":
            takes = _names(model)
            return f"unknown argument {field!r}{nearest(field, takes)}: this tool takes {', '.join(takes)}"
        case "literal_error":
            options = context["expected"].replace("'", "").replace(" or ", ", ")
            near = nearest(str(given), options.split(", "))
            return f"unknown {field} {quoted(given)}{near}: use one of {options}"
        case "string_too_long":
            return f"{field!r} is longer than {context['max_length']} characters"
        case "too_long":
            return f"{field!r} has more than {context['max_length']} items"
        case _:
            return f"{field!r} is wrong, got {quoted(given)}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: {name: _plain(value) for name, value in item.items()} if key == "properties" else _plain(item)
        for key, item in node.items()
        if not (key == "title" and isinstance(item, str)) and not (key == "default" and item is None)
    }
    options = [option for option in kept.get("anyOf", ()) if option != {"type": "null"}]
    if "anyOf" in kept and len(options) == 1:
        kept.pop("anyOf")
        kept = options[0] | kept
    elif options:
        kept["anyOf"] = options
    return kept
