"""Hashed features and the linear head: stable, learning, calibrated, kept in a file that can be trusted."""

import random

import numpy as np
import pytest

from tinyllm.errors import ModelFileError
from tinyllm.routing import Linear, calibrate, features, from_bytes, train

BITS = 12
FEATURES_OF_TO_N0 = [81, 122, 338, 356, 546, 708, 734, 736, 949]


def made(n: int, seed: int, noise: float = 0.0) -> list[tuple[list[int], str]]:
    """Requests whose verb decides the label; `noise` of the labels are drawn at random."""
    draw = random.Random(seed)
    verbs = {"add": "sum", "plus": "sum", "spell": "text", "reverse": "text", "flip": "luck", "roll": "luck"}
    pairs = []
    for _ in range(n):
        verb = draw.choice(list(verbs))
        text = f"please {verb} {draw.choice('abcdefgh')} {draw.choice(['now', 'then', 'today'])}"
        label = draw.choice(["sum", "text", "luck"]) if draw.random() < noise else verbs[verb]
        pairs.append((features(text, bits=BITS), label))
    return pairs


def accuracy(model: Linear, pairs: list[tuple[list[int], str]]) -> float:
    return sum(model.labels[int(model.probabilities(f).argmax())] == label for f, label in pairs) / len(pairs)


def loss(model: Linear, pairs: list[tuple[list[int], str]]) -> float:
    return float(np.mean([-np.log(model.probabilities(f)[model.labels.index(label)]) for f, label in pairs]))


def test_features_are_the_same_everywhere() -> None:
    assert features("to n0", bits=10) == features("TO  n0", bits=10)
    assert features("to n0", bits=10) == FEATURES_OF_TO_N0


def test_features_forgive_a_slip_but_see_order_and_notes() -> None:
    right, slip = (set(features(f"how to {word} it", bits=20)) for word in ("subtract", "subract"))
    assert len(right & slip) > 0.35 * len(right)
    assert features("n0 from n1", bits=20) != features("n1 from n0", bits=20)
    assert len(set(features("x", ["u0=day"], bits=20)) - set(features("x", bits=20))) == 1
    assert features("", bits=20)


def test_it_learns() -> None:
    model = train(made(600, 0), bits=BITS, seed=1)
    assert accuracy(model, made(200, 9)) > 0.99
    assert model.bits == BITS
    assert model.labels == ("luck", "sum", "text")


def test_training_goes_on_from_a_model_and_its_labels_stay() -> None:
    pairs = made(300, 1)
    first = train([pair for pair in pairs if pair[1] != "luck"], bits=BITS)
    luck = [pair for pair in pairs if pair[1] == "luck"]
    after = train(luck, bits=BITS, epochs=1, rate=0.01, start=first)
    assert after.labels == ("luck", "sum", "text")
    old = [pair for pair in made(100, 2) if pair[1] != "luck"]
    assert accuracy(after, old) == accuracy(first, old) == 1.0
    assert accuracy(train(luck, bits=BITS, start=first), luck) == 1.0


def test_weights_of_labels_shift_the_choice() -> None:
    pairs = [([1], "a")] * 50 + [([1], "b")] * 50
    model = train(pairs, bits=4, weights={"b": 5.0}, epochs=40)
    assert model.probabilities([1])[1] > 0.7


def test_probabilities_of_the_allowed_alone() -> None:
    model = train(made(300, 0), bits=BITS)
    odds = model.probabilities(features("please roll a now", bits=BITS), np.array([False, True, True]))
    assert odds[0] == 0.0
    assert odds.sum() == pytest.approx(1.0)


def test_calibration_tells_how_sure_it_is() -> None:
    model = train(made(500, 0, noise=0.4), bits=BITS, epochs=30)
    held = made(500, 5, noise=0.4)
    mended = calibrate(model, held)
    assert mended.temperature > 1.1
    assert loss(mended, held) < loss(model, held) - 0.003
    assert accuracy(mended, held) == accuracy(model, held)


def test_a_file_holds_the_model_and_is_the_same_twice() -> None:
    model = calibrate(train(made(300, 0), bits=BITS, seed=3, card={"seed": 3}), made(100, 1))
    again = calibrate(train(made(300, 0), bits=BITS, seed=3, card={"seed": 3}), made(100, 1))
    assert model.to_bytes() == again.to_bytes()
    back = from_bytes(model.to_bytes())
    assert back.card == {"seed": 3}
    for pair in made(20, 2):
        assert np.allclose(back.probabilities(pair[0]), model.probabilities(pair[0]), atol=1e-6)


def test_damaged_files_are_refused() -> None:
    data = train(made(50, 0), bits=BITS).to_bytes()
    for broken in (b"", b"PK\x03\x04", data[:40], data[:-30], data[:10] + b"\xff" * 8 + data[18:]):
        with pytest.raises(ModelFileError):
            from_bytes(broken, "reader.lin")
