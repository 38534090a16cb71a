import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tinyllm.lab.generate import greedy
from tinyllm.lab.model import Cache, Config, Model
from tinyllm.lab.plan import Plan

CONFIG = Config(vocab=97, width=32, layers=3, heads=4, groups=2, hidden=48, context=32)
PLANS = ["0 1 2", "0 1 2 1 2", "0 (1 2)*2 0", "1"]


@pytest.fixture
def ids():
    return torch.randint(0, 97, (3, 12), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("text", ["0 1 2", "(0 1 2)*1", "0 (1)*1 2"])
def test_a_plan_that_repeats_nothing_is_the_plain_model_bit_for_bit(sharp, text, ids):
    model = sharp(CONFIG)
    assert torch.equal(model(ids, plan=Plan.parse(text))[0], model(ids)[0])


def test_a_repeated_layer_is_a_deeper_model_with_equal_weights(sharp, ids):
    model = sharp(CONFIG, Plan.parse("0 (1 2)*2"))
    deep = Model(Config(vocab=97, width=32, layers=5, heads=4, groups=2, hidden=48, context=32))
    deep.load_state_dict(
        {key: value for key, value in model.state_dict().items() if not key.startswith("blocks.")}
        | {
            f"blocks.{slot}.{key}": value
            for slot, layer in enumerate(model.plan.order)
            for key, value in model.blocks[layer].state_dict().items()
        }
    )
    assert torch.equal(model(ids)[0], deep(ids)[0])
    assert not torch.allclose(model(ids)[0], model(ids, plan=Plan.plain(3))[0], atol=0.1)


@pytest.mark.parametrize("text", PLANS)
def test_decoding_with_a_cache_equals_the_full_forward_pass(sharp, text, ids):
    model, plan, cache = sharp(CONFIG), Plan.parse(text), Cache()
    full = model(ids, plan=plan)[0]
    parts = [model(part, cache, plan)[0] for part in ids.split([4, 1, 1, 3, 1, 1, 1], dim=1)]
    assert cache.length == 12
    torch.testing.assert_close(torch.cat(parts, dim=1), full, atol=2e-4, rtol=1e-4)


OPEN = ["0 1?0.9 2", "0 (1 2)*<=4?0.5", "0 1 (2 1?0.5)?0.95 0 1?0.3"]  # taken by some positions, not by all


@pytest.mark.parametrize(
    ("text", "all_of_it", "none_of_it"),
    [
        ("0 1?T 2", "0 1 2", "0 2"),
        ("0 (1 2)*<=4?T", "0 (1 2)*4", "0 1 2"),
        ("0 (1 2)*<=1?T", "0 1 2", "0 1 2"),
        ("0 1 (2 1?T)?T 0 1?T", "0 1 2 1 0 1", "0 1 0"),
    ],
)
def test_an_option_that_all_or_none_take_is_the_plan_without_it_bit_for_bit(
    sharp, text, all_of_it, none_of_it, ids
):
    model = sharp(CONFIG)
    for tolerance, plain in (("0.0", all_of_it), ("99.0", none_of_it)):
        got, trace = model(ids, plan=Plan.parse(text.replace("T", tolerance)))
        wanted, cost = model(ids, plan=Plan.parse(plain))
        assert torch.equal(got, wanted)
        # What is left out still leaves keys and values of it: nothing else.
        left = sum(route.ran is not None and not route.ran.any() for route in trace.routes)
        assert trace.cost.macs - cost.cost.macs == left * 36 * 2 * 32 * 16
        assert trace.cost.weight_bytes - cost.cost.weight_bytes == left * 4 * (2 * 32 * 16 + 32)


@pytest.mark.parametrize("text", OPEN)
def test_every_position_decides_for_itself_alike_with_a_cache(sharp, text, ids):
    model, plan, cache = sharp(CONFIG), Plan.parse(text), Cache()
    full, whole = model(ids, plan=plan, watch=True)
    passes = [model(part, cache, plan) for part in ids.split([4, 1, 1, 3, 1, 1, 1], dim=1)]
    torch.testing.assert_close(torch.cat([logits for logits, _ in passes], dim=1), full, atol=2e-4, rtol=1e-4)
    shares, before = [], None
    for slot, route in enumerate(whole.routes):
        if route.ran is not None:
            pieces = [trace.routes[slot].ran for _, trace in passes]
            assert torch.equal(torch.cat(pieces, dim=1), route.ran)
            assert torch.equal(
                (route.output == before).all(dim=-1), ~route.ran
            )  # who does not run it is kept
            shares.append(route.ran.float().mean())
        before = route.output
    assert any(0 < share < 1 for share in shares)


def test_a_loop_that_has_stopped_at_a_position_does_not_go_on_there(sharp, ids):
    trace = sharp(CONFIG)(ids, plan=Plan.parse("0 (1 2)*<=4?0.5"))[1]
    first, second, third = (route.ran for route in trace.routes[3::2])
    assert first.all() and second.any() and not (third & ~second).any()


def test_a_token_that_leaves_everything_out_costs_only_what_is_remembered():
    model, plan, cache = Model(CONFIG), Plan.parse("0 (1 2)*<=3?99.0"), Cache()
    model(torch.zeros(1, 9, dtype=torch.long), cache, plan)
    cost = model(torch.zeros(1, 1, dtype=torch.long), cache, plan)[1].cost
    block = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48
    assert cost.macs == 3 * (block + 2 * 32 * 10) + 4 * 2 * 32 * 16 + 97 * 32
    assert cost.weight_bytes == 4 * (3 * (block + 2 * 32) + 4 * (2 * 32 * 16 + 32) + 97 * 32)


def test_a_first_layer_is_never_left_out(sharp, ids):
    model = sharp(CONFIG)
    assert torch.equal(model(ids, plan=Plan.parse("0?99.0 1 2"))[0], model(ids)[0])


def test_a_model_learns_through_the_options_that_its_positions_take(sharp, ids):
    model = sharp(CONFIG, Plan.parse(OPEN[0]))
    model(ids)[0].square().sum().backward()
    grads = [model.blocks[1].ffn.up.weight.grad, model.blocks[1].mixer.q.weight.grad]
    assert all(grad is not None and grad.any() for grad in grads)


def test_greedy_decoding_equals_a_forward_pass_per_token(sharp, ids):
    model = sharp(CONFIG)
    prompts = [ids[0, :5].tolist(), ids[1, :9].tolist(), ids[2, :5].tolist()]
    answers = greedy(model, prompts, 8)
    for prompt, answer in zip(prompts, answers, strict=True):
        text = list(prompt)
        for token in answer:
            assert token == model(torch.tensor([text]))[0][0, -1].argmax()
            text.append(token)
        assert len(answer) == 8
    assert (
        greedy(model, prompts[:1], 8, stop=answers[0][3])[0] == answers[0][: answers[0].index(answers[0][3])]
    )
    assert len(greedy(model, [[1] * 30], 8)[0]) == 3  # 30 read, 2 written and read, and one more written


def test_no_position_sees_what_comes_after_it(sharp, ids):
    model = sharp(CONFIG)
    other = ids.clone()
    other[:, 7:] = (other[:, 7:] + 1) % 97
    assert torch.equal(model(ids)[0][:, :7], model(other)[0][:, :7])
    assert not torch.equal(model(ids)[0][:, 7:], model(other)[0][:, 7:])


@pytest.mark.parametrize("text", [*PLANS, *OPEN])
def test_the_trace_counts_the_multiply_accumulates_that_a_profiler_counts(sharp, text, ids):
    model, plan = sharp(CONFIG), Plan.parse(text)
    # The profiler sees the products inside attention only where it is done step by step.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as profiler, torch.no_grad():
        trace = model(ids, plan=plan)[1]
    assert trace.cost.macs == pytest.approx(profiler.get_total_flops() / 2, rel=0.02)


def test_the_trace_of_one_cached_token_agrees_with_a_count_by_hand():
    model, cache = Model(CONFIG), Cache()
    model(torch.zeros(1, 9, dtype=torch.long), cache)
    cost = model(torch.zeros(1, 1, dtype=torch.long), cache)[1].cost
    block = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48  # q and o, k and v, gate and up and down
    assert cost.macs == 3 * (block + 2 * 32 * 10) + 97 * 32  # scores and mix over ten positions; the head
    assert cost.weight_bytes == 4 * (3 * (block + 2 * 32) + 97 * 32)


def test_logits_at_chosen_positions_are_those_of_the_full_pass_and_cost_less(sharp, ids):
    model = sharp(CONFIG)
    at = torch.zeros_like(ids, dtype=torch.bool)
    at[0, 3] = at[2, 11] = True
    full, everything = model(ids)
    some, little = model(ids, at=at)
    torch.testing.assert_close(some, full[at])
    assert everything.cost.macs - little.cost.macs == (3 * 12 - 2) * 97 * 32


def test_unread_tokens_are_read_as_nothing_but_only_in_training():
    plain, made = (
        Model(Config(vocab=97, width=32, layers=1, mixer="none", hidden=48, context=32, unread=share))
        for share in (0.0, 0.25)
    )
    ids = torch.randint(0, 97, (200, 30), generator=torch.Generator().manual_seed(1))
    assert torch.equal(made.eval()(ids)[0], plain(ids)[0])
    torch.manual_seed(0)
    logits, _ = made.train()(ids)
    unread = (logits == 0).all(dim=-1)  # of nothing, a model that looks nowhere else makes nothing
    assert 0.22 < unread.float().mean() < 0.28
    assert torch.equal(logits[~unread], plain(ids)[0][~unread])


def test_weights_come_from_the_seed_alone():
    torch.manual_seed(5)
    one = Model(CONFIG, seed=3)
    torch.manual_seed(6)
    assert all(map(torch.equal, one.parameters(), Model(CONFIG, seed=3).parameters()))
    assert not torch.equal(one.embed.weight, Model(CONFIG, seed=4).embed.weight)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"heads": 5}, "heads"),
        ({"heads": 32}, "even"),
        ({"groups": 3}, "groups"),
        ({"mixer": "hyena"}, "attention"),
        ({"layers": 0}, "1 or more"),
        ({"unread": 1.0}, "below 1"),
    ],
)
def test_a_shape_that_cannot_work_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Config(**({"vocab": 97, "width": 32, "heads": 4, "groups": 2} | wrong))


def test_what_a_forward_pass_cannot_do_is_refused(ids):
    model, cache = Model(CONFIG), Cache()
    with pytest.raises(ValueError, match="layer 3"):
        model(ids, plan=Plan.parse("0 3"))
    with pytest.raises(ValueError, match="context of 32"):
        model(torch.zeros(1, 33, dtype=torch.long))
    model(ids, cache)
    with pytest.raises(ValueError, match="cannot serve"):
        model(ids[:, :1], cache, Plan.parse("0 1 1"))
