"""What routes are worth for one text: learned from outcomes of which most are missing, kept in a file."""

import numpy as np
import pytest

from tinyllm.errors import ModelFileError
from tinyllm.routing import bytext

LABELS = ("cheap", "dear")
TEXTS = [
    f"how do you spell {word} number {i}" if i % 2 else f"What is the sum of {i} and {word}?"
    for i in range(60)
    for word in ("apple", "pear")
]
SPELLING = np.array([text.startswith("how") for text in TEXTS])
SCORES = np.stack([SPELLING, np.ones(len(TEXTS))], axis=1).astype(float)


@pytest.fixture(scope="module")
def model() -> bytext.ByText:
    return bytext.train(TEXTS, LABELS, SCORES, np.ones_like(SCORES))


def test_a_text_tells_which_route_is_worth_more_than_on_average(model: bytext.ByText) -> None:
    (spelling, cost), (addition, _) = model("how do you spell banana"), model("What is the sum of 12 and 88?")
    assert spelling["cheap"] > 0.2 and addition["cheap"] < -0.2
    assert abs(spelling["dear"]) < 0.05 and abs(addition["dear"]) < 0.05
    assert 0 < cost.macs < 20_000


def test_missing_outcomes_are_not_taken_for_failures() -> None:
    tried = np.random.default_rng(0).random(SCORES.shape) < 0.5
    told, _ = bytext.train(TEXTS, LABELS, np.where(tried, SCORES, 0.0), tried)("how do you spell banana")
    assert told["cheap"] > 0.15 and abs(told["dear"]) < 0.05


def test_texts_are_judged_by_models_of_other_texts() -> None:
    told = bytext.held_out(TEXTS, SCORES, np.ones_like(SCORES))
    assert (told[SPELLING, 0] > 0).all() and (told[~SPELLING, 0] < 0).all()
    noise = np.random.default_rng(0).integers(2, size=SCORES.shape).astype(float)
    told = bytext.held_out(TEXTS, noise, np.ones_like(noise))
    assert np.corrcoef(told[:, 0], noise[:, 0])[0, 1] < 0.3


def test_the_file_is_small_and_gives_the_same_model_back(model: bytext.ByText) -> None:
    data = model.to_bytes()
    assert len(data) < 40_000 and model.to_bytes() == data
    again = bytext.from_bytes(data)
    assert again.to_bytes() == data
    assert again("how do you spell banana") == model("how do you spell banana")


@pytest.mark.parametrize(
    "spoil", [lambda d: b"", lambda d: d[:300], lambda d: b"X" + d, lambda d: d[:-400] + b"?" * 400]
)
def test_a_damaged_file_is_refused(model: bytext.ByText, spoil: object) -> None:
    assert callable(spoil)
    with pytest.raises(ModelFileError, match="cannot be read"):
        bytext.from_bytes(spoil(model.to_bytes()))
