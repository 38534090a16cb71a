import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from tinyllm.errors import ModelFileError
from tinyllm.lab import checkpoint, lora
from tinyllm.lab.diverged import Diverged
from tinyllm.lab.generate import greedy
from tinyllm.lab.model import Config, Model
from tinyllm.lab.optim import orthogonalize
from tinyllm.lab.train import Example, Settings, train

CONFIG = Config(vocab=16, width=32, layers=2, heads=2, groups=1, hidden=64, context=16)
# The answer to a run of x is x + 1, after a mark: every length from 1 to 6.
NEXT = [Example.answer([x] * n + [14], [(x + 1) % 10, 15]) for x in range(10) for n in range(1, 7)]
BEFORE = [Example.answer([x] * n + [14], [(x - 1) % 10, 15]) for x in range(10) for n in range(1, 7)]


def right(model, examples):
    answers = greedy(model, [e.ids[:-2] for e in examples], 4, stop=15)
    return sum(a == [e.ids[-2]] for a, e in zip(answers, examples, strict=True)) / len(examples)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_trainer_learns_a_task_and_says_what_it_took(optimizer):
    model, seen = Model(CONFIG), []
    card = train(
        model,
        NEXT,
        Settings(steps=90, batch=32, lr=1e-2, optimizer=optimizer, decay="linear"),
        lambda step, steps, loss, eta: seen.append((step, steps, loss, eta)) and None,
    )
    assert right(model, NEXT) == 1.0
    assert card.loss < 0.1
    assert card.steps == 90 and card.parameters == model.parameter_count
    assert [step for step, *_ in seen] == list(range(1, 91))
    assert all(steps == 90 and eta >= 0 for _, steps, _, eta in seen)
    assert seen[0][2] == pytest.approx(math.log(16), rel=0.05)
    assert card.loss == pytest.approx(sum(loss for *_, loss, _ in seen[-20:]) / 20)


def test_only_learned_tokens_count_and_padding_does_not():
    model, examples = Model(CONFIG, seed=2), [NEXT[0], NEXT[5], NEXT[17]]
    by_hand = torch.cat(
        [
            F.cross_entropy(
                model(torch.tensor([e.ids]))[0][0, -3:-1], torch.tensor(e.ids[-2:]), reduction="none"
            )
            for e in examples
        ]
    ).mean()
    card = train(model, examples, Settings(steps=1, batch=3))
    assert card.loss == pytest.approx(by_hand.item(), rel=1e-5)
    assert card.tokens == sum(len(e.ids) - 1 for e in examples)


def test_the_card_counts_three_forward_passes_a_step():
    model = Model(CONFIG)
    examples = [Example.text(range(9))] * 4
    forward = model(torch.zeros(4, 8, dtype=torch.long))[1].cost.macs
    assert train(model, examples, Settings(steps=5, batch=4)).macs == 3 * 5 * forward


def test_one_seed_gives_one_model():
    def run(seed):
        model = Model(CONFIG)
        train(model, NEXT, Settings(steps=5, batch=16, seed=seed, dropout=0.2))
        return model

    assert all(map(torch.equal, run(1).parameters(), run(1).parameters()))
    assert not torch.equal(run(1).embed.weight, run(2).embed.weight)


def test_fresh_examples_are_drawn_for_every_epoch():
    epochs = []
    train(Model(CONFIG), lambda epoch: epochs.append(epoch) or NEXT[:8], Settings(steps=6, batch=4))
    assert epochs == [0, 1, 2]


def test_progress_can_end_a_run():
    card = train(Model(CONFIG), NEXT, Settings(steps=50), lambda step, *_: step == 3)
    assert card.steps == 3


@pytest.mark.parametrize(("keep", "learned"), [(frozenset(), False), (frozenset(range(15)), True)])
def test_input_dropout_hides_tokens_but_never_those_to_keep(keep, learned):
    model = Model(CONFIG)
    settings = Settings(steps=60, batch=32, lr=1e-2, dropout=0.99, blank=13, keep=keep)
    train(model, NEXT, settings)
    assert (right(model, NEXT) > 0.9) == learned


def test_a_run_that_blows_up_goes_back_to_the_last_good_weights():
    model = Model(CONFIG)
    with pytest.raises(Diverged, match="at step 1;") as stopped:
        train(model, NEXT, Settings(steps=50, lr=1e37, warmup=0, optimizer="adamw"))
    assert all(map(torch.equal, model.parameters(), Model(CONFIG).parameters()))
    assert stopped.value.card.loss == pytest.approx(math.log(16), rel=0.05)


def test_a_model_that_is_broken_from_the_start_is_left_as_it_was():
    model = Model(CONFIG)
    model.embed.weight.data[3] = math.nan
    with pytest.raises(Diverged, match="step 0"):
        train(model, NEXT, Settings(steps=3, batch=60))
    assert model.embed.weight[3].isnan().all() and model.embed.weight[2].isfinite().all()


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="only where there is a CUDA device")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_killed_run_goes_on_to_the_same_weights(optimizer, device, tmp_path):
    shaky = replace(CONFIG, norm="batch", dropout=0.2)
    settings = Settings(steps=9, batch=16, optimizer=optimizer, dropout=0.2)
    whole, killed = Model(shaky).to(device), Model(shaky).to(device)
    card = train(whole, NEXT, settings)

    def kill(step, *_):
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(killed, NEXT, settings, kill, tmp_path / "c.pt", every=3)
    seen = []
    fresh = Model(shaky, seed=1).to(device)
    resumed = train(fresh, NEXT, settings, lambda step, *_: seen.append(step), tmp_path / "c.pt")
    assert seen == [7, 8, 9]
    expected, got = whole.state_dict(), fresh.state_dict()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert (resumed.steps, resumed.tokens, resumed.macs, resumed.loss) == (
        (card.steps, card.tokens, card.macs, card.loss)
    )
    finished = Model(shaky, seed=2).to(device)
    train(finished, NEXT, settings, lambda *_: pytest.fail("nothing is left to do"), tmp_path / "c.pt")
    assert torch.equal(finished.embed.weight, whole.embed.weight)
    with pytest.raises(ValueError, match="other settings"):
        train(fresh, NEXT, replace(settings, lr=1e-4), keep=tmp_path / "c.pt")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text"])
def test_a_damaged_checkpoint_is_refused(damage, tmp_path):
    path, model = tmp_path / "c.pt", Model(CONFIG)
    settings = Settings(steps=2, batch=16)
    train(model, NEXT, settings, keep=path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.write_bytes({"flip": flipped, "cut": whole[:middle], "empty": b"", "text": b"weights"}[damage])
    with pytest.raises(ModelFileError, match=r"'c\.pt' is damaged"):
        train(model, NEXT, settings, keep=path)


def test_a_run_that_blows_up_keeps_its_last_good_checkpoint(tmp_path):
    model = Model(CONFIG)

    def poison(step, *_):
        if step == 5:
            model.embed.weight.data.fill_(math.nan)

    with pytest.raises(Diverged, match="step 5"):
        train(model, NEXT, Settings(steps=9, batch=16), poison, tmp_path / "c.pt", every=2)
    fresh, seen = Model(CONFIG), []
    train(fresh, NEXT, Settings(steps=9, batch=16), lambda step, *_: seen.append(step), tmp_path / "c.pt")
    assert seen == [5, 6, 7, 8, 9] and fresh.embed.weight.isfinite().all()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("lr", [1e3, 1e12, 1e20, 1e37])
@pytest.mark.parametrize(("steps", "norm"), [(1, "rms"), (9, "rms"), (9, "batch")])
def test_no_checkpoint_holds_weights_that_blew_up(steps, norm, lr, optimizer, tmp_path):
    model = Model(replace(CONFIG, norm=norm))
    settings = Settings(steps=steps, batch=16, lr=lr, warmup=0, optimizer=optimizer)
    with pytest.raises(Diverged, match="became"):
        train(model, NEXT, settings, keep=tmp_path / "c.pt", every=1)
    kept = checkpoint.load(tmp_path / "c.pt")["weights"]
    assert max(weight.abs().max() for weight in kept.values()) < 10
    model.load_state_dict(kept, strict=False)  # the head is the embedding
    logits = model(torch.tensor([NEXT[3].ids]))[0]
    assert F.cross_entropy(logits[0, :-1], torch.tensor(NEXT[3].ids[1:])) < 10


def test_an_adapter_learns_while_the_base_stays_as_it_was():
    model = Model(CONFIG)
    train(model, NEXT, Settings(steps=90, batch=32, lr=1e-2))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    plain = model(torch.tensor([NEXT[3].ids]))[0]

    lora.attach(model, rank=4)
    assert torch.equal(model(torch.tensor([NEXT[3].ids]))[0], plain)  # a fresh adapter changes nothing
    card = train(model, BEFORE, Settings(steps=120, batch=32, lr=1e-2, optimizer="adamw"))
    assert right(model, BEFORE) == 1.0
    assert card.parameters == sum(m.a.numel() + m.b.numel() for m in lora.adapter(model).values())
    assert len(lora.adapter(model)) == 2 * 7

    lora.detach(model)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert right(model, NEXT) == 1.0
    assert all(weight.requires_grad for weight in model.parameters())


def test_adapters_refuse_what_makes_no_sense():
    model = Model(CONFIG)
    with pytest.raises(ValueError, match="no adapter"):
        lora.detach(model)
    with pytest.raises(ValueError, match="rank"):
        lora.attach(model, rank=0)
    lora.attach(model)
    with pytest.raises(ValueError, match="already"):
        lora.attach(model)


def test_the_learning_rate_warms_up_and_decays():
    for decay in ("cosine", "linear"):
        rates = [Settings(steps=100, lr=1.0, warmup=0.1, decay=decay).rate(step) for step in range(100)]
        assert rates[0] == pytest.approx(0.1) and max(rates) == rates[9] == 1.0
        assert rates[10:] == sorted(rates[10:], reverse=True) and 0 < rates[-1] < 0.02
        assert rates[55] == pytest.approx(0.5, abs=0.02)


def test_orthogonalize_brings_singular_values_near_one():
    drawn = torch.randn(3, 20, 12, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(drawn))
    assert values.min() > 0.6 and values.max() < 1.3
    left, _, right = torch.linalg.svd(drawn, full_matrices=False)
    assert F.cosine_similarity(orthogonalize(drawn).flatten(1), (left @ right).flatten(1)).min() > 0.95


def test_examples_that_cannot_be_learned_are_refused():
    with pytest.raises(ValueError, match="token to learn"):
        Example.answer([1, 2], [])
    with pytest.raises(ValueError, match="token 99"):
        train(Model(CONFIG), [Example.text([1, 99])], Settings(steps=1))
    with pytest.raises(ValueError, match="18 tokens exceeds"):
        train(Model(CONFIG), [Example.text([1] * 18)], Settings(steps=1))
    with pytest.raises(ValueError, match="no examples"):
        train(Model(CONFIG), [], Settings(steps=1))
    for wrong in (
        {"dropout": 1.0},
        {"batch": 0},
        {"lr": 0.0},
        {"lr": 1e38},
        {"lr": float("nan")},
        {"optimizer": "sgd"},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Settings(**{"steps": 1} | wrong)
