"""Gradient accumulation: Σ wᵢ gᵢ / Σ wᵢ, and the step that takes it."""

import re

import numpy as np
import petrain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from petrain import optim
from reference import optim as reference


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def reference_sum(grads, weights):
    """float32, in the order in which they were added."""
    total = np.float32(weights[0]) * grads[0]
    for grad, weight in zip(grads[1:], weights[1:], strict=True):
        total = total + np.float32(weight) * grad
    return total


weights_strategy = st.floats(1e-3, 1e6) | st.integers(1, 10_000)


@given(
    weights=st.lists(weights_strategy, min_size=1, max_size=6),
    sizes=st.lists(st.sampled_from([0, 1, 7, 16, 33]), min_size=1, max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_mean_and_step_are_equal_to_the_reference(weights, sizes, seed):
    rng = np.random.default_rng(seed)
    batches = [[floats(rng, size) for size in sizes] for _ in weights]
    params = [floats(rng, size) for size in sizes]
    acc = petrain.GradAccumulator(params)
    for grads, weight in zip(batches, weights, strict=True):
        acc.add(grads, weight=weight)
    assert acc.count == len(weights)
    assert acc.weight == np.cumsum(weights, dtype=np.float64)[-1]  # in order; sum() compensates since Python 3.12
    sums = [reference_sum([b[i] for b in batches], weights) for i in range(len(sizes))]
    scale = 1 / acc.weight
    np.testing.assert_equal(acc.mean(), [s * np.float32(scale) for s in sums])

    hypers = {"lr": 0.5, "weight_decay": 0.0}
    expected = reference.Optimizer("sgd", hypers, [], params)
    norm = reference.grad_norm(sums) * scale
    expected.step(sums, scale * reference.clip_scale(norm, 0.1))
    info = optim.SGD(params, lr=0.5).step(acc, max_norm=0.1)
    assert info.grad_norm == norm
    np.testing.assert_equal(params, expected.params)
    assert (acc.count, acc.weight) == (0, 0.0)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_large_arrays_are_the_same_for_any_number_of_threads(rng, threads, count):
    threads(count)
    batches = [[floats(rng, 100003), floats(rng, 5, 7)] for _ in range(3)]
    acc = petrain.GradAccumulator(batches[0])
    for grads, weight in zip(batches, (3, 1, 2), strict=True):
        acc.add(grads, weight)
    for i in range(2):
        total = reference_sum([b[i] for b in batches], (3, 1, 2))
        np.testing.assert_array_equal(acc.mean()[i], total * np.float32(1 / 6.0), strict=True)


def test_ragged_micro_batches_give_the_gradient_of_the_full_batch(rng):
    x, y, w = rng.standard_normal((10, 4)), rng.standard_normal(10), rng.standard_normal(4)

    def gradient(rows):  # of the mean squared error
        error = x[rows] @ w - y[rows]
        return (2 * x[rows].T @ error / len(error)).astype(np.float32)

    acc = petrain.GradAccumulator([np.zeros(4, np.float32)])
    for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
        acc.add([gradient(rows)], weight=rows.stop - rows.start)
    np.testing.assert_allclose(acc.mean()[0], gradient(slice(None)), rtol=1e-5, atol=1e-6)


def test_a_step_starts_the_next_accumulation(rng):
    p = np.zeros(3, np.float32)
    opt, acc = optim.SGD([p], lr=1.0), petrain.GradAccumulator([p])
    for value in (1.0, 2.0):
        acc.add([np.full(3, value, np.float32)])
        opt.step(acc)
    assert p.tolist() == [-3, -3, -3]


def test_reset(rng):
    acc = petrain.GradAccumulator([np.zeros(3, np.float32)])
    acc.add([floats(rng, 3)], weight=5)
    acc.reset()
    assert (acc.count, acc.weight) == (0, 0.0)
    acc.add([np.ones(3, np.float32)], weight=2)
    assert acc.mean()[0].tolist() == [1, 1, 1]


def test_an_empty_accumulator_has_no_mean():
    p = np.ones(3, np.float32)
    acc = petrain.GradAccumulator([p])
    with pytest.raises(ValueError, match="the accumulator is empty: add gradients first"):
        acc.mean()
    with pytest.raises(ValueError, match="the accumulator is empty: add gradients first"):
        optim.SGD([p]).step(acc)
    assert (p == 1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_not_added(rng, value):
    good = [floats(rng, 40000), floats(rng, 3)]
    acc = petrain.GradAccumulator(good)
    acc.add(good, weight=2)
    for i, k in ((0, 0), (0, 39999), (1, 2)):
        bad = [g.copy() for g in good]
        bad[i][k] = value
        with pytest.raises(ValueError, match="the micro-batch was not added"):
            acc.add(bad)
    assert (acc.count, acc.weight) == (1, 2.0)
    np.testing.assert_equal(acc.mean(), good)


@pytest.mark.parametrize("weight", [0, -1, np.nan, np.inf, 1e-40, 1e39])
def test_bad_weights(weight):
    acc = petrain.GradAccumulator([np.zeros(1, np.float32)])
    with pytest.raises(ValueError, match=re.escape("weight must be positive, from 1e-30 to 1e30, got")):
        acc.add([np.ones(1, np.float32)], weight=weight)
    assert acc.count == 0


@pytest.mark.parametrize("weight", [1e-30, 1e30])
def test_extreme_weights_keep_the_mean(weight):
    p = np.zeros(2, np.float32)
    acc = petrain.GradAccumulator([p])
    for _ in range(3):
        acc.add([np.array([1, -4], np.float32)], weight=weight)
    np.testing.assert_allclose(acc.mean()[0], [1, -4], rtol=1e-6)
    info = optim.SGD([p], lr=1.0).step(acc)
    np.testing.assert_allclose(p, [-1, 4], rtol=1e-6)
    assert info.grad_norm == pytest.approx(17**0.5)


def test_a_sum_that_overflows_is_not_stepped_with():
    p = np.ones(2, np.float32)
    opt, acc = optim.AdamW([p]), petrain.GradAccumulator([p])
    for _ in range(2):
        acc.add([np.full(2, 2e38, np.float32)])
    assert opt.step(acc).skipped
    assert (p == 1).all()
    assert opt.state_dict()["steps"] == [0]
    assert acc.count == 0


def test_an_accumulator_of_another_model_is_refused(rng):
    p = np.ones(3, np.float32)
    opt = optim.SGD([p])
    for shapes, message in (
        ([(4,)], "gradient 0: expected shape (3,), got (4,)"),
        ([(3,), (3,)], "expected 1 gradients, got 2"),
    ):
        acc = petrain.GradAccumulator([np.empty(s, np.float32) for s in shapes])
        acc.add([floats(rng, *s) for s in shapes])
        with pytest.raises(ValueError, match=re.escape(message)):
            opt.step(acc)
        assert acc.count == 1
    assert (p == 1).all()


def test_names():
    p = {"w": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)}
    acc = petrain.GradAccumulator(p)
    acc.add({"b": np.ones(2, np.float32), "w": np.full(2, 3, np.float32)})
    with pytest.raises(ValueError, match=re.escape("missing ['b'], unknown []")):
        acc.add({"w": np.ones(2, np.float32)})
    assert [g.tolist() for g in acc.mean()] == [[3, 3], [1, 1]]
    other = {"b": p["b"], "w": p["w"]}
    with pytest.raises(ValueError, match=re.escape("the accumulator has parameters ['w', 'b'], the optimizer")):
        optim.SGD(other).step(acc)
    optim.SGD(p, lr=1.0).step(acc)
    assert (p["w"].tolist(), p["b"].tolist()) == ([-3, -3], [-1, -1])


def test_params_without_a_shape():
    with pytest.raises(TypeError, match="expected an array, got float"):
        petrain.GradAccumulator([1.0])


@pytest.mark.parametrize(
    ("value", "dtype", "weight"), [(1e39, np.float64, 1.0), (1e38, np.float32, 10.0), (np.nan, np.float32, 1.0)]
)
def test_what_float32_cannot_hold_is_refused_and_what_was_added_stays(value, dtype, weight):
    p = np.ones(3, np.float32)
    acc = petrain.GradAccumulator([p])
    acc.add([np.full(3, 2, np.float32)])
    with pytest.raises(ValueError, match="NaN, infinite or more than float32 holds; the micro-batch was not added"):
        acc.add([np.full(3, value, dtype)], weight)
    assert (acc.mean()[0] == 2).all()
