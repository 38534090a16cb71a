"""Networks, traces, tickets, the store and the rest, as a user meets them."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Run
from tests.support.tiny_gguf import write_adapter, write_scripted
from tinyllm.cli.main import COMMANDS

BESIDE = """\
schema: 1
name: own
models:
  base: {backend: llamacpp, model: models/base.gguf, options: {adapters: {late: {path: models/late.gguf}}}}
nodes:
  start: {kind: entry, next: say}
  say: {kind: specialist, model: base, adapter: late, next: end}
  end: {kind: exit}
"""


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from tinyllm.cli.main import cli; cli.main(['--help'], standalone_mode=False)"
    heavy = "print(*{'pydantic', 'yaml', 'numpy', 'asyncio', 'aiohttp'} & set(sys.modules), file=sys.stderr)"
    made = subprocess.run(
        [sys.executable, "-c", f"import atexit, sys; atexit.register(lambda: {heavy}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Example: tinyllm ask" in made.stdout
    assert made.stderr.strip() == ""


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "demo"])
def test_help_begins_with_an_example(run: Run, command: str) -> None:
    assert "\n\n  Example: " in run(command, "--help").stdout.replace("\r", "")


def test_a_network_is_shown_in_every_form(home: Path, run: Run) -> None:
    assert "answer" in run("graph").stdout
    assert json.loads(run("graph", "tiny.yaml", "--json").stdout)["name"] == "tiny"
    assert "n0 --> n1" in run("graph", "--mermaid").stdout
    assert run("graph", "--svg", "tiny.svg").exit_code == 0
    picture = ElementTree.parse(home / "tiny.svg")
    words = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"start", "answer", "end"} <= words


def test_a_first_network_is_legal_and_never_overwritten(home: Path, run: Run) -> None:
    assert run("graph", "init", "mine.yaml").exit_code == 0
    assert run("graph", "check", "mine.yaml").exit_code == 0
    before = (home / "mine.yaml").read_bytes()
    assert run("graph", "init", "mine.yaml").exit_code == 2
    assert (home / "mine.yaml").read_bytes() == before


def test_a_legal_network_that_cannot_run_here_says_so(home: Path, run: Run) -> None:
    text = (home / "tiny.yaml").read_text(encoding="utf-8").replace("backend: scripted", "backend: scriptd")
    (home / "far.yaml").write_text(text, encoding="utf-8")
    checked = run("graph", "check", "far.yaml")
    assert checked.exit_code == 0 and "a legal network" in checked.stdout
    assert "cannot run here yet" in checked.stderr and "did you mean 'scripted'" in checked.stderr
    assert run("graph", "check", "tiny.yaml").stderr == ""


def test_files_that_a_network_names_stand_beside_it(home: Path, run: Run) -> None:
    pieces = ["one", "two", "three"]
    folder = home / "elsewhere" / "models"
    folder.mkdir(parents=True)
    write_scripted(folder / "base.gguf", pieces)
    write_adapter(folder / "late.gguf", pieces, 1)
    (home / "elsewhere" / "own.yaml").write_text(BESIDE, encoding="utf-8")
    assert run("ask", "--network", "elsewhere/own.yaml", "hello").stdout == "twothree\n"


def test_a_bad_network_names_its_lines(home: Path, run: Run) -> None:
    text = (home / "tiny.yaml").read_text(encoding="utf-8").replace("next: answer", "next: anser")
    (home / "bad.yaml").write_text(text, encoding="utf-8")
    checked = run("graph", "check", "bad.yaml")
    assert checked.exit_code == 2
    assert "bad.yaml:9:" in checked.stderr
    assert "'answer'" in checked.stderr
    problems = json.loads(run("graph", "check", "--json", "bad.yaml").stdout)
    assert not problems["ok"]
    assert problems["problems"]


def test_a_trace_shows_the_run(run: Run) -> None:
    asked = json.loads(run("ask", "--json", "is 1 < 2?").stdout)
    shown = run("trace", "last").stdout
    assert asked["run_id"] in shown
    assert all(node in shown for node in asked["route"])
    trace = json.loads(run("trace", asked["run_id"], "--json").stdout)
    assert trace["question"] == "is 1 < 2?"
    assert [span["node"] for span in trace["spans"]] == asked["route"]


def test_a_trace_page_is_whole_and_escaped(home: Path, run: Run) -> None:
    run("ask", "<script>alert(1)</script>")
    assert run("trace", "last", "--html", "page.html").exit_code == 0
    found: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append(tag)
            assert not {"src", "href"} & {name for name, _ in attrs}

    text = (home / "page.html").read_text(encoding="utf-8")
    Tags().feed(text)
    assert not {"script", "link", "img", "b"} & set(found)
    assert "&lt;script&gt;alert(1)" in text
    assert "forty &lt;b&gt;two" in text


def test_a_parked_question_is_listed_and_answered(run: Run) -> None:
    asked = run("ask", "--network", "parking.yaml", "--json", "may I?")
    assert asked.exit_code == 0
    reply = json.loads(asked.stdout)
    assert reply["status"] == "escalated"
    assert "tinyllm queue answer t" in run("ask", "--network", "parking.yaml", "--stream", "and I?").stderr
    waiting, _ = json.loads(run("queue", "list", "--json").stdout)
    assert (waiting["id"], waiting["question"]) == (reply["ticket"], "may I?")
    assert run("queue", "answer", reply["ticket"], "yes").exit_code == 0
    assert [row["question"] for row in json.loads(run("queue", "list", "--json").stdout)] == ["and I?"]
    assert "'yes'" in run("queue", "list", "--all").stdout
    assert run("queue", "answer", reply["ticket"], "no").exit_code == 2


def test_what_is_kept_can_be_measured_exported_and_purged(run: Run) -> None:
    run("ask", "one")
    run("ask", "two")
    assert json.loads(run("store", "size", "--json").stdout)["runs"] == 2
    exported = [json.loads(line) for line in run("store", "export").stdout.splitlines()]
    assert {row["question"] for row in exported if row["row"] == "run"} == {"one", "two"}
    assert json.loads(run("store", "purge", "--older-than", "1d", "--json").stdout) == {"deleted": 0}
    assert json.loads(run("store", "purge", "--older-than", "0s", "--json").stdout) == {"deleted": 2}


def test_a_copy_of_the_store_is_the_store_to_go_back_to(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("ask", "one")
    copied = json.loads(run("store", "backup", "monday.db", "--json").stdout)
    assert copied["bytes"] == (home / "monday.db").stat().st_size > 0
    run("ask", "two")
    again = run("store", "backup", "monday.db")
    assert again.exit_code == 1 and "cannot be written" in again.stderr
    monkeypatch.setenv("TINYLLM_STORE", f"sqlite:///{home / 'monday.db'}")
    exported = [json.loads(line) for line in run("store", "export").stdout.splitlines()]
    assert [row["question"] for row in exported if row["row"] == "run"] == ["one"]
    monkeypatch.setenv("TINYLLM_STORE", f"sqlite:///{home / 'none.db'}")
    assert run("store", "backup", "none-copy.db").exit_code == 1
    assert not (home / "none-copy.db").exists() and not (home / "none.db").exists()


def test_models_name_their_nodes(run: Run) -> None:
    (row,) = json.loads(run("models", "--json").stdout)
    assert (row["name"], row["nodes"]) == ("small", ["answer"])


def test_doctor_finds_a_broken_backend(home: Path, run: Run) -> None:
    well = run("doctor", "--json")
    assert well.exit_code == 0, well.output
    assert json.loads(well.stdout)["ok"]
    (home / "tinyllm.toml").write_text(
        '[backends.far]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"', encoding="utf-8"
    )
    ill = run("doctor")
    assert ill.exit_code == 1
    assert "FAIL backend far" in ill.stdout
    assert "next:" in ill.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_the_variable(run: Run, shell: str) -> None:
    assert "_TINYLLM_COMPLETE" in run("completion", shell).stdout


def test_what_is_nearly_a_setting_or_a_command_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYLLM_NETWRK", "x")
    looked = run("doctor")
    assert looked.exit_code == 0 and "did you mean TINYLLM_NETWORK?" in looked.stdout
    assert "'check'" in run("graph", "chek", "tiny.yaml").stderr
    assert "did you mean" not in run("frobnicate").stderr
