"""What docs/serving.md says is done, against a server of the starter network."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.cli.conftest import home
from tests.server.test_serve import served
from tests.store.runs import a_run
from tests.test_readme import ROOT, blocks, check_commands, check_program, read
from tinyllm.cli.main import cli
from tinyllm.server.metrics import HELP
from tinyllm.settings import Settings
from tinyllm.store import open_store

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
    for link in ("settings.md", "running.md", "reliability.md"):
        assert f"]({link})" in page and (ROOT / "docs" / link).exists()
    for path in ("/v1/chat/completions", "/v1/models", "/api/chat", "/health"):
        assert path in page


RUNBOOK = "docs/running.md"


def test_what_the_runbook_names_exists() -> None:
    page = read(RUNBOOK)
    for language, _, text in blocks(RUNBOOK):
        if language == "yaml":
            rules = yaml.safe_load(text)["groups"][0]["rules"]
            assert {name for rule in rules for name in re.findall(r"tinyllm_\w+", rule["expr"])} <= set(HELP)
        else:
            check_commands(text.replace("docker compose run --rm tinyllm", "tinyllm"))
    for command in re.findall(r"`(tinyllm [a-z][^`]*)`", page):
        check_commands(command)
    assert set(re.findall(r"`(tinyllm_\w+)", page)) <= set(HELP)


def test_containers_are_given_settings_that_exist() -> None:
    compose = yaml.safe_load(read("compose.yaml"))["services"]["tinyllm"]
    check_commands(f"tinyllm {' '.join(compose['command'])}")
    named = [*compose["environment"], *re.findall(r"TINYLLM_\w+(?==)", read("Dockerfile"))]
    assert {name.removeprefix("TINYLLM_").split("__")[0].lower() for name in named} <= set(
        Settings.model_fields
    )


async def test_a_copy_made_while_the_store_is_written_is_a_store(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path / 'store.db'}")
    await store.append("local", a_run("before"))
    url = {"TINYLLM_STORE": f"sqlite:///{tmp_path / 'store.db'}"}
    assert CliRunner().invoke(cli, ["store", "backup", str(tmp_path / "backup.db")], env=url).exit_code == 0
    await store.append("local", a_run("after"))
    await store.close()
    restored = await open_store(f"sqlite:///{tmp_path / 'backup.db'}")
    assert [run.run_id for run in await restored.runs()] == ["before"]
    await restored.append("local", a_run("later"))
    await restored.close()
