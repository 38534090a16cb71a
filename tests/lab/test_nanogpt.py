"""The benchmark beside nanoGPT, proven on a model of the same interface."""

import sys
from pathlib import Path

import pytest
from benchmarks import nanogpt

from tests.lab.test_runs import NAMES

STAND_IN = Path(__file__).with_name("stand_in_gpt.py")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(nanogpt, "SHAPE", {"block_size": 8, "n_layer": 1, "n_head": 2, "n_embd": 16})
    monkeypatch.setattr(nanogpt, "LOOK", 5)


def test_both_train_on_the_same_and_the_race_ends_at_their_loss():
    figures = nanogpt.measure(STAND_IN, NAMES * 20, steps=20, rounds=2, pace=2)
    assert len(figures["speed_ratios"]) == 2 and figures["speed_ratio"] > 0
    assert figures["parameters"]["theirs"] == figures["parameters"]["ours"]
    assert figures["their_loss"] < 2.55  # knowing nothing is 2.6
    assert figures["reached"] == (figures["our_loss"] <= figures["their_loss"])
    assert figures["our_steps"] % 5 == 0 and figures["our_seconds"] > 0
    if figures["our_steps"] < 20:
        assert figures["reached"]


def test_the_rate_warms_up_and_falls_to_a_tenth():
    rival = nanogpt.Theirs(nanogpt.theirs(STAND_IN), vocab=9, steps=100)
    rates = []
    for rival.step in range(100):
        rates.append(rival._rate())
    assert (
        rates[0] < 2e-4 and max(rates) == pytest.approx(1e-3) and rates[-1] == pytest.approx(1e-4, rel=0.02)
    )
    assert rates.index(max(rates)) == 5


def test_without_the_file_nothing_is_measured_and_another_file_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["nanogpt.py", str(tmp_path / "model.py")])
    nanogpt.main()
    assert "not measured" in capsys.readouterr().out
    (tmp_path / "model.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match="no GPT and GPTConfig"):
        nanogpt.theirs(tmp_path / "model.py")
