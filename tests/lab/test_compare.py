"""One model run several ways: losses, costs, and what a person sees of them."""

from dataclasses import replace

import pytest
import torch

from tinyllm.lab.compare import Way, compare
from tinyllm.lab.model import Config, Model
from tinyllm.lab.pipeline import talk
from tinyllm.lab.plan import Plan
from tinyllm.lab.runs import depths
from tinyllm.lab.runs.fitting import losses_of
from tinyllm.lab.slots import PAUSE, Slots
from tinyllm.lab.tokenizer import Tokenizer
from tinyllm.lab.train import Example

CONFIG = Config(vocab=31, width=32, layers=3, heads=4, groups=2, hidden=48, context=24)


@pytest.fixture
def x():
    return torch.randint(0, 31, (3, 12), generator=torch.Generator().manual_seed(1))


def test_every_way_gives_the_loss_and_the_cost_of_its_own_forward_pass(sharp, x):
    model = sharp(CONFIG).train()
    plans = [Plan.plain(3), Plan.parse("0 (1 2)*2"), Plan.parse("0 1?0.9 2")]
    plain, *others = compare(model, x, [Way(), *map(Way, plans)])
    assert torch.equal(plain[0], others[0][0]) and plain[1] == others[0][1]
    assert torch.equal(plain[0].flatten().double(), torch.tensor(losses_of(model, x.tolist())))
    assert model.training
    for plan, (losses, cost) in zip(plans, others, strict=True):
        logits, trace = model(x[:, :-1], plan=plan)
        odds = logits.log_softmax(-1).gather(-1, x[:, 1:, None])[..., 0]
        torch.testing.assert_close(losses, -odds)
        assert cost == trace.cost


def test_pauses_stand_behind_what_is_given_and_are_paid_for(sharp, x):
    model = sharp(replace(CONFIG, pauses=True))
    torch.nn.init.normal_(model.pause, generator=torch.Generator().manual_seed(2))
    (plain, less), (none, same), (paused, more) = compare(
        model, x, [Way(), Way(pauses=0), Way(pauses=2)], given=5
    )
    assert plain.shape == paused.shape == (3, 7)
    assert torch.equal(plain, none) and less == same
    slots = Slots.tokens(x[:, :5]).then(PAUSE, 2) + Slots.tokens(x[:, 5:-1])
    logits, trace = model(slots)
    odds = logits[:, 6:].log_softmax(-1).gather(-1, x[:, 5:, None])[..., 0]
    torch.testing.assert_close(paused, -odds)
    assert not torch.allclose(paused, plain, atol=1e-2)
    assert more.macs == trace.cost.macs - 3 * 6 * 31 * 32 > less.macs  # no head at what is given


def test_a_way_that_cannot_be_gone_is_refused(x):
    with pytest.raises(ValueError, match="layer 3"):
        compare(Model(CONFIG), x, [Way(Plan.parse("0 3"))])
    with pytest.raises(ValueError, match="no vector for pauses"):
        compare(Model(CONFIG), x, [Way(pauses=1)])


def test_the_scan_tries_every_layer_twice_and_not_at_all():
    assert [str(plan) for plan in depths.scan(3)] == [
        "0 1 2",
        *("0 0 1 2", "0 1 1 2", "0 1 2 2"),
        *("1 2", "0 2", "0 1"),
        "0 1? 2?",
    ]
    assert [str(plan) for plan in depths.scan(1)] == ["0", "0 0"]


def test_a_table_weighs_sequences_of_all_lengths_by_their_tokens(sharp):
    model = sharp(CONFIG)
    sequences = [[1, 2, 3], [4, 5, 6, 7, 8], [9, 10, 11]]
    plans = [Plan.plain(3), Plan.parse("0 2")]
    table = depths.table(model, [Example.text(ids) for ids in sequences], plans)
    first, second = table["plans"]
    assert table["tokens"] == 8
    assert first["loss"] == pytest.approx(losses_of(model, sequences).mean())
    assert (first["more"], first["more_interval"]) == (0, [0, 0])
    assert second["more"] == pytest.approx(second["loss"] - first["loss"])
    assert second["more_interval"][0] < second["more"] < second["more_interval"][1]
    assert second["macs_a_token"] < first["macs_a_token"]
    assert table["best"] < min(first["loss"], second["loss"])


def test_of_a_conversation_only_what_the_model_shall_say_counts(sharp):
    model = sharp(CONFIG)
    example = Example.answer([1, 2, 3, 4], [5, 6])
    (row,) = depths.table(model, [example], [Plan.plain(3)])["plans"]
    assert row["loss"] == pytest.approx(losses_of(model, [[1, 2, 3, 4, 5, 6]])[-2:].mean())
    whole = depths.table(model, [Example.text(example.ids)], [Plan.plain(3)])["plans"][0]
    assert row["macs_a_token"] == whole["macs_a_token"], "what is read costs, too"


def test_of_a_chat_model_conversations_are_held_out(tmp_path):
    tokenizer = Tokenizer.train(["a"], 258 + len(talk.WORDS), talk.WORDS)
    talk.save(tmp_path, Model(replace(CONFIG, vocab=tokenizer.size, context=256)), tokenizer)
    _, examples = depths.held_out(tmp_path, {}.__getitem__, 100)
    assert sum(sum(one.learn) for one in examples[:-1]) < 100 <= sum(sum(one.learn) for one in examples)
    said = [
        tokenizer.decode([token for token, learn in zip(one.ids, one.learn, strict=True) if learn])
        for one in examples
    ]
    assert talk.OPEN in said[0] and talk.OPEN in said[1] and talk.OPEN not in said[2]
