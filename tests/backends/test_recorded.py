"""Replaying answers: finding them, not finding them, and what they cost."""

import json
from pathlib import Path

import pytest

from tests.backends.conformance import ask
from tinyllm.backends import KINDS, build
from tinyllm.backends.folding import complete
from tinyllm.errors import BackendError, ModelFileError, SettingsError
from tinyllm.protocols import Backend


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record.jsonl"
    rows = [
        {
            "query": "How many eggs?",
            "ground_truth": "18",
            "scores": {"a": 1.0},
            "responses": {"a": "18 eggs"},
        },
        {"query": "How  many Bolts — of cloth?", "responses": {"a": "3", "b": "4"}},
    ]
    path.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


def replay(path: Path, model: str = "a", **options: object) -> Backend:
    return build("r", "recorded", {"path": str(path), "model": model, **options})


async def test_a_question_is_found_whatever_its_case_and_spacing(record: Path) -> None:
    backend = replay(record)
    assert (await complete(backend, ask("how many EGGS?"))).text == "18 eggs"
    assert (await complete(backend, ask(" How many\nbolts — of cloth? "))).text == "3"
    assert (await complete(replay(record, "b"), ask("How many bolts — of cloth?"))).text == "4"
    assert await backend.probe() == f"r: 2 recorded answers of a, {record}"


async def test_an_unknown_question_is_answered_with_the_nearest(record: Path) -> None:
    with pytest.raises(BackendError, match="no recorded answer to 'How many ducks of cloth") as error:
        await complete(replay(record), ask("How many ducks of cloth?"))
    assert "How  many Bolts" in error.value.hint
    with pytest.raises(BackendError, match="no recorded answer"):
        await complete(replay(record, "b"), ask("How many eggs?"))


async def test_a_record_that_cannot_serve_says_why(record: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no answers of 'c'") as error:
        await complete(replay(record, "c"), ask())
    assert error.value.hint == "models it holds: a, b"
    with pytest.raises(ModelFileError, match="cannot be read"):
        await complete(replay(tmp_path / "none.jsonl"), ask())
    half = tmp_path / "half.jsonl"
    half.write_text('{"query": "x", "responses": {"a": "y"}}\n{"query": "half')
    with pytest.raises(ModelFileError, match="damaged at byte 40"):
        await complete(replay(half), ask())


async def test_cost_comes_from_the_configured_size_and_price(record: Path) -> None:
    backend = replay(record, parameters="7B", price_in=2.0, price_out=4.0)
    cost = (await complete(backend, ask("How many eggs?"))).cost
    assert (cost.tokens_in, cost.tokens_out) == (4, 2)
    assert cost.macs == 6 * 7_000_000_000
    assert cost.money == pytest.approx(16e-6)


@pytest.mark.parametrize(
    ("kind", "options", "message", "hint"),
    [
        ("recorded", {"path": "x"}, "`model`", "options of 'recorded': "),
        ("openai", {"base_url": "localhost", "model": "m"}, "http://localhost:11434/v1", "base_url"),
        ("openai", {"base_url": "http://me:s3cret@x", "model": "m"}, "credentials belong in `key`", "key"),
        ("openai", {"base_url": "http://x", "model": "m", "api_key": "s3cret"}, "`api_key`", "key"),
        ("llamacpp", {"path": "x", "context": 1}, "`context`", "context"),
        ("llamacpp", {"path": "x", "parameters": "many"}, "`parameters`", "parameters"),
        ("scripted", {"answers": []}, "`answers`", "answers"),
        ("lamacpp", {}, "unknown kind 'lamacpp'", "write 'llamacpp'"),
    ],
)
def test_wrong_options_name_the_model_and_the_field(
    kind: str, options: dict[str, object], message: str, hint: str
) -> None:
    with pytest.raises(SettingsError) as error:
        build("r", kind, options)
    assert "'r'" in error.value.message
    assert message in error.value.message
    assert hint in error.value.hint
    assert "s3cret" not in str(error.value)


def test_every_kind_can_be_built_without_touching_anything() -> None:
    options: dict[str, dict[str, object]] = {
        "llamacpp": {"path": "none.gguf"},
        "openai": {"base_url": "http://localhost:1/v1/", "model": "m"},
        "recorded": {"path": "none.jsonl", "model": "m"},
        "scripted": {"answers": ["yes"]},
    }
    assert options.keys() == KINDS.keys()
    for kind, fields in options.items():
        assert build("r", kind, fields).name == "r"
