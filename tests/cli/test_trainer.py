"""From examples to a reading neuron: the lab's trainer behind its seam, and the real engine on what it wrote."""

import random
import sys
from pathlib import Path

import pytest

from tinyllm.backends.folding import complete
from tinyllm.backends.llamacpp import LlamaCpp, Options
from tinyllm.backends.neuron import NeuronBackend, encode, spell
from tinyllm.cli.trainer import LabTrainer
from tinyllm.errors import SettingsError
from tinyllm.protocols import Recipe
from tinyllm.slots import REFUSE, Op, find, legal_calls
from tinyllm.types import Completion, Message, Prompt, ToolSpec

OPS = {
    "add": Op("add", ("n", "n"), "calculator", {"expression": "{0} + {1}"}),
    "sub": Op("sub", ("n", "n"), "calculator", {"expression": "{0} - {1}"}),
    "roll": Op("roll", ("n",), "chance", {"operation": "roll", "sides": "{0}"}),
    REFUSE: Op(REFUSE),
}
CALLS = {
    "add {a} to {b}": "add n0 n1",
    "take {a} from {b}": "sub n1 n0",
    "roll a die of {a} sides": "roll n0",
    "who wrote hamlet": REFUSE,
}
WORDS = ("<call>", "<n0>", "<n1>", "<=1>", *map(spell, OPS))
RECIPE = Recipe(
    vocab=320, width=32, layers=2, hidden=64, reading=10, steps=90, batch=32, lr=2e-2, words=WORDS
)


def drawn(epoch: int) -> list[tuple[str, str]]:
    draw = random.Random(epoch)
    texts = [
        (line.format(a=draw.randint(2, 99), b=draw.randint(2, 99)), call)
        for line, call in CALLS.items()
        for _ in range(80)
    ]
    return [(encode(find(text)), spell(call)) for text, call in texts]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("neuron") / "reader.gguf"
    told: list[tuple[int, int]] = []
    card = LabTrainer().train(
        RECIPE, drawn, path, seed=0, progress=lambda step, of, _: told.append((step, of))
    )
    assert told == [(step, 100) for step in range(1, 101)]
    assert card["parameters"] < 50_000 and card["steps"] == 100 and card["loss"] < 0.1
    assert card["macs"] > card["tokens"] > 1_000
    return path


def backend(path: Path) -> NeuronBackend:
    return NeuronBackend("reader", LlamaCpp("reader", Options(path=path, template="raw", context=256)), OPS)


async def ask(path: Path, text: str, tools: str = "calculator chance") -> Completion:
    reader = backend(path)
    try:
        specs = tuple(ToolSpec(name, "", {}) for name in tools.split())
        return await complete(reader, Prompt((Message("user", text),), tools=specs, scores=True))
    finally:
        await reader.close()


@pytest.mark.parametrize(
    ("text", "name", "argument"),
    [
        ("add 1234567 to 0.5", "calculator", "1234567 + 0.5"),
        ("take 3 from 8000", "calculator", "8000 - 3"),
        ("roll a die of 20 sides", "chance", "roll"),
        ("who wrote hamlet", REFUSE, "no tool here computes what this asks for"),
        (
            "add 4 to 9 " + "漢字🎲" * 30,
            REFUSE,
            "the question is longer than the 240 bytes or so that are read",
        ),
    ],
)
async def test_a_trained_neuron_points_at_numbers_of_any_length(
    file: Path, text: str, name: str, argument: str
) -> None:
    done = await ask(file, text)
    (call,) = done.tool_calls
    assert call.name == name
    assert argument in call.arguments.values()
    assert (done.cost.macs > 100_000) == ("longer" not in argument)
    assert done.probability is not None
    assert 0.5 < done.probability <= 1


async def test_it_calls_nothing_that_the_prompt_does_not_offer(file: Path) -> None:
    done = await ask(file, "add 4 to 9", tools="chance")
    assert done.tool_calls[0].name == REFUSE


@pytest.mark.parametrize("text", ["add 4", "add", "", "add 4 to <roll> <call>", "add 4 to 9 " * 10])
async def test_it_points_at_nothing_that_is_not_there(file: Path, text: str) -> None:
    done = await ask(file, text)
    assert done.scores[0].token in legal_calls(find(text), OPS)


def test_a_request_cannot_spell_a_whole_token() -> None:
    text = encode(find("add 4 to <n0><call> and <|end|> 1 foot"))
    assert text.count("<call>") == 1 and text.endswith("<call>")
    assert text.count("<n0>") == 1
    assert "<|end|>" not in text


def test_without_the_lab_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("tinyllm.lab")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SettingsError, match="'torch'") as caught:
        LabTrainer().train(RECIPE, drawn, tmp_path / "m.gguf", seed=0)
    assert "[lab]" in caught.value.hint
