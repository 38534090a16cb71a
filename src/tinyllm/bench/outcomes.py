"""Recorded outcomes of real models: what each of several models scored on each of many requests.

A line of a file is an object with `query`, `scores` (model to a number from 0 to 1) and maybe `task` and
`responses`; a models file gives `price_per_million_tokens` of each. Knows nothing about routing.
"""

import json
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from tinyllm.errors import RequestError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Row(BaseModel):
    """One line. Other keys are passed over: such files carry what their makers needed."""

    query: str = Field(min_length=1)
    scores: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(min_length=2)
    task: str | None = None


class Model(BaseModel):
    price_per_million_tokens: Price


@dataclass(frozen=True, slots=True)
class Outcomes:
    """`scores` is requests x models. `tasks` are for the task oracle alone; None where a request has none."""

    models: tuple[str, ...]
    queries: tuple[str, ...]
    tasks: tuple[str | None, ...]
    scores: "Array"

    def __len__(self) -> int:
        return len(self.queries)

    def __add__(self, other: "Outcomes") -> "Outcomes":
        import numpy as np

        if set(other.models) != set(self.models):
            raise RequestError(
                f"two files are about different models: {sorted(self.models)} and {sorted(other.models)}",
                hint="give files with the scores of the same models",
            )
        scores = other.scores[:, [other.models.index(model) for model in self.models]]
        return Outcomes(
            self.models,
            self.queries + other.queries,
            self.tasks + other.tasks,
            np.vstack([self.scores, scores]),
        )


def read(path: Path) -> Outcomes:
    """The outcomes of a file. Raises RequestError, which names the line, where one is not of this form."""
    import numpy as np

    rows: list[Row] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"line {number} of {str(path)!r}"
            try:
                row = Row.model_validate_json(line)
            except ValidationError as error:
                raise RequestError(f"{where}: {_first(error)}", hint="mend the line") from error
            if rows and row.scores.keys() != rows[0].scores.keys():
                odd = sorted(row.scores.keys() ^ rows[0].scores.keys())
                raise RequestError(
                    f"{where}: the scores of {', '.join(map(repr, odd))} are in some lines alone",
                    hint="every line needs a score of every model",
                )
            rows.append(row)
    if not rows:
        raise RequestError(f"{str(path)!r} holds no outcomes", hint="one object with query and scores a line")
    models = tuple(rows[0].scores)
    return Outcomes(
        models,
        tuple(row.query for row in rows),
        tuple(row.task for row in rows),
        np.array([[row.scores[model] for model in models] for row in rows]),
    )


def prices(outcomes: Outcomes, path: Path | None, small: str | None) -> "Array":
    """The price of each model: of the models file; without one 0 for small models and 1 for others.

    Small is what the pattern matches, and of two models, without a pattern, the one with the lower mean score.
    """
    import numpy as np

    if path is None:
        if small:
            return np.array([float(model not in matching(outcomes, small)) for model in outcomes.models])
        if len(outcomes.models) == 2:
            means = outcomes.scores.mean(axis=0)
            return np.array([float(i == means.argmax()) for i in range(2)])
        raise RequestError(
            f"{len(outcomes.models)} models and no prices", hint="give --models FILE, or --small PATTERN"
        )
    try:
        known = TypeAdapter(dict[str, Model]).validate_python(json.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, json.JSONDecodeError) as error:
        told = _first(error) if isinstance(error, ValidationError) else str(error)
        raise RequestError(
            f"{str(path)!r}: {told}", hint='{"MODEL": {"price_per_million_tokens": 0.2}, ...}'
        ) from error
    missing = [model for model in outcomes.models if model not in known]
    if missing:
        raise RequestError(f"{str(path)!r} has no price of {missing[0]!r}", hint="add it to the models file")
    return np.array([known[model].price_per_million_tokens for model in outcomes.models])


def matching(outcomes: Outcomes, pattern: str) -> tuple[str, ...]:
    """The models whose names match a pattern such as `*7b*|*8b*`, whatever the case."""
    parts = pattern.lower().split("|")
    found = tuple(m for m in outcomes.models if any(fnmatch(m.lower(), part) for part in parts))
    if not found or len(found) == len(outcomes.models):
        raise RequestError(
            f"{pattern!r} matches {'all' if found else 'none'} of the models",
            hint=f"a pattern for some of {', '.join(outcomes.models)}",
        )
    return found


def _first(error: ValidationError) -> str:
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {fault['msg']}" if place else fault["msg"]
