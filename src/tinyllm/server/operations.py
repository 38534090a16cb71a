"""What can be done over HTTP, as data, and its description in OpenAPI 3.1. Knows nothing about how it is done."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from starlette.routing import Route

from tinyllm.server.access import right_of
from tinyllm.server.faults import OLLAMA
from tinyllm.types import JSON

EVENTS = "text/event-stream"
LINES = "application/x-ndjson"
_COMPONENTS = "#/components/schemas/{model}"

Schema = dict[str, Any]


class Fault(BaseModel):
    """What was wrong, in OpenAI's form."""

    message: str
    type: str
    param: str | None
    code: str


class Failure(BaseModel):
    error: Fault


class OllamaFailure(BaseModel):
    error: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a path. `body` and `answer` are types of its JSON; `query` are the names of what may stand
    in its URL, each with a JSON schema; `media` is what it answers with instead, or may where it streams."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    summary: str
    endpoint: Any
    answer: Any = dict[str, Any]
    body: type[BaseModel] | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    media: Sequence[str] = ("application/json",)

    @property
    def route(self) -> Route:
        return Route(self.path, self.endpoint, methods=[self.method])


def described(operations: Sequence[Operation], version: str) -> dict[str, JSON]:
    """The OpenAPI document of the operations."""
    types = [
        *((op.body, "validation", TypeAdapter(op.body)) for op in operations if op.body),
        *((str(op.answer), "serialization", TypeAdapter(op.answer)) for op in operations),
        *((each, "serialization", TypeAdapter(each)) for each in (Failure, OllamaFailure)),
    ]
    unique = {(key, mode): adapter for key, mode, adapter in types}
    inputs: Any = [(key, mode, adapter) for (key, mode), adapter in unique.items()]
    found, shared = TypeAdapter.json_schemas(inputs, ref_template=_COMPONENTS)
    schemas: Any = {key: schema for (key, _), schema in found.items()}
    paths: dict[str, dict[str, JSON]] = {}
    for op in operations:
        plain = re.sub(r":path\}", "}", op.path)
        paths.setdefault(plain, {})[op.method.lower()] = _one(op, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "TinyLLM", "version": version},
        "paths": paths,
        "components": {
            "schemas": shared.get("$defs", {}),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _one(op: Operation, schemas: Mapping[Any, Schema]) -> Schema:
    names = re.findall(r"\{(\w+)", op.path)
    right = right_of(op.path)
    failure = schemas[OllamaFailure if op.path in OLLAMA else Failure]
    content = {
        media: {"schema": schemas[str(op.answer)] if media == "application/json" else {"type": "string"}}
        for media in op.media
    }
    told: Schema = {
        "summary": op.summary,
        "security": [{"key": []}] if right else [],
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names),
            *({"name": name, "in": "query", "schema": schema} for name, schema in op.query.items()),
        ],
        "responses": {
            "200": {"description": "Done.", "content": content},
            "default": {
                "description": "What was wrong, and what to do next.",
                "content": {"application/json": {"schema": failure}},
            },
        },
    }
    if right:
        told["description"] = f"Where there are keys, needs one with the right `{right}`."
    if op.body:
        told["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[op.body]}},
        }
    return told
