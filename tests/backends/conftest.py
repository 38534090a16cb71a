"""Model files and servers that the tests of this folder share; each is made once."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends import conformance
from tests.support.llama_server import llama_server


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return conformance.write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def urls(files: dict[str, Path]) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(llama_server(path)) for name, path in files.items()}


@pytest.fixture(params=["scripted", "recorded", "llamacpp", "openai", "checkpoint"])
def models(request: pytest.FixtureRequest, tmp_path: Path) -> conformance.Models:
    match request.param:
        case "scripted":
            return conformance.scripted()
        case "recorded":
            return conformance.recorded(tmp_path)
        case "llamacpp":
            return conformance.llamacpp(request.getfixturevalue("files"))
        case "checkpoint":
            return conformance.checkpoint(tmp_path)
        case _:
            return conformance.openai(request.getfixturevalue("urls"))
