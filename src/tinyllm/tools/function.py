"""A function of the user's own as a tool: `module:function`, sync or async, its schema from its signature."""

import asyncio
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, get_type_hints

from pydantic import Field, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from tinyllm.errors import GraphError, ToolError, ToolUnavailable
from tinyllm.protocols import ToolContext
from tinyllm.tools.arguments import Arguments, check, describe, nearest
from tinyllm.tools.threads import run_in_thread
from tinyllm.types import JSON, ToolResult

MAX_RESULT = 20_000  # characters of JSON
MAX_ABANDONED = 8  # calls that ran out of time and still hold a thread


class Function:
    """Calls the function `target` names. It runs in its own thread, an async one in its own event loop.

    `name` is the tool's (the function's where None), `folder` is searched for the module first, `seconds` is
    the limit of one call. What it returns must be JSON; a ToolResult is passed on as it is. A function whose
    attribute `repeatable` is True (the same call gives the same and changes nothing) is recomputed by gates; what
    `untrusted` and `guarded` mean is said at ToolSpec.
    Raises GraphError where the module, the function or its signature does not do.
    """

    def __init__(
        self, target: str, *, name: str | None = None, folder: str | Path | None = None, seconds: float = 10.0
    ) -> None:
        self._function = _load(target, folder)
        self._seconds = seconds
        self._running = 0
        self._model, self._names = _arguments(target, self._function)
        purpose = inspect.getdoc(self._function) or f"Calls {target}."
        spec = describe(name or target.partition(":")[2], purpose.partition("\n\n")[0], self._model)

        def marked(mark: str) -> bool:
            return getattr(self._function, mark, False) is True

        self.spec = replace(
            spec,
            repeatable=marked("repeatable"),
            untrusted=marked("untrusted"),
            guarded=marked("guarded"),
        )

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Call the function. Raises ToolError with its message if it raises, ToolTimeout if it hangs."""
        checked = check(self._model, arguments)
        given = {
            name: getattr(checked, field)
            for field, name in self._names.items()
            if field in checked.model_fields_set
        }
        name = self.spec.name
        if self._running >= MAX_ABANDONED:
            raise ToolUnavailable(
                f"{MAX_ABANDONED} earlier calls of {name!r} still hang",
                hint="mend the function, then start again",
            )

        def work() -> Any:
            self._running += 1
            try:
                result = self._function(**given)
                return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result
            except ToolError:
                raise
            except (Exception, SystemExit) as error:  # whatever a user's function raises is the tool's answer
                raise ToolError(f"{name} failed: {type(error).__name__}: {error}"[:500]) from error
            finally:
                self._running -= 1

        result = await run_in_thread(work, seconds=self._seconds, what=f"function {name!r}")
        return result if isinstance(result, ToolResult) else _result(name, result)


async def _awaited(result: Any) -> Any:
    return await result


def _load(target: str, folder: str | Path | None) -> Callable[..., Any]:
    module_name, _, function_name = target.partition(":")
    if not (module_name and function_name):
        raise GraphError(
            f"{target!r} names no function", hint="write it as module:function, such as mytools:area"
        )
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    module = _import(target, module_name, folder)
    function = getattr(module, function_name, None)
    if not callable(function) or inspect.isclass(function):
        known = [name for name, value in vars(module).items() if inspect.isroutine(value)]
        raise GraphError(
            f"module {module_name!r} has no function {function_name!r}{nearest(function_name, known)}",
            hint=f"name one of {', '.join(known)}" if known else f"define it in {module.__file__}",
        )
    return function  # type: ignore[no-any-return]


def _import(target: str, module_name: str, folder: str | Path | None) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not f"{module_name}.".startswith(f"{error.name}."):
            raise GraphError(
                f"{target!r} cannot be used: its module needs {error.name!r}, which is not installed",
                hint=f"install {error.name}",
            ) from error
        beside = [path.stem for path in Path(folder or ".").glob("*.py")]
        raise GraphError(
            f"there is no module {module_name!r}{nearest(module_name, beside)}",
            hint="put its file beside the network file, or install it",
        ) from error
    except (Exception, SystemExit) as error:  # a module may raise anything while it is imported
        raise GraphError(
            f"{target!r} cannot be used: importing {module_name!r} raised {type(error).__name__}: {error}"[
                :500
            ],
            hint=f"make `python -c 'import {module_name}'` work",
        ) from error


def _arguments(target: str, function: Callable[..., Any]) -> tuple[type[Arguments], dict[str, str]]:
    """The model of the function's arguments, and its field names (which cannot clash) by the real names."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError, SyntaxError) as error:
        raise GraphError(
            f"an annotation of {target!r} cannot be read: {error}", hint="correct the annotation"
        ) from error
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    for number, parameter in enumerate(inspect.signature(function).parameters.values()):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise GraphError(
                f"{target!r} takes {parameter}, which a call by name cannot fill", hint="use named parameters"
            )
        if parameter.name not in hints:
            raise GraphError(
                f"parameter {parameter.name!r} of {target!r} has no annotation",
                hint=f"annotate it, such as {parameter.name}: str",
            )
        field = f"argument_{number}"
        names[field] = parameter.name
        # what is left out is not passed on, so the function's own default holds
        required = parameter.default is parameter.empty
        info = Field(alias=parameter.name) if required else Field(None, alias=parameter.name)
        fields[field] = (hints[parameter.name], info)
    try:
        model = create_model("FunctionArguments", __base__=_FunctionArguments, **fields)
        model.model_json_schema()
    except (PydanticUserError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise GraphError(
            f"an annotation of {target!r} has no JSON form: {reason}",
            hint="use str, int, float, bool, list or dict",
        ) from error
    return model, names


class _FunctionArguments(Arguments):
    examples: ClassVar = ()


def _result(name: str, value: Any) -> ToolResult:
    try:
        plain = to_jsonable_python(value)
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise ToolError(
            f"{name} returned a value of type {type(value).__name__!r}, which is not JSON: {error}"[:500]
        ) from error
    if len(text) > MAX_RESULT:
        raise ToolError(
            f"{name} returned {len(text)} characters, more than the {MAX_RESULT} allowed",
            hint="ask for less at once",
        )
    return ToolResult(plain, plain if isinstance(plain, str) else text)
