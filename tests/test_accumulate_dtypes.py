"""Gradient accumulation in fewer bits: to the last bit of its reference, and what error feedback is worth."""

import itertools
import re

import numpy as np
import petrain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from petrain import _core, optim
from reference import accumulate as reference

ml_dtypes = pytest.importorskip("ml_dtypes")

DTYPES = ["float32", "bfloat16", "int8"]
LOW = DTYPES[1:]
BYTES = {"float32": 4, "bfloat16": 3.25, "int8": 2.0625}


def floats(rng, size):
    """Of many magnitudes, some of them zero."""
    values = rng.standard_normal(size) * 10 ** rng.uniform(-6, 2, size)
    values[rng.random(size) < 0.05] = 0
    return values.astype(np.float32)


def sums(acc):
    """Those that an accumulator with weights of 1 in total holds."""
    assert acc.weight == 1
    return acc.mean()


@pytest.mark.parametrize("dtype", DTYPES)
def test_bytes(dtype):
    acc = petrain.GradAccumulator([np.zeros((1000, 64), np.float32), np.zeros(64, np.float32)], dtype)
    assert acc.nbytes == BYTES[dtype] * (64000 + 64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_equal_to_the_reference_for_any_number_of_threads(rng, threads, dtype, count):
    threads(count)
    sizes = [*range(0, 67, 3), 127, 128, 255, 256, 257, 16384, 16385, 100003]
    weights = [0.5, 0.25, 0.125, 0.125]
    batches = [[floats(rng, size) for size in sizes] for _ in weights]
    acc = petrain.GradAccumulator(batches[0], dtype)
    for grads, weight in zip(batches, weights, strict=True):
        acc.add(grads, weight)
    for i, got in enumerate(sums(acc)):
        want = reference.accumulate([grads[i] for grads in batches], weights, dtype, i)
        np.testing.assert_array_equal(got, want, strict=True)


@given(
    dtype=st.sampled_from(LOW),
    size=st.integers(0, 200),
    count=st.integers(1, 5),
    exponent=st.integers(-45, 37),
    seed=st.integers(0, 2**32 - 1),
)
def test_equal_to_the_reference_at_any_scale(dtype, size, count, exponent, seed):
    rng = np.random.default_rng(seed)
    grads = [(floats(rng, size).astype(np.float64) * 10.0**exponent / 100).astype(np.float32) for _ in range(count)]
    weights = [2.0**-i for i in range(1, count)] + [2.0 ** -(count - 1)]
    acc = petrain.GradAccumulator([np.zeros(size, np.float32)], dtype)
    for grad, weight in zip(grads, weights, strict=True):
        acc.add([grad], weight)
    np.testing.assert_array_equal(sums(acc)[0], reference.accumulate(grads, weights, dtype), strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grad", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_gradients_of_any_dtype(rng, dtype, grad):
    batches = [rng.standard_normal(1000).astype(grad) for _ in range(3)]
    acc = petrain.GradAccumulator([np.zeros(1000, np.float32)], dtype)
    for each, weight in zip(batches, (0.5, 0.25, 0.25), strict=True):
        acc.add([each], weight)
    want = reference.accumulate([each.astype(np.float32) for each in batches], (0.5, 0.25, 0.25), dtype)
    np.testing.assert_array_equal(sums(acc)[0], want, strict=True)


# ---- what error feedback is worth ----


def steady(rng, size):
    """Noise around a mean: the sum grows with every gradient."""
    mean = floats(rng, size)
    return lambda k: (mean * (1 + 0.2 * rng.standard_normal(size))).astype(np.float32)


def noise(rng, size):
    return lambda k: rng.standard_normal(size).astype(np.float32)


def burst(rng, size):
    """One large gradient, then small ones."""
    large = floats(rng, size)
    return lambda k: large if k == 0 else np.float32(1e-3) * large


@pytest.mark.parametrize("kind", [steady, noise, burst])
def test_1024_micro_batches(rng, kind):
    size = 5000
    gradient = kind(rng, size)
    accs = {dtype: petrain.GradAccumulator([np.zeros(size, np.float32)], dtype) for dtype in DTYPES}
    plain = np.zeros(size, ml_dtypes.bfloat16)
    for k in range(1024):
        grad = gradient(k)
        for acc in accs.values():
            acc.add([grad])
        plain = (plain.astype(np.float32) + grad).astype(ml_dtypes.bfloat16)
    full = accs["float32"].mean()[0].astype(np.float64)

    def error(x):
        return np.linalg.norm(x - full) / np.linalg.norm(full)

    assert error(accs["bfloat16"].mean()[0]) < 1e-4
    assert error(accs["int8"].mean()[0]) < 2e-3
    if kind is noise:
        assert error(plain.astype(np.float64) / 1024) > 0.02
    else:  # plain bfloat16 stalls: what is added is less than half of its last bit
        assert error(plain.astype(np.float64) / 1024) > 0.4
        assert ((plain.astype(np.float32) + gradient(1024)).astype(ml_dtypes.bfloat16) == plain).mean() > 0.95


@pytest.mark.parametrize("dtype", LOW)
def test_what_is_less_than_the_last_bit_is_not_lost(dtype):
    """Each gradient is an eighth of the smallest step of the sum."""
    size, last = 6400, {"bfloat16": 2.0**-17, "int8": 2.0**-12}[dtype]
    acc = petrain.GradAccumulator([np.zeros(size, np.float32)], dtype)
    large, small = np.ones(size, np.float32), np.full(size, last / 8, np.float32)
    acc.add([large])
    for _ in range(2000):
        acc.add([small])
    added = sums_of(acc)[0] - 1.0
    assert added.mean() == pytest.approx(250 * last, rel=0.02)
    assert added.std() < 20 * last


def sums_of(acc):
    return [mean.astype(np.float64) * acc.weight for mean in acc.mean()]


@pytest.mark.parametrize("dtype", DTYPES)
def test_ragged_micro_batches_equal_the_full_batch(rng, dtype):
    """Logistic regression over token-like samples: the mean of all losses, whatever they were cut into."""
    x, w = rng.standard_normal((1000, 300)), rng.standard_normal(300)
    labels = rng.integers(0, 2, 1000)

    def gradient(rows):
        p = 1 / (1 + np.exp(-x[rows] @ w))
        return x[rows].T @ (p - labels[rows]) / len(labels[rows])

    acc = petrain.GradAccumulator([w], dtype)
    cuts = [0, 1, 3, 10, 200, 201, 450, 999, 1000]
    for begin, end in itertools.pairwise(cuts):
        acc.add([gradient(slice(begin, end))], weight=end - begin)
    full = gradient(slice(0, 1000))
    error = np.linalg.norm(acc.mean()[0] - full) / np.linalg.norm(full)
    assert error < {"float32": 1e-6, "bfloat16": 2e-5, "int8": 1e-3}[dtype]
    if dtype == "float32":  # the mean of means is another number
        means = np.mean([gradient(slice(b, e)) for b, e in itertools.pairwise(cuts)], axis=0)
        assert np.linalg.norm(means - full) / np.linalg.norm(full) > 0.1


@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_stays_zero(rng, dtype):
    grad = floats(rng, 10000)
    grad[::3] = 0
    grad[5000:6000] = 0
    acc = petrain.GradAccumulator([grad], dtype)
    for _ in range(300):
        acc.add([grad], weight=0.7)
        acc.add([-grad], weight=0.3)
    mean = acc.mean()[0]
    np.testing.assert_array_equal(mean[grad == 0], 0)
    # of "int8", neighbours may be too large to tell from zero what has a millionth of their size
    assert (mean[grad != 0] != 0).mean() > {"float32": 0.99, "bfloat16": 0.99, "int8": 0.75}[dtype]


# ---- the step ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", _core.rules())
def test_a_step_takes_the_mean(rng, dtype, rule):
    info = _core.rules()[rule]
    shapes = [(5, 6), (300, 70)] if info["matrix"] else [(5,), (64,), (300,), (20000,)]
    hypers = {"rank": 4} if "rank" in info["hypers"] else {}

    def some():
        return [floats(rng, int(np.prod(shape))).reshape(shape) for shape in shapes]

    params = some()
    copies = [p.copy() for p in params]
    acc = _core.GradAccumulator([list(shape) for shape in shapes], dtype)
    ours, expected = _core.Optimizer([(rule, hypers, params)]), _core.Optimizer([(rule, hypers, copies)])
    for _ in range(2):
        for weight in (3.0, 4.0, 1.0):  # eight in all: the mean is exact, wherever it is taken
            acc.add(some(), weight)
        means = acc.mean()
        info = ours.step_accumulated(acc, 0.5)
        assert info.grad_norm == pytest.approx(expected.step(means, 0.5).grad_norm, rel=1e-14)
        assert acc.count == 0
    for got, want in zip(params, copies, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("param", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_parameters_of_any_dtype(rng, dtype, param):
    p = rng.standard_normal(1000).astype(param)
    copy = p.copy()
    acc = petrain.GradAccumulator([p], dtype)
    for weight in (1, 3):
        acc.add([rng.standard_normal(1000).astype(param)], weight)
    optim.AdamW([copy]).step(acc.mean())
    optim.AdamW([p]).step(acc)
    np.testing.assert_array_equal(p, copy)


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_micro_batch_that_is_not_finite_is_refused_as_a_whole(rng, dtype, value):
    good = [floats(rng, 40000), floats(rng, 3)]
    acc = petrain.GradAccumulator(good, dtype)
    acc.add(good, weight=1)
    before = acc.mean()
    for i, k in ((0, 0), (0, 39999), (1, 2)):
        bad = [g.copy() for g in good]
        bad[i][k] = value
        with pytest.raises(ValueError, match="the micro-batch was not added"):
            acc.add(bad)
    assert acc.count == 1
    np.testing.assert_equal(acc.mean(), before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sum_that_overflows_is_not_stepped_with(dtype):
    p = np.ones(200, np.float32)
    opt, acc = optim.AdamW([p]), petrain.GradAccumulator([p], dtype)
    grad = np.ones(200, np.float32)
    for value in (3e38, 3e38, -3e38):
        grad[77] = value
        acc.add([grad])
    assert opt.step(acc).skipped
    assert (p == 1).all()
    acc.add([np.ones(200, np.float32)])  # the next begins anew
    assert not opt.step(acc).skipped


@pytest.mark.parametrize("dtype", LOW)
def test_a_resumed_run_draws_the_same_numbers(rng, dtype):
    """An accumulation depends on nothing before it."""
    grads = [floats(rng, 500) for _ in range(4)]
    used, fresh = (petrain.GradAccumulator([np.zeros(500, np.float32)], dtype) for _ in range(2))
    for grad in grads:
        used.add([grad])
    used.reset()
    for grad in grads[:3]:
        used.add([grad])
        fresh.add([grad])
    np.testing.assert_equal(used.mean(), fresh.mean())


@pytest.mark.parametrize("dtype", ["float16", "int4", ""])
def test_bad_dtype(dtype):
    message = f'dtype: expected one of float32, bfloat16, int8, got "{dtype}"'
    with pytest.raises(ValueError, match=re.escape(message)):
        petrain.GradAccumulator([np.zeros(1, np.float32)], dtype)
