"""Teaching, as a user meets it: examples in a file, a word for them, and a network that answers their like."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tinyllm.starter import shipped

# (n, k) and the ways to choose k of n.
WAYS = [(6, 2, 15), (7, 3, 35), (8, 2, 28), (9, 4, 126), (10, 3, 120), (12, 2, 66)]
ASKED = ("how many ways are there to choose {k} of {n} hats", "pick {k} cards out of {n}: how many ways?")


@pytest.fixture
def examples(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TINYLLM_NETWORK", "starter")
    rows = [{"query": say.format(n=n, k=k), "answer": right} for say in ASKED for n, k, right in WAYS]
    (home / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\nnot an example\n")
    return "examples.jsonl"


def test_without_a_word_for_them_examples_prove_nothing_and_it_says_what_is_missing(
    run: Run, examples: str
) -> None:
    plain = run("teach", examples)
    assert plain.exit_code == 0 and "12 examples asked" in plain.stdout and "adopted" not in plain.stdout
    assert "missing" in plain.stdout
    assert "line 13 is no example" in plain.stderr and f"tinyllm teach {examples} --trust" in plain.stderr


def test_a_network_is_taught_by_a_person_s_word(home: Path, run: Run, examples: str) -> None:
    older = shipped.TRAFFIC.read_text(encoding="utf-8").splitlines()[:100]
    (home / "older.jsonl").write_text("\n".join(older), encoding="utf-8")
    run("learn", "--replay", "older.jsonl", "--dry-run")
    alone = run("teach", examples, "--trust")
    assert f"`tinyllm teach {examples} --trust --yes` adopts it" in alone.stderr and alone.exit_code == 0
    (shown,) = json.loads(run("teach", examples, "--trust", "--yes", "--json").stdout)
    assert shown["rounds"][0]["proposals"]["1. expand numbers"]["edit"] == "expand"
    assert shown["rounds"][0]["version"]["revision"] == 1
    assert run("ask", "how many ways are there to choose 4 of 11 hats").stdout.endswith("330\n")
    trials = run("trials").stdout
    assert "taught and vouched for, not proven" in trials and "100% of that is left" in trials
    assert "taught by 12 examples" in run("history").stdout
    assert run("rollback", "0", "--yes").exit_code == 0
    assert "expand numbers is not tried again yet: version 2 took it back" in run("learn", "--yes").stdout


def test_a_file_without_examples_is_told(home: Path, run: Run) -> None:
    missing = run("teach", "nowhere.jsonl")
    assert missing.exit_code == 2 and "nowhere.jsonl" in missing.stderr and "next:" in missing.stderr
