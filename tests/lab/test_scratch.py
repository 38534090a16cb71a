"""The machines from scratch, held against known digits, finite differences and torch."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import tokenizers
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

from tinyllm.lab.scratch import backprop, gpt, gradients, nets
from tinyllm.lab.scratch.bpe import BPE
from tinyllm.lab.scratch.perceptron import Perceptron
from tinyllm.lab.scratch.scalar import Value
from tinyllm.lab.scratch.tensor import Adam, Tensor


def test_a_perceptron_is_three_numbers_in_a_file(tmp_path):
    model = Perceptron(0.5, -2.0, 0.25)
    model.save(tmp_path / "p.json")
    assert json.loads((tmp_path / "p.json").read_text()) == {"w1": 0.5, "w2": -2.0, "b": 0.25}
    assert Perceptron.load(tmp_path / "p.json") == model
    assert (model(1, 0), model(0, 1)) == (1, 0)
    for wrong in ("{}}", '{"w1": 1, "w3": 2}', "[1, 2, 3]", '{"w1": "x"}'):
        (tmp_path / "p.json").write_text(wrong)
        with pytest.raises(ValueError, match="three numbers"):
            Perceptron.load(tmp_path / "p.json")


def test_a_perceptron_learns_and_and_stays_where_it_is_right():
    gate = [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 1)]
    model = Perceptron()
    for _ in range(20):
        model = model.trained(gate)
    assert [model(x1, x2) for x1, x2, _ in gate] == [0, 0, 0, 1]
    assert model.trained(gate) == model


def test_the_digits_of_micrograd():
    a, b = Value(-4.0), Value(2.0)
    c, d = a + b, a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    g.backward()
    assert [f"{x:.4f}" for x in (g.data, a.grad, b.grad)] == ["24.7041", "138.8338", "645.5773"]


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "relu"])
def test_scalar_functions_have_the_slopes_of_torch(name):
    for number in (0.3, 1.7):
        ours, theirs = Value(number), torch.tensor(number, dtype=torch.float64, requires_grad=True)
        (2 - getattr(ours, name)() * ours).backward()
        (2 - getattr(theirs, name)() * theirs).backward()
        assert ours.grad == pytest.approx(theirs.grad.item())


OPERATIONS = {
    "add": lambda a, b: a + b,
    "stretched add": lambda a, b: a[:1] + b,
    "subtract": lambda a, b: 1.5 - a - b,
    "multiply": lambda a, b: a * b[:, :1],
    "divide": lambda a, b: a / (b * b + 1.0),
    "power": lambda a, b: (a * a + 0.1) ** 1.5 + b,
    "matmul": lambda a, b: a @ b.transpose(1, 0),
    "batched matmul": lambda a, b: a.reshape(3, 2, 2) @ b.reshape(3, 2, 2),
    "stretched matmul": lambda a, b: a.reshape(3, 2, 2) @ b[:2, :2],
    "exp": lambda a, b: (a * b).exp(),
    "log": lambda a, b: (a * a + 0.5).log() * b,
    "tanh": lambda a, b: a.tanh() + b,
    "sigmoid": lambda a, b: (a * 3).sigmoid() * b,
    "relu": lambda a, b: (a + b).relu(),
    "sum": lambda a, b: a.sum(axis=0) * b.sum(axis=(0, 1), keepdims=True),
    "mean": lambda a, b: a.mean(axis=-1, keepdims=True) * b,
    "pick": lambda a, b: a[np.array([0, 2, 2, 0])] * b[np.array([1, 1, 0, 2])],
    "softmax": lambda a, b: (a * 5).softmax() * b,
    "log softmax": lambda a, b: (a + b).log_softmax() * a,
    "cross entropy": lambda a, b: (a * b).cross_entropy(np.array([3, 0, 3])),
    "itself": lambda a, b: a * a * a + a,
    "norm": lambda a, b: gradients.standardised(a * b),
    "convolution": lambda a, b: nets.halved(
        nets.convolve(a.reshape(3, 2, 2, 1), (b.reshape(12)[:9]).reshape(9, 1))
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_agree_with_finite_differences(name):
    draw = np.random.default_rng(0)
    inputs = [draw.normal(size=(3, 4)), draw.normal(size=(3, 4))]
    weights = draw.normal(size=1000)

    def loss(arrays):
        tensors = [Tensor(array) for array in arrays]
        out = OPERATIONS[name](*tensors)
        total = (out * weights[: out.data.size].reshape(out.shape)).sum()
        return total, tensors

    total, tensors = loss(inputs)
    total.backward()
    for which, array in enumerate(inputs):
        for place in np.ndindex(array.shape):
            up, down = ([a.copy() for a in inputs] for _ in range(2))
            up[which][place] += 1e-6
            down[which][place] -= 1e-6
            slope = float(loss(up)[0].data - loss(down)[0].data) / 2e-6
            found = 0.0 if tensors[which].grad is None else tensors[which].grad[place]
            assert found == pytest.approx(slope, abs=1e-6, rel=1e-6)


def test_convolution_and_adam_are_those_of_torch():
    draw = np.random.default_rng(0)
    images, kernel = draw.normal(size=(2, 6, 4, 3)), draw.normal(size=(27, 5))
    theirs = F.conv2d(
        torch.tensor(images).permute(0, 3, 1, 2),
        torch.tensor(kernel.reshape(3, 3, 3, 5)).permute(3, 2, 0, 1),
        padding=1,
    ).permute(0, 2, 3, 1)
    np.testing.assert_allclose(nets.convolve(Tensor(images), Tensor(kernel)).data, theirs, atol=1e-12)
    ours, weight = Tensor(draw.normal(size=4)), torch.zeros(4, dtype=torch.float64, requires_grad=True)
    weight.data.copy_(torch.tensor(ours.data))
    adam, reference = Adam([ours], 0.1), torch.optim.Adam([weight], 0.1, betas=(0.9, 0.99))
    for _ in range(5):
        ((ours**2).sum() * 0.5 + ours.exp().sum()).backward()
        adam.step()
        reference.zero_grad()
        ((weight**2).sum() * 0.5 + weight.exp().sum()).backward()
        reference.step()
    np.testing.assert_allclose(ours.data, weight.detach(), atol=1e-7)


def descend(net, loss, steps, rate):
    """The loss after training."""
    adam = Adam(net.weights, rate)
    for step in range(steps):
        loss(step).backward()
        adam.step(1 - step / steps)
    return float(loss(steps).data)


@pytest.mark.parametrize(
    ("gate", "hidden", "learned"), [("and", 0, True), ("or", 0, True), ("xor", 4, True), ("xor", 0, False)]
)
def test_one_unit_learns_and_but_xor_takes_a_hidden_layer(gate, hidden, learned):
    net = nets.small(hidden, 0)
    assert (descend(net, nets.logic_loss(net, gate), 250, 0.1) < (0.01 if learned else 0.2)) == learned


def test_a_sum_is_learned_where_it_was_seen_and_breaks_beyond():
    line, curve = nets.small(0, 0), nets.small(16, 0)
    for net in (line, curve):
        descend(net, nets.sum_loss(net, 0), 300, 0.02)
    assert nets.sum_errors(line, 1).mean() < 1e-3 and nets.sum_errors(line, 100).mean() < 0.1
    assert nets.sum_errors(curve, 1).mean() < 0.05
    assert nets.sum_errors(curve, 10).mean() > 1 and nets.sum_errors(curve, 100).mean() > 10


def test_the_moons_are_told_apart():
    points, classes = nets.moons(100, 0.1, 0)
    net = nets.Layers((2, 16, 16, 1), 0)
    descend(net, nets.moons_loss(net, points, classes), 300, 0.02)
    assert ((net(points).data[:, 0] > 0) == classes).all()
    clean, which = nets.moons(50, 0.0, 1)
    distance = np.linalg.norm(clean - np.where(which[:, None] == 0, (0, 0), (1, 0.5)), axis=1)
    np.testing.assert_allclose(distance, 1)


def test_gradients_vanish_and_explode_as_theory_says():
    assert gradients.reach(30, "sigmoid", "xavier", False, False) < 1e-10
    assert gradients.reach(30, "relu", "xavier", False, False) < 1e-2
    assert 0.1 < gradients.reach(30, "relu", "he", False, False) < 10
    assert gradients.reach(30, "relu", "large", False, False) > 1e5
    assert 0.1 < gradients.reach(30, "sigmoid", "xavier", False, True) < 100


def test_derivatives_by_hand_are_those_of_torch():
    draw = np.random.default_rng(0)
    weights = backprop.Weights.draw(11, 4, 20, seed=1)
    x, y = draw.integers(11, size=(32, 3)), draw.integers(11, size=32)
    loss, by_hand, (mean, variance) = backprop.loss_and_gradients(weights, x, y)
    w = {name: torch.tensor(value, requires_grad=True) for name, value in vars(weights).items()}
    before = w["c"][torch.tensor(x)].flatten(1) @ w["w1"]
    normal = F.batch_norm(before, None, None, w["gain"], w["shift"], training=True, eps=backprop.EPS)
    theirs = F.cross_entropy(normal.tanh() @ w["w2"] + w["b2"], torch.tensor(y))
    theirs.backward()
    assert loss == pytest.approx(theirs.item())
    assert loss == pytest.approx(backprop.losses_with(weights, x, y, mean, variance).mean())
    for name, weight in w.items():
        np.testing.assert_allclose(getattr(by_hand, name), weight.grad, atol=1e-10)


SHAPE = gpt.Shape(vocab=7, width=8, heads=2, layers=2, context=9)


@pytest.fixture
def drawn():
    draw = np.random.default_rng(0)
    return {name: draw.normal(size=data.shape) * 0.5 for name, data in gpt.draw(SHAPE, 0).items()}


def test_the_gpt_is_the_same_on_both_engines(drawn):
    ids = [0, 5, 3, 3, 1, 0]
    slow = {name: [[Value(number) for number in row] for row in data] for name, data in drawn.items()}
    fast = {name: Tensor(data) for name, data in drawn.items()}
    one, other = gpt.scalar_loss(slow, SHAPE, ids), gpt.loss(fast, SHAPE, np.array([ids]))
    one.backward()
    other.backward()
    assert one.data == pytest.approx(float(other.data), rel=1e-12)
    for name, weight in fast.items():
        np.testing.assert_allclose([[x.grad for x in row] for row in slow[name]], weight.grad, atol=1e-12)


def test_the_gpt_sees_no_future_and_no_filling(drawn):
    fast = {name: Tensor(data) for name, data in drawn.items()}
    ids = np.array([[0, 5, 3, 3, 1, 2]])
    other = ids.copy()
    other[0, 4:] = 6
    one, two = (gpt.logits(fast, SHAPE, x).data for x in (ids, other))
    np.testing.assert_allclose(one[:, :4], two[:, :4])
    assert np.abs(one[:, 4:] - two[:, 4:]).max() > 0.1
    alone = [float(gpt.loss(fast, SHAPE, row).data) for row in (ids, ids[:, :4])]
    both = gpt.loss(fast, SHAPE, np.concatenate((ids, [[0, 5, 3, 3, -1, -1]])))
    assert float(both.data) == pytest.approx((5 * alone[0] + 3 * alone[1]) / 8)
    with pytest.raises(ValueError, match="multiple of heads"):
        gpt.Shape(vocab=7, width=10, heads=4)


# What minbpe's BasicTokenizer learns from the strings of its own tests.
MINBPE = {
    "aaabdaaabac": [(97, 97), (256, 97), (257, 98)],
    "hello world!!!? (안녕하세요!) lol123 😉": [
        *[(108, 111), (33, 33), (104, 101), (258, 108), (259, 256), (260, 32)],
        *[(261, 119), (262, 111), (263, 114), (264, 108), (265, 100), (266, 257)],
    ],
}


@pytest.mark.parametrize("text", MINBPE)
def test_the_merges_are_those_of_minbpe(text):
    learned = BPE.train(text, len(MINBPE[text]))
    assert learned.merges == MINBPE[text]
    assert learned.decode(learned.encode(text)) == text


def test_the_example_of_wikipedia():
    learned = BPE.train("aaabdaaabac", 3)
    assert learned.encode("aaabdaaabac") == [258, 100, 258, 97, 99]
    assert len(BPE.train("aaabdaaabac", 500).merges) < 11  # nothing is left to join
    with pytest.raises(ValueError, match="no text"):
        BPE.train("", 3)
    with pytest.raises(ValueError, match="only 259 tokens"):
        learned.decode([259])


TRAINED = BPE.train("the cat sat on the mat; the hat, the bat. 안녕 안녕 naïve naïve", 40)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(), st.text("the cat安naïv"), st.sampled_from(["", "?", *MINBPE])))
def test_any_text_comes_back(text):
    text = text.encode("utf-8", "ignore").decode()  # lone surrogates are no text
    assert TRAINED.decode(TRAINED.encode(text)) == text


@settings(max_examples=60, deadline=None)
@given(st.binary())
def test_any_bytes_come_back(content):
    assert TRAINED.decode_bytes(TRAINED.encode_bytes(content)) == content


def test_the_library_that_is_really_used_agrees():
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = letters
    text = "low lower lowest; newer newest, wider widest - slow, slower slowest: a low slow newt.\n" * 3
    trainer = trainers.BpeTrainer(
        vocab_size=256 + 20, initial_alphabet=letters.alphabet(), show_progress=False
    )
    library.train_from_iterator([text], trainer)

    def cut(text):
        return [text[start:end] for _, (start, end) in letters.pre_tokenize_str(text)]

    bytes_of = {letters.pre_tokenize_str(chr(byte))[0][0]: byte for byte in (10, *range(32, 127))}

    def spelled(token):
        return bytes(bytes_of[letter] for letter in token)

    merges = []
    for left, right in json.loads(library.to_str())["model"]["merges"]:
        ours = BPE(merges, cut)
        ids = {token: id for id, token in enumerate(ours.tokens)}
        counts = Counter(pair for chunk in cut(text) for pair in pairwise(ours.encode(chunk)))
        merges.append((ids[spelled(left)], ids[spelled(right)]))
        assert counts[merges[-1]] == max(counts.values())  # of pairs equally common it may take another one
    ours = BPE(merges, cut)
    for sample in (text, "slowest widow lowers", "  the  newest\nlow-est", "", " "):
        tokens = [spelled(token) for token in library.encode(sample).tokens]
        assert [ours.tokens[id] for id in ours.encode(sample)] == tokens
