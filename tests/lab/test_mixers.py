"""Every mixer under every plan: cost, causality, and decoding piece by piece."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tinyllm.lab.mixers import MIXERS, Bahdanau, Convolution, Here, _weights
from tinyllm.lab.model import Cache, Config, Model
from tinyllm.lab.plan import Plan
from tinyllm.lab.position import Coupled, abacus, sinusoids
from tinyllm.lab.slots import LATENT, PAUSE, Slots

PLANS = ["0 1 2", "0 1 2 1 2", "0 (1 2)*2 0", "0 (1 2)*<=3?0.6 0", "1"]
MODELS = {
    "grouped": {},
    "multi-head": {"groups": 4},
    "sliding window": {"window": 3},
    "window of itself": {"window": 1},
    "learned": {"position": "learned"},
    "sinusoidal": {"position": "sinusoidal", "width": 36, "heads": 2},
    "abacus": {"position": "abacus rope", "digits": (1, 2, 3, 4, 5, 6, 7, 8, 9)},
    "coupled": {"position": "coupled", "digits": (1, 2, 3, 4, 5, 6, 7, 8, 9)},
    "coupled in a window": {"position": "coupled rope", "digits": (1, 2, 3, 4, 5), "window": 3},
    "no position": {"position": "none"},
    "cross": {"mixer": "attention cross"},
    "bahdanau": {"mixer": "gru bahdanau"},
    "rnn": {"mixer": "rnn"},
    "lstm": {"mixer": "lstm"},
    "gru": {"mixer": "gru"},
    "convolution": {"mixer": "conv"},
    "fixed window": {"mixer": "window", "window": 4},
    "bigram": {"mixer": "none"},
    "all kinds": {"mixer": "attention lstm conv", "norm": "layer", "ffn": "mlp"},
    "batch norm": {"norm": "batch"},
}


def config(**change):
    shape = {"vocab": 23, "width": 32, "layers": 3, "heads": 4, "groups": 2, "hidden": 48, "context": 32}
    return Config(**(shape | change))


@pytest.fixture
def ids():
    return torch.randint(0, 23, (3, 12), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def memory():
    return torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def build(sharp, ids, memory):
    def make(name):
        """A model whose weights are large, a memory if it needs one, and running statistics if it has some."""
        model = sharp(config(**MODELS[name]))
        model(ids, memory=memory)
        return model.eval(), {"memory": memory} if name in ("cross", "bahdanau") else {}

    return make


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", MODELS)
def test_decoding_in_pieces_equals_the_full_forward_pass(name, plan, build, ids):
    (model, extra), cache = build(name), Cache()
    full = model(ids, plan=Plan.parse(plan), **extra)[0]
    pieces = ids.split([4, 1, 1, 3, 1, 2], dim=1)
    parts = [model(piece, cache, Plan.parse(plan), **extra)[0] for piece in pieces]
    torch.testing.assert_close(torch.cat(parts, dim=1), full, atol=5e-4, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:TF32")  # said by torch when oneDNN is switched off
@pytest.mark.parametrize("plan", PLANS[1:4])
@pytest.mark.parametrize("name", MODELS)
def test_the_cost_is_what_a_profiler_counts(name, plan, build, ids):
    (model, extra), cache = build(name), Cache()
    for piece in ids.split([9, 1, 2], dim=1):
        # The profiler looks into attention and recurrence only where they are done step by step.
        with (
            torch.no_grad(),
            sdpa_kernel(SDPBackend.MATH),
            torch.backends.mkldnn.flags(enabled=False),
            FlopCounterMode(display=False) as profiler,
        ):
            trace = model(piece, cache, Plan.parse(plan), **extra)[1]
        assert trace.cost.macs == pytest.approx(profiler.get_total_flops() / 2, rel=0.02)


@pytest.mark.parametrize("name", MODELS)
def test_a_plan_that_repeats_nothing_changes_no_bit(name, build, ids):
    model, extra = build(name)
    assert torch.equal(model(ids, plan=Plan.parse("(0 1*1 2)*1"), **extra)[0], model(ids, **extra)[0])


@pytest.mark.parametrize("name", MODELS)
def test_no_position_sees_what_comes_after_it(name, build, ids):
    model, extra = build(name)
    other = ids.clone()
    other[:, 7:] = (other[:, 7:] + 1) % 23
    one, two = model(ids, **extra)[0], model(other, **extra)[0]
    torch.testing.assert_close(one[:, :7], two[:, :7])
    assert not torch.allclose(one[:, 7:], two[:, 7:], atol=1e-2)


@pytest.mark.parametrize(
    ("change", "reach"),
    [
        ({"window": 3}, 3),
        ({"mixer": "window", "window": 4}, 4),
        ({"mixer": "conv"}, 2),
        ({"mixer": "none"}, 1),
        ({}, 12),
        ({"mixer": "gru"}, 12),
    ],
)
def test_a_layer_looks_back_as_far_as_it_says(change, reach, sharp, ids):
    model = sharp(config(**change | {"layers": 1}))
    full = model(ids)[0][:, -1]
    seen = []
    for place in range(12):
        other = ids.clone()
        other[:, place] = (other[:, place] + 1) % 23
        seen.append(not torch.allclose(model(other)[0][:, -1], full, atol=1e-6))
    assert seen == [place >= 12 - reach for place in range(12)]


def test_convolutions_double_their_reach_with_every_layer(sharp, ids):
    model = sharp(config(mixer="conv"))
    other = ids.clone()
    other[:, 4] = (other[:, 4] + 1) % 23
    assert not torch.allclose(model(ids)[0][:, 11], model(other)[0][:, 11], atol=1e-6)  # 1 + 2 + 4 back
    other = ids.clone()
    other[:, 3] = (other[:, 3] + 1) % 23
    assert torch.equal(model(ids)[0][:, 11], model(other)[0][:, 11])


def test_a_fixed_window_is_the_convolution_of_torch():
    mixer = Convolution(config(), taps=3, dilation=2)
    x = torch.randn(2, 9, 32)
    kernel = mixer.mix.weight.view(32, 3, 32).transpose(1, 2)  # (out, in, taps)
    padded = torch.nn.functional.pad(x.mT, (4, 0))
    expected = torch.nn.functional.conv1d(padded, kernel, dilation=2).mT
    torch.testing.assert_close(mixer(x, Here(torch.arange(9)), None).y, expected)


def test_additive_attention_is_the_sum_that_bahdanau_wrote_down(memory):
    mixer, x = Bahdanau(config(), 0), torch.randn(3, 2, 32)
    mixed = mixer(x, Here(torch.arange(2), memory=memory, watch=True), None)
    scores = torch.stack(
        [mixer.v(torch.tanh(mixer.w(x) + mixer.u(memory)[:, [m]]))[..., 0] for m in range(5)], dim=-1
    )
    torch.testing.assert_close(mixed.weights[:, 0], scores.softmax(-1))
    expected = sum(mixed.weights[:, 0, :, [m]] * memory[:, [m]] for m in range(5))
    torch.testing.assert_close(mixed.y, mixer.o(expected))


def test_without_causality_every_position_sees_all(sharp, ids):
    model = sharp(config(causal=False, position="learned"))
    other = ids.clone()
    other[:, 11] = (other[:, 11] + 1) % 23
    assert not torch.allclose(model(ids)[0][:, 0], model(other)[0][:, 0], atol=1e-3)
    with pytest.raises(ValueError, match="in pieces"):
        model(ids, Cache())


@pytest.mark.parametrize("change", [{}, {"groups": 4, "window": 5}, {"causal": False}])
def test_watched_attention_weights_are_those_that_attention_uses(change, sharp, ids):
    model = sharp(config(**change | {"layers": 1}))
    block = model.blocks[0]
    trace = model(ids, watch=True)[1]
    (route,) = trace.routes
    assert route.layer == 0 and route.weights.shape == (3, 4, 12, 12)
    x = block.mixer_norm(model.embed(ids))
    v = block.mixer.v(x).view(3, 12, -1, 8).transpose(1, 2)
    mixed = route.weights @ v.repeat_interleave(4 // v.shape[1], dim=1)
    x = model.embed(ids) + block.mixer.o(mixed.transpose(1, 2).reshape(3, 12, 32))
    torch.testing.assert_close(x + block.ffn(block.ffn_norm(x)), route.output, atol=1e-4, rtol=1e-4)


def test_watching_changes_no_bit_and_is_off_by_default(sharp, ids):
    model = sharp(config())
    plain, trace = model(ids, plan=Plan.parse("0 2 1"))
    assert [route.layer for route in trace.routes] == [0, 2, 1]
    assert all(route.output is None and route.weights is None for route in trace.routes)
    assert torch.equal(model(ids, plan=Plan.parse("0 2 1"), watch=True)[0], plain)


def test_weights_of_a_query_sum_to_one():
    q, k = torch.randn(2, 4, 3, 8), torch.randn(2, 2, 5, 8)
    torch.testing.assert_close(_weights(q, k).sum(-1), torch.ones(2, 4, 3))


def test_slots_of_tokens_alone_change_no_bit(sharp, ids):
    model = sharp(config(pauses=True))
    assert torch.equal(model(Slots.tokens(ids))[0], model(ids)[0])
    assert torch.equal(model(Slots.tokens(ids).then(PAUSE, 0).then(LATENT, 0))[0], model(ids)[0])


@pytest.mark.parametrize("name", ["grouped", "sliding window", "gru", "convolution", "abacus"])
def test_pauses_and_latents_decode_in_pieces_as_at_once(name, sharp, ids):
    model, cache = sharp(config(**MODELS[name] | {"pauses": True})), Cache()
    model.pause.data.normal_(generator=torch.Generator().manual_seed(0))
    parts = [Slots.tokens(ids[:, :5]), Slots.tokens(ids[:, :0]).then(PAUSE, 2).then(LATENT, 3)]
    parts += [Slots.tokens(ids[:, 5:]).then(LATENT, 1)]
    full = model(parts[0] + parts[1] + parts[2])[0]
    pieces = torch.cat([model(part, cache)[0] for part in parts], dim=1)
    torch.testing.assert_close(pieces, full, atol=5e-4, rtol=1e-3)


def test_a_latent_is_the_hidden_vector_before_it_and_a_pause_is_learned(sharp, ids):
    model = sharp(config(pauses=True, position="none"))
    before = model.norm(model.hidden(ids)[0])[:, -1]
    inner = model.hidden(Slots.tokens(ids).then(LATENT, 1))[0]
    by_hand, cache = [], Cache()
    model(ids, cache)
    for slot, layer in enumerate(model.plan.order):
        x = by_hand[-1] if by_hand else before[:, None]
        here = Here(torch.arange(12, 13))
        by_hand.append(model.blocks[layer](x, here, cache.states[slot]).y)
    torch.testing.assert_close(inner[:, -1:], by_hand[-1], atol=1e-4, rtol=1e-4)
    with torch.enable_grad():
        model(Slots.tokens(ids).then(PAUSE, 2))[0][:, -1].sum().backward()
    assert model.pause.grad.abs().sum() > 0


def test_some_rows_may_pause_while_others_read(sharp, ids):
    model = sharp(config(pauses=True))
    kinds = torch.zeros_like(ids)
    kinds[1, 6], kinds[2, 8] = PAUSE, LATENT
    mixed = model(Slots(ids, kinds))[0]
    torch.testing.assert_close(mixed[0], model(ids)[0][0], atol=5e-4, rtol=1e-3)
    assert not torch.allclose(mixed[1, 6:], model(ids)[0][1, 6:], atol=0.1)
    assert not torch.allclose(mixed[2, 8:], model(ids)[0][2, 8:], atol=0.1)
    torch.testing.assert_close(mixed[2, :8], model(ids)[0][2, :8], atol=5e-4, rtol=1e-3)


def test_abacus_numbers_the_digits_of_every_number():
    tokens = torch.tensor([[1, 2, 0, 3, 4, 5, 0, 0], [0, 1, 2, 3, 0, 9, 9, 1]])
    ids = abacus(tokens, 0, torch.tensor([1, 2, 3, 4, 5, 9]))
    assert ids.tolist() == [[1, 2, 0, 1, 2, 3, 0, 0], [0, 1, 2, 3, 0, 1, 2, 3]]
    assert abacus(tokens, 5, torch.tensor([1, 2, 3, 4, 5, 9])).tolist() == [[3, 0, 0], [1, 2, 3]]


def test_coupled_scores_depend_on_how_far_apart_ids_are_and_no_further_than_the_reach():
    ids = torch.tensor([[0, 1, 2, 3, 90, 0, 91]])
    coupled = Coupled(heads=2)
    scores = coupled(ids, past=4)[0]  # (2, 3, 7), of the ids 90, 0 and 91
    of = coupled.GAIN * coupled.scores.weight  # (9, 2)
    torch.testing.assert_close(scores[:, 0, 6], of[coupled.REACH + 1])
    torch.testing.assert_close(scores[:, 2, 4], of[coupled.REACH - 1])
    torch.testing.assert_close(scores[:, 1, :4], of[coupled.REACH : coupled.REACH + 4].T)
    torch.testing.assert_close(scores[:, 1, [4, 6]], of[-1][:, None].expand(2, 2))
    torch.testing.assert_close(scores[:, 0, :4], of[0][:, None].expand(2, 4))


def test_watched_weights_are_those_that_coupled_attention_used(sharp, ids):
    model = sharp(config(**MODELS["coupled"]))
    weights = model(ids, watch=True)[1].routes[0].weights  # (B, H, T, S)
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    with torch.no_grad():
        model.position.coupled.scores.weight.zero_()
    assert not torch.allclose(weights, model(ids, watch=True)[1].routes[0].weights, atol=0.05)


def test_sinusoids_are_sines_and_cosines_of_the_position():
    table = sinusoids(50, 6)
    assert table.shape == (50, 6)
    torch.testing.assert_close(table[:, 0], torch.arange(50.0).sin())
    torch.testing.assert_close(table[:, 5], (torch.arange(50.0) / 10_000 ** (4 / 6)).cos())


@pytest.mark.parametrize(("kind", "states"), [("rnn", 1), ("gru", 1), ("lstm", 2)])
def test_dropout_hides_the_input_of_a_recurrent_layer_and_not_its_state(kind, states):
    mixer = MIXERS[kind](config(dropout=1 - 1e-6), 0)
    mixer.reset(torch.Generator().manual_seed(0))
    x, *past = torch.randn(1 + states, 1, 2, 32, generator=torch.Generator().manual_seed(1)).unbind()
    x, here = x.transpose(0, 1), Here(torch.arange(1))  # (B, T, C)
    hidden, seen = mixer.train()(x, here, past), mixer.eval()(x, here, past)
    assert torch.equal(hidden.y, mixer(torch.zeros_like(x), here, past).y)
    assert hidden.y.abs().max() > 0.1 and not torch.allclose(hidden.y, seen.y)


def test_the_weights_of_recurrent_models_come_from_the_seed_alone():
    torch.manual_seed(5)
    one = Model(config(mixer="lstm gru rnn"), seed=3)
    torch.manual_seed(6)
    assert all(map(torch.equal, one.parameters(), Model(config(mixer="lstm gru rnn"), seed=3).parameters()))
    gates = one.blocks[0].mixer.cell.weight_hh_l0.split(32)
    torch.testing.assert_close(gates[2] @ gates[2].mT, torch.eye(32), atol=1e-5, rtol=0)
    assert one.blocks[0].mixer.cell.bias_ih_l0.sum() == 32  # the forget gates are open


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mixer": "attention hyena"}, "no mixer 'hyena'; there are attention, cross"),
        ({"mixer": ""}, "no mixer ''"),
        ({"position": "alibi"}, "no position 'alibi'"),
        ({"norm": "group"}, "no norm 'group'"),
        ({"ffn": "experts"}, "no ffn 'experts'"),
        ({"mixer": "window"}, "window must be"),
        ({"window": 0}, "window must be"),
        ({"position": "abacus"}, "digits"),
        ({"position": "coupled"}, "digits"),
        ({"digits": (1,)}, "digits"),
    ],
)
def test_a_config_that_cannot_work_says_why(wrong, message):
    with pytest.raises(ValueError, match=message):
        config(**wrong)


def test_heads_bind_only_models_that_have_some():
    Model(config(mixer="gru", width=30, heads=4))
    with pytest.raises(ValueError, match="heads"):
        config(mixer="gru cross", width=30, heads=4)


def test_inputs_that_a_model_cannot_take_are_refused(ids):
    with pytest.raises(ValueError, match="memory"):
        Model(config(mixer="cross"))(ids)
    with pytest.raises(ValueError, match="pauses=True"):
        Model(config())(Slots.tokens(ids).then(PAUSE, 1))
    with pytest.raises(ValueError, match="position before it"):
        Model(config())(Slots.tokens(ids[:, :0]).then(LATENT, 1))
