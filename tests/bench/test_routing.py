"""The routing experiment on outcomes of its own making, and on a slice of real ones where they are at hand."""

import json
import os
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tinyllm.bench import figures
from tinyllm.bench.outcomes import read
from tinyllm.bench.splits import splits
from tinyllm.cli.main import cli
from tinyllm.errors import RequestError

PRICES = {"cheap-7b": 0.1, "other-7b": 0.2, "dear-70b": 1.0}


def rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Two tasks, told apart by their words: spelling, at which the cheap model is better than the dear one, and
    sums, at which only the dear one is good."""
    draw = random.Random(seed)
    made = []
    for i in range(n):
        word = "".join(draw.choices("abcdefgh", k=6))
        spelling = draw.random() < 0.6
        right = {"cheap-7b": 0.95 if spelling else 0.1, "other-7b": 0.5, "dear-70b": 0.85}
        query = f"how do you spell {word} number {i}" if spelling else f"What is the sum of {i} and {word}?"
        scores = {model: float(draw.random() < chance) for model, chance in right.items()}
        made.append({"query": query, "task": "spelling" if spelling else "sums", "scores": scores})
    return made


def written(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def bench(*args: str) -> Result:
    """Of one ordering, and the report written to a folder that is gone, unless the arguments say otherwise."""
    with TemporaryDirectory() as folder:
        given = ["bench", "routing", "--orderings", "1", "--out", folder, *args]
        return CliRunner().invoke(cli, given, prog_name="tinyllm")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("routing")
    source = written(home / "outcomes.jsonl", rows(300))
    prices = home / "models.json"
    prices.write_text(json.dumps({m: {"price_per_million_tokens": p} for m, p in PRICES.items()}))
    options = ["--outcomes", source, "--models", str(prices), "--labels", "100", "--small", "*7b"]
    done = bench(*options, "--orderings", "2", "--out", str(home / "made"), "--json")
    assert done.exit_code == 0, done.output
    made: dict[str, Any] = json.loads(done.stdout)
    kept = home / "made" / "routing-outcomes-100.json"
    assert made == json.loads(kept.read_text(encoding="utf-8"))
    assert str(kept) in done.stderr.replace("\n", "")
    made["svg"] = (home / "made" / "routing-outcomes-100.svg").read_text(encoding="utf-8")
    return made


def policy(report: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (row for row in report["policies"] if row["name"] == name)
    return dict(found)


def test_the_report_has_every_policy_and_figure(report: dict[str, Any]) -> None:
    names = {row["name"] for row in report["policies"]}
    assert names == {f"single:{model}" for model in PRICES} | {
        *("random", "best_single", "task_oracle", "query_oracle", "context_free", "linucb"),
        *("cells_cold", "cells_warm", "cells_escalate", "full_information"),
    }
    assert report["n"] == 300 and report["best_single"] == "dear-70b"
    assert report["apgr"] is report["cpt50"] is report["cpt80"] is None
    for row in report["policies"]:
        low, high = row["interval"]
        assert low <= row["accuracy"] <= high and row["price"] >= 0


def test_the_report_says_how_sure_it_is(report: dict[str, Any]) -> None:
    assert report["seeds"] == [0, 1] and len(report["chosen_in_training"]) == 10
    assert report["command"] == (
        "tinyllm bench routing --outcomes outcomes.jsonl --models models.json"
        " --labels 100 --small '*7b' --orderings 2"
    )
    for name, found in report["equal_accuracy"].items():
        assert found["price"] == report["price_at_equal_accuracy"][name]
        assert found["interval"][0] <= found["price"] <= (found["interval"][1] or 1)
        assert len(found["orderings"]) == 2 and min(found["orderings"]) < found["price"] + 0.1
    sure = report["equal_accuracy"]["full_information"]["bounded"]
    assert sure["gain_over_best_single"][0] >= -0.01
    assert sure["accuracy"] >= report["equal_accuracy"]["full_information"]["accuracy"]
    late = policy(report, "cells_warm")["whole_traffic"]["last_quarter"]
    assert late["interval"][0] < late["accuracy"] < late["interval"][1] and len(late["orderings"]) == 2


def test_the_picture_has_the_curves_and_the_models(report: dict[str, Any]) -> None:
    drawn = ElementTree.fromstring(report["svg"])
    kinds = [part.tag.split("}")[1] for part in drawn]
    assert kinds.count("polyline") == kinds.count("polygon") == 3
    lowest = min(point["interval"][0] for curve in report["curves"].values() for point in curve)
    singles = [policy(report, f"single:{model}")["interval"][0] for model in PRICES]
    near = sum(low > lowest - 0.1 for low in singles)
    assert kinds.count("circle") >= near + 2  # single models; the task oracle and LinUCB
    assert (f"({3 - kinds.count('circle') + 2} lie below)" in report["svg"]) == (kinds.count("circle") < 5)


def test_the_cheap_model_is_found_for_the_task_it_is_good_at(report: dict[str, Any]) -> None:
    """Perfect routing is right in 0.91 at a price of 0.46; the dear model alone in 0.85 at 1."""
    assert report["price_at_equal_accuracy"]["full_information"] < 0.6
    assert report["price_at_equal_accuracy"]["bandit"] < 0.9
    full = policy(report, "full_information")
    assert full["accuracy"] > 0.83 and full["price"] < 0.7
    assert policy(report, "cells_warm")["accuracy"] > policy(report, "context_free")["accuracy"] - 0.05


def test_oracles_bound_the_policies(report: dict[str, Any]) -> None:
    best = policy(report, "query_oracle")["accuracy"]
    assert all(row["accuracy"] <= best for row in report["policies"] if row["name"] != "cells_escalate")
    singles = [policy(report, f"single:{model}")["accuracy"] for model in PRICES]
    assert (
        policy(report, "task_oracle")["accuracy"] >= max(singles) == policy(report, "best_single")["accuracy"]
    )
    assert policy(report, "random")["accuracy"] == pytest.approx(sum(singles) / 3, abs=1e-4)
    assert policy(report, "random")["price"] == pytest.approx(sum(PRICES.values()) / 3, abs=1e-4)


def test_shadows_are_paid_for_and_shown_apart(report: dict[str, Any]) -> None:
    for row in ("cells_cold", "cells_warm", "context_free"):
        assert policy(report, row)["whole_traffic"]["shadow"] > 0
    assert policy(report, "linucb")["whole_traffic"]["shadow"] == 0


def test_a_better_check_gives_more(report: dict[str, Any]) -> None:
    rates = {(one["true_positive"], one["false_positive"]): one["points"] for one in report["escalate"]}
    warm = report["curves"]["bandit"]
    assert all(sure["accuracy"] > bare["accuracy"] for sure, bare in zip(rates[1.0, 0.0], warm, strict=True))
    for sure, loose in zip(rates[1.0, 0.0], rates[0.5, 0.05], strict=True):
        assert sure["accuracy"] >= loose["accuracy"]
    assert report["small"]["models"] == ["cheap-7b", "other-7b"]
    assert report["small"]["price_at_equal_accuracy"] is None


def test_policies_do_not_see_the_task(tmp_path: Path) -> None:
    lines = rows(80)
    source = written(tmp_path / "a.jsonl", lines)
    bare = written(tmp_path / "b.jsonl", [{k: v for k, v in line.items() if k != "task"} for line in lines])
    made = [
        json.loads(bench("--outcomes", path, "--small", "cheap*", "--json").stdout) for path in (source, bare)
    ]
    with_task, without = ({row["name"]: row for row in one["policies"]} for one in made)
    assert with_task.pop("task_oracle") and with_task == without


def test_two_models_are_measured_as_a_weak_and_a_strong_one(tmp_path: Path) -> None:
    lines = [
        {"query": line["query"], "scores": {m: line["scores"][m] for m in ("cheap-7b", "dear-70b")}}
        for line in rows(200)
    ]
    train, test = (
        written(tmp_path / "train.jsonl", lines[:120]),
        written(tmp_path / "test.jsonl", lines[120:]),
    )
    done = bench("--outcomes", test, "--train", train, "--json")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert made["n"] == 80
    assert policy(made, "single:cheap-7b")["price"] == 0 and policy(made, "single:dear-70b")["price"] == 1
    assert 0.65 < made["apgr"] < 0.95 and made["apgr_interval"][0] < made["apgr"] < made["apgr_interval"][1]
    assert 0 < made["cpt50"] < made["cpt80"] < 0.6


def test_the_gap_recovered_is_that_of_the_definition() -> None:
    weak, strong = np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 1.0, 1.0])
    perfect = figures.recovered(np.array([4.0, 3.0, 2.0, 1.0]), weak, strong)
    assert perfect.tolist() == [0, 0.5, 1, 1, 1]
    assert figures.apgr(perfect) == pytest.approx(0.75)
    assert (figures.cpt(perfect, 0.5), figures.cpt(perfect, 0.8)) == (0.25, 0.5)
    assert figures.apgr(figures.recovered(np.array([1.0, 2.0, 3.0, 4.0]), weak, strong)) == pytest.approx(
        0.25
    )
    assert figures.price_at([(0.5, 0.1), (0.7, 0.5), (0.9, 2.0)], 0.6) == pytest.approx(0.3)
    assert figures.price_at([(0.5, 0.1)], 0.6) is None


def test_test_rows_are_never_learned_from() -> None:
    tested = [row for split in splits(103, 0, 40, 0) for row in split.test.tolist()]
    assert sorted(tested) == list(range(103))
    for split in [*splits(103, 0, 40, 0), *splits(103, 60, 40, 0)]:
        assert len(split.labelled) == 40
        assert not set(split.test.tolist()) & {*split.labelled.tolist(), *split.earlier.tolist()}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"query": "a"}', "line 2 of .*scores"),
        ('{"query": "a", "scores": {"m": 1, "n": 2}}', "line 2 of .*scores.n"),
        ('{"query": "a", "scores": {"m": 1, "o": 1}}', "line 2 of .*'n', 'o'"),
        ("{", "line 2 of "),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "outcomes.jsonl"
    path.write_text('{"query": "a", "scores": {"m": 1, "n": 0.5}}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(RequestError, match=told):
        read(path)
    assert bench("--outcomes", str(path)).exit_code == 2


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "outcomes.jsonl", rows(100))
    assert "--models FILE" in bench("--outcomes", source).stderr
    assert "matches none" in bench("--outcomes", source, "--small", "nothing*").stderr
    assert "from 50 to 80" in bench("--outcomes", source, "--small", "cheap*", "--labels", "90").stderr
    few = written(tmp_path / "few.jsonl", rows(40))
    assert "too few" in bench("--outcomes", few, "--small", "cheap*").stderr
    models = tmp_path / "models.json"
    models.write_text('{"cheap-7b": {"price_per_million_tokens": 1}}')
    assert "no price of 'other-7b'" in bench("--outcomes", source, "--models", str(models)).stderr
    models.write_text('{"cheap-7b": {"price": 1}}')
    assert "price_per_million_tokens" in bench("--outcomes", source, "--models", str(models)).stderr


def test_real_outcomes_are_read_and_routed(tmp_path: Path) -> None:
    directory = os.environ.get("TINYLLM_DATA_DIR")
    if not directory or not (Path(directory) / "outcomes_routellm_gsm8k.jsonl").is_file():
        pytest.skip("outcomes_routellm_gsm8k.jsonl is not in TINYLLM_DATA_DIR")
    lines = (Path(directory) / "outcomes_routellm_gsm8k.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "slice.jsonl").write_text("\n".join(lines[:80]), encoding="utf-8")
    made = json.loads(bench("--outcomes", str(tmp_path / "slice.jsonl"), "--json").stdout)
    assert made["best_single"] == "gpt-4-1106-preview"
    assert 0.3 < made["apgr"] < 0.8


def test_people_read_a_table(tmp_path: Path) -> None:
    lines = [{**line, "scores": {"weak": 0.5, "strong": 1.0}} for line in rows(63)]
    shown = bench("--outcomes", written(tmp_path / "outcomes.jsonl", lines)).stdout
    assert "single:strong" in shown and "as right as strong, full information: 1.000 (1.000-1.000)" in shown
    assert "APGR 0.500" in shown
