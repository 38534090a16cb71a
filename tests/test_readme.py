"""The examples of the README and of docs/ are run by the code that they speak of.

A block whose first line is a comment with a file's name is that file for the blocks after it. Of a `console`
block every command is run, and all that it says must stand below it, but for figures that change from run to
run (times, odds, ids); `python -m tests.test_readme` writes such blocks anew. The commands and flags of `sh`
blocks must exist.
"""

import contextlib
import io
import os
import re
import shlex
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
from click.testing import CliRunner

from tinyllm.backends import KINDS, build
from tinyllm.cli.main import cli
from tinyllm.cli.wiring import NODE_TOOLS
from tinyllm.errors import GraphError
from tinyllm.graph import parse, spec
from tinyllm.settings import McpSettings, Settings, read_settings

ROOT = Path(__file__).parents[1]
REWRITE = "if what is said now is right, `python -m tests.test_readme` writes it into the pages"
PAGES = [
    "README.md",
    *(f"docs/{page}.md" for page in ("network-file", "settings", "grades", "learning", "mcp", "memory")),
    *(f"docs/lab/{page}.md" for page in ("README", "chat-model")),
]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """Yield each block as language, file name (or nothing) and text."""
    for language, text in re.findall(r"^```(\w*)\n(.*?)^```", read(page), re.DOTALL | re.MULTILINE):
        named = re.match(r"# (\S+\.\w+)\n", text)
        yield language, named[1] if named else "", text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "user"))
    monkeypatch.setenv("TINYLLM_STORE", f"sqlite:///{(tmp_path / 'store.db').as_posix()}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_do_what_the_page_says(page: str, folder: Path) -> None:
    languages = set()
    for language, name, text in blocks(page):
        languages.add(language)
        if name:
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        match language:
            case "yaml" if name != "wrong.yaml":
                assert parse(text, source=name or page, tools=NODE_TOOLS).nodes
            case "yaml":
                with pytest.raises(GraphError):
                    parse(text, tools=NODE_TOOLS)
            case "toml":
                check_settings(text)
            case "python" if not name:
                check_program(text)
            case "console":
                assert steady(transcript(text)) == steady(text), REWRITE
            case "sh":
                check_commands(text)
    assert languages <= {"yaml", "toml", "python", "console", "sh"}, "a block that nothing looks at"


def check_settings(text: str) -> None:
    Path("tinyllm.toml").write_text(text, encoding="utf-8")
    try:
        for name, backend in read_settings().settings.backends.items():
            named = {} if backend.kind == "llamacpp" else {"model": "any"}
            assert build(name, backend.kind, {**named, **backend.options})
    finally:
        Path("tinyllm.toml").unlink()
    assert tomllib.loads(text).keys() <= Settings.model_fields.keys()


def check_program(text: str) -> None:
    """What a program prints stands behind the `print` as a comment."""
    told = re.findall(r"print\(.*\)  # (.*)", text)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(text, "example", "exec"), {})
    assert said.getvalue().splitlines() == told


def transcript(text: str) -> str:
    """The block with what its commands say now."""
    said = []
    for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        program, *arguments = shlex.split(command)
        assert program == "tinyllm"
        output = CliRunner().invoke(cli, arguments, prog_name="tinyllm").output
        said.append(f"$ {command}\n{output}")
    return "".join(said)


def steady(text: str) -> list[str]:
    """The lines without what differs from run to run: ids, bars, times and the figures of a cost or odds."""
    text = re.sub(r"\b[rt]?[0-9a-f]{8,}\b", "ID", text)
    text = re.sub(r"\((?:\w+ [\d.]+(?:, )?)+\)", "(ODDS)", text)
    text = re.sub(r"\|[ #]*\| +[\d.]+ ms", "BAR", text)
    return re.sub(r"(?<=[ (])[\d.+]+[kMG]?(?=[,)]| macs| tokens| ms|% sure)", "N", text).splitlines()


def check_commands(text: str) -> None:
    """The commands and their flags exist."""
    for words in re.findall(r"^(?:[A-Z_]+=\S+ )?tinyllm (.*)$", text, re.MULTILINE):
        name, *rest = shlex.split(words, comments=True)
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, words
        below = command.commands.values() if isinstance(command, click.Group) else [command]
        known = {flag for each in below for option in each.params for flag in option.opts}
        assert {part for part in rest if part.startswith("--")} <= known, words
    for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert f"\n{target}:" in read("Makefile")


def test_every_field_of_a_network_file_is_described() -> None:
    page = read("docs/network-file.md")
    kinds = get_args(get_args(spec.NodeSpec)[0])
    parts = [spec.Graph, spec.Model, spec.PromptText, spec.Budgets, spec.Pace, spec.Learning]
    parts += [spec.Route, spec.Worth, spec.Retry, spec.Test]
    fields = {name.rstrip("_") for part in (*parts, *kinds) for name in part.model_fields}
    checks = get_args(spec.Test.model_fields["check"].annotation)
    assert not [
        name for name in [*fields, *NODE_TOOLS, *checks] if not re.search(rf"`{name}\b[^`\n]*`", page)
    ]
    assert all(f"\n### {get_args(kind.model_fields['kind'].annotation)[0]}\n" in page for kind in kinds)


def test_the_picture_shows_the_network_that_ships() -> None:
    """`tinyllm graph starter --svg docs/starter.svg` draws it again."""
    nodes = parse(read("src/tinyllm/starter/networks/starter.yaml"), tools=NODE_TOOLS).nodes
    assert not [name for name in nodes if f">{name}</text>" not in read("docs/starter.svg")]


def test_every_setting_is_described() -> None:
    page = read("docs/settings.md")
    options = {name for kind in KINDS.values() for name in kind()[0].model_fields}
    assert not [name for name in [*Settings.model_fields, *KINDS, *options] if f"`{name}`" not in page]
    servers = read("docs/mcp.md")
    assert not [name for name in McpSettings.model_fields if f"| `{name}` |" not in servers]


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", read(page)):
            assert ((ROOT / page).parent / link).exists(), f"{page}: {link}"


def write_transcripts() -> None:
    """Write what the commands of every `console` block say now into the pages."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ |= {"TINYLLM_STORE": "sqlite:///store.db", "XDG_CONFIG_HOME": folder, "APPDATA": folder}
        for page in PAGES:
            written = read(page)
            for language, name, text in blocks(page):
                if name:
                    Path(name).write_text(text, encoding="utf-8", newline="\n")
                if language == "console":
                    written = written.replace(text, transcript(text))
            (ROOT / page).write_text(written, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_transcripts()
