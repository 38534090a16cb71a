"""The growth experiment: its requests, its controls, its summary, and one very short life of a network."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from tinyllm.bench import growth
from tinyllm.bench.controls import solved_cases
from tinyllm.bench.growth import Plan, summary
from tinyllm.bench.learned import LearnedBench, network_of
from tinyllm.bench.plot import picture
from tinyllm.bench.skills import Skills, day_one, draw_skills, questions
from tinyllm.cli.main import cli
from tinyllm.grading import REFUSED
from tinyllm.protocols import Tool
from tinyllm.slots import REFUSE, find
from tinyllm.starter.calls import OPS
from tinyllm.tools.algebra import Algebra
from tinyllm.tools.table import TOOLS
from tinyllm.types import Message, Request

TINY = Plan(seeds=(0,), requests=160, every=160, sealed=8, day_one=300, shorter=18, larger=1)


@pytest.fixture(scope="module")
def tools() -> Iterator[Mapping[str, Tool]]:
    algebra = Algebra()
    yield {**{name: TOOLS[name]() for name in growth.TOOL_NAMES}, "algebra": algebra}
    algebra.close()


@pytest.fixture(scope="module")
def skills(tools: Mapping[str, Tool]) -> Skills:
    return draw_skills(0, tools)


def test_day_one_knows_arithmetic_alone(skills: Skills) -> None:
    assert {OPS[op].tool for op in skills.old} == {"calculator"}
    assert not {OPS[op].tool for op in skills.new} & {"calculator", "", "chance"}
    drawn = {example.call.split()[0] for example in day_one(skills, 300, 0)}
    assert drawn <= {*skills.old, REFUSE} and len(drawn) > 30


def test_held_out_phrasing_is_never_in_the_stream(skills: Skills) -> None:
    for op, lines in skills.seen.items():
        assert not {line.line for line in lines} & {line.line for line in skills.unseen[op]}


async def test_questions_hold_answers_and_no_calls(skills: Skills) -> None:
    asked = await questions(skills, 40, 1)
    again = await questions(skills, 40, 1)
    assert [(q.request, q.reference) for q in asked] == [(q.request, q.reference) for q in again]
    kinds = {OPS[question.kind].tool for question in asked}
    assert "calculator" in kinds and "" in kinds and len(kinds) > 4
    assert all((question.reference == REFUSED) == (question.kind == REFUSE) for question in asked)
    assert {question.kind for question in await questions(skills, 20, 1, old=True)} <= set(skills.old)


async def test_retrieval_answers_as_the_nearest_solved_request(
    tmp_path: Path, tools: Mapping[str, Tool]
) -> None:
    bench = LearnedBench(tmp_path, OPS, tools)
    cases = [(find("the sum of 3 and 4"), "add n0 n1"), (find("the gcd of 3 and 4"), "gcd n0 n1")]
    graph = network_of(bench, "retrieval", solved_cases(cases), 0)
    async with bench.open(graph, {}) as ask:
        trace = await ask(Request((Message("user", "what is the gcd of 12 and 18"),), seed=1, clock=0.0))
        nothing = await ask(Request((Message("user", "who are you"),), seed=1, clock=0.0))
    assert trace.answer == "gcd(12, 18) = 6" and nothing.status == "refused"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the command has written its report and its picture."""
    out = tmp_path_factory.mktemp("growth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growth, "QUICK", TINY)
        asked = ["bench", "growth", "--quick", "--json", "--out", str(out)]
        done = CliRunner().invoke(cli, asked, prog_name="tinyllm")
    assert done.exit_code == 0, done.output
    (out / "stdout").write_text(done.stdout, encoding="utf-8")
    return out


@pytest.fixture
def report(folder: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((folder / "growth.json").read_text(encoding="utf-8"))
    return made


def test_what_is_printed_is_what_is_written(folder: Path, report: dict[str, Any]) -> None:
    assert json.loads((folder / "stdout").read_text(encoding="utf-8")) == report


def test_a_short_life_is_told_whole(report: dict[str, Any]) -> None:
    assert report["plan"]["requests"] == 160
    assert report["command"] == "tinyllm bench growth --quick" and report["machine"]["cores"]
    (run,) = report["runs"]
    assert [point["requests"] for point in run["points"]] == [0, 160]
    assert run["points"][0]["kept"] == 1.0 and run["points"][0]["seen"] > 0.4
    assert report["sealed"]["before"] == run["points"][0]["seen"]
    assert set(report["networks"]) == {
        "before", "after", "one_reader", "larger", "fine_tuned", "retrieval", "hand_made",
        "unproven", "one_reader_calibrated",
    }  # fmt: skip
    sizes = {name: control["parameters"] for name, control in run["controls"].items()}
    assert sizes["larger"] > 1.5 * sizes["one_reader"]
    assert [point["requests"] for point in run["topics"]["points"]] == [0, 6, 12, 18, 24, 30]
    assert {f"topic {n}" for n in (1, 2, 3)} <= set(run["topics"]["points"][0])
    assert run["one_kind"]["branches"] <= 1
    for version in report["versions"]:
        assert version["edit"] == "expand" and version["p_value"] < 0.05 and version["nodes"] > 4
    assert report["kept"]["fine_tuned"] <= report["kept"]["before"]


def test_its_picture_is_an_image(folder: Path, report: dict[str, Any]) -> None:
    written = (folder / "growth.svg").read_text(encoding="utf-8")
    assert written == picture(report)
    root = ElementTree.fromstring(written)
    texts = [node.text or "" for node in root.iter() if node.tag.endswith("text")]
    assert any("one reader" in text for text in texts) and "160" in texts


def test_what_seeds_show_together_counts_every_question() -> None:
    def run(after: str, control: str) -> dict[str, Any]:
        right = {
            name: {"seen": seen, "unseen": seen, "old": old}
            for name, seen, old in (
                ("before", "0000", "1110"),
                ("after", after, "1101"),
                ("one_reader", control, "1111"),
                ("one_reader_calibrated", "1110", "1111"),
                ("fine_tuned", control, "0001"),
                ("unproven", after, "1111"),
            )
        }
        return {
            "seed": 0,
            "right": right,
            "versions": [{"id": "v", "seen_failure": 0.5}],
            "points": [{"requests": 10}],
        }

    made = summary([run("1111", "1100"), run("1110", "1000")])
    assert made["sealed"] == {"before": 1.0, "after": 0.125}
    assert made["kept"] == {"before": 1.0, "after": 0.6667, "fine_tuned": 0.0}
    assert made["unseen_gain_over_one_reader"]["gain"] == 0.5
    assert made["unseen_gain_over_one_reader_calibrated"]["gain"] == 0.125
    assert made["unseen_gain_over_unproven"]["gain"] == 0.0
    assert made["versions"] == [{"seed": 0, "sealed_failure": 0.5, "id": "v", "seen_failure": 0.5}] * 2
    low, high = made["networks"]["after"]["seen"]["interval"]
    assert low < 0.125 < high
