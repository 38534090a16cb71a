"""The record of figures: every one says how sure it is, and what was missed says what was tried."""

import json
import math
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from benchmarks import checks, lab

from tinyllm.lab.folder import machine

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RECORD = json.loads((BENCHMARKS / "lab.json").read_text(encoding="utf-8"))
WORDS = tomllib.loads((BENCHMARKS / "lab.toml").read_text(encoding="utf-8"))
MISSED = [
    ("names-transformer", "dev_loss"),
    ("decode", "5 M ratio"),
    ("nanogpt", "speed_ratio"),
    ("nanogpt", "time_ratio"),
    ("pipeline-2", "sums_reinforced"),
]


def test_every_figure_has_an_interval_or_why_there_is_none():
    for name, kept in RECORD.items():
        for key, each in kept["metrics"].items():
            assert not isinstance(each["value"], list), (name, key)
            if isinstance(each["value"], float):
                assert ("interval" in each) != ("no_interval" in each), (name, key)
            if "interval" in each:
                low, high = each["interval"]
                inside = low <= each["value"] * (1 + 1e-9) and each["value"] <= high * (1 + 1e-9)
                assert inside or name == "scaling", (name, key)  # resampled laws need not agree with the fit
        assert kept["command"] and "seed" in kept and "machine" in kept


@pytest.mark.parametrize(("name", "key"), MISSED)
def test_what_was_not_reached_says_what_was_tried(name, key):
    assert len(RECORD[name]["metrics"][key]["tried"]) > 100


def test_the_record_is_what_gathering_makes_of_it():
    for name, kept in RECORD.items():
        assert lab.told(name, kept, WORDS) == kept
    for beside in (lab.decode(), lab.nanogpt()):
        assert lab.told(*next((n, k) for n, k in RECORD.items() if k["command"] == beside["command"]), WORDS)
    for pattern, figures in WORDS.items():
        known = [key for name, kept in RECORD.items() if fnmatch(name, pattern) for key in kept["metrics"]]
        for figure in figures:
            assert any(fnmatch(key, figure) for key in known), (pattern, figure)


def test_a_card_becomes_an_entry():
    seeds = {"plain_125": 0.5, "plain_125_seeds": [0.4, 0.5, 0.6], "reversed_best": 0.9, "tested": 300}
    done: dict[str, Any] = {"metrics": seeds, "config": {"steps": 7}, "seed": 2, "device": "cpu"}
    made = lab.entry("arithmetic-formats", done | {"cpu_seconds": 1.0, "machine": machine()})
    assert made["command"] == "tinyllm lab run arithmetic-formats --set steps=7 --seed 2"
    made = lab.told("arithmetic-formats", made, WORDS)
    assert made["metrics"]["plain_125"]["n"] == 300 and made["metrics"]["plain_125"]["interval"][0] < 0.3
    assert made["metrics"]["reversed_best"]["reference"] is None


def test_intervals_of_shares_differences_and_medians():
    assert lab.shares(0.95, 100) == pytest.approx([0.8882, 0.9785], abs=1e-4)
    low, high = lab.shares(0.5, 300, [0.4, 0.5, 0.6])
    assert (low, high) == pytest.approx((0.5 - 4.303 * 0.1 / math.sqrt(3), 0.5 + 4.303 * 0.1 / math.sqrt(3)))
    assert lab.shares(1.0, 300, [1.0] * 3) == lab.shares(1.0, 900)
    none, all_right = lab.shares(0.0, 100), lab.shares(1.0, 100)
    assert lab.difference(1.0, 0.0, 100) == pytest.approx([1 - math.hypot(1 - all_right[0], none[1]), 1.0])
    low, high = lab.difference(0.8, 0.6, 75)  # of 70 and 80 each Newcombe has 0.0524 to 0.3339
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=0.006)
    assert lab.median_interval([9, 1, 2, 3, 4, 5, 6, 7, 8]) == [2, 8]
    assert lab.median_interval([3, 1, 2]) == [1, 3]


def test_the_machine_says_what_its_processor_is_called():
    assert {"processor", "processor_model", "cores"} <= machine().keys()


def test_quick_checks_meet_their_references():
    for key, each in (checks.digits() | checks.merges()).items():
        assert each["value"] == pytest.approx(each["reference"], abs=5e-5), key
    kept = RECORD["checks"]["metrics"]
    assert checks.digits().keys() | checks.merges().keys() < kept.keys()
    for key in ("tensor_gradient_error", "cost_error", "logits_transformers", "logits_peft"):
        assert kept[key]["value"] < kept[key]["reference"], key
    for key in ("greedy_f16", "greedy_q8_0", "greedy_lora_f16", "greedy_lora_q8_0"):
        assert kept[key]["value"] == kept[key]["reference"] == kept[key]["n"], key
