"""What failed, as a user meets it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.test_grades import judged_by
from tests.cli.test_heads import promote, saying
from tests.support.chat_server import chat_server, says
from tinyllm.cli.wiring import load_file

FORK = """\
schema: 1
name: fork
models:
  guide: {backend: scripted, options: {answers: ['{"route": "clerk"}']}}
  clerk: {backend: scripted, options: {answers: ["no idea"]}}
  sage: {backend: scripted, options: {answers: ["forty-two"]}}
nodes:
  start: {kind: entry, next: choose}
  choose: {kind: router, model: guide, routes: {clerk: {to: clerk}, sage: {to: sage}}}
  clerk: {kind: specialist, model: clerk, next: end}
  sage: {kind: specialist, model: sage, next: end}
  end: {kind: exit}
"""


def shown(run: Run, *args: str) -> Any:
    told = run("failures", "--json", *args)
    assert told.exit_code == 0, told.stderr
    return json.loads(told.stdout)


@pytest.fixture
def fork(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "fork.yaml").write_text(FORK, encoding="utf-8")
    monkeypatch.setenv("TINYLLM_NETWORK", "fork.yaml")


def test_an_empty_store_says_what_to_do(run: Run) -> None:
    told = run("failures")
    assert told.exit_code == 0 and told.stdout == ""
    assert "no answer is graded yet" in told.stderr and "tinyllm feedback last bad" in told.stderr
    none = {"graded": 0, "failed": 0, "graded_now": 0, "failed_now": 0}
    assert shown(run) == {"runs": none, "failures": [], "clusters": []}


def test_where_nothing_failed_it_says_so(run: Run) -> None:
    run("ask", "what?")
    run("feedback", "last", "good")
    told = run("failures", "--blame")
    assert told.exit_code == 0 and "of 1 graded answers none" in told.stderr


def test_failures_stand_by_kind_and_node_with_their_clusters(run: Run, fork: None) -> None:
    for question in ("the meaning of life", "the meaning of everything"):
        run("ask", question)
        run("feedback", "last", "--answer", "forty-two")
    run("ask", "the meaning of nothing")
    run("feedback", "last", "good")
    told = run("failures").stdout
    assert "graded answers: 3, wrong: 2 (67%)" in told
    assert "2  wrong answer, at clerk" in told and "not the right words: 'forty-two'" in told
    assert "at clerk: 67% wrong of 3" in told and "the meaning of life" in told
    data = shown(run)
    assert (
        data["runs"] == {"graded": 3, "failed": 2, "graded_now": 3, "failed_now": 2} and "blame" not in data
    )
    assert {(f["kind"], f["node"], f["settled"]) for f in data["failures"]} == {
        ("wrong answer", "clerk", False)
    }
    (cluster,) = data["clusters"]
    assert (cluster["node"], cluster["size"], cluster["failing"]) == ("clerk", 3, pytest.approx(2 / 3))


def test_failures_of_earlier_versions_are_told_from_those_of_today(run: Run) -> None:
    for answer in ("learned", "learned more"):
        run("ask", "what?")
        run("feedback", "last", "bad")
        promote(saying(load_file("tiny.yaml"), answer))
    for word in ("bad", "good"):
        run("ask", "what?")
        run("feedback", "last", word)
    told = run("failures").stdout
    assert "graded answers: 4, wrong: 3 (75%)\nby the network as it is now: 2, wrong: 1\n" in told
    assert "3    (1 now)  wrong answer, at answer" in told and "at answer: 75% wrong of 4, now 1 of 2" in told
    data = shown(run)
    assert data["runs"] == {"graded": 4, "failed": 3, "graded_now": 2, "failed_now": 1}
    assert sorted(failure["now"] for failure in data["failures"]) == [False, False, True]


def test_blame_finds_the_choice_at_fault_and_keeps_nothing(run: Run, fork: None) -> None:
    run("ask", "the meaning of life")
    run("feedback", "last", "--answer", "forty-two")
    kept = json.loads(run("store", "size", "--json").stdout)["runs"]
    told = run("failures", "--blame")
    assert told.exit_code == 0, told.stderr
    assert "1  misroute, at choose" in told.stdout and "with 'sage' the answer is right" in told.stdout
    assert "2 times in all: 1 right with another choice" in told.stdout and "settled for 100%" in told.stdout
    data = shown(run, "--blame", "--most", "1")
    assert (data["blame"]["skipped"], data["blame"]["settled"]) == (1, None)
    assert "--most is less" in run("failures", "--blame", "--most", "1").stdout
    assert json.loads(run("store", "size", "--json").stdout)["runs"] == kept


def test_where_there_was_no_other_choice_nothing_is_run_again(run: Run) -> None:
    run("ask", "what?")
    run("feedback", "last", "bad")
    told = run("failures", "--blame")
    assert told.exit_code == 0 and "there is one way only" in told.stdout


def test_a_judge_names_what_no_rule_can(run: Run, fork: None, home: Path) -> None:
    run("ask", "the meaning of life")
    run("feedback", "last", "--answer", "forty-two")
    told = run("failures", "--judge")
    assert told.exit_code == 2 and "there is no judge" in told.stderr and "tinyllm.toml" in told.stderr
    verdict = says('{"reason": "nobody can know", "verdict": "answered what it should refuse"}')
    with chat_server(lambda body: verdict, "big") as chat:
        (home / "tinyllm.toml").write_text(judged_by(chat), encoding="utf-8")
        (failure,) = shown(run, "--judge")["failures"]
    assert (failure["kind"], failure["settled"]) == ("answered what it should refuse", False)
    assert failure["why"] == "a judge: nobody can know"
