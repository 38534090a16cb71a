"""A network that is connected: to a server, to a larger model, to a person, to a folder of texts."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.support.chat_server import Body, Chat, Message, calls, chat_server, says

HAMLET = "who wrote hamlet?"
PULLED = ("qwen2.5:0.5b", "granite-code:3b", "qwen2.5:3b", "phi3:latest", "qwen2.5:14b")

HELPDESK = """\
schema: 1
name: helpdesk
models: {small: {backend: ollama, model: "qwen2.5:3b"}}
human: person
nodes:
  start: {kind: entry, next: reader}
  reader: {kind: specialist, model: small, tools: [TOOL], next: end}
  person: {kind: human, next: end}
  end: {kind: exit}
"""


def answer(body: Body) -> Message | None:
    """Every model knows Hamlet, what stands in the notes, and when to refuse."""
    question = next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user")
    if body["messages"][-1]["role"] == "tool":
        return says(body["messages"][-1]["content"])
    if "response_format" in body:
        return says('{"route": "language", "verdict": "pass", "reason": "right"}')
    if "hamlet" in question:
        return says("Shakespeare.")
    if "code" in question or "dragon" in question:
        return calls("lookup", query=question)
    return calls("refuse", reason="that needs a person")


@pytest.fixture
def ollama(home: Path) -> Iterator[Chat]:
    with chat_server(answer, *PULLED) as chat:
        settings = f'[backends.ollama]\nkind = "openai"\nbase_url = "{chat.url}"\n'
        (home / "tinyllm.toml").write_text(settings, encoding="utf-8")
        yield chat


def asked(run: Run, *args: str) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(run("ask", "--json", *args).stdout)
    return reply


def test_the_ollama_network_answers_and_every_command_looks_at_it(run: Run, ollama: Chat) -> None:
    reply = asked(run, "--network", "ollama", HAMLET)
    assert (reply["status"], reply["answer"]) == ("answered", "Shakespeare.")
    assert "language     " in run("trace", "last").stdout.replace("|", " ")
    assert "qwen2.5:14b" in run("models", "--network", "ollama").stdout
    assert "expert (larger)" in run("graph", "ollama").stdout
    looked = run("doctor", "--network", "ollama")
    assert looked.exit_code == 0, looked.output
    assert looked.stdout.count("ok   model") == 5


def test_doctor_says_which_models_to_fetch_and_once_that_the_server_is_silent(home: Path, run: Run) -> None:
    with chat_server(answer, "qwen2.5:0.5b") as chat:
        settings = f'[backends.ollama]\nkind = "openai"\nbase_url = "{chat.url}"\n'
        (home / "tinyllm.toml").write_text(settings, encoding="utf-8")
        looked = run("doctor", "--network", "ollama")
    assert looked.exit_code == 1
    missing = ("granite-code:3b", "phi3", "qwen2.5:14b", "qwen2.5:3b")
    assert sorted(re.findall(r"`ollama pull (\S+)`", looked.stdout)) == list(missing)
    silent = run("doctor", "--network", "ollama")
    assert silent.exit_code == 1
    assert silent.stdout.count("cannot be reached") == silent.stdout.count("FAIL") == 1
    assert "without it: dispatcher, coder, mathematician, writer, judge" in silent.stdout


def test_a_larger_model_takes_what_the_starter_refuses(
    run: Run, ollama: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(run, "--network", "starter", HAMLET)["status"] == "refused"
    monkeypatch.setenv("TINYLLM_LARGER", "ollama/qwen2.5:3b")
    reply = asked(run, "--network", "starter", HAMLET)
    assert (reply["status"], reply["answer"]) == ("answered", "Shakespeare.")
    assert "larger" in reply["route"]
    (body,) = ollama.bodies
    assert body["model"] == "qwen2.5:3b"
    assert asked(run, "--network", "starter", "what is 847 * 392?")["answer"] == "847*392 = 332024"
    assert len(ollama.bodies) == 1, "what the starter can do stays with it"


def test_what_no_model_answers_waits_for_a_person(home: Path, run: Run, ollama: Chat) -> None:
    (home / "desk.yaml").write_text(HELPDESK.replace("TOOL", "calculator"), encoding="utf-8")
    reply = asked(run, "--network", "desk.yaml", "may I go home?")
    assert reply["status"] == "escalated"
    assert reply["route"] == ["start", "reader", "person"]
    (waiting,) = json.loads(run("queue", "list", "--json").stdout)
    assert waiting["id"] == reply["ticket"]
    assert waiting["reason"] == "that needs a person"
    assert run("queue", "answer", reply["ticket"], "Yes, until Friday.").exit_code == 0
    kept = [json.loads(line) for line in run("store", "export").stdout.splitlines()]
    (reference,) = [row for row in kept if row.get("answer") == "Yes, until Friday."]
    assert reference["question"] == "may I go home?"
    assert run("queue", "list").stdout == ""


def test_lookup_answers_with_passage_and_file_or_says_that_it_is_not_there(
    home: Path, run: Run, ollama: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "desk.yaml").write_text(HELPDESK.replace("TOOL", "lookup"), encoding="utf-8")
    missing = run("ask", "--network", "desk.yaml", "the garage code?")
    assert missing.exit_code == 2
    assert "docs_dir" in missing.stderr
    (home / "notes").mkdir()
    (home / "notes" / "house.md").write_text("# House\n\nThe garage code is 4711.\n", encoding="utf-8")
    monkeypatch.setenv("TINYLLM_DOCS_DIR", str(home / "notes"))
    reply = asked(run, "--network", "desk.yaml", "the garage code?")
    assert reply["answer"] == "The garage code is 4711. (house.md, line 3)"
    assert reply["tool_calls"][0]["result"][0]["file"] == "house.md"
    assert "Nothing about" in asked(run, "--network", "desk.yaml", "where is the dragon?")["answer"]
