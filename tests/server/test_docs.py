"""What docs/serving.md says is done, against a server of the starter network."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import home
from tests.server.test_serve import served
from tests.test_readme import ROOT, blocks, check_commands, check_program, read

__all__ = ["home"]  # fixture

PAGE = "docs/serving.md"
ADDRESS = "127.0.0.1:8765"


def test_the_examples_do_what_the_page_says(home: Path) -> None:
    with served("--network", "starter") as (_, client):
        address = f"{client.base_url.host}:{client.base_url.port}"
        for language, _, text in blocks(PAGE):
            here = text.replace(ADDRESS, address)
            match language:
                case "python":
                    assert address in here
                    check_program(here)
                case "sh":
                    check_commands(text)
                    check_curl(here)
                case other:
                    pytest.fail(f"a block that nothing looks at: {other}")


def check_curl(text: str) -> None:
    """What asks by hand gets an answer."""
    for line in text.splitlines():
        if line.startswith("curl ") and shutil.which("curl"):
            said = subprocess.run(shlex.split(line), capture_output=True, timeout=30, check=True).stdout
            assert json.loads(said)["choices"][0]["message"]["content"]


def test_links_lead_somewhere_and_every_flag_of_serve_is_told() -> None:
    page = read(PAGE)
    for link in ("settings.md",):
        assert f"]({link})" in page and (ROOT / "docs" / link).exists()
    for path in ("/v1/chat/completions", "/v1/models", "/api/chat", "/health"):
        assert path in page
