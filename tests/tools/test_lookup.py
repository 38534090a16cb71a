"""Lookup in a folder of notes: found, not there, changed since, and files that are not text."""

import os
from pathlib import Path

import pytest

from tests.tools.asking import answer, refusal
from tinyllm.errors import ToolUnavailable
from tinyllm.tools.lookup import MAX_BYTES, Lookup


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    (folder / "home.md").write_text(
        "# Home\n\nThe garage door code is 4711.\nAsk Ann.\n\nWifi password: tulip\n"
    )
    (folder / "sub" / "health.txt").write_text("Dentist appointments happen on Mondays.")
    return folder


def test_the_passage_its_file_and_line(notes: Path) -> None:
    result = answer(Lookup(notes), query="What is the garage door's code?")
    passage = {"file": "home.md", "line": 3, "passage": "The garage door code is 4711. Ask Ann."}
    assert result.value[0] == passage
    assert result.text == "The garage door code is 4711. Ask Ann. (home.md, line 3)"
    assert answer(Lookup(notes), query="wifi passwords").value[0]["line"] == 6
    assert answer(Lookup(notes), query="dentist appointment").value[0]["file"] == "sub/health.txt"


def test_what_is_not_there_is_said_plainly(notes: Path) -> None:
    result = answer(Lookup(notes), query="unicorn")
    assert (result.value, result.text) == ([], "Nothing about unicorn is in notes.")
    assert answer(Lookup(notes), query="garage penguin zebra").value == []


@pytest.mark.parametrize(
    "query", ['garage" OR "', "garage AND NOT door", "garage*", "body:garage", "NEAR(garage)", "--'"]
)
def test_query_text_is_only_data(notes: Path, query: str) -> None:
    if query == "--'":
        assert "no word" in refusal(Lookup(notes), query=query).message
    else:
        answer(Lookup(notes), query=query)


@pytest.mark.parametrize("kept", [False, True])
def test_the_index_follows_the_files(notes: Path, tmp_path: Path, kept: bool) -> None:
    index = tmp_path / "notes.db" if kept else None
    lookup = Lookup(notes, index)
    assert answer(lookup, query="garage").value
    home = notes / "home.md"
    home.write_text("The garage is full.\n")
    assert answer(lookup, query="garage").value == [
        {"file": "home.md", "line": 1, "passage": "The garage is full."}
    ]
    home.unlink()
    assert answer(lookup, query="garage").value == []
    (notes / "new.txt").write_text("A garage at last")
    assert answer(Lookup(notes, index), query="garage").value[0]["file"] == "new.txt"


def test_other_files_are_left_alone(notes: Path) -> None:
    (notes / "binary.txt").write_bytes(b"\0\1 giraffe")
    (notes / "latin.txt").write_bytes("giraffe caf\xe9".encode("latin-1"))
    (notes / "large.txt").write_text("giraffe " * (MAX_BYTES // 8 + 1))
    (notes / "code.py").write_text("giraffe")
    (notes / ".hidden").mkdir()
    (notes / ".hidden" / "secret.txt").write_text("giraffe")
    outside = notes.parent / "outside.txt"
    outside.write_text("giraffe")
    if hasattr(os, "symlink") and os.name != "nt":
        (notes / "link.txt").symlink_to(outside)
    assert [found["file"] for found in answer(Lookup(notes), query="giraffe").value] == ["latin.txt"]


def test_a_long_line_is_cut_into_a_passage(notes: Path) -> None:
    (notes / "long.txt").write_text("okapi " + "x" * 100_000)
    assert len(answer(Lookup(notes), query="okapi").value[0]["passage"]) <= 800


def test_faults(notes: Path, tmp_path: Path) -> None:
    assert isinstance(refusal(Lookup(tmp_path / "none"), query="garage"), ToolUnavailable)
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no database" * 1000)
    error = refusal(Lookup(notes, damaged), query="garage")
    assert isinstance(error, ToolUnavailable)
    assert "delete the index file" in error.hint
    assert "longer than 500" in refusal(Lookup(notes), query="x" * 1_000_000).message
    assert "no word" in refusal(Lookup(notes), query="what is the").message
