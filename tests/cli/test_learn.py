"""Learning as a user meets it: who agrees to a change, what is graded, and what is said while it goes on."""

import json
import os
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

import tinyllm
from tests.cli.conftest import Run
from tests.cli.test_heads import in_store
from tests.cli.test_versions import shown
from tests.learning.test_cycle import ANIMALS, WORDS
from tests.support.chat_server import chat_server, says
from tinyllm.starter import shipped

POOR = """\
schema: 1
name: tiny
models:
  poor: {backend: scripted, options: {answers: ["i think so"]}}
  good: {backend: scripted, options: {answers: ["here"]}}
nodes:
  start: {kind: entry, next: answer}
  answer: {kind: specialist, model: poor, larger: spare, next: end}
  spare: {kind: specialist, model: good, next: end}
  end: {kind: exit}
"""


@pytest.fixture
def rows(home: Path) -> str:
    """So many requests that the poor model's failures prove the good one better."""
    (home / "tiny.yaml").write_text(POOR, encoding="utf-8")
    asked = (f"where is the {word} near {animal}" for word, animal in product(WORDS, ANIMALS))
    text = "".join(json.dumps({"query": query, "answer": "here"}) + "\n" for query in list(asked)[:180])
    (home / "rows.jsonl").write_text(text, encoding="utf-8")
    return "rows.jsonl"


def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyllm.cli.learn.terminal", lambda stream=None: True)
    monkeypatch.setattr("tinyllm.cli.learn.progress", lambda what, done, of: None)


@pytest.mark.parametrize(("typed", "adopted"), [("y\n", True), ("n\n", False)])
def test_a_person_at_a_terminal_is_asked(
    run: Run, rows: str, monkeypatch: pytest.MonkeyPatch, typed: str, adopted: bool
) -> None:
    at_a_terminal(monkeypatch)
    told = run("learn", "--replay", rows, stdin=typed)
    assert told.exit_code == 0, told.stderr
    assert "answer may do better on good. adopted: " in told.stderr and "adopt it? [y/N]" in told.stderr
    assert ("adopted as version 1" in told.stdout) == adopted
    assert ("proven, but nobody agreed to it" in told.stdout) != adopted
    assert len(shown(run, "history")["versions"]) == (2 if adopted else 0)
    assert run("ask", "where is the river near tiger").stdout.strip() == ("here" if adopted else "i think so")


def test_ctrl_c_at_the_question_ends_it(run: Run, rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_a_terminal(monkeypatch)
    answered = []

    def asked(*_: object, **__: object) -> bool:
        signal.raise_signal(signal.SIGINT)
        answered.append("the question went on")
        return True

    monkeypatch.setattr("click.confirm", asked)
    told = run("learn", "--replay", rows)
    assert answered == [] and "the same command goes on from there" in told.stderr
    assert shown(run, "history")["versions"] == [], "nothing is adopted"


@pytest.mark.parametrize("args", [[], ["--json"]], ids=["no terminal", "json"])
def test_where_nobody_can_be_asked_nothing_is_adopted_and_it_says_what_would_adopt_it(
    run: Run, rows: str, args: list[str]
) -> None:
    told = run("learn", "--replay", rows, *args)
    assert told.exit_code == 0 and "`tinyllm learn --yes` adopts it" in told.stderr
    (trial,) = shown(run, "trials")["trials"]
    assert (trial["state"], trial["number"]) == ("waiting", 1) and shown(run, "history")["versions"] == []
    assert "adopted as version 1" in run("learn", "--yes").stdout
    (trial,) = shown(run, "trials")["trials"]
    assert (trial["state"], trial["number"]) == ("adopted", 1), "who agrees later pays nothing more"


@pytest.mark.parametrize("stream", ["stderr", "stdin"])
def test_half_a_terminal_is_none(run: Run, rows: str, monkeypatch: pytest.MonkeyPatch, stream: str) -> None:
    monkeypatch.setattr(
        "tinyllm.cli.learn.terminal", lambda given=None: (given is None) == (stream == "stderr")
    )
    monkeypatch.setattr("tinyllm.cli.learn.progress", lambda what, done, of: None)
    told = run("learn", "--replay", rows)
    assert told.exit_code == 0 and "adopt it?" not in told.stderr and "nobody agreed" in told.stdout


@pytest.mark.parametrize(("adopt", "args", "adopted"), [("auto", [], True), ("never", ["--yes"], False)])
def test_a_network_says_by_itself_who_agrees(
    run: Run, home: Path, rows: str, adopt: str, args: list[str], adopted: bool
) -> None:
    (home / "tiny.yaml").write_text(f"{POOR}learning: {{adopt: {adopt}}}\n", encoding="utf-8")
    told = run("learn", "--replay", rows, *args)
    assert told.exit_code == 0 and ("adopted as version 1" in told.stdout) == adopted
    assert "nobody can be asked" not in told.stderr
    assert len(shown(run, "history")["versions"]) == (2 if adopted else 0)


def test_a_dry_run_says_what_it_would_try_and_why(run: Run, rows: str) -> None:
    told = run("learn", "--replay", rows, "--dry-run")
    assert told.exit_code == 0
    assert "180 graded answers, 0 right" in told.stdout
    assert "would try 1. model answer: answer may do better on good (on other requests: " in told.stdout
    assert (
        "better and 0 worse answers" in told.stdout
        and "nothing was adopted: this was a dry run" in told.stdout
    )
    assert shown(run, "history")["versions"] == [] and shown(run, "trials")["trials"] == []


def test_a_contest_that_nobody_won_is_among_the_trials(run: Run, home: Path, rows: str) -> None:
    (home / "tiny.yaml").write_text(POOR.replace('["here"]', '["there"]'), encoding="utf-8")
    told = run("learn", "--replay", rows)
    assert "not adopted: nothing is worth a proof. 1. model answer: it gains nothing" in told.stdout
    (trial,) = shown(run, "trials")["trials"]
    assert (trial["state"], trial["level"], trial["became"]) == ("rejected", None, None)
    lines = run("trials").stdout.splitlines()
    assert "no look" in lines[0] and "model answer: answer may do better on good" in lines[0]
    assert "nothing is worth a proof" in lines[1] and "100% of that is left" in lines[-1]
    assert "select, 1. model answer: 0 better and 0 worse" in run("trials", trial["id"]).stdout
    assert "nothing is graded since this was tried last" in run("learn").stdout


def test_what_it_does_is_shown_as_a_bar(run: Run, rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyllm.cli.learn.terminal", lambda given=None: given is None)
    shown = run("learn", "--replay", rows, "--dry-run").stderr
    assert f"[{'#' * 12}{'-' * 12}] 90/180 asking" in shown and f"[{'#' * 24}] 180/180 asking" in shown
    for what in ("looking for changes, training what is new", "what fails", "model answer"):
        assert what in shown
    assert shown.endswith("\r"), "the bar is taken away"


def test_an_empty_store_is_told_how_much_is_missing(run: Run) -> None:
    told = run("learn")
    assert told.exit_code == 0 and "0 graded answers" in told.stdout
    assert "about 150 graded answers, each unlike the others, are missing" in told.stdout
    assert "tinyllm learn --replay sample" in told.stdout


@pytest.mark.parametrize(("share", "graded"), [(0, 0), (1, 4)])
def test_the_share_of_the_settings_is_graded(run: Run, home: Path, share: int, graded: int) -> None:
    verdict = json.dumps({"reason": "so it is", "verdict": "right"})
    for question in "abcd":
        run("ask", question)
    with chat_server(lambda body: says(verdict), "big") as chat:
        backend = f'[backends.critic]\nkind = "openai"\nbase_url = "{chat.url}"\n'
        (home / "tinyllm.toml").write_text(f'grade_share = {share}\njudge = "critic/big"\n{backend}')
        assert run("learn").exit_code == 0
    grades = in_store(lambda store: store.grades())
    assert sum(grade.kind == "judge" for grade in grades) == graded


MAIN = """
import signal
import tinyllm.cli.learn
from tinyllm.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
tinyllm.cli.learn.PAUSE = 0.05
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a console, not to a process")
def test_a_watch_tells_each_cycle_as_it_ends_and_is_stopped_by_ctrl_c(run: Run, rows: str) -> None:
    def studied(first: int) -> None:
        lines = (Path(rows).read_text(encoding="utf-8")).splitlines()[first : first + 20]
        Path("more.jsonl").write_text("\n".join(lines), encoding="utf-8")
        assert run("learn", "--replay", "more.jsonl", "--dry-run").exit_code == 0

    studied(0)
    watch = subprocess.Popen(
        [sys.executable, "-c", MAIN, "learn", "--watch", "--every", "20", "--json"],
        env={**os.environ, "PYTHONPATH": str(Path(tinyllm.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    assert json.loads(watch.stdout.readline())["graded"] == 20
    studied(20)
    assert json.loads(watch.stdout.readline())["graded"] == 40
    watch.send_signal(signal.SIGINT)
    out, err = watch.communicate(timeout=30)
    assert (watch.returncode, out) == (130, "") and "the same command goes on from there" in err


def test_a_replay_that_is_stopped_tells_the_cycles_so_far(
    run: Run, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinyllm.learning.cycle import Learner, Report

    cycle, begun = Learner.cycle, list[Learner]()

    async def stopped(learner: Learner, *, dry: bool = False) -> Report:
        begun.append(learner)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return await cycle(learner, dry=dry)

    monkeypatch.setattr(Learner, "cycle", stopped)
    told = run("learn", "--replay", rows, "--every", "60", "--json")
    assert told.exit_code != 0
    assert [one["when"] for one in json.loads(told.stdout)] == ["after 60 of 180 requests"]


def test_the_shipped_sample_grows_the_network_and_growth_can_be_taken_back(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYLLM_NETWORK", "starter")
    (home / "first.jsonl").write_text("".join(shipped.TRAFFIC.open(encoding="utf-8").readlines()[:300]))
    monkeypatch.setattr(shipped, "TRAFFIC", home / "first.jsonl")
    asked = "compute the area of a triangular badge 15 wide and 4 tall"
    before = run("ask", asked).stdout
    assert before == "15 * 4 = 60\n"
    told = run("learn", "--replay", "sample", "--every", "300", "--yes")
    assert told.exit_code == 0, told.stderr
    assert "tried 1. expand numbers: " in told.stdout and "adopted as version 1" in told.stdout
    first, second = shown(run, "history")["versions"]
    assert second["nodes"] > first["nodes"] and second["edit"] == "expand"
    assert "adopted" in run("trials").stdout and "it is version 1" in run("trials").stdout
    grown = run("ask", asked).stdout
    assert "= 30\n" in grown
    assert run("rollback", "0", "--yes").exit_code == 0 and run("ask", asked).stdout == before
    assert run("rollback", "1", "--yes").exit_code == 0 and run("ask", asked).stdout == grown
