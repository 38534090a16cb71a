"""Examples from patterns and from people: drawn from a seed, pointed at, and divided without leaks."""

import json
import os
import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tinyllm.backends.reader import LinearReader, is_legal, vector
from tinyllm.errors import NotFound
from tinyllm.slots import REFUSE, find
from tinyllm.starter import fillers, human
from tinyllm.starter.calls import OPS
from tinyllm.starter.corpus import Pattern, dress, examples, fill, from_humans, from_patterns, patterns, slip
from tinyllm.starter.human import Row
from tinyllm.starter.linear import ROUTES, route, train_reader, train_router

ROWS = [
    Row("what is 30% off 279", "calculator", (("percent_off", "30", "279"),)),
    Row("how many cups in 3 pints please", "measurement_conversion", (("convert", "3", "pint", "cup"),)),
    Row("whats the time in rome", "time", (("now_in", "Europe/Rome"),)),
    Row("order me a pizza", "order", ((REFUSE,),)),
    Row("what is 5 plus 5", "calculator", (("calc", "6+6"),)),
]


def test_examples_are_a_matter_of_the_seed() -> None:
    texts = [[e.text for e in examples(seed, 60, ROWS)] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0]) > 60 + len(ROWS)


def test_every_operation_comes_up_and_every_example_is_legal() -> None:
    random = Random(0)
    for name, lines in patterns().items():
        made = [example for line in lines for example in [fill(line, random)] if example]
        assert len(made) >= 0.6 * len(lines), name
        assert all(is_legal(example.call, example.slots, OPS) for example in made)
    drawn = Counter(example.call.split()[0] for example in from_patterns(3, 2_000, refusals=0.2))
    assert 0.15 < drawn[REFUSE] / 2_000 < 0.25
    assert len(drawn) > 100


def test_a_pattern_is_filled_as_its_signs_allow() -> None:
    random = Random(4)
    percent = Pattern("percent_of", ("n1", "n2"), "{n1}% of ${n2}")
    for _ in range(60):
        example = fill(percent, random)
        assert example is not None
        assert example.call == "percent_of n0 n1"
    root = Pattern("root", ("n1", "n2"), "the {n1}th root of {n2}")
    made = [example for example in (fill(root, random) for _ in range(60)) if example]
    assert len(made) > 50
    assert {example.call for example in made} == {"root n0 n1"}


def test_people_are_kept_and_refilled() -> None:
    made = from_humans(0, ROWS, copies=5)
    texts = [example.text for example in made]
    assert {row.text for row in ROWS[:4]} <= set(texts)
    assert ROWS[4].text not in texts  # its label is not in its words
    sales = [example for example in made if example.call == "percent_off n0 n1"]
    assert len({example.slots.values["n1"].value for example in sales}) > 2
    assert all(find(example.text).values.keys() == example.slots.values.keys() for example in made)
    pints = [example for example in made if example.call == "convert n0 u1 u0"]
    assert all(len({s.sort for s in e.slots.values.values() if s.kind == "u"}) == 1 for e in pints)


def test_dress_and_slips_spare_the_values() -> None:
    random = Random(1)
    assert len({dress("what is 3 cups in ml", random) for _ in range(200)}) > 20
    spared = [slip("convert {n1} please", random, fillers_places(), share=1.0) for _ in range(50)]
    assert all("{n1}" in text for text in spared)
    assert "convert {n1} please" not in spared[:1]


def fillers_places() -> re.Pattern[str]:
    return re.compile(r"\{[a-z]\d\}")


def test_numbers_are_said_as_they_are() -> None:
    for value in (*range(120), 1999, 250_000, 1_000_001, 7_320_040):
        assert find(fillers.say(value)).values["n0"].value == str(value), fillers.say(value)


def test_near_duplicates_share_a_fold() -> None:
    texts = [f"what is {n} plus {m}" for n in range(9) for m in range(2)] + [
        "tell me the sum",
        "how do i add",
    ]
    rows = [Row(text, "calculator", ((REFUSE,),)) for text in texts]
    folds = human.folds(rows, 3, seed=0)
    assert len(set(folds[:18])) == 1
    assert set(folds) == {0, 1, 2}
    assert folds == human.folds(rows, 3, seed=0)


def test_rows_are_read_and_missing_ones_are_explained(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="clinc150_train") as error:
        human.rows(tmp_path)
    assert "TINYLLM_DATA_DIR" in error.value.hint
    lines = [{"split": "train", "text": "book a table", "intent": "restaurant"},
             {"split": "train", "text": "an unlabelled sum", "intent": "calculator"}]  # fmt: skip
    (tmp_path / human.FILE).write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert human.rows(tmp_path) == [Row("book a table", "restaurant", ((REFUSE,),))]


def test_the_labels_fit_the_rows_that_they_were_made_for() -> None:
    folder = Path(os.environ.get("TINYLLM_DATA_DIR", "data"))
    if not (folder / human.FILE).is_file():
        pytest.skip("the CLINC150 rows are not here")
    rows = [row for row in human.rows(folder) if row.intent in human.SKILLS]
    assert len(rows) == 960
    assert len({example.text for example in from_humans(0, rows, copies=0)}) >= 940


@pytest.fixture(scope="module")
def reader() -> LinearReader:
    names = ("percent_off", "percent_of", "convert", "spell", "now_in", "sub", REFUSE)
    random = Random(0)
    made = [fill(line, random) for name in names for line in patterns()[name][:150] for _ in range(2)]
    return train_reader([example for example in made if example], seed=0, card={"for": "a test"})


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("what's 12% off 50", "percent_off n0 n1"),
        ("subtract 9 from 30", "sub n1 n0"),
        ("how many grams are in 7 stones", "convert n0 u1 u0"),
        ("how do you spell giraffe", "spell w0"),
        ("what time is it in oslo", "now_in z0"),
        ("order a pizza", REFUSE),
        ("7 pounds in feet", REFUSE),
    ],
)
def test_the_linear_reader_reads(reader: LinearReader, text: str, call: str) -> None:
    reading = reader.read(find(text))
    assert reading.call == call
    assert 0.2 < reading.probability <= 1.0


def test_the_linear_reader_never_names_what_is_absent(reader: LinearReader) -> None:
    for text in ("", "percent off", "spell", "convert 5", "grams in pounds in cups", "30% off", "\x00"):
        slots = find(text)
        assert is_legal(reader.read(slots).call, slots, OPS)


def test_the_router_tells_routes_apart() -> None:
    drawn = from_patterns(1, 4_000)
    router = train_router(drawn, seed=0)
    assert set(router.labels) == set(ROUTES.values()) | {"calculator"}
    held = from_patterns(2, 300)
    right = sum(
        router.labels[int(router.probabilities(vector(e.slots, router.bits)).argmax())] == route(e)
        for e in held
    )
    assert right > 0.8 * len(held)
