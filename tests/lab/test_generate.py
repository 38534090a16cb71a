import pytest
import torch

from tinyllm.errors import NotFound
from tinyllm.lab import saved
from tinyllm.lab.generate import Sampling, generate
from tinyllm.lab.model import Config, Model

LOGITS = torch.tensor([[0.5, 0.25, 0.15, 0.1], [0.1, 0.15, 0.25, 0.5]]).log()


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), [0.5, 0.25, 0.15, 0.1]),
        (Sampling(temperature=0.5), [0.25, 0.0625, 0.0225, 0.01]),
        (Sampling(top_k=2), [0.5, 0.25, 0, 0]),
        (Sampling(top_p=0.5), [1, 0, 0, 0]),
        (Sampling(top_p=0.51), [0.5, 0.25, 0, 0]),
        (Sampling(top_k=3, top_p=0.8), [0.5, 0.25, 0, 0]),  # 0.75 of 0.9 is enough
        (Sampling(top_k=9, top_p=1.0), [0.5, 0.25, 0.15, 0.1]),
    ],
)
def test_what_may_be_drawn_and_how_often(sampling, expected):
    odds = torch.tensor(expected) / sum(expected)
    torch.testing.assert_close(sampling.probabilities(LOGITS), torch.stack((odds, odds.flip(0))))


def test_draws_follow_the_probabilities_and_the_seed():
    drawn = Sampling(seed=4).chooser()(LOGITS[:1].expand(4000, 4))
    assert drawn.shape == (4000, 1)
    shares = torch.bincount(drawn[:, 0], minlength=4) / 4000
    torch.testing.assert_close(shares, LOGITS[0].exp(), atol=0.03, rtol=0)


def test_a_seed_repeats_a_continuation():
    model = Model(Config(vocab=20, width=16, layers=1, heads=2, groups=1, hidden=16, context=24))

    def write(seed):
        return generate(model, [[1], [2, 3]], 10, None, None, Sampling(seed=seed).chooser())

    assert write(1) == write(1) != write(2)
    assert [len(answer) for answer in write(1)] == [10, 10]


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_limits_that_make_no_sense_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} must be"):
        Sampling(**wrong)


def test_of_a_pipeline_that_is_not_finished_it_is_said_how_to_go_on(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(NotFound, match="is not finished") as caught:
        saved.load(tmp_path)
    assert "lab pipeline" in caught.value.hint
