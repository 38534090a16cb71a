"""The pipeline at a tiny size: what it draws, says and rewards, and what becomes of it when it is stopped."""

import asyncio
import hashlib
import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest
import torch
from click.testing import CliRunner

from tinyllm.backends import build
from tinyllm.backends.folding import complete
from tinyllm.cli.checkpoint import Checkpoint, Options
from tinyllm.cli.main import cli
from tinyllm.errors import ModelFileError, RequestError
from tinyllm.lab import data, export
from tinyllm.lab.folder import Folder, card, metrics
from tinyllm.lab.generate import likeliest
from tinyllm.lab.letters import share_interval
from tinyllm.lab.model import Config, Model
from tinyllm.lab.pipeline import calculator, dial, exam, questions, reinforce, report, stages, talk, texts
from tinyllm.lab.pipeline.questions import Question
from tinyllm.lab.runs import configured
from tinyllm.lab.tokenizer import Tokenizer
from tinyllm.lab.train import Example, Settings, train
from tinyllm.protocols import ToolContext
from tinyllm.tools.calculator import Calculator
from tinyllm.types import Message, Prompt

TEXTS = {
    "tinyshakespeare.txt": "First Citizen:\nBefore we proceed any further, hear me speak.\n\n" * 60,
    "gsm8k_train.jsonl": '{"question": "How many is 3 and 4?", "answer": "It is <<3+4=7>>7.\\n#### 7"}\n'
    * 60,
}
TINY = {"pretrain_steps": 3, "midtrain_steps": 3, "finetune_steps": 3, "reinforce_steps": 2, "tested": 2}
TINY |= {"vocab": 512, "width": 16, "heads": 1, "hidden": 32, "batch": 2, "finetune_batch": 4}
TINY |= {"demonstrations": 5, "prompts": 2, "group": 2}
SETS = [f"--set={key}={value}" for key, value in TINY.items()]
PARTS = ("tokenizer", "pretrain", "midtrain", "finetune", "reinforce")


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A folder with small data sets that count as the real ones."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_bytes(text.encode())
        source = replace(data.SOURCES[name], sha256=hashlib.sha256(text.encode()).hexdigest())
        monkeypatch.setitem(data.SOURCES, name, source)
    monkeypatch.setattr(texts, "LINES", 40)
    monkeypatch.setattr(talk, "LONGEST", 6)  # a model that has learned nothing never ends
    monkeypatch.setenv("TINYLLM_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def begin(tmp_path, sources):
    def make(name, told=None):
        config = configured(dial.run(1), {key: str(value) for key, value in TINY.items()})
        return Folder(tmp_path / name, "pipeline", config, data_dir=sources, told=told)

    return make


@pytest.fixture
def lab(tmp_path, sources, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*args, code=0, said=None):
        done = CliRunner().invoke(cli, ["lab", *args], input=said)
        assert done.exit_code == code, done.output
        return done

    return run


@pytest.fixture(scope="module")
def spoken():
    """A tokenizer that knows the words of conversations."""
    return Tokenizer.train(TEXTS.values(), 300, talk.WORDS)


# --- the dial


@pytest.mark.parametrize("depth", [1, 2, 3, 4, dial.DEEPEST])
def test_everything_follows_from_the_depth_and_says_why(depth):
    found = dial.settings(depth)
    value = {name: setting.value for name, setting in found.items()}
    assert all(setting.reason for setting in found.values())
    model = Config(value["vocab"], value["width"], depth, value["heads"], value["heads"], value["hidden"])
    assert model.width % 32 == model.hidden % 32 == 0
    if depth > 1:
        less = dial.settings(depth - 1)
        assert value["width"] > less["width"].value and value["lr"] < less["lr"].value
        assert value["pretrain_steps"] > less["pretrain_steps"].value


@pytest.mark.parametrize("depth", ["0", "99", "-1"])
def test_a_depth_that_cannot_work_is_refused(depth, lab):
    assert "1 to 12" in lab("pipeline", "--depth", depth, code=2).output


# --- the calculator


@pytest.mark.parametrize(
    ("sum", "value"), [("2 + 3 * 4", 14), ("(2+3)*4", 20), ("-1.5*2", -3), (" 7 / 2 ", Fraction(7, 2))]
)
def test_sums_are_exact(sum, value):
    assert calculator.value(sum) == value


@pytest.mark.parametrize(
    "bad", ["", "1 +", "2 ** 9", "7 // 2", "abs(3)", "1/0", "1e999", "1 2", "1+" * 500, "((", "0777"]
)
def test_what_is_no_sum_is_refused_at_once(bad):
    with pytest.raises(ValueError, match=r"cannot|too long"):
        calculator.value(bad)
    assert calculator.result(bad).startswith("error: ")


@pytest.mark.parametrize("sum", ["12 * 12", "7 / 2", "10 / 3", "7 - 12", "45572 * 93 / 100", "999999 * 99"])
def test_the_network_s_calculator_says_the_same(sum):
    theirs = asyncio.run(Calculator().call({"expression": sum}, ToolContext(0.0, 0)))
    assert calculator.result(sum) == theirs.text


# --- questions


@pytest.mark.parametrize("draw", [questions.sums, questions.stories, questions.talk])
def test_no_question_is_in_two_parts(draw):
    learned, tried, judged = (
        {draw(Random(seed), part).text for seed in range(300)} for part in ("train", "dev", "test")
    )
    assert len(learned) > 30 and len(tried) > 5 and len(judged) > 5
    assert not learned & tried and not learned & judged and not tried & judged
    assert draw(Random(1), "test") == draw(Random(1), "test")


def test_no_numbers_are_in_sums_of_two_parts() -> None:
    def small(part: questions.Part) -> set[tuple[str, ...]]:
        drawn = (questions.sums(Random(seed), part).sum or "" for seed in range(1_000))
        pairs = (tuple(re.findall(r"\d+", sum)[:2]) for sum in drawn)
        return {pair for pair in pairs if len("".join(pair)) == 2 and pair[1] != "2"}

    learned, tried, judged = small("train"), small("dev"), small("test")
    assert len(learned) > 5 and tried and judged
    assert not learned & tried and not learned & judged and not tried & judged


def test_a_question_has_the_numbers_of_its_sum():
    for seed in range(200):
        for draw in (questions.sums, questions.stories):
            question = draw(Random(seed), "train")
            said, summed = (set(re.findall(r"\d+", text)) for text in (question.text, question.sum))
            assert summed - {"2", "100"} <= said
    assert questions.talk(Random(0), "train").sum is None


# --- conversations


def test_only_what_the_assistant_says_is_learned(spoken):
    made = talk.example(spoken, Question("3 and 4", "3 + 4"))
    learned = spoken.decode([id for id, learn in zip(made.ids, made.learn, strict=True) if learn])
    assert learned == f"{talk.OPEN}3 + 4{talk.CLOSE}<|end|>That is 7.<|end|>"
    assert spoken.decode(made.ids).startswith("<|user|>3 and 4<|assistant|><tool_call>")
    assert "<|tool|>3 + 4 = 7<|assistant|>" in spoken.decode(made.ids)
    plain = talk.example(spoken, Question("hi", None, "Hello!"))
    assert spoken.decode(plain.ids) == "<|user|>hi<|assistant|>Hello!<|end|>"


def test_a_question_cannot_speak_for_another(spoken):
    ids = talk.asked(spoken, "hi<|end|><|assistant|>" + talk.OPEN)
    assert [ids.count(spoken.id(word)) for word in (talk.USER, talk.ASSISTANT, talk.OPEN, "<|end|>")] == [
        1,
        1,
        0,
        0,
    ]


@pytest.fixture(scope="module")
def memorised(spoken):
    """A model that knows two turns by heart."""
    model = Model(Config(spoken.size, width=32, layers=2, heads=1, groups=1, hidden=32, context=128))
    turns = [
        talk.example(spoken, Question("3 and 4", "3 + 4")),
        talk.example(spoken, Question("hi", None, "Hello!")),
    ]
    train(model, turns, Settings(steps=100, batch=2, lr=1e-2))
    return model.eval()


def test_a_conversation_goes_through_the_calculator(spoken, memorised):
    known, greeted = talk.hold(memorised, spoken, ["3 and 4", "hi"], likeliest)
    assert (known.result, known.reply) == ("3 + 4 = 7", "That is 7.")
    assert (greeted.result, greeted.reply) == (None, "Hello!")
    with pytest.raises(RequestError, match="tokens"):
        talk.hold(memorised, spoken, ["again and " * 40], likeliest)


def test_what_the_calculator_cannot_do_is_said(spoken):
    model = Model(Config(spoken.size, width=32, layers=2, heads=1, groups=1, hidden=32, context=128))
    asked = spoken.encode(f"{talk.USER}3 over 0{talk.ASSISTANT}")
    train(
        model,
        [Example.answer(asked, spoken.encode(f"{talk.OPEN}3 / 0{talk.CLOSE}<|end|>"))],
        Settings(steps=150, batch=1, lr=1e-2),
    )
    (turn,) = talk.hold(model.eval(), spoken, ["3 over 0"], likeliest)
    assert turn.reply == turn.result == "error: cannot divide by zero"


@pytest.mark.parametrize("kind", ["llamacpp", "checkpoint"])
async def test_a_network_holds_the_same_conversation_with_what_was_left(kind, spoken, memorised, tmp_path):
    if kind == "llamacpp":
        export.write_gguf(memorised, spoken, tmp_path / "model.gguf", "f32", "mine", talk.TEMPLATE)
        backend = build("mine", "llamacpp", {"path": tmp_path / "model.gguf"})
    else:
        talk.save(tmp_path, memorised, spoken)
        backend = Checkpoint("mine", Options(path=tmp_path))
    calculator = Calculator()
    asked = Message("user", "3 and 4")
    try:
        first = await complete(backend, Prompt((asked,), tools=(calculator.spec,)))
        (call,) = first.tool_calls
        assert (call.name, call.arguments) == ("calculator", {"expression": "3 + 4"})
        result = await calculator.call(call.arguments, ToolContext(0.0, 0))
        said = (
            asked,
            Message("assistant", tool_calls=(call,)),
            Message("tool", result.text, tool_call_id=call.id),
        )
        last = await complete(backend, Prompt(said, tools=(calculator.spec,)))
        assert last.text == "That is 7." and not last.tool_calls
        turn = talk.example(spoken, Question("3 and 4", "3 + 4"))
        learned = len(spoken.encode("That is 7.")) + 1  # and the end
        assert last.cost.tokens_in == len(turn.ids) - learned  # spelled there as here
        hello = await complete(backend, Prompt((Message("user", "hi"),), tools=(calculator.spec,)))
        assert hello.text == "Hello!"
    finally:
        await backend.close()


NETWORK = """\
schema: 1
name: mine
models:
  mine: {backend: checkpoint, model: runs/mine}
nodes:
  start: {kind: entry, next: sums}
  sums: {kind: specialist, model: mine, tools: [calculator], turns: 2, next: check}
  check: {kind: gate, checks: [{check: recompute}], next: end}
  end: {kind: exit, refusal: I can't answer that.}
"""


def test_asked_on_the_command_line_it_uses_the_calculator_of_the_network(
    spoken, memorised, tmp_path, monkeypatch
):
    talk.save(tmp_path / "runs" / "mine", memorised, spoken)
    (tmp_path / "mine.yaml").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)

    def ask(text):
        done = CliRunner().invoke(cli, ["ask", "--json", "--no-store", "--network", "mine.yaml", text])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    known, greeted = ask("3 and 4"), ask("hi")
    assert known["answer"] == "That is 7." and known["cost"]["macs"] > 0
    (call,) = known["tool_calls"]
    assert call["name"] == "calculator" and "3 + 4 = 7" in json.dumps(call)
    assert greeted["answer"] == "Hello!" and not greeted["tool_calls"]


@pytest.mark.parametrize(
    ("sum", "said", "right"),
    [
        ("3 + 4", f"{talk.OPEN}4 + 3{talk.CLOSE}", True),
        ("3 + 4", f"{talk.OPEN}3 * 4{talk.CLOSE}", False),
        ("3 + 4", f"{talk.OPEN}3 +{talk.CLOSE}", False),
        ("3 + 4", f"{talk.OPEN}3 + 4", False),
        ("3 + 4", "That is 7.", False),
        (None, "Hello!", True),
        (None, f"well, {talk.OPEN}", False),
        (None, f"{talk.OPEN}3 + 4{talk.CLOSE}", False),
    ],
)
def test_what_is_rewarded(sum, said, right):
    assert exam.right(Question("?", sum), said) is right


# --- reinforcement


@pytest.fixture
def guessing(spoken, begin, monkeypatch):
    """A folder, and a model that adds or multiplies by chance where only adding is right."""
    asked, greeted = Question("3 and 4", "3 + 4"), Question("hi", None, "Hello!")
    turns = [talk.example(spoken, one) for one in (asked, replace(asked, sum="3 * 4"), greeted)]
    monkeypatch.setattr(talk, "LONGEST", 12)
    monkeypatch.setattr(stages, "ROUND", 10)
    monkeypatch.setattr(questions, "stories", lambda chance, part: asked)
    monkeypatch.setattr(stages, "CALLS", {lambda chance, part: greeted: 1.0})

    def make(name, told=None):
        folder = begin(name, told)
        folder.config |= {"demonstrations": 0, "prompts": 16, "reinforce_steps": 40, "reinforce_lr": 1e-2}
        model = Model(Config(spoken.size, width=32, layers=2, heads=1, groups=1, hidden=32, context=192))
        train(model, turns, Settings(steps=100, batch=3, lr=1e-2))
        return folder, model

    return make


def shares(folder):
    return folder.curve("reinforce right", "share")[1]


def test_what_was_right_by_chance_is_learned(guessing, spoken):
    folder, model = guessing("run")
    stages.strengthen(folder, spoken, model)
    first, *_, last = shares(folder)
    assert first < 0.6 and last > 0.8
    kept = folder.once("answers 0", dict)
    assert kept["right"] and all(sum == "3 + 4" for _, sum in kept["right"])


def test_a_right_answer_that_is_too_long_to_be_learned_is_left_out(guessing, spoken):
    folder, model = guessing("run")
    folder.config |= {"context": 10, "reinforce_steps": 1}
    stages.strengthen(folder, spoken, model)
    assert shares(folder)[0] > 0 and folder.once("answers 0", dict)["right"] == []


def test_a_killed_reinforcement_goes_on_to_the_same_weights(guessing, spoken):
    def killed(stage, step, *_):
        if step == 14:  # in the second round
            raise KeyboardInterrupt

    folder, whole = guessing("whole")
    stages.strengthen(folder, spoken, whole)
    with pytest.raises(KeyboardInterrupt):
        folder, model = guessing("stopped", killed)
        stages.strengthen(folder, spoken, model)
    folder, again = guessing("stopped")
    stages.strengthen(folder, spoken, again)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_answers_that_are_right_are_kept_once_each():
    torch.manual_seed(0)
    model = Model(Config(6, width=16, layers=1, heads=1, groups=1, hidden=16, context=4))
    found = reinforce.tried(model, [[1], [2]], lambda i, said: said == [3 + i], 64, 1, 5, seed=0)
    assert found.right == [(0, (3,)), (1, (4,))] and 0 < found.share < 0.5
    assert found.tokens <= 2 * 64 * 2
    assert reinforce.tried(model, [[1]], lambda *_: False, 2, 1, 5, seed=0).right == []


# --- the whole


def without_time(figures):
    return {key: value for key, value in figures.items() if "seconds" not in key}


def test_the_pipeline_stopped_in_every_stage_ends_as_if_it_had_not_been(begin):
    whole = stages.run(begin("whole"))
    stopped = set()

    def told(stage, step, steps, *_):
        if stage not in stopped and step == 2:
            stopped.add(stage)
            raise KeyboardInterrupt

    for _ in PARTS[1:]:
        with pytest.raises(KeyboardInterrupt):
            stages.run(begin("stopped", told))
    again = stages.run(begin("stopped", told))
    assert stopped == set(PARTS[1:])
    assert without_time(again) == without_time(whole)
    models = [
        (begin("whole").path.parent / name / "model.gguf").read_bytes() for name in ("whole", "stopped")
    ]
    assert models[0] == models[1]


def test_the_report_card_says_what_was_reached_and_what_it_took(begin):
    folder = begin("run")
    figures = stages.run(folder)
    done = card(folder.path)
    assert done["metrics"] == figures and set(done["costs"]) == {*PARTS, "evaluate"}
    assert all(done["costs"][stage]["macs"] > 0 for stage in PARTS[1:])
    assert figures["bits_per_byte"] > 0 and figures["tested"] == 2
    page = (folder.path / "card.md").read_text(encoding="utf-8")
    assert "| pretrain |" in page and "stories: points gained" in page
    curves = {row["curve"] for row in metrics(folder.path)}
    assert curves == {"reinforce right", *(f"{part} train" for part in PARTS[1:])}
    assert (folder.path / "model" / "chat_template.jinja").exists()


def test_gains_and_their_intervals():
    gain, (low, high) = report.paired([0, 0, 1, 1] * 25, [1, 0, 1, 1] * 25)
    assert gain == 0.25 and low == pytest.approx(0.165, abs=1e-3) and high == pytest.approx(0.335, abs=1e-3)
    assert share_interval(0.95, 100) == pytest.approx([0.8882, 0.9785], abs=1e-4)


def test_the_command_shows_every_setting_with_its_reason_and_ends_with_the_card(lab, sources):
    done = lab("pipeline", "--depth", "1", "--json", *SETS)
    assert "the dial" in done.stderr and "--set" in done.stderr
    figures = json.loads(done.stdout)
    assert figures["tested"] == 2
    again = lab("pipeline", "--depth", "1", *SETS)
    assert "finished before" in again.stderr and "bits per byte" in again.stdout
    other = lab("pipeline", "--depth", "2", "--out", "runs/pipeline-1", code=2)
    assert "depth is 1, not 2" in other.output
    talked = lab("chat", "runs/pipeline-1", said="what is 2 + 2?\n\n" + "on and on " * 300 + "\nbye\n")
    assert "about 50 words" in talked.stderr
    weights = Path("runs/pipeline-1/model/model.safetensors")
    sound = weights.read_bytes()
    weights.write_bytes(b"none")
    told = lab("chat", "runs/pipeline-1", said="hi\n", code=1).stderr
    assert "is damaged" in told and "card.json" in told
    Path("runs/pipeline-1/card.json").unlink()  # as the hint says
    lab("pipeline", "--depth", "1", *SETS)
    assert weights.read_bytes() == sound


@pytest.mark.parametrize("name", TEXTS)
def test_missing_data_is_all_that_is_told_with_where_to_get_it(name, lab, sources):
    (sources / name).unlink()
    said = lab("pipeline", "--depth", "1", code=1).output
    assert data.SOURCES[name].url in said and data.SOURCES[name].sha256 in said
    assert "the dial" not in said


def test_in_a_file_there_is_a_line_for_each_tenth_of_a_stage(lab):
    told = lab("pipeline", "--depth", "1", *SETS, "--set=finetune_steps=40").stderr
    steps = [int(line.split()[1]) for line in told.splitlines() if re.match(r"finetune .* of 40 ", line)]
    assert steps == list(range(4, 41, 4))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("vocab=300", "vocab must be 512 or more, not 300"),
        ("context=10", "context must be 192 or more, not 10"),
        ("heads=0", "heads must be above 0, not 0"),
        ("heads=3", "width 32 must be an even multiple of heads 3"),
        ("test=7", "test must be 0 or 1, not 7"),
        ("lr=0", "lr must be above 0, not 0"),
        ("lr=nan", "lr must be above 0, not nan"),
        ("reinforce_lr=-1", "reinforce_lr must be above 0, not -1"),
        ("weight_decay=-1", "weight_decay must be 0 or more, not -1"),
        ("optimizer=sgd", "there is no optimizer 'sgd'; there are adamw, muon"),
        ("group=0", "group must be above 0, not 0"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_before_any_work(setting, message, lab):
    said = lab("pipeline", "--depth", "1", "--set", setting, code=2).output
    first, *more = said.splitlines()
    assert message in first and "tokenizer" not in said and "the dial" not in said
    assert len(more) == 1 and "next:" in more[0] and "lab run" not in said


def test_a_damaged_checkpoint_stops_the_pipeline_and_its_hint_mends_it(begin):
    folder = begin("run")
    figures = stages.run(folder)
    (folder.path / "card.json").unlink()
    (folder.path / "checkpoint-midtrain.pt").write_bytes(b"none")
    with pytest.raises(ModelFileError, match=r"checkpoint-midtrain\.pt") as told:
        stages.run(begin("run"))
    assert f"delete {folder.path / 'checkpoint-midtrain.pt'}" in told.value.hint
    (folder.path / "checkpoint-midtrain.pt").unlink()
    done = []
    assert without_time(stages.run(begin("run", lambda stage, *_: done.append(stage)))) == without_time(
        figures
    )
    assert set(done) == {"midtrain"}  # the other stages are kept
