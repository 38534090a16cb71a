"""`tinyllm memory`, and what it does to the answers."""

import asyncio
import json
from pathlib import Path

import pytest

import tinyllm
from tests.cli.conftest import Run
from tinyllm.events import Event
from tinyllm.store import open_store

NETWORK = """\
schema: 1
name: recalling
models: {small: {backend: scripted, options: {answers: [fine]}}}
nodes:
  start: {kind: entry, next: recall}
  recall: {kind: memory, next: answer}
  answer: {kind: specialist, model: small, next: end}
  end: {kind: exit}
"""


def test_facts_are_added_listed_edited_and_forgotten(run: Run) -> None:
    empty = run("memory", "list")
    assert (empty.exit_code, empty.stdout) == (0, "") and "tinyllm memory add" in empty.stderr
    assert "remembered as f" in run("memory", "add", "prefers Python over JavaScript").stdout
    fact = json.loads(run("memory", "add", "lives in Oslo", "--json").stdout)
    listed = run("memory", "list").stdout.splitlines()
    assert [line.split()[-1] for line in listed] == ["JavaScript", "Oslo"]
    assert "lives in Rome" in run("memory", "edit", fact["id"], "lives in Rome").stdout
    assert run("memory", "forget", fact["id"]).stdout == f"forgotten: {fact['id']}\n"
    assert [row["text"] for row in json.loads(run("memory", "list", "--json").stdout)] == [
        "prefers Python over JavaScript"
    ]
    assert "Oslo" not in run("store", "export").stdout


def test_users_are_kept_apart(run: Run) -> None:
    fact = json.loads(run("memory", "add", "lives in Oslo", "--user", "ann", "--json").stdout)
    assert fact["user"] == "ann"
    assert "user 'local'" in run("memory", "list").stderr
    missed = run("memory", "forget", fact["id"])
    assert missed.exit_code == 1 and "tinyllm memory list" in missed.stderr
    assert json.loads(run("memory", "forget", "--all", "--yes", "--user", "ann", "--json").stdout) == {
        "forgotten": [fact["id"]]
    }


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["add", " "], "empty"),
        (["add", "x" * 301], "301 characters"),
        (["forget"], "name one fact"),
        (["forget", "f1", "--all"], "name one fact"),
        (["forget", "--all"], "--yes"),
    ],
)
def test_what_cannot_be_is_told(run: Run, args: list[str], said: str) -> None:
    result = run("memory", *args)
    assert result.exit_code == 2 and said in result.stderr


def test_a_network_with_a_memory_node_recalls_from_the_store(home: Path, run: Run) -> None:
    (home / "recalling.yaml").write_text(NETWORK, encoding="utf-8")
    run("memory", "add", "answer in German")
    with tinyllm.load("recalling.yaml") as net:
        memory = net._wired.engine.parts(net.graph).memory
        assert memory is not None
        (fact,) = net.call(memory.recall("local", "local", "hello", 5))
        assert fact.text == "answer in German"
        assert net.call(memory.recall("local", "ann", "hello", 5)) == []
    assert run("ask", "--network", "recalling.yaml", "hello").stdout == "fine\n"


def test_the_trace_names_the_fact_that_changed_a_choice(home: Path, run: Run) -> None:
    odds = {"python": 0.41, "web": 0.49}
    made = {"choice": "python", "probabilities": {"python": 0.53, "web": 0.39}, "before": odds}

    async def keep() -> str:
        store = await open_store(f"sqlite:///{(home / 'store.db').as_posix()}")
        fact = await store.remember("prefers \x1b[1m<b>Python", user="ann")
        events = [
            Event("r1", 0, "run_started", 0.0, None, {"question": "sort", "graph": "g", "user": "ann"}),
            Event("r1", 1, "node_started", 0.1, "choose", {"kind": "router"}),
            Event("r1", 2, "choice_made", 0.2, "choose", {**made, "facts": [fact.id], "forced": False}),
            Event("r1", 3, "node_finished", 0.3, "choose", {"text": ""}),
            Event("r1", 4, "run_finished", 0.4, None, {"answer": "so", "status": "answered"}),
        ]
        await store.append("local", events)
        await store.close()
        return fact.id

    fact = asyncio.run(keep())
    said = "as the user wants it: {} (without that: web 0.490, python 0.410)"
    assert said.format("prefers [1m<b>Python") in run("trace", "r1").stdout
    run("trace", "r1", "--html", "run.html")
    assert "prefers [1m&lt;b&gt;Python" in (home / "run.html").read_text(encoding="utf-8")
    run("memory", "forget", fact, "--user", "ann")
    assert said.format(f"{fact}, forgotten since") in run("trace", "r1").stdout
