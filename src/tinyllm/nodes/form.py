"""The form that an answer must have: JSON of a schema, or a call of the caller's tools.

Schemas come from callers too, so validating fetches nothing and runs no regular expression of theirs. Knows
nothing about what an answer says.
"""

import json
from collections.abc import Mapping

from tinyllm.types import JSON, Request


def unmet(request: Request, text: str) -> str | None:
    """Why a text is not what the caller asked for; None where it is."""
    if request.tool_choice == "required":
        return "it answered in words, and a call of a tool was asked for"
    return misfit(text, request.json_schema) if request.json_schema is not None else None


def misfit(text: str, schema: Mapping[str, JSON], *, patterns: bool = False) -> str | None:
    """Why a text is not JSON of the schema; None where it is. `patterns` are for schemas that can be trusted."""
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    validator = Draft202012Validator
    if not patterns:
        validator = extend(validator, {"pattern": lambda *_: ()})  # type: ignore[no-untyped-call]
    try:
        validator(dict(schema), registry=Registry()).validate(json.loads(text))
    except json.JSONDecodeError as error:
        return f"the answer is not JSON: {error.msg} at character {error.pos}"
    except ValidationError as error:
        return error.message[:200]
    except (Unresolvable, RecursionError) as error:
        return f"the schema cannot be followed: {type(error).__name__}"
    return None
