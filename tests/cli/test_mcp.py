"""Tools of MCP servers as a user meets them: named, trusted, used, changed, trusted anew."""

import json
import sys
from pathlib import Path

import pytest

import tests.support.mcp_server as program
from tests.cli.conftest import Run

NETWORK = """\
schema: 1
name: outside
tools: {again: "mcp:test/echo"}
nodes:
  start: {kind: entry, next: say}
  say: {kind: tool, tool: again, argument: text, next: end}
  end: {kind: exit, refusal: I cannot say it.}
"""


@pytest.fixture
def outside(home: Path) -> Path:
    (home / "outside.yaml").write_text(NETWORK, encoding="utf-8")
    (home / "description").write_text("Says it again.", encoding="utf-8")
    command = json.dumps([sys.executable, program.__file__, "description", "started"])
    (home / "tinyllm.toml").write_text(f"[mcp.test]\ncommand = {command}\n", encoding="utf-8")
    return home


def test_nothing_of_a_server_is_there_until_it_is_trusted(outside: Path, run: Run) -> None:
    asked = run("ask", "--network", "outside.yaml", "hello")
    assert asked.exit_code == 2 and "'test' is not trusted" in asked.output
    assert "tinyllm mcp trust test" in asked.output
    assert "not trusted" in run("mcp", "list").output
    assert not (outside / "started").exists()  # and it was not even started
    assert run("mcp", "trust", "test", stdin="n\n").exit_code == 130
    assert not (outside / "started").exists()
    assert run("mcp", "trust", "test", stdin="y\nn\n").exit_code == 130
    assert run("ask", "--network", "outside.yaml", "hello").exit_code == 2


def test_a_trusted_tool_answers_until_it_changes(outside: Path, run: Run) -> None:
    shown = run("mcp", "trust", "test", stdin="y\ny\n")
    assert shown.exit_code == 0 and "echo(text)" in shown.output and "Says it again." in shown.output
    assert run("ask", "--network", "outside.yaml", "hello").stdout == "hello\n"
    (row,) = json.loads(run("mcp", "list", "--json").stdout)
    assert (row["state"], row["tools"]) == ("trusted", ["do", "echo"])

    (outside / "description").write_text("Says it to me, too.", encoding="utf-8")
    refused = run("ask", "--network", "outside.yaml", "hello")
    assert "I cannot say it." in refused.stdout and "not those that you trusted" in refused.stdout
    again = run("mcp", "trust", "test", stdin="y\n")
    assert "echo(text) (changed)" in again.output and "do(text)\n" in again.output
    assert run("ask", "--network", "outside.yaml", "hello").stdout == "hello\n"

    run("mcp", "distrust", "test")
    assert run("ask", "--network", "outside.yaml", "hello").exit_code == 2


def test_another_program_under_a_trusted_name_is_not_started(outside: Path, run: Run) -> None:
    assert run("mcp", "trust", "test", "--yes").exit_code == 0
    (outside / "tinyllm.toml").write_text(
        '[mcp.test]\ncommand = ["touch", "started-too"]\n', encoding="utf-8"
    )
    asked = run("ask", "--network", "outside.yaml", "hello")
    assert asked.exit_code == 2 and "its settings changed" in asked.output
    assert "changed" in run("mcp", "list").output
    assert not (outside / "started-too").exists()


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("seconds = 3", "either its `command`, as a list, or its `url`"),
        ('url = "http://localhost/"\ncommand = ["x"]', "either its `command`"),
        ('url = "http://localhost/"\nseconds = 600', "mcp.test.seconds"),
        ('url = "http://localhost/"\nlink = 1', "mcp.test.link"),
    ],
)
def test_a_wrong_table_is_named(outside: Path, run: Run, table: str, told: str) -> None:
    (outside / "tinyllm.toml").write_text(f"[mcp.test]\n{table}\n", encoding="utf-8")
    wrong = run("mcp", "list")
    assert wrong.exit_code == 2 and told in wrong.output


def test_a_server_or_tool_that_is_not_named_is_told(outside: Path, run: Run) -> None:
    (outside / "tinyllm.toml").write_text("", encoding="utf-8")
    wrong = run("ask", "--network", "outside.yaml", "hello")
    assert wrong.exit_code == 2 and "[mcp.test]" in wrong.output
    assert "no server is named" in run("mcp", "list").stderr


def test_secrets_of_servers_are_not_shown(home: Path, run: Run) -> None:
    told = '[mcp.test]\nurl = "http://localhost/"\nheaders = {Authorization = "s3cret"}\n'
    (home / "tinyllm.toml").write_text(
        told + '[mcp.two]\ncommand = ["x"]\nenv = {KEY = "s3cret"}\n', encoding="utf-8"
    )
    shown = run("config", "show")
    assert "mcp.test.headers.Authorization" in shown.output and "mcp.two.env.KEY" in shown.output
    assert "s3cret" not in shown.output + run("mcp", "list").output
