"""An encoder and a decoder as one model."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tinyllm.lab.model import Config
from tinyllm.lab.pair import Pair
from tinyllm.lab.train import Example, Settings, train

SHAPE = {"vocab": 11, "width": 16, "layers": 2, "heads": 2, "groups": 2, "hidden": 24, "context": 12}


@pytest.fixture
def ids():
    return torch.randint(0, 11, (3, 9), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def build(sharp):
    def make(fixed=False, encoder="attention", decoder="attention cross"):
        read = Config(**SHAPE, mixer=encoder, causal=encoder != "attention", position="learned")
        write = Config(**SHAPE, mixer=decoder, position="learned")
        return Pair(sharp(read), sharp(write), source=5, fixed=fixed).eval()

    return make


@pytest.mark.parametrize("decoder", ["attention cross", "gru bahdanau"])
def test_what_is_written_token_by_token_is_what_the_whole_pass_says(decoder, build, ids):
    pair = build(decoder=decoder)
    written = pair.write(ids[:, :5], 4)
    logits, _ = pair(torch.cat((ids[:, :5], written[:, :-1]), dim=1))
    assert torch.equal(logits.argmax(-1), written)


def test_every_word_of_the_source_is_read_and_fixed_leaves_its_last_vector(build, ids):
    other = ids.clone()
    other[:, 0] = (other[:, 0] + 1) % 11
    pair = build()
    assert not torch.allclose(pair(ids)[0], pair(other)[0], atol=1e-3)
    fixed = build(
        fixed=True, encoder="none"
    )  # an encoder that mixes nothing: the last vector knows only the mark
    assert fixed.read(ids[:, :5])[0].shape == (3, 1, 16)
    assert torch.equal(fixed(ids)[0], fixed(other)[0])


def test_what_is_picked_are_logits_of_places_in_the_target(build, ids):
    pair, at = build(), torch.zeros(3, 9, dtype=torch.bool)
    at[1, 4] = at[2, 8] = True
    full, trace = pair(ids)  # from the mark on: (3, 5, 11)
    torch.testing.assert_close(pair(ids, at=at)[0], torch.stack((full[1, 0], full[2, 4])))
    looked = pair(ids, watch=True)[1].routes[1].weights
    assert looked.shape == (3, 2, 5, 5) and [route.layer for route in trace.routes] == [0, 1]


def test_the_cost_is_that_of_both(build, ids):
    pair = build(encoder="none", decoder="none bahdanau")
    with torch.no_grad(), FlopCounterMode(display=False) as profiler:
        trace = pair(ids)[1]
    assert trace.cost.macs == pytest.approx(profiler.get_total_flops() / 2, rel=0.02)


def test_the_trainer_trains_both(build):
    pair = build()
    before = {name: weight.clone() for name, weight in pair.named_parameters()}
    example = Example.answer([1, 2, 3, 4, 0], [4, 3, 2, 1])
    card = train(pair, [example], Settings(steps=2, batch=1))
    same = [name for name, weight in pair.named_parameters() if torch.equal(weight, before[name])]
    assert card.steps == 2 and same == []
