"""The demo: the same questions through the network and through one model that has no tools."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tinyllm.cli.demo import QUESTIONS
from tinyllm.errors import NotFound
from tinyllm.starter import shipped


def test_the_network_beats_the_model_alone(run: Run) -> None:
    made = json.loads(run("demo", "--json").stdout)
    assert made["right"] == made["questions"] == len(made["answers"])
    assert made["alone"]["right"] < made["right"] / 2
    for answer in made["answers"]:
        assert answer["cost"]["macs"] > 0
        assert answer["alone"]["cost"]["macs"] > 0
    refused = [answer["alone"] for answer in made["answers"] if answer["status"] == "refused"]
    assert any(alone["answer"] is None and alone["right"] for alone in refused)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyllm.cli.demo.QUESTIONS", QUESTIONS[:3])


def test_both_scores_stand_side_by_side(run: Run, few: None) -> None:
    lines = run("demo").stdout.splitlines()
    assert sum("without tools:" in line for line in lines) == 3
    scores = {line[:11]: line.split()[4] for line in lines if line.startswith(("the network,", "one model,"))}
    assert scores == {"the network": "3/3", "one model, ": "0/3"}


def test_without_the_model_the_demo_goes_on(run: Run, few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(file: str) -> tuple[Path, str]:
        if file == "plain.gguf":
            raise NotFound("no weights called 'plain.gguf' are shipped")
        return weights(file)

    weights = shipped.weights
    monkeypatch.setattr(shipped, "weights", lacking)
    made = run("demo", "--json")
    assert "nothing to compare with" in made.stderr
    shown = json.loads(made.stdout)
    assert shown["alone"] is None
    assert shown["right"] == shown["questions"] == 3
