"""One question on the command line, and how its errors end."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import NETWORK, Run

UNREACHABLE = NETWORK.replace("backend: scripted", "backend: openai").replace(
    'options: {answers: ["forty <b>two</b>"]}', "options: {base_url: 'http://127.0.0.1:9/v1', model: m}"
)


def test_the_answer_stands_alone_on_stdout(run: Run) -> None:
    asked = run("ask", "what?")
    assert (asked.exit_code, asked.stdout) == (0, "forty <b>two</b>\n")


def test_json_is_one_object(run: Run) -> None:
    reply = json.loads(run("ask", "--json", "-", stdin="what?\n").stdout)
    assert reply["answer"] == "forty <b>two</b>"
    assert reply["status"] == "answered"
    assert reply["route"] == ["start", "answer", "end"]
    assert reply["tool_calls"] == []
    assert set(reply["cost"]) == {"macs", "tokens_in", "tokens_out", "milliseconds", "money"}
    assert reply["cost"]["macs"] > 0
    assert {"latency_ms", "run_id", "graph"} <= set(reply)


def test_a_stream_ends_as_the_answer(run: Run) -> None:
    assert run("ask", "--stream", "what?").stdout == "forty <b>two</b>\n"


def test_no_store_keeps_nothing(home: Path, run: Run) -> None:
    assert run("ask", "--no-store", "what?").exit_code == 0
    assert not (home / "store.db").exists()


@pytest.mark.parametrize("flags", [["--json"], ["--stream"], []])
def test_an_unreachable_backend_ends_with_3(home: Path, run: Run, flags: list[str]) -> None:
    (home / "far.yaml").write_text(UNREACHABLE, encoding="utf-8")
    asked = run("ask", "--network", "far.yaml", *flags, "what?")
    assert asked.exit_code == 3
    assert "error:" in asked.stderr
    assert "next:" in asked.stderr
    assert "Traceback" not in asked.output


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (["ask"], 2, "TEXT"),
        (["aks", "x"], 2, "'ask'"),
        (["ask", "--json", "--stream", "x"], 2, "--stream"),
        (["trace", "nosuchrun"], 1, "nosuchrun"),
        (["graph", "check", "nosuch.yaml"], 2, "nosuch.yaml"),
        (["store", "purge", "--older-than", "soon"], 2, "30d"),
        (["store", "purge", "--older-than=-1d"], 2, "30d"),
        (["store", "purge", "--older-than", "0"], 2, "30d"),
        (["queue", "answer", "t-none", "yes"], 1, "t-none"),
        (["ask", "--quality", "2", "x"], 2, "--quality"),
        (["ask", "--right", "1", "x"], 2, "--right"),
        (["batch", "nosuch.jsonl", "-o", "x"], 2, "nosuch.jsonl"),
    ],
)
def test_mistakes_end_with_the_next_step(run: Run, args: list[str], code: int, word: str) -> None:
    made = run(*args)
    assert made.exit_code == code
    assert word in made.stderr
    assert "next:" in made.stderr
    assert made.stdout == ""


def test_an_unexpected_fault_is_told_not_thrown(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise ZeroDivisionError("by surprise")

    monkeypatch.setattr("tinyllm.api.load", broken)
    made = run("ask", "what?")
    assert made.exit_code == 1
    assert "by surprise" in made.stderr
    assert "TINYLLM_DEBUG" in made.stderr
    monkeypatch.setattr("tinyllm.api.load", lambda *a, **o: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run("ask", "what?").exit_code == 130


ROUTED = """\
schema: 1
name: routed
models:
  choice: {backend: scripted, options: {answers: ['{"route": "only"}']}}
  small: {backend: scripted, options: {answers: [so]}}
nodes:
  start: {kind: entry, next: choose}
  choose:
    kind: router
    model: choice
    routes: {only: {to: answer}}
    worth: {only: {right: 0.8, seen: 1000, cost: 1}}
  answer: {kind: specialist, model: small, next: end}
  end: {kind: exit}
"""


@pytest.mark.parametrize(
    ("command", "stdin"),
    [
        (["ask", "x"], None),
        (["ask", "--stream", "x"], None),
        (["chat"], "x\n"),
        (["batch", "in.jsonl", "-o", "out.jsonl"], None),
    ],
)
def test_a_share_of_right_answers_can_be_wanted(
    home: Path, run: Run, command: list[str], stdin: str | None
) -> None:
    (home / "routed.yaml").write_text(ROUTED, encoding="utf-8")
    (home / "in.jsonl").write_text('{"id": 1, "query": "x"}\n', encoding="utf-8")
    for right, why in (("0.7", "the cheapest that is surely right in 0.7"), ("0.9", "the surest, for none")):
        (home / "out.jsonl").unlink(missing_ok=True)
        asked = run(*command, "--network", "routed.yaml", "--right", right, stdin=stdin)
        assert asked.exit_code == 0, asked.output
        assert why in run("trace", "last").stdout


def test_a_chat_goes_on_and_ends(run: Run) -> None:
    talked = run("chat", "--json", stdin="one\n\ntwo\nexit\nthree\n")
    assert talked.exit_code == 0
    assert [json.loads(line)["status"] for line in talked.stdout.splitlines()] == ["answered"] * 2


def test_a_chat_tells_a_long_refusal_once(run: Run) -> None:
    asked = "who wrote hamlet?\nwho wrote macbeth?\n2 + 3\n8 choose 3\n8 choose 3\n"
    first, *others = run("chat", "--network", "starter", stdin=asked).stdout.splitlines()
    assert first.startswith("I can't answer that. I calculate")
    reason = "No tool here computes what this asks for."
    assert others == ["I can't answer that.", "2 + 3 = 5", reason, reason]
