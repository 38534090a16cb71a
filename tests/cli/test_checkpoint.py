"""Models that the lab left, in networks: what they say, what that costs, and what is wrong with them."""

import json
import sys
from pathlib import Path

import pytest

import tinyllm
from tests.backends.conformance import PIECES, SPEC, ask
from tests.cli.conftest import Run
from tests.support.tiny_checkpoint import write_letters, write_talker
from tinyllm.backends.folding import complete
from tinyllm.cli.checkpoint import Checkpoint, Options
from tinyllm.errors import BackendError, BadReply
from tinyllm.lab import saved
from tinyllm.lab.generate import likeliest, write
from tinyllm.lab.pipeline import talk
from tinyllm.lab.plan import Plan
from tinyllm.types import Completion

MINE = """\
schema: 1
name: mine
models:
  mine: {backend: checkpoint, model: runs/letters OPTIONS}
nodes:
  start: {kind: entry, next: go-on}
  go-on: {kind: specialist, model: mine, next: end}
  end: {kind: exit}
"""

DEPTHS = """\
schema: 1
name: depths
models:
  router: {backend: scripted, options: {answers: ['{"route": "twice"}']}}
  once: {backend: checkpoint, model: runs/letters}
  twice: {backend: checkpoint, model: runs/letters, options: {plan: "0 (1 2)*2"}}
nodes:
  start: {kind: entry, next: depth}
  depth: {kind: router, model: router, routes: {once: {to: once}, twice: {to: twice}}}
  once: {kind: specialist, model: once, next: end}
  twice: {kind: specialist, model: twice, next: end}
  end: {kind: exit}
"""


@pytest.fixture
def letters(home: Path) -> Path:
    (home / "mine.yaml").write_text(MINE.replace("OPTIONS", ""), encoding="utf-8")
    return write_letters(home / "runs" / "letters", "abcdef", layers=3)


async def said(path: Path, text: str, **wishes: object) -> Completion:
    """What the model in `path` says, with the options `plan` and the wishes of a prompt."""
    plan = wishes.pop("plan", None)
    backend = Checkpoint("mine", Options.model_validate({"path": path, "plan": plan}))
    try:
        return await complete(backend, ask(text, **wishes))
    finally:
        await backend.close()


def test_a_model_of_letters_goes_on_from_the_question(letters: Path, run: Run) -> None:
    reply = json.loads(run("ask", "--network", "mine.yaml", "--json", "ab").stdout)
    assert reply["answer"] == "cdef"
    assert (reply["cost"]["tokens_in"], reply["cost"]["tokens_out"]) == (3, 4)


def test_two_depths_of_one_model_are_two_routes_with_two_prices(letters: Path, home: Path) -> None:
    (home / "depths.yaml").write_text(DEPTHS, encoding="utf-8")
    writer = saved.load(letters)

    def price(plan: str) -> int:
        steps = write(writer.model, writer.ids("a"), likeliest, Plan.parse(plan))
        return sum(next(steps).cost.macs for _ in "bcdef.")

    with tinyllm.load("depths.yaml", store=None) as network:
        once, twice = (network.ask("a", forced={"depth": way}) for way in ("once", "twice"))
        chosen = network.ask("a")
    assert once.answer == twice.answer == chosen.answer == "bcdef"
    assert (once.cost.macs, twice.cost.macs) == (price("0 1 2"), price("0 1 2 1 2"))
    assert once.cost.macs < twice.cost.macs
    assert chosen.route == ("start", "depth", "twice", "end")


async def test_texts_of_letters_outgrow_the_context(letters: Path) -> None:
    endless = write_letters(letters.parent / "endless", "abcdefghij", context=4)
    config = json.loads((endless / "model.json").read_text(encoding="utf-8"))
    (endless / "model.json").write_text(json.dumps(config | {"stop": None}), encoding="utf-8")
    whole = await said(endless, "abcdefgh", max_tokens=9)
    assert (whole.text, whole.finish) == ("ij.abcdef", "length")


async def test_chance_is_the_seeds(letters: Path) -> None:
    wild = [(await said(letters, "a", temperature=50.0, seed=seed, max_tokens=40)).text for seed in (1, 1, 2)]
    assert wild[0] == wild[1] != wild[2]
    narrow = await said(letters, "a", temperature=50.0, top_p=0.01, seed=1)
    assert narrow.text == "bcdef"


async def test_what_may_become_a_stop_sequence_is_held_back(letters: Path) -> None:
    backend = Checkpoint("mine", Options(path=letters))
    told = [chunk.text async for chunk in backend.stream(ask("a", stop=("cdx", "ef"))) if chunk.text]
    await backend.close()
    assert told == ["b", "cd"]  # `c` and `cd` may begin the first, the `e` begins the second


async def test_a_call_is_text_where_there_are_no_tools_and_refused_where_it_is_cut(tmp_path: Path) -> None:
    folder = write_talker(tmp_path / "caller", (talk.OPEN, "1+1", talk.CLOSE))
    assert (await said(folder, "hi")).text == f"{talk.OPEN}1+1{talk.CLOSE}"
    with pytest.raises(BadReply, match="cannot be read") as caught:
        await said(folder, "hi", tools=(SPEC,), max_tokens=2)
    assert "max_tokens" in caught.value.hint


async def test_what_it_cannot_read_is_told(letters: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot spell 'x'") as unknown:
        await said(letters, "axe")
    assert "abcdef" in unknown.value.hint
    folder = write_talker(tmp_path / "talker", PIECES)
    with pytest.raises(BackendError, match=r"too long for model 'mine': \d+ tokens, it reads 16384"):
        await said(folder, "z" * 16_384)
    with pytest.raises(BackendError, match="no adapter 'units'"):
        await said(letters, "a", adapter="units")


def break_weights(folder: Path) -> None:
    (folder / "checkpoint.pt").write_bytes((folder / "checkpoint.pt").read_bytes()[:-99])


def break_shape(folder: Path) -> None:
    text = (folder / "model.json").read_text(encoding="utf-8")
    (folder / "model.json").write_text(text.replace('"width": 64', '"width": 32'), encoding="utf-8")


def remove(folder: Path) -> None:
    (folder / "model.json").unlink()


@pytest.mark.parametrize(
    ("options", "harm", "words"),
    [
        ("", break_weights, ("damaged", "delete")),
        ("", break_shape, ("damaged", "--fresh")),
        ("", remove, ("no model that speaks", "lab pipeline")),
        (', options: {plan: "0 3"}', None, ("names layer 3, the model stores 0 to 2", "`plan`")),
        (', options: {plan: "0 (1"}', None, ("`plan`", "never closed")),
        (", options: {plam: 0 1}", None, ("`plam`", "plan")),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_told_with_the_next_step(
    letters: Path, home: Path, run: Run, options: str, harm: object, words: tuple[str, ...]
) -> None:
    (home / "mine.yaml").write_text(MINE.replace("OPTIONS", options), encoding="utf-8")
    if callable(harm):
        harm(letters)
    for command in (("ask", "--network", "mine.yaml", "a"), ("doctor", "--network", "mine.yaml")):
        made = run(*command)
        assert made.exit_code != 0
        assert all(word in made.output for word in ("next:", *words)), made.output
        assert "Traceback" not in made.output


def test_without_the_libraries_of_the_lab_the_extra_is_named(
    letters: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    made = run("ask", "--network", "mine.yaml", "a")
    assert made.exit_code == 2
    assert "'torch'" in made.stderr and "tinyllm-network[lab]" in made.stderr


def test_doctor_says_which_plan_answers(letters: Path, home: Path, run: Run) -> None:
    told = MINE.replace("OPTIONS", ', options: {plan: "0 1 1 2"}')
    (home / "mine.yaml").write_text(told, encoding="utf-8")
    assert "plan '0 1 1 2'" in run("doctor", "--network", "mine.yaml").output


async def test_without_a_seed_chance_differs(letters: Path) -> None:
    wild = {(await said(letters, "a", temperature=50.0, max_tokens=40)).text for _ in range(4)}
    assert len(wild) > 1
