"""Learning what choices are worth: cells with back-off, trees of cells, the model of differences, LinUCB."""

import numpy as np
import pytest

from tinyllm.routing import difference, forest, texts
from tinyllm.routing.cells import Cells, choose
from tinyllm.routing.linucb import LinUCB


def test_a_cell_backs_off_to_its_parent_and_then_to_the_choice() -> None:
    cells = Cells([-1, 0, 0], choices=2, strength=4)
    assert cells.means().tolist() == [[0.5, 0.5]] * 3
    for _ in range(4):
        cells.add(1, 0, 1.0)
    root, used, unused = cells.means()[:, 0]
    assert root == pytest.approx((4 + 2) / 8)
    assert used == pytest.approx((4 + 4 * root) / 8)
    assert unused == root
    assert cells.posterior(1, 0) == pytest.approx((4 + 4 * root, 8 - 4 - 4 * root))
    with pytest.raises(ValueError, match="before"):
        Cells([1, -1], choices=2)


def test_old_outcomes_fade() -> None:
    cells = Cells([-1], choices=1)
    for _ in range(50):
        cells.add(0, 0, 1.0)
    cells.discount(0.1)
    for _ in range(20):
        cells.add(0, 0, 0.0)
    assert cells.means()[0, 0] < 0.3


def test_a_price_must_be_bought_by_accuracy() -> None:
    means, prices = np.array([[0.9, 0.8], [0.9, 0.4]]), np.array([1.0, 0.2])
    assert choose(means, prices, 0).tolist() == [0, 0]
    assert choose(means, prices, 0.3).tolist() == [1, 0]
    assert choose(np.array([[0.5, 0.5]]), prices, 0).tolist() == [1]
    assert choose(means, np.zeros(2), 0.3).tolist() == [0, 0]


def test_trees_part_requests_where_outcomes_differ_even_if_most_are_missing() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((600, 6)).astype(np.float32)
    scores = np.stack([vectors[:, 2] > 0, vectors[:, 2] <= 0], axis=1).astype(float)
    tried = (random.random(scores.shape) < 0.3).astype(float)
    grown = forest.grow(vectors, scores, tried, seed=1)
    means = grown.means(np.array([[0, 0, 2, 0, 0, 0], [0, 0, -2, 0, 0, 0]], dtype=np.float32))
    assert means[0, 0] > 0.75 > 0.25 > means[0, 1] and means[1, 1] > 0.75 > 0.25 > means[1, 0]
    again = forest.grow(vectors, scores, tried, seed=1)
    assert (again.means(vectors) == grown.means(vectors)).all()


@pytest.mark.parametrize("columns", [5, 60])
def test_the_penalty_is_the_best_of_leaving_each_row_out(columns: int) -> None:
    random = np.random.default_rng(columns)
    vectors = random.standard_normal((40, columns))
    scores = vectors[:, :1] @ np.array([[0.5, -0.5]]) + random.standard_normal((40, 2))
    base = scores.mean(axis=0)

    def left_out(penalty: float) -> float:
        missed = []
        for i in range(40):
            x, y = np.delete(vectors, i, axis=0), np.delete(scores, i, axis=0)
            gram = x.T @ x + penalty * np.eye(columns)
            missed.append(scores[i] - base - vectors[i] @ np.linalg.solve(gram, x.T @ (y - base)))
        errors = np.array(missed)
        return float(((errors - errors.mean(axis=1, keepdims=True)) ** 2).mean())

    alike = vectors @ vectors.T
    penalty = difference.penalty(alike, scores)
    assert penalty == min(difference.PENALTIES, key=left_out)
    model = difference.fit(alike, scores, np.ones_like(scores), penalty)
    weights = np.linalg.solve(vectors.T @ vectors + penalty * np.eye(columns), vectors.T @ (scores - base))
    assert np.allclose(model.means(alike), vectors @ weights + base)


def test_a_choice_is_learned_from_where_it_was_tried() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((80, 4))
    scores = np.clip(0.5 + vectors @ random.standard_normal((4, 3)) / 4, 0, 1)
    alike, tried = vectors @ vectors.T, random.random(scores.shape) < 0.7
    tried[:, 2] = False
    model = difference.fit(alike, np.where(tried, scores, 7.0), tried, 1.0)
    for choice in (0, 1):
        rows = np.flatnonzero(tried[:, choice])
        known = alike[np.ix_(rows, rows)], scores[rows, choice, None], np.ones((len(rows), 1))
        alone = difference.fit(*known, 1.0)
        assert np.allclose(model.means(alike)[:, choice], alone.means(alike[:, rows])[:, 0])
    assert (model.means(alike)[:, 2] == 0.5).all()


def test_one_outcome_a_row_tells_nothing_about_differences() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((60, 4))
    scores = np.stack([vectors[:, 0] > 0, vectors[:, 0] <= 0], axis=1).astype(float)
    single = np.eye(2, dtype=bool)[random.integers(2, size=60)]
    assert difference.penalty(vectors @ vectors.T, scores) < difference.PENALTIES[-1]
    assert difference.penalty(vectors @ vectors.T, scores, single) == difference.PENALTIES[-1]


def test_linucb_is_the_ridge_regression_of_the_paper_and_finds_the_better_choice() -> None:
    random = np.random.default_rng(0)
    learner = LinUCB(3, 2)
    seen: list[np.ndarray] = []
    for _ in range(300):
        vector = random.standard_normal(3)
        choice = learner.choose(vector, np.zeros(2))
        learner.learn(vector, choice, float(vector[0] > 0) if choice else 0.5)
        if choice:
            seen.append(vector)
    rows = np.array(seen)
    assert np.allclose(learner.inverse[1], np.linalg.inv(np.eye(3) + rows.T @ rows))
    assert learner.choose(np.array([2.0, 0, 0]), np.zeros(2)) == 1
    assert learner.choose(np.array([2.0, 0, 0]), np.array([0.0, 5.0])) == 0


def test_texts_that_speak_of_one_thing_are_near_each_other() -> None:
    asked = [f"how do you spell {word}" for word in ("rhythm", "queue", "island", "colonel", "yacht")]
    asked += [f"What is {n} times {n + 1}?" for n in range(12, 17)]
    read = texts.read(asked)
    space = texts.space(read)
    wide, compact = space.manner.wide(read), space.compact(read)
    assert wide.shape[0] == compact.shape[0] == 10
    for near in (texts.words(read) @ texts.words(read).T, wide @ wide.T, compact @ compact.T):
        assert near[:5, :5].min() > near[:5, 5:].max()
    some = read[np.array([7, 2])]
    assert np.allclose(space.manner.wide(some), wide[[7, 2]]) and len(some) == 2


def test_waves_are_as_near_as_styles_are() -> None:
    read = texts.read([f"{'Why? ' * n}Is {n} {'a' * n} small?" for n in range(12)])
    manner = texts.manner(read)
    marks = manner.marks(read)
    apart = ((marks[:, None] - marks[None]) ** 2).mean(axis=2)
    waved = manner.waved(read)
    assert np.allclose(waved @ waved.T, np.exp(-0.3 * apart), atol=0.25)
