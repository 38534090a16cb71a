"""Feedback and grades, as a user meets them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.support.chat_server import Body, Chat, Message, chat_server, says

SUMS = """\
schema: 1
name: sums
nodes:
  start: {kind: entry, next: reckon}
  reckon: {kind: tool, tool: calculator, argument: expression, next: end}
  end: {kind: exit}
"""

RIGHT = '{"reason": "so it is", "verdict": "right"}'


def shown(run: Run, *args: str) -> Any:
    return json.loads(run("grades", "--json", *args).stdout)


@pytest.fixture
def sums(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (home / "sums.yaml").write_text(SUMS, encoding="utf-8")
    monkeypatch.setenv("TINYLLM_NETWORK", "sums.yaml")
    return home


def test_an_empty_store_says_what_to_do(run: Run) -> None:
    empty = run("grades")
    assert empty.exit_code == 0 and empty.stdout == "" and "tinyllm feedback last good" in empty.stderr
    assert shown(run) == {"grades": [], "runs": {"graded": 0, "right": 0}, "trends": [], "judges": []}
    nothing = run("feedback", "last", "good")
    assert nothing.exit_code == 1 and "no run is kept yet" in nothing.stderr


def test_an_opinion_is_kept_and_replaced(run: Run) -> None:
    asked = json.loads(run("ask", "--json", "what?").stdout)["run_id"]
    told = run("feedback", "last", "good")
    assert told.exit_code == 0 and f"run {asked} is right, by your thumb" in told.stdout
    again = run("feedback", asked, "good")
    assert again.exit_code == 2 and "before" in again.stderr and "next:" in again.stderr
    changed = json.loads(run("feedback", asked, "bad", "--json").stdout)
    assert (changed["kind"], changed["grader"], changed["score"], changed["counts"]) == (
        "thumb", "local", 0.0, True,
    )  # fmt: skip
    assert shown(run)["runs"] == {"graded": 1, "right": 0}
    assert [grade["score"] for grade in shown(run, "last")] == [0.0, 1.0]
    lines = run("grades", asked).stdout.splitlines()
    assert "wrong" in lines[0] and "right" in lines[2]


def test_the_right_answer_is_kept_as_a_reference(run: Run) -> None:
    run("ask", "what?")
    corrected = json.loads(run("feedback", "last", "--answer", "42", "--json").stdout)
    assert (corrected["kind"], corrected["score"], corrected["reference"]) == ("correction", 0.0, "42")
    assert run("feedback", "last", "--answer", "forty <b>two</b>").exit_code == 0
    assert shown(run)["runs"] == {"graded": 1, "right": 1}
    assert json.loads(run("store", "size", "--json").stdout)["grades"] == 2
    thumb = run("feedback", "last", "bad")
    assert "by your thumb" in thumb.stdout and "its correction still counts" in thumb.stderr
    assert shown(run)["runs"] == {"graded": 1, "right": 1}


@pytest.mark.parametrize(
    "words", [[], ["good", "--answer", "4"], ["bad", "--answer", "4"], ["--answer", " "], ["perfect"]]
)
def test_feedback_says_one_thing(run: Run, words: list[str]) -> None:
    run("ask", "what?")
    assert run("feedback", "last", *words).exit_code == 2
    assert shown(run)["grades"] == []


def test_an_unknown_run_is_an_error(run: Run) -> None:
    for words in (["feedback", "r1", "good"], ["grades", "r1"]):
        asked = run(*words)
        assert asked.exit_code == 1 and "no run 'r1'" in asked.stderr and "next:" in asked.stderr
    assert run("grades", "r1", "--run").exit_code == 2


def test_what_tools_compute_is_graded_again(sums: Path, run: Run) -> None:
    for question in ("12% of 80", "1 + 1"):
        run("ask", question)
    graded = run("grades", "--run")
    assert graded.exit_code == 0 and "grades given: 2 (2 by recompute)" in graded.stderr
    assert "runs graded: 2, right: 2" in graded.stdout
    rows = {
        row[0]: row[1:3] for row in map(str.split, graded.stdout.splitlines()) if row and row[0] == "node"
    }
    assert rows == {"node": ["reckon", "2"]}
    assert "grades given: 0" in run("grades", "--run").stderr
    run("ask", "2 + 2")
    assert shown(run, "--run", "--share", "0")["collected"]["graded"] == {}
    assert shown(run, "--run")["collected"]["graded"] == {"recompute": 1}


def test_a_better_grader_than_the_user_is_named(sums: Path, run: Run) -> None:
    run("ask", "1 + 1")
    run("grades", "--run")
    told = run("feedback", "last", "bad")
    assert told.exit_code == 0 and "its recompute still counts" in told.stderr
    assert shown(run)["runs"] == {"graded": 1, "right": 1}
    run("feedback", "last", "--answer", "3")
    assert shown(run)["runs"] == {"graded": 1, "right": 0}


def test_what_a_person_answered_grades_the_run(run: Run) -> None:
    reply = json.loads(run("ask", "--network", "parking.yaml", "--json", "may I?").stdout)
    run("queue", "answer", reply["ticket"], "yes")
    assert shown(run, "--run", "--share", "0")["collected"]["graded"] == {"reference": 1}
    (grade,) = shown(run)["grades"]
    assert (grade["grader"], grade["score"], grade["reference"]) == ("ticket", 0.0, "yes")
    assert {(trend["by"], trend["name"]) for trend in shown(run)["trends"]} == {
        ("node", "ask-a-person"), ("category", "-"), ("grader", "reference: ticket"),
    }  # fmt: skip


def judged_by(chat: Chat) -> str:
    return f'judge = "critic/big"\n[backends.critic]\nkind = "openai"\nbase_url = "{chat.url}"\n'


def test_a_judge_of_the_settings_grades_but_does_not_count_yet(home: Path, run: Run) -> None:
    with chat_server(lambda body: says(RIGHT), "big") as chat:
        (home / "tinyllm.toml").write_text(judged_by(chat), encoding="utf-8")
        run("ask", "what?")
        graded = run("grades", "--run")
        assert "grades given: 1 (1 by judge)" in graded.stderr and "60 tokens" in graded.stderr
        assert "grades given: 0" in run("grades", "--run").stderr and len(chat.asked("big")) == 2
    report = shown(run)
    assert report["grades"][0]["grader"] == "critic/big (rubric 1)"
    assert report["runs"]["graded"] == 0
    assert "30 are needed" in report["judges"][0]["refused"]
    assert "its grades do not count: compared on 0 runs, 30 are needed" in graded.stdout


def test_a_judge_that_has_shown_its_worth_counts(home: Path, run: Run) -> None:
    def fair(body: Body) -> Message:
        wrong = "forty <b>two</b>" in body["messages"][-1]["content"]
        return says(RIGHT.replace("right", "wrong") if wrong else RIGHT)

    right = (home / "tiny.yaml").read_text(encoding="utf-8").replace("forty <b>two</b>", "42")
    (home / "right.yaml").write_text(right, encoding="utf-8")
    questions = "".join(f'{{"id": {n}, "query": "question {n}"}}\n' for n in range(16))
    (home / "in.jsonl").write_text(questions, encoding="utf-8")
    for network in ("tiny.yaml", "right.yaml"):
        run("batch", "in.jsonl", "-o", f"{network}.jsonl", "--network", network)
        for line in (home / f"{network}.jsonl").read_text(encoding="utf-8").splitlines()[:15]:
            run("feedback", json.loads(line)["run_id"], "--answer", "42")
    with chat_server(fair, "big") as chat:
        (home / "tinyllm.toml").write_text(judged_by(chat), encoding="utf-8")
        graded = run("grades", "--run")
    assert "grades given: 32 (32 by judge)" in graded.stderr
    assert "agrees with better graders on 100% of 30 runs, kappa 1.00; its grades count" in graded.stdout
    assert "runs graded: 32, right: 16" in graded.stdout


def test_a_judge_that_chats_grades_nothing(home: Path, run: Run) -> None:
    with chat_server(lambda body: says("Full marks!"), "big") as chat:
        (home / "tinyllm.toml").write_text(judged_by(chat), encoding="utf-8")
        run("ask", "what?")
        collected = shown(run, "--run")["collected"]
    assert collected["graded"] == {} and collected["abstained"]["judge"] == 1
    assert "it gave no verdict: 'Full marks!'" in run("grades", "last").stdout


def test_a_judge_that_is_down_is_told_and_the_rest_is_graded(sums: Path, run: Run) -> None:
    (sums / "tinyllm.toml").write_text(
        'judge = "far/any"\n[backends.far]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"',
        encoding="utf-8",
    )
    run("ask", "1 + 1")
    graded = run("grades", "--run")
    assert graded.exit_code == 3 and "error:" in graded.stderr and "stay ungraded" in graded.stderr
    assert "runs graded: 1, right: 1" in graded.stdout


def test_the_text_of_a_run_cannot_steer_the_terminal(run: Run) -> None:
    run("ask", "what?")
    run("feedback", "last", "--answer", "\x1b[31mred")
    assert "\x1b" not in run("grades").stdout + run("grades", "last").stdout


def test_a_wrong_judge_is_a_setting_to_mend(home: Path, run: Run) -> None:
    (home / "tinyllm.toml").write_text('judge = "nobody/any"', encoding="utf-8")
    wrong = run("grades", "--run")
    assert wrong.exit_code == 2 and "'nobody'" in wrong.stderr and "[backends.nobody]" in wrong.stderr
