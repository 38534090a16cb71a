"""A folder of its own for each test: settings, store and a network whose models answer from a script."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tinyllm.cli.main import cli

NETWORK = """\
schema: 1
name: tiny
models:
  small:
    backend: scripted
    parameters: 1000
    options: {answers: ["forty <b>two</b>"]}
nodes:
  start: {kind: entry, next: answer}
  answer: {kind: specialist, model: small, next: end}
  end: {kind: exit}
"""

PARKING = """\
schema: 1
name: parking
nodes:
  start: {kind: entry, next: ask-a-person}
  ask-a-person: {kind: human, next: end}
  end: {kind: exit}
human: ask-a-person
"""

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "user"))
    monkeypatch.setenv("TINYLLM_STORE", f"sqlite:///{(tmp_path / 'store.db').as_posix()}")
    monkeypatch.setenv("TINYLLM_NETWORK", "tiny.yaml")
    (tmp_path / "tiny.yaml").write_text(NETWORK, encoding="utf-8")
    (tmp_path / "parking.yaml").write_text(PARKING, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(home: Path) -> Run:
    def invoke(*args: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, args, input=stdin, prog_name="tinyllm")

    return invoke
