"""The description of the API, held against the server: whatever fits it, or nearly, breaks nothing of ours."""

import functools
import operator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.serving import Running

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
ENDLESS = "/api/events"


def operations(url: str) -> dict[str, Any]:
    """Every operation of the description, by its name."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    found: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    return {operation.label: operation for operation in found}


def examine(url: str, operation: Any, examples: int) -> None:
    """Send what fits the operation, and what does not, and check what comes back."""
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    cases = functools.reduce(operator.or_, (operation.as_strategy(generation_mode=mode) for mode in modes))

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(case=cases)
    def check(case: Any) -> None:
        case.call_and_validate(base_url=url, checks=CHECKS, timeout=30)

    check()


def test_every_operation_keeps_to_its_description(pair: Running) -> None:
    for label, operation in operations(pair.url).items():
        if operation.path != ENDLESS:
            examine(pair.url, operation, 3)
            assert httpx.get(f"{pair.url}/health").status_code == 200, label


def test_every_path_is_described(pair: Running) -> None:
    document = httpx.get(f"{pair.url}/openapi.json").json()
    chat = document["paths"]["/v1/chat/completions"]["post"]
    assert chat["security"] == [{"key": []}] and "answer" in chat["description"]
    assert document["paths"]["/health"]["get"]["security"] == []
    assert {"/api/feedback", "/api/networks/{network}/rollback", "/api/memory/{fact}"} <= document[
        "paths"
    ].keys()


@pytest.mark.parametrize(
    "path", ["/api/runs/%00", "/api/runs/%ff%fe", "/api/graphs/..%2f..%2fetc", "/api/memory?user=%00"]
)
def test_odd_names_are_not_found(pair: Running, path: str) -> None:
    assert httpx.get(f"{pair.url}{path}").status_code in (200, 400, 404)
