"""A network on a language model learns to split it, through the command line, a server and a model that writes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.learning.test_cycle import ANIMALS, WORDS
from tests.support.chat_server import Body, Chat, Message, chat_server, says

NETWORK = """\
schema: 1
name: two
models:
  plain: {backend: ollama, model: plain, parameters: 1000000}
  poet: {backend: ollama, model: poet, parameters: 1000000}
nodes:
  start: {kind: entry, next: chat}
  chat: {kind: specialist, model: plain, next: end}
  end: {kind: exit}
"""
TOLD = "Talk as pirates do."


def answer(body: Body) -> Message:
    """`plain` knows places and does what it is told about pirates, `poet` rhymes, and `author` writes prompts."""
    first, last = body["messages"][0]["content"], body["messages"][-1]["content"]
    if body["model"] == "author":
        return says(TOLD if "pirates" in last else "Rhyme.")
    knows = {"which": TOLD not in first, "write": body["model"] == "poet", "tell": TOLD in first}
    right = knows[last.split()[0]] and (body["model"] == "plain" or last.startswith("write"))
    return says(last.split()[-1] if right else "i think so")


@pytest.fixture
def ollama(home: Path) -> Iterator[Chat]:
    with chat_server(answer, "plain", "poet", "author") as chat:
        backend = f'[backends.ollama]\nkind = "openai"\nbase_url = "{chat.url}"\n'
        (home / "tinyllm.toml").write_text(f'judge = "ollama/author"\n{backend}', encoding="utf-8")
        (home / "two.yaml").write_text(NETWORK, encoding="utf-8")
        forms = (
            "which country holds the {} near {}",
            "write rhyming verses on a {} and {}",
            "tell pirates a story of {} and {}",
        )
        rows = [
            {"query": form.format(word, animal), "answer": animal}
            for word in WORDS[:7] for animal in ANIMALS for form in forms
        ]  # fmt: skip
        (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        yield chat


def test_a_language_model_is_split_by_what_it_fails(run: Run, ollama: Chat) -> None:
    told = run("learn", "--network", "two.yaml", "--replay", "rows.jsonl", "--yes")
    assert told.exit_code == 0, told.output
    history = json.loads(run("history", "--network", "two.yaml", "--json").stdout)
    assert any(version["edit"] == "expand" for version in history["versions"]), told.output
    for question in ("which country holds the garden near otter", "write rhyming verses on a pond and otter"):
        assert run("ask", "--network", "two.yaml", question).stdout.strip() == "otter"
    assert (
        run("ask", "--network", "two.yaml", "tell pirates a story of rocks and otter").stdout.strip()
        == "otter"
    )
    run("rollback", "0", "--network", "two.yaml", "--yes")
    assert (
        "otter" not in run("ask", "--network", "two.yaml", "write rhyming verses on a pond and otter").stdout
    )
