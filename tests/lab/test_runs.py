"""Every run at a tiny size, and what happens to a run that is killed, damaged or asked for nonsense."""

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

from tinyllm.cli.main import cli
from tinyllm.errors import ModelFileError, NotFound, RequestError
from tinyllm.lab import checkpoint, data, saved
from tinyllm.lab.chart import axes
from tinyllm.lab.diverged import Diverged
from tinyllm.lab.folder import Folder, card, metrics, save_figure
from tinyllm.lab.generate import Sampling
from tinyllm.lab.letters import Letters, encoded_names, encoded_plays, split_names
from tinyllm.lab.model import Config, Model
from tinyllm.lab.runs import RUNS, configured, find, fitting, plays, scratch, sequences
from tinyllm.lab.runs import names as ladder
from tinyllm.lab.scratch.perceptron import Perceptron

ROOT = Path(__file__).parents[2]
NAMES = "ada ben bea cab dan deb eda fae gab hal ida jan abe ann bab dee ed fab gad han ian jed bean eden"
TINY: dict[str, dict[str, Any]] = {
    "perceptron": {"points": 30},
    "logic": {"steps": 5},
    "addition": {"steps": 5},
    "moons": {"steps": 5},
    "deep-gradients": {"width": 4},
    "digits-cnn": {"steps": 2, "batch": 4},
    "scalar-gpt": {"steps": 3, "batch": 2, "raced": 1},
    "names-count": {"orders": 2},
    "names-bigram": {"steps": 3},
    "names-backprop": {"steps": 20},
    "shakespeare-count": {"orders": 2},
}
SMALL = {"steps": 3, "batch": 4, "width": 8, "hidden": 8}
TINY |= {
    "shakespeare-gpt": SMALL | {"context": 8},
    "shakespeare-gpt-long": SMALL | {"context": 8},
    "seq2seq-addition": SMALL | {"tested": 9},
    "seq2seq-reverse": SMALL | {"tested": 9, "length": 4},
    "recall-distance": SMALL | {"tested": 9, "farthest": 4},
    "arithmetic-formats": SMALL | {"tested": 9, "doublings": 0, "seeds": 1},
    "arithmetic-length": SMALL | {"tested": 9, "places": 2, "asked": 4},
    "scaling": {"budget": 1e6, "ratio": 1.5, "widths": "4 8 12 16", "sizes": 3, "budgets": 2, "context": 8}
    | {"resampled": 2},
}
RUNG = SMALL | {"batch": 8}


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch):
    """Drawing takes longer than these runs: what is saved is a word."""
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: path.write_text("picture"))


@pytest.fixture
def names(tmp_path, monkeypatch):
    """A folder with small data sets that count as the real ones."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, text in (("names.txt", NAMES.replace(" ", "\n")), ("tinyshakespeare.txt", NAMES * 20)):
        (folder / name).write_bytes(text.encode())
        source = replace(data.SOURCES[name], sha256=hashlib.sha256(text.encode()).hexdigest())
        monkeypatch.setitem(data.SOURCES, name, source)
    return folder


@pytest.fixture
def lab(tmp_path, names, monkeypatch):
    """The command line, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYLLM_DATA_DIR", str(names))

    def run(*args, code=0):
        done = CliRunner().invoke(cli, ["lab", *args])
        assert done.exit_code == code, done.output
        return done

    return run


@pytest.fixture
def begin(tmp_path, names):
    def make(name, told=None, fresh=False, seed=0, **changes):
        config = configured(find(name), {key: str(value) for key, value in changes.items()})
        return Folder(tmp_path / name, name, config, seed=seed, data_dir=names, told=told, fresh=fresh)

    return make


@pytest.mark.parametrize("name", RUNS)
def test_every_run_leaves_config_metrics_pictures_and_a_card(name, begin):
    run = find(name)
    folder = begin(name, **TINY.get(name, RUNG))
    figures = run.function()(folder)
    assert np.isfinite(figures[run.figure.metric])
    assert json.loads((folder.path / "config.json").read_text())["config"] == folder.config
    done = card(folder.path)
    assert done["metrics"] == figures and done["seed"] == 0 and done["machine"]["cores"]
    pictures = {path.suffix for path in folder.path.iterdir()} & {".png", ".svg"}
    assert pictures == {".png", ".svg"}
    assert metrics(folder.path)
    if "steps" in run.config:
        assert list(folder.path.glob("checkpoint*"))
        trained = [row["step"] for row in metrics(folder.path) if row["curve"].endswith("train")]
        assert trained[-1] == folder.config["steps"]


def test_pictures_are_png_and_svg(tmp_path, monkeypatch):
    monkeypatch.undo()  # this one is drawn
    figure, plot = axes("step", "loss")
    plot.plot([1, 2, 3], [3, 2, 1], label="a curve")
    plot.legend()
    save_figure(tmp_path / "loss", figure)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "a curve" in (tmp_path / "loss.svg").read_text(encoding="utf-8")


LONGER: dict[str, dict[str, Any]] = {
    "names-gru": RUNG | {"steps": 20},
    "names-backprop": {"steps": 20, "hidden": 8},
    **{
        name: TINY[name] | {"steps": 20}
        for name in ("scalar-gpt", "digits-cnn", "moons", "logic", "arithmetic-formats")
    },
    **{name: TINY[name] | {"steps": 20} for name in ("seq2seq-addition", "seq2seq-reverse")},
}


@pytest.mark.parametrize("name", LONGER)
def test_a_killed_run_goes_on_to_the_same_figures(name, begin, tmp_path):
    tiny = LONGER[name]

    def kill(what, step, *_):
        if step == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(name).function()(begin(name, kill, **tiny))
    left = tmp_path / name / "metrics.jsonl"
    assert (before := metrics(tmp_path / name))
    left.write_text(left.read_text() + '{"curve": "train", "st')  # the kill came in the middle of a line
    seen = []
    resumed = find(name).function()(begin(name, lambda what, step, *_: seen.append(step), **tiny))
    assert 1 < seen[0] <= 13 and seen[-1] == 20
    rows = metrics(tmp_path / name)
    assert rows[: len(before)] == before
    assert len({(row["curve"], row["step"]) for row in rows}) == len(rows)
    whole = find(name).function()(begin(name, fresh=True, **tiny))
    assert untimed(resumed) == untimed(whole)
    assert metrics(tmp_path / name) == rows


def untimed(figures):
    return {k: v for k, v in figures.items() if k not in ("speedup", "scalar_seconds", "tensor_seconds")}


def test_a_perceptron_that_was_killed_begins_anew_to_the_same_line(begin, monkeypatch):
    trained, epochs = Perceptron.trained, iter(range(4))

    def until(model, examples):
        if next(epochs, None) is None:
            raise KeyboardInterrupt
        return trained(model, examples)

    monkeypatch.setattr(Perceptron, "trained", until)
    with pytest.raises(KeyboardInterrupt):
        find("perceptron").function()(begin("perceptron"))
    monkeypatch.undo()
    resumed = find("perceptron").function()(begin("perceptron"))
    rows = metrics(begin("perceptron").path)
    assert find("perceptron").function()(begin("perceptron", fresh=True)) == resumed
    assert metrics(begin("perceptron").path) == rows and len(rows) > 4


def test_a_process_that_is_killed_goes_on_to_the_same_figures(begin, tmp_path):
    tiny = TINY["seq2seq-addition"] | {"steps": 120}
    script = (
        "import json, sys; from pathlib import Path; from tinyllm.lab.folder import Folder\n"
        "from tinyllm.lab.runs import configured, find\n"
        "name, path, changes = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])\n"
        "find(name).function()(Folder(path, name, configured(find(name), changes)))\n"
    )
    changes = {key: str(value) for key, value in tiny.items()}
    path = tmp_path / "seq2seq-addition"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "seq2seq-addition", str(path), json.dumps(changes)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None and len(metrics(path)) < 3:  # then there is a checkpoint to go on from
        time.sleep(0.005)
    process.kill()  # SIGKILL, wherever it stands
    assert process.wait() != 0 and not (path / "card.json").exists()
    seen = []
    resumed = find(path.name).function()(begin(path.name, lambda what, step, *_: seen.append(step), **tiny))
    assert seen[0] > 1 and seen[-1] == 120
    rows = metrics(path)
    assert find(path.name).function()(begin(path.name, fresh=True, **tiny)) == resumed
    assert metrics(path) == rows


def test_what_a_run_took_is_that_of_all_its_stretches(begin, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.process_time", lambda: now[0])
    for first, then in ((100.0, 130.0), (7.0, 19.0)):  # a process begins with a clock of its own
        now[0] = first
        folder = begin("logic", steps=3)
        now[0] = then
        folder.log("train", int(first), loss=1.0)
        now[0] += 5  # lost with the kill
    now[0] = 2.0
    folder = begin("logic", steps=3)
    now[0] = 3.0
    folder.finish({})
    assert card(folder.path)["cpu_seconds"] == 30 + 12 + 1
    anew = begin("logic", fresh=True, steps=3)
    anew.finish({})
    assert card(anew.path)["cpu_seconds"] == 0


def test_parts_that_are_done_are_not_done_again(begin):
    folder = begin("logic", steps=3)
    assert folder.once("a part", lambda: {"error": 0.5}) == {"error": 0.5}
    again = begin("logic", steps=3)
    assert again.once("a part", lambda: pytest.fail("it is done")) == {"error": 0.5}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("checkpoint.npz", b"PK broken"),
        ("metrics.jsonl", b"{]\n{}\n"),
        ("parts.json", b"{"),
        ("config.json", b"?"),
    ],
)
def test_damaged_files_are_named_with_what_to_do(file, content, begin, tmp_path):
    find("scalar-gpt").function()(begin("scalar-gpt", **TINY["scalar-gpt"]))
    (tmp_path / "scalar-gpt" / file).write_bytes(content)
    (tmp_path / "scalar-gpt" / "card.json").unlink()
    with pytest.raises(ModelFileError, match="damaged") as told:
        find("scalar-gpt").function()(begin("scalar-gpt", **TINY["scalar-gpt"]))
    assert "fresh" in told.value.hint


def test_a_flipped_bit_in_a_checkpoint_is_noticed(begin, tmp_path):
    find("scalar-gpt").function()(begin("scalar-gpt", **TINY["scalar-gpt"]))
    path = tmp_path / "scalar-gpt" / "checkpoint.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="damaged"):
        find("scalar-gpt").function()(begin("scalar-gpt", **TINY["scalar-gpt"]))


def test_a_folder_serves_one_config_and_seed(begin):
    find("logic").function()(begin("logic", steps=3))
    with pytest.raises(RequestError, match="steps is 3, not 4"):
        begin("logic", steps=4)
    with pytest.raises(RequestError, match="seed is 0, not 1"):
        begin("logic", steps=3, seed=1)
    assert begin("logic", steps=3).finished
    assert begin("logic", steps=4, fresh=True).finished is None


def test_fresh_deletes_no_folder_that_is_not_a_runs(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for fresh in (False, True):
        with pytest.raises(RequestError, match="something else than a run"):
            Folder(tmp_path / "mine", "logic", {}, fresh=fresh)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(RequestError, match="something else than a run"):
        Folder(tmp_path / "model", "logic", {}, fresh=True)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, NotFound, "cannot be read"),
        (b" \n", RequestError, "empty"),
        (b"anna\n", RequestError, "another file"),
    ],
)
def test_data_that_is_missing_or_wrong_says_where_to_get_it(content, error, message, names):
    if content is None:
        (names / "names.txt").unlink()
    else:
        (names / "names.txt").write_bytes(content)
    with pytest.raises(error, match=message) as told:
        data.read("names.txt", names)
    source = data.SOURCES["names.txt"]
    assert source.url in told.value.hint and source.sha256 in told.value.hint
    with pytest.raises(NotFound, match="no data folder"):
        data.read("names.txt", None)


def test_letters_and_the_split():
    letters = Letters("banana", ".")
    assert letters.letters == ".abn" and letters.decode(letters.encode("ban.")) == "ban."
    with pytest.raises(RequestError, match="cannot spell 'x'"):
        letters.encode("bax")
    parts = split_names(NAMES.replace(" ", "\n"))
    assert [len(part) for part in parts] == [19, 2, 3] and sorted(
        n for part in parts for n in part
    ) == sorted(NAMES.split())
    with pytest.raises(RequestError, match="ten names"):
        split_names("anna ben")
    for short in ("", "To be"):
        with pytest.raises(RequestError, match="characters cannot be split"):
            encoded_plays(short)
    with pytest.raises(ValueError, match="too short for a context of 8"):
        plays.windows([1] * 8, 8, seed=0, epoch=0)


def test_the_losses_of_names_are_those_of_each_alone(begin):
    folder = begin("names-gru", **RUNG)
    letters, (learn, *_) = encoded_names(folder.text("names.txt"))
    model = ladder._fit(folder, letters, learn, [])
    together = fitting.losses_of(model, learn)
    apart = np.concatenate([fitting.losses_of(model, [name]) for name in learn])
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_the_losses_of_a_long_text_are_those_of_windows_that_overlap_by_half():
    model = Model(Config(vocab=9, width=8, layers=1, heads=2, hidden=8, context=4)).eval()
    ids = [3, 1, 4, 1, 5, 0, 2, 6, 5, 3, 5]
    losses = plays.text_losses(model, ids)
    windows = [(0, 1), (2, 3), (4, 3), (6, 3)]  # where each starts, and how many ids it is given
    apart = [fitting.losses_of(model, [ids[start : start + 5]])[given - 1 :] for start, given in windows]
    assert len(losses) == len(ids) - 1
    np.testing.assert_allclose(losses, np.concatenate(apart), atol=1e-6)
    for length in range(2, 9):
        assert len(plays.text_losses(model, ids[:length])) == length - 1


def test_what_the_plays_run_writes_is_kept_on_the_way(begin):
    folder = begin("shakespeare-gpt", **TINY["shakespeare-gpt"] | {"steps": 6})
    find("shakespeare-gpt").function()(folder)
    steps, texts = folder.curve("sample", "text")
    assert steps == [1, 2, 3, 4, 5, 6] and all(len(text) == 8 for text in texts)
    assert len(card(folder.path)["samples"]) == 4


def test_sequences_are_learned_and_looked_at(begin):
    change = {"steps": 40, "batch": 32, "width": 16, "hidden": 16, "tested": 50, "length": 2, "lr": 0.02}
    folder = begin("seq2seq-reverse", **change)
    figures = find("seq2seq-reverse").function()(folder)
    assert figures["attention_symbols"] > 0.2  # by chance 1 of 26
    looked = np.load(folder.path / "alignment.npy")
    assert looked.shape == (2, 3)
    np.testing.assert_allclose(looked.sum(1), 1, atol=1e-5)


def test_mixers_that_cannot_see_so_far_do_not_recall(begin, monkeypatch):
    some = {name: sequences.REMEMBERING[name] for name in ("gru", "none")}
    monkeypatch.setattr(sequences, "REMEMBERING", some)
    change = {"steps": 50, "batch": 32, "width": 16, "hidden": 16, "farthest": 4, "tested": 200, "lr": 0.02}
    figures = find("recall-distance").function()(begin("recall-distance", **change))
    assert figures["gru_reach"] == 4 and figures["none_reach"] == 0


def test_sums_that_are_tested_are_not_drawn():
    problems, draw = sequences.sums(seed=0, tested=5_000)
    held = set(problems)
    assert len(held) == 5_000
    chance = random.Random(1)
    for problem in [draw(chance) for _ in range(500)]:
        assert problem not in held
        one, other = problem[0].rstrip("=").split("+")
        assert len(one) == len(other) == 3 and problem[1] == f"{int(one) + int(other):04}"[::-1]


def test_scaling_goes_on_with_the_models_that_are_left(lab, begin, tmp_path):
    seen = []

    def kill(what, *_):
        seen.append(what)
        if len(set(seen)) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find("scaling").function()(begin("scaling", kill, **TINY["scaling"]))
    sets = [f"--set={key}={value}" for key, value in TINY["scaling"].items()]
    (tmp_path / "data" / "names.txt").unlink()  # it needs the plays alone
    figures = json.loads(lab("scaling", "--json", "--out", "scaling", *sets).stdout)
    rows = [row for row in metrics(Path("scaling")) if row["curve"].startswith("points")]
    assert (
        len(rows) == 7 and len({row["parameters"] for row in rows}) == 4
    )  # 2 budgets of 3, and the larger one
    assert rows[-1]["step"] == pytest.approx(1e6 * 1.5**2, rel=0.3)
    assert figures["predicted"] == pytest.approx(figures["measured"], rel=figures["prediction_error"] * 1.001)
    trained = [row["curve"] for row in metrics(Path("scaling")) if row["curve"].endswith("train")]
    assert len(set(trained)) == 7  # what was done before the kill was not trained again
    assert "finished before" in lab("scaling", "--out", "scaling", *sets).stderr


def test_list_names_reference_source_ours_and_duration(lab):
    rows = json.loads(lab("list", "--json").stdout)
    assert [row["name"] for row in rows] == list(RUNS)
    for row in rows:
        assert {"reference", "source", "ours", "seconds", "metric", "about"} <= row.keys()
    assert "names-transformer" in lab("list").stdout


def test_figures_of_the_list_are_those_of_the_record():
    record = json.loads((ROOT / "benchmarks" / "lab.json").read_text())
    record = {name: kept for name, kept in record.items() if kept["command"].startswith("tinyllm lab run ")}
    assert set(record) == {name for name, run in RUNS.items() if run.figure.ours is not None}
    for name, kept in record.items():
        run, figure = RUNS[name], RUNS[name].figure
        judged = kept["metrics"][figure.metric]
        assert figure.ours == pytest.approx(judged["value"], rel=1e-3)
        assert judged["reference"] == figure.reference
        assert kept["command"].startswith(f"tinyllm lab run {name}") and kept["machine"] and "seed" in kept
        assert kept["config"].items() >= run.config.items()


def test_run_json_ends_with_one_object_of_metrics(lab):
    said = lab("run", "names-rnn", "--json", *(f"--set={key}={value}" for key, value in RUNG.items())).stdout
    figures = json.loads(said.splitlines()[-1])
    assert figures["dev_loss"] == card(Path("runs/names-rnn"))["metrics"]["dev_loss"]
    again = lab("run", "names-rnn", *(f"--set={key}={value}" for key, value in RUNG.items()))
    assert "finished before" in again.stderr and "dev_loss" in again.stdout


def test_compare_and_chart_read_what_runs_left(lab):
    lab("run", "names-count", "--set", "orders=2")
    lab("run", "names-rnn", "--out", "short", *(f"--set={key}={value}" for key, value in RUNG.items()))
    both = json.loads(lab("compare", "names-count", "short", "--json").stdout)
    assert (
        both["config"]["steps"] == [None, 3]
        and both["metrics"]["dev_loss"][0] != both["metrics"]["dev_loss"][1]
    )
    assert "dev_loss" in lab("compare", "names-count", "short").stdout
    lab("chart", "names-count", "short", "--out", "all")
    assert {path.name for path in Path().glob("all.*")} == {"all.png", "all.svg"}
    table = lab("compare", "names-count", "short").stdout
    assert "None" not in table and re.search(r"^steps +- +3$", table, re.MULTILINE)
    lab("run", "logic", "--set", "steps=2")
    assert "no loss to draw" in lab("chart", "logic", code=2).stderr


def test_plans_of_a_model_are_held_against_each_other(lab):
    for name in ("names-transformer", "shakespeare-gpt"):
        sets = [f"--set={key}={value}" for key, value in TINY.get(name, RUNG).items()]
        lab("run", name, "--set=layers=3", *sets)
        told = json.loads(lab("plans", name, "0 1 2", "0 (1 2)*2", "0 1? 2", "--json").stdout)
        assert [row["plan"] for row in told["plans"]] == ["0 1 2", "0 1 2 1 2", "0 1? 2"]
        macs = [row["macs_a_token"] for row in told["plans"]]
        assert macs[0] < macs[1] and told["tokens"] >= 8
        final = card(Path("runs") / name)["metrics"]
        assert told["plans"][0]["loss"] == pytest.approx(final["dev_loss"], abs=0.05)
        few = json.loads(lab("plans", name, "0", "--tokens", "3", "--json").stdout)
        assert 3 <= few["tokens"] <= 8
        shown = lab("plans", name).stdout
        assert re.search(r"^0 1 1 2 +\d\.\d{4} +[+-]\d", shown, re.MULTILINE) and "\n0 2 " in shown
    assert "names layer 7" in lab("plans", "shakespeare-gpt", "0 7", code=2).stderr
    assert "never closed" in lab("plans", "shakespeare-gpt", "(0", code=2).stderr


@pytest.mark.parametrize("command", ["compare", "chart", "chat", "look", "plans"])
def test_a_run_that_is_not_there_says_how_to_make_it(command, lab, names):
    other = {"compare": ["runs/logic"], "look": ["text"]}.get(command, [])

    def told(name):
        return lab(command, name, *other, code=1).stderr

    assert "tinyllm lab run names-gru" in told("names-gru")
    assert "tinyllm lab pipeline --depth 2" in told("pipeline-2")
    assert "'runs/nothere'" in told("runs/nothere") and "runs/runs" not in told("runs/nothere")
    assert "tinyllm lab list" in told("nothere")
    (names / "names.txt").unlink()
    lab("run", "names-gru", code=1)
    assert "tinyllm lab run names-gru" in told("names-gru")  # what could not begin is no run
    lab("run", "logic", "--set", "steps=2")
    assert "runs/ has logic\n" in told("nothere")


def test_a_model_is_not_looked_for_where_there_is_none(lab):
    lab("run", "logic", "--set", "steps=2")
    assert "lab run names-rnn" in lab("chat", "logic", code=1).stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["names-transfomer"], "did you mean 'names-transformer'"),
        (["logic", "--set", "step=3"], "no setting 'step'"),
        (["logic", "--set", "steps=many"], "is no int"),
        (["logic", "--set", "steps=0"], "steps must be above 0, not 0"),
        (["names-gru", "--set", "lr=0"], "lr must be above 0, not 0"),
        (["names-gru", "--set", "lr=inf"], "lr must be above 0, not inf"),
        (["logic", "--set", "steps"], "KEY=VALUE"),
        (["logic", "--device", "tpu"], "not one of"),
        (["arithmetic-formats", "--set", "places=1"], "there are not"),
        (["scaling", "--set", "sizes=9"], "too few"),
        (["names-transformer", "--set", "heads=5"], "even multiple of heads 5"),
        (["names-transformer", "--set", "mixer=hyena"], "no mixer 'hyena'"),
        (["names-transformer", "--set", "width=0"], "width must be above 0, not 0"),
        (["names-wavenet", "--set", "optimizer=adamw", "--set", "lr=1e37", "--set", "steps=9"], "last good"),
        (["names-backprop", "--set", "lr=1e300", "--set", "steps=9"], "last good"),
        (["scalar-gpt", "--set", "lr=1e300", "--set", "raced=1"], "last good"),
        (["names-wavenet", "--set", "optimizer=sgd"], "adamw, muon"),
    ],
)
def test_what_cannot_work_is_told_without_a_traceback(args, message, lab):
    done = CliRunner().invoke(cli, ["lab", "run", *args])
    assert done.exit_code in (1, 2) and message in done.stderr and "Traceback" not in done.output
    assert "next:" in done.stderr
    assert len(done.stderr.split("next:")[0]) < 200  # no dump of a whole config
    if "heads=5" in args:  # nothing was begun, so the right config finds no other run in its way
        assert not list(Path("runs/names-transformer").glob("*.pt"))
        lab("run", "names-transformer", *(f"--set={key}={value}" for key, value in RUNG.items()))


@pytest.mark.parametrize(
    ("name", "lr"),
    [
        *product(("names-wavenet", "shakespeare-gpt", "seq2seq-reverse"), ("1e3", "1e37")),
        *product(("digits-cnn", "scalar-gpt", "names-backprop"), ("1e3", "1e37", "1e300")),
    ],
)
def test_what_is_on_disk_after_a_run_blew_up_is_a_state_that_was_good(name, lr, begin, tmp_path):
    tiny = TINY.get(name, RUNG) | {"steps": 9, "lr": lr}
    if "optimizer" in find(name).config:
        tiny |= {"optimizer": "adamw"}
    with pytest.raises(Diverged, match="last good weights are kept"):
        find(name).function()(begin(name, **tiny))
    (path,) = (tmp_path / name).glob("checkpoint*")
    kept = checkpoint.load(path)["weights"] if path.suffix == ".pt" else dict(np.load(path))
    largest = {key: float(abs(value).max()) for key, value in kept.items() if not key.startswith("adam")}
    assert max(largest.values()) < 30, largest
    if name == "names-wavenet":
        assert len(list(saved.load(tmp_path / name).write("a", 5, Sampling(0.8)))) <= 5


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] not enough memory: you tried to allocate 9 bytes")]
)
def test_a_full_memory_says_what_to_make_smaller(error, lab, monkeypatch):
    def fill(folder):
        raise error

    monkeypatch.setattr(scratch, "logic", fill)
    told = lab("run", "logic", code=2).stderr
    assert "memory is full" in told and "smaller batch" in told


def test_a_run_that_is_stopped_says_that_it_goes_on(lab, monkeypatch):
    def stop(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(scratch, "logic", stop)
    done = CliRunner().invoke(cli, ["lab", "run", "logic"])
    assert done.exit_code and "the same command goes on" in done.stderr


def test_without_torch_the_runs_that_need_none_still_run(lab, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("tinyllm.lab.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "xor_alone" in lab("run", "logic", "--set", "steps=2").stdout
    told = lab("run", "names-rnn", code=2).stderr
    assert "'torch'" in told and "tinyllm-network[lab]" in told
