"""Models that runs left: writing with them, and looking inside."""

import json

import pytest
import torch
from click.testing import CliRunner

from tinyllm.cli.main import cli
from tinyllm.errors import ModelFileError, NotFound, RequestError
from tinyllm.lab import checkpoint, inside, saved
from tinyllm.lab.generate import Sampling, greedy
from tinyllm.lab.letters import Letters
from tinyllm.lab.model import Config
from tinyllm.lab.pipeline import talk
from tinyllm.lab.saved import Writer
from tinyllm.lab.tokenizer import Tokenizer

LETTERS = Letters("abcdefgh", ".")
SHARP = Sampling(1e-4)


@pytest.fixture
def writer(sharp):
    model = sharp(Config(vocab=9, width=16, layers=2, heads=2, groups=1, hidden=24, context=8, tied=False))
    return Writer(model.eval(), LETTERS, stop=None)


@pytest.fixture
def folder(tmp_path, writer):
    path = tmp_path / "names-small"
    path.mkdir()
    saved.save(path, writer.model.config, LETTERS, stop=0)
    checkpoint.save(path / "checkpoint.pt", {"weights": writer.model.state_dict()})
    (path / "config.json").write_text("{}")
    return path


def test_what_is_saved_is_loaded_to_the_bit(folder, writer):
    back, ids = saved.load(folder), torch.tensor([[0, 3, 1]])
    assert torch.equal(back.model(ids)[0], writer.model(ids)[0])
    assert back.letters.letters == LETTERS.letters and back.stop == 0


def test_a_model_that_is_missing_or_damaged_says_what_to_do(folder, tmp_path):
    with pytest.raises(NotFound, match="no model of letters"):
        saved.load(tmp_path / "names-gru")
    (folder / "model.json").write_text(json.dumps({"config": {"vocab": 9, "digits": [], "widht": 3}}))
    with pytest.raises(ModelFileError, match="widht"):
        saved.load(folder)
    (folder / "checkpoint.pt").write_bytes(b"PK")
    with pytest.raises(ModelFileError, match="damaged"):
        saved.load(folder)


def test_texts_are_as_long_as_asked_also_beyond_the_context(writer):
    for length in (0, 1, 7, 8, 30):
        assert len("".join(writer.write("ab", length, Sampling()))) == length
    assert len("".join(writer.write("abcdefgh" * 3, 5, Sampling()))) == 5
    with pytest.raises(RequestError, match="cannot spell 'x'"):
        list(writer.write("x", 5, Sampling()))


def test_a_text_ends_where_the_model_ends_it(writer):
    text = "".join(writer.write("", 7, SHARP))
    stop = LETTERS.encode(text[3])[0]
    ended = Writer(writer.model, LETTERS, stop)
    assert "".join(ended.write("", 7, SHARP)) == text[: text.index(text[3])]


def test_frames_follow_what_the_model_writes(writer):
    seen = list(inside.frames(writer, "ab", 4, SHARP))
    (written,) = greedy(writer.model, [writer.ids("ab")], 4)
    assert "".join(frame["drawn"] for frame in seen) == LETTERS.decode(written)
    assert json.loads(json.dumps(seen[0]))["tokens"] == [".", "a", "b"]
    for frame in seen:
        assert [layer["layer"] for layer in frame["layers"]] == [0, 1]
        for layer in frame["layers"]:
            assert [len(head) for head in layer["attention"]] == [len(frame["ids"])] * 2
            assert all(sum(head) == pytest.approx(1, abs=0.01) for head in layer["attention"])
        assert frame["next"][0][0] == frame["drawn"] and frame["probability"] == 1
    assert len(list(inside.frames(writer, "abcdef", 9, SHARP))) == 2  # then the context is full
    with pytest.raises(RequestError, match="too long by 1"):
        list(inside.frames(writer, "abcdefgh", 1, SHARP))


def test_the_lens_of_the_last_layer_is_what_the_model_says(writer):
    (frame,) = inside.frames(writer, "ab", 1, Sampling(1.0))
    assert frame["layers"][-1]["lens"] == frame["next"]
    assert frame["layers"][0]["lens"] != frame["next"]


def test_neighbours_are_those_with_the_nearest_vectors(writer):
    table = writer.model.embed.weight
    with torch.no_grad():
        table[4] = table[2] * 3
    near = inside.neighbours(writer.model, LETTERS, 2, 3)
    assert near[0] == (LETTERS.decode([4]), pytest.approx(1, abs=1e-3)) and len(near) == 3


def test_an_analogy_is_the_nearest_vector_to_the_sum_of_three(writer):
    table = writer.model.embed.weight
    a, b, c, d = LETTERS.encode("abcd")
    with torch.no_grad():
        table[d] = (table[b] - table[a] + table[c]) * 2
    (found, cosine), *others = inside.analogy(writer, "a", "b", "c", 9)
    assert (found, cosine) == ("d", pytest.approx(1, abs=1e-3))
    assert {name for name, _ in others} == set(".efgh")  # none of the three themselves
    with pytest.raises(RequestError, match="'ab' is 2 tokens"):
        inside.analogy(writer, "ab", "b", "c")


def test_frames_hold_the_vectors_on_the_way_and_the_logits(writer):
    (frame,) = inside.frames(writer, "ab", 1, Sampling(2.0))
    table = writer.model.embed.weight.detach()
    for id, vector in zip(frame["ids"], frame["vectors"], strict=True):
        assert vector["norm"] == pytest.approx(table[id].norm().item(), abs=1e-4)
        assert vector["first"] == pytest.approx(table[id, :8].tolist(), abs=1e-4)
    logits, trace = writer.model(torch.tensor([frame["ids"]]), watch=True)
    for layer, route in zip(frame["layers"], trace.routes, strict=True):
        assert layer["vector"]["first"] == pytest.approx(route.output[0, -1, :8].tolist(), abs=1e-3)
    highest = logits[0, -1].topk(5)
    assert [LETTERS.encode(letter)[0] for letter, _ in frame["logits"]] == highest.indices.tolist()
    assert [logit for _, logit in frame["logits"]] == pytest.approx(highest.values.tolist(), abs=1e-3)


def test_a_model_of_the_pipeline_is_looked_into_token_by_token(tmp_path, texts, sharp):
    words = Tokenizer.train(texts, 330, talk.WORDS)
    model = sharp(Config(vocab=words.size, width=16, layers=2, heads=2, groups=1, hidden=24, context=64))
    talk.save(tmp_path, model, words)
    (tmp_path / "config.json").write_text("{}")
    writer = talk.Answerer(*talk.load(tmp_path))
    frame, *_ = inside.frames(writer, "how many?", 2, SHARP)
    assert frame["tokens"][0] == talk.USER and frame["tokens"][-1] == talk.ASSISTANT
    assert "".join(frame["tokens"]) == f"{talk.USER}how many?{talk.ASSISTANT}"
    said = CliRunner().invoke(
        cli, ["lab", "look", str(tmp_path), "how many?", "--json", "--temperature", "1e-4"]
    )
    assert json.loads(said.stdout.splitlines()[0]) == json.loads(json.dumps(frame))
    taught = inside.lesson(writer, "how many?", "days of May")
    assert (
        taught["wanted"] == words.decode(words.encode("days of May")[:1])
        and taught["after"] > taught["before"]
    )


def test_one_step_makes_what_was_taught_likelier_and_changes_no_model(writer):
    before = {name: weight.clone() for name, weight in writer.model.named_parameters()}
    step = inside.lesson(writer, "ab", "h")
    assert step["after"] > step["before"]
    assert all(torch.equal(weight, before[name]) for name, weight in writer.model.named_parameters())
    with pytest.raises(RequestError, match="cannot spell"):
        inside.lesson(writer, "ab", "?")


def test_the_command_line_writes_and_looks(folder):
    def lab(*args, typed="", code=0):
        done = CliRunner().invoke(cli, ["lab", *args], input=typed)
        assert done.exit_code == code, done.output
        return done

    talk = lab("chat", str(folder), "--length", "3", typed="ab\nax\n\n")
    assert talk.stdout.startswith("ab") and "cannot spell 'x'" in talk.stderr
    said = lab("look", str(folder), "ab", "--count", "2", "--json").stdout.splitlines()
    assert [json.loads(line)["tokens"][:3] for line in said] == [[".", "a", "b"]] * len(said)
    assert "after layer 1" in lab("look", str(folder), "ab").stdout
    assert json.loads(lab("look", str(folder), "ab", "--teach", "c", "--json").stdout)["wanted"] == "c"
    assert "after one step" in lab("look", str(folder), "ab", "--teach", "c").stdout
    said = lab("look", str(folder), "--analogy", "a", "b", "c", "--json").stdout
    assert len(json.loads(said)["likely"]) == 5
    assert lab("look", str(folder), "--analogy", "a", "b", "c").stdout.startswith(
        "'a' is to 'b' as 'c' is to "
    )
    assert "2 tokens" in lab("look", str(folder), "--analogy", "ab", "b", "c", code=2).stderr
    assert "temperature must be" in lab("chat", str(folder), "--temperature", "0", typed="a\n", code=2).stderr
    assert "no run 'nowhere'" in lab("chat", "nowhere", typed="a\n", code=1).stderr
