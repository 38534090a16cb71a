"""From examples to a reading neuron: the lab's trainer behind its seam, and the real engine on what it wrote."""

import asyncio
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tinyllm.backends.folding import complete
from tinyllm.backends.llamacpp import LlamaCpp, Options
from tinyllm.backends.neuron import NeuronBackend, encode, spell
from tinyllm.cli.trainer import LabTrainer
from tinyllm.errors import SettingsError, TrainingError
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


HELD = [
    (encode(find(text)), spell(call))
    for text, call in [
        ("add 3 to 4", "add n0 n1"),  # an input that is learned, but for its numbers: it does not count
        ("please add 3 to 4", "add n0 n1"),
        ("now take 3 from 4", "sub n1 n0"),
        ("who wrote it", REFUSE),
        ("who wrote me", "roll n0"),  # wrong, so that the model cannot be right
    ]
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("neuron") / "reader.gguf"
    told: list[tuple[int, int]] = []

    def tell(step: int, of: int, loss: float) -> None:
        told.append((step, of))

    card = asyncio.run(LabTrainer().train(RECIPE, drawn, HELD, path, seed=0, progress=tell))
    assert told == [(step, 100) for step in range(1, 101)]
    assert card["parameters"] < 50_000 and card["steps"] == 100 and card["loss"] < 0.1
    assert card["macs"] > card["tokens"] > 1_000
    assert card["held_out"] == 4 and 2 <= card["right"] <= 3
    assert list(path.parent.iterdir()) == [path]
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


SHORT = replace(RECIPE, reading=0, steps=4)
ENDLESS = replace(RECIPE, reading=0, steps=1_000_000)


async def train(recipe: Recipe, out: Path, tell: Callable[[int, int, float], None] | None = None) -> None:
    await LabTrainer().train(recipe, drawn, HELD, out, seed=0, progress=tell)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_without_the_lab_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SettingsError, match="'torch'") as caught:
        await train(SHORT, tmp_path / "m.gguf")
    assert "[lab]" in caught.value.hint


async def test_a_model_that_is_worse_than_asked_for_is_not_put_in_place(tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    out.write_text("what was there")
    with pytest.raises(TrainingError, match=r"m.gguf says \d of 4 held-out examples rightly, and 90%"):
        await train(replace(SHORT, at_least=0.9), out)
    assert out.read_text() == "what was there" and names(tmp_path) == ["m.gguf"]


async def test_where_nothing_is_held_out_nothing_shows_that_it_is_good_enough(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="0 of 0"):
        await LabTrainer().train(replace(SHORT, at_least=0.1), drawn, HELD[:1], tmp_path / "m.gguf", seed=0)


def killed(number: int) -> Callable[[int, int, float], None]:
    def tell(step: int, of: int, loss: float) -> None:
        if step == 2:
            (process,) = multiprocessing.active_children()
            assert process.pid is not None
            os.kill(process.pid, number)

    return tell


@pytest.mark.parametrize(
    ("recipe", "said", "hint"),
    [
        (
            replace(ENDLESS, seconds=0.3),
            "took more than 0.3 s and was ended before its first step",
            "seconds",
        ),
        (replace(SHORT, width=33), "broke before its first step: ValueError", "recipe"),
    ],
)
async def test_what_comes_to_nothing_is_one_error_and_no_file(
    tmp_path: Path, recipe: Recipe, said: str, hint: str
) -> None:
    with pytest.raises(TrainingError, match=said) as caught:
        await train(recipe, tmp_path / "m.gguf")
    assert hint in caught.value.hint
    assert not names(tmp_path) and not multiprocessing.active_children()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory holds on Linux")
async def test_no_more_memory_is_taken_than_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="needs more than the 700 MiB that it may take") as caught:
        await train(replace(SHORT, width=1 << 15, memory=700 << 20), tmp_path / "m.gguf")
    assert "more memory" in caught.value.hint
    assert not names(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_training_that_is_killed_is_one_error_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="was killed by signal 9 after step") as caught:
        await train(ENDLESS, tmp_path / "m.gguf", killed(signal.SIGKILL))
    assert "memory" in caught.value.hint
    assert not names(tmp_path)


async def test_cancelling_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(train(ENDLESS, tmp_path / "m.gguf", lambda *_: started.set()))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not names(tmp_path) and not multiprocessing.active_children()


async def test_a_drawing_of_examples_that_breaks_is_the_caller_s_error(tmp_path: Path) -> None:
    def broken(epoch: int) -> Sequence[tuple[str, str]]:
        raise LookupError("no more examples")

    with pytest.raises(LookupError, match="no more examples"):
        await LabTrainer().train(SHORT, broken, HELD, tmp_path / "m.gguf", seed=0)
    assert not names(tmp_path) and not multiprocessing.active_children()


SCRIPT = """
import asyncio, multiprocessing, sys
from pathlib import Path
from tests.cli.test_trainer import ENDLESS, train

def tell(step, of, loss):
    if step == 1:
        print(multiprocessing.active_children()[0].pid, flush=True)

if __name__ == "__main__":
    asyncio.run(train(ENDLESS, Path(sys.argv[1]), tell))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_when_the_one_who_trains_is_ended_nothing_is_left(tmp_path: Path, number: int) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    path = os.pathsep.join(entry for entry in sys.path if entry)
    parent = subprocess.Popen(
        [sys.executable, str(script), str(folder / "m.gguf")],
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child) and names(folder)
    parent.send_signal(number)
    parent.wait(timeout=30)
    parent.stdout.close()
    for _ in range(300):
        if not alive(child) and not names(folder):
            return
        time.sleep(0.1)
    pytest.fail("the training goes on, or its file is left")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or " Z " not in Path(f"/proc/{pid}/stat").read_text()
