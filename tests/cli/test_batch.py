"""A file of questions: bad lines, stopping, going on, and files that are not ours."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tinyllm
from tests.cli.conftest import Run
from tests.cli.test_ask import UNREACHABLE
from tinyllm.cli.batch import MAX_LINE


def write(path: Path, *rows: object) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def answers(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rows(*ids: object) -> list[object]:
    return [{"id": number, "query": f"question {number}"} for number in ids]


def test_every_question_is_answered_once(home: Path, run: Run) -> None:
    write(home / "in.jsonl", *rows(*range(20), "text", None))
    assert run("batch", "in.jsonl", "-o", "out.jsonl", "--jobs", "8").exit_code == 0
    made = answers(home / "out.jsonl")
    assert len(made) == 22
    assert {json.dumps(row["id"]) for row in made} == {json.dumps(i) for i in [*range(20), "text", None]}
    assert all(row["query"] == f"question {row['id']}" for row in made)
    assert made[0]["status"] == "answered"


def test_a_rerun_goes_on_and_drops_a_torn_line(home: Path, run: Run) -> None:
    write(home / "in.jsonl", *rows(1, 2, 3))
    run("batch", "in.jsonl", "-o", "out.jsonl", "--jobs", "1")
    first = (home / "out.jsonl").read_bytes().splitlines(keepends=True)
    (home / "out.jsonl").write_bytes(first[0] + first[1][:25])
    again = run("batch", "in.jsonl", "-o", "out.jsonl", "--json")
    assert json.loads(again.stdout) == {"written": 2, "skipped": 1, "bad": 0, "failed": 0}
    made = (home / "out.jsonl").read_bytes().splitlines(keepends=True)
    assert made[0] == first[0]
    assert sorted(json.loads(line)["id"] for line in made) == [1, 2, 3]


def test_bad_lines_are_reported_and_the_rest_answered(home: Path, run: Run) -> None:
    good = json.dumps({"id": 9, "query": "q"}).encode()
    lines = [
        b"{nope",
        b"[1]",
        b'{"id": 1}',
        b"\xff\xfe",
        b"[" * 10_000,
        b"x" * (MAX_LINE * 2),
        b"",
        good,
        good,
    ]
    (home / "in.jsonl").write_bytes(b"\n".join(lines))
    done = run("batch", "in.jsonl", "-o", "out.jsonl", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"written": 1, "skipped": 0, "bad": 7, "failed": 0}
    for number in (1, 2, 3, 4, 5, 6, 9):
        assert f"in.jsonl:{number}:" in done.stderr
    assert [row["id"] for row in answers(home / "out.jsonl")] == [9]


def test_a_file_without_questions_is_answered_with_what_one_looks_like(home: Path, run: Run) -> None:
    (home / "in.txt").write_text("what is 2 + 2\n3 cups in ml\n")
    done = run("batch", "in.txt", "-o", "out.jsonl")
    assert done.exit_code == 1 and 'next: give IN one JSON object a line, such as {"id"' in done.stderr


@pytest.mark.parametrize("content", ["dear diary\n", "dear diary", '{"name": "x"}\n', '[1]\n{"id": 2}\n'])
def test_a_file_of_something_else_is_left_alone(home: Path, run: Run, content: str) -> None:
    write(home / "in.jsonl", *rows(1))
    (home / "out.jsonl").write_text(content, encoding="utf-8")
    assert run("batch", "in.jsonl", "-o", "out.jsonl").exit_code == 2
    assert (home / "out.jsonl").read_text(encoding="utf-8") == content


def test_in_and_out_differ(home: Path, run: Run) -> None:
    write(home / "in.jsonl", *rows(1))
    assert run("batch", "in.jsonl", "-o", "in.jsonl").exit_code == 2
    assert answers(home / "in.jsonl") == rows(1)


def test_an_unreachable_backend_stops_it_with_nothing_written(home: Path, run: Run) -> None:
    write(home / "in.jsonl", *rows(*range(5)))
    (home / "far.yaml").write_text(UNREACHABLE, encoding="utf-8")
    stopped = run("batch", "in.jsonl", "-o", "out.jsonl", "--network", "far.yaml")
    assert stopped.exit_code == 3
    assert (home / "out.jsonl").read_bytes() == b""
    assert run("batch", "in.jsonl", "-o", "out.jsonl").exit_code == 0
    assert len(answers(home / "out.jsonl")) == 5


def test_killed_in_the_middle_it_goes_on(home: Path, run: Run) -> None:
    write(home / "in.jsonl", *rows(*range(1000)))
    command = "from tinyllm.cli.main import main; main()"
    source = str(Path(tinyllm.__file__).parents[1])  # this process may have found it by a relative path
    process = subprocess.Popen(
        [sys.executable, "-c", command, "batch", "in.jsonl", "-o", "out.jsonl"],
        env={**os.environ, "PYTHONPATH": source},
    )
    out = home / "out.jsonl"
    while process.poll() is None and not (out.exists() and out.stat().st_size > 2000):
        time.sleep(0.005)
    process.kill()
    process.wait()
    before = out.read_bytes().count(b"\n")
    assert 0 < before < 1000
    again = json.loads(run("batch", "in.jsonl", "-o", "out.jsonl", "--json").stdout)
    assert (again["skipped"], again["written"]) == (before, 1000 - before)
    assert sorted(str(row["id"]) for row in answers(out)) == sorted(map(str, range(1000)))
