"""GPTQ, coordinate descent and the corrections after them, against tests/reference/rounding.py."""

import numpy as np
import pytest
from petrain import prune, quant
from petrain.quant import HessianObserver
from reference import rounding as reference

FORMATS = {
    "int8": {},
    "int8 asymmetric": {"scheme": "asymmetric"},
    "int4": {"bits": 4},
    "int4 asymmetric": {"bits": 4, "scheme": "asymmetric"},
    "int8 g128": {"granularity": "group", "group_size": 128},
    "int4 g32": {"bits": 4, "granularity": "group", "group_size": 32},
    "int4 g64": {"bits": 4, "granularity": "group", "group_size": 64},
    "int4 g128": {"bits": 4, "granularity": "group", "group_size": 128},
    "int4 g32 asymmetric": {"bits": 4, "scheme": "asymmetric", "granularity": "group", "group_size": 32},
}


def correlated(rng, rows, k, rank=None, mean=0.0):
    """Inputs of a few strong directions and a little of all others, as activations are."""
    rank = rank or max(1, k // 8)
    strong = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, k))
    return (strong + 0.3 * rng.standard_normal((rows, k)) + mean).astype(np.float32)


def observed(*pieces):
    hessian = HessianObserver(pieces[0].shape[-1])
    for x in pieces:
        hessian.observe(x)
    return hessian


def of_format(name):
    return {key: value for key, value in FORMATS[name].items() if key != "granularity"}


def same(a, b):
    return (
        a.values.tobytes() == b.values.tobytes()
        and a.scale.tobytes() == b.scale.tobytes()
        and (a.zero_point is None or a.zero_point.tobytes() == b.zero_point.tobytes())
    )


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_gptq_is_that_of_the_paper(name, act_order, rng):
    n, k = 40, 384
    x, w = correlated(rng, 1000, k), rng.standard_normal((n, k), np.float32)
    q, report = quant.gptq(w, observed(x), **FORMATS[name], act_order=act_order)
    integers, numbers = reference.gptq(w, reference.hessian(x), **of_format(name), act_order=act_order)
    h = reference.hessian(x)
    assert report.kept == 0
    # A tie that float64 breaks otherwise changes all that follows in its row, so a few rows may differ.
    assert np.mean((q.values == integers).all(axis=1)) >= 0.9
    expected = reference.relative_error(w, numbers, h)
    assert report.after == pytest.approx(expected, rel=0.02)
    assert report.after == pytest.approx(reference.relative_error(w, q.dequantize(), h), rel=1e-6)
    nearest = quant.quantize(w, **FORMATS[name])
    assert report.before == pytest.approx(reference.relative_error(w, nearest.dequantize(), h), rel=1e-6)


@pytest.mark.parametrize(("name", "most"), [("int4", 0.6), ("int4 g128", 0.6), ("int4 g32", 0.6), ("int8", 0.6)])
def test_gptq_gains_on_correlated_inputs(name, most, rng):
    x, w = correlated(rng, 2000, 256), rng.standard_normal((64, 256), np.float32)
    hessian = observed(x)
    q, report = quant.gptq(w, hessian, **FORMATS[name])
    assert report.after < most * report.before
    fresh = correlated(np.random.default_rng(1), 500, 256)  # of other directions: the gain is not free
    assert quant.output_error(w, q, observed(fresh)) < 2 * report.before
    better, more = quant.round_coordinate_descent(w, q, hessian)
    assert more.before == pytest.approx(report.after, rel=1e-9)
    assert more.after < report.after
    assert quant.output_error(w, better, hessian) == pytest.approx(more.after, rel=1e-5)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 2), (33, 7), (5, 129), (2, 200), (70, 64), (31, 136)])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
def test_any_shape(n, k, scheme, rng):
    x, w = correlated(rng, 300, k, mean=0.5), rng.standard_normal((n, k), np.float32)
    h, hessian = reference.hessian(x), observed(x)
    q, report = quant.gptq(w, hessian, bits=4, scheme=scheme)
    integers, _ = reference.gptq(w, h, 4, scheme)
    kept = quant.quantize(w, 4, scheme).values
    rows = (q.values == integers).all(axis=1) | (q.values == kept).all(axis=1)
    assert rows.mean() >= 0.9
    assert report.after <= report.before
    assert report.after == pytest.approx(reference.relative_error(w, q.dequantize(), h), rel=1e-5)


@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("damping", [0.0, 0.01])
def test_coordinate_descent_is_that_of_brute_force(scheme, damping, rng):
    for n, k in [(6, 5), (4, 12), (3, 20)]:
        x, w = correlated(rng, 100, k, mean=0.3), rng.standard_normal((n, k), np.float32)
        start = quant.quantize(w, 4, scheme)
        q, report = quant.round_coordinate_descent(w, start, observed(x), damping=damping)
        h = reference.hessian(x)
        expected = reference.coordinate_descent(w, start, h, damping)
        kept = (q.values == start.values).all(axis=1)
        assert ((q.values == expected).all(axis=1) | kept).all()
        assert kept.sum() == report.kept
        assert report.before == pytest.approx(reference.relative_error(w, start.dequantize(), h), rel=1e-6)
        assert report.after == pytest.approx(reference.relative_error(w, q.dequantize(), h), rel=1e-6)


def test_coordinate_descent_across_blocks_ends_where_no_single_move_gains(rng):
    n, k = 6, 300
    x, w = correlated(rng, 1000, k), rng.standard_normal((n, k), np.float32)
    q, report = quant.round_coordinate_descent(w, quant.quantize(w, 4), observed(x), passes=500, damping=0)
    assert report.after < report.before
    h = reference.hessian(x)
    e = w.astype(np.float64) - q.dequantize()
    gradient, scale = e @ h, q.scale[:, None].astype(np.float64)
    for step in (-scale, scale):  # of the integer: the error changes by -step
        gain = -2 * step * gradient + step**2 * np.diag(h)
        allowed = np.abs(q.values + np.sign(step)) <= 7
        assert (gain[allowed] > -1e-9 * np.abs(gradient).max()).all()


@pytest.mark.parametrize("name", ["int4", "int4 g32", "int4 g32 asymmetric", "int8"])
def test_threads_change_nothing(name, rng, threads):
    x, w = correlated(rng, 700, 512, mean=1.0), rng.standard_normal((130, 512), np.float32)
    results = []
    for count in (1, 2, 3):
        threads(count)
        hessian = observed(x)
        q, report = quant.gptq(w, hessian, **FORMATS[name])
        other, more = quant.round_coordinate_descent(w, q, hessian, passes=3)
        bias, corrected = quant.bias_correction(w, q, hessian)
        results.append((hessian.hessian.tobytes(), q, other, report, more, bias.tobytes(), corrected))
    for result in results[1:]:
        assert result[0] == results[0][0]
        assert all(same(result[i], results[0][i]) for i in (1, 2))
        assert result[3:] == results[0][3:]


def test_per_tensor(rng):
    x, w = correlated(rng, 300, 64), rng.standard_normal((10, 64), np.float32)
    q, report = quant.gptq(w, observed(x), bits=4, granularity="tensor")
    assert q.scale == quant.quantize(w, 4, granularity="tensor").scale
    assert report.after < report.before
    _, more = quant.round_coordinate_descent(w, q, observed(x))
    assert more.after <= report.after


@pytest.mark.parametrize("name", FORMATS)
def test_dead_inputs_and_zero_rows(name, rng):
    k = 256
    x, w = correlated(rng, 600, k), rng.standard_normal((20, k), np.float32)
    dead = [0, 5, 128, 255]
    x[:, dead] = 0
    w[3] = 0
    w[4, 32:64] = 0
    for damping in (0.0, 0.01):
        q, report = quant.gptq(w, observed(x), **FORMATS[name], damping=damping)
        assert report.after < report.before
        assert not q.dequantize()[3].any()
        step = np.repeat(q.scale.reshape(20, -1), k // q.scale.reshape(20, -1).shape[1], axis=1)
        assert (np.abs(w - q.dequantize())[:, dead] <= 0.501 * step[:, dead]).all()  # to the nearest: no error is moved
        other, _ = quant.round_coordinate_descent(w, q, observed(x), damping=damping)
        assert (other.values[:, dead] == q.values[:, dead]).all()
        assert not other.dequantize()[3].any()


def test_inputs_that_are_all_zero(rng):
    w = rng.standard_normal((4, 8), np.float32)
    hessian = observed(np.zeros((3, 8), np.float32))
    q, report = quant.gptq(w, hessian)
    assert same(q, quant.quantize(w))
    assert (report.before, report.after, report.kept) == (0, 0, 4)
    assert quant.round_coordinate_descent(w, q, hessian)[1] == report
    assert np.array_equal(quant.bias_correction(w, q, hessian)[0], np.zeros(4, np.float32))
    (a, b), low = quant.lqer(w, q, 2, hessian)
    assert (low.before, low.after) == (0, 0)
    assert (a.shape, b.shape) == ((4, 2), (2, 8))


def test_a_singular_hessian_needs_damping(rng):
    x, w = rng.standard_normal((5, 40), np.float32), rng.standard_normal((6, 40), np.float32)
    hessian = observed(x)
    with pytest.raises(ValueError, match=r"hessian: expected a positive definite matrix.*damping 0; observe more rows"):
        quant.gptq(w, hessian, damping=0)
    for damping in (1e-6, 0.01, 1, 1e6):
        _, report = quant.gptq(w, hessian, bits=4, damping=damping)
        assert report.after <= report.before
    _, report = quant.round_coordinate_descent(w, quant.quantize(w, 4), hessian, damping=0)
    assert report.after < report.before


def test_numbers_of_any_size(rng):
    for size in (1e-30, 1e-12, 1e12, 1e30):
        x, w = correlated(rng, 300, 32), rng.standard_normal((8, 32), np.float32)
        expected, report = quant.gptq(w, observed(x), bits=4)
        q, scaled = quant.gptq(w, observed(x * np.float32(size)), bits=4)
        assert np.mean(q.values == expected.values) > 0.99
        assert scaled.after == pytest.approx(report.after, rel=1e-2)
        q, scaled = quant.gptq(w * np.float32(size), observed(x), bits=4)
        assert np.mean(q.values == expected.values) > 0.99
        assert scaled.after == pytest.approx(report.after, rel=1e-2)


def test_bias_correction_takes_out_the_mean(rng):
    x, w = correlated(rng, 500, 64, mean=2.0), rng.standard_normal((10, 64), np.float32)
    q, bias = quant.quantize(w, 4), rng.standard_normal(10, np.float32)
    corrected, report = quant.bias_correction(w, q, observed(x), bias)
    y, other = x.astype(np.float64) @ w.T + bias, x.astype(np.float64) @ q.dequantize().T
    assert np.allclose((other + corrected).mean(axis=0), y.mean(axis=0), atol=1e-4)
    total = np.linalg.norm(y - bias)
    assert report.before == pytest.approx(np.linalg.norm(y - bias - other) / total, rel=1e-4)
    assert report.after == pytest.approx(np.linalg.norm(y - other - corrected) / total, rel=1e-4)
    assert report.after < report.before
    assert np.array_equal(quant.bias_correction(w, q, observed(x))[0] + bias, corrected)


@pytest.mark.parametrize("name", ["int4", "int4 g32"])
def test_lqer(name, rng):
    x, w = correlated(rng, 500, 128), rng.standard_normal((96, 128), np.float32)
    x *= np.exp(rng.standard_normal(128)).astype(np.float32)
    hessian, q = observed(x), quant.quantize(w, **FORMATS[name])
    errors = {}
    for rank in (1, 8, 32, 96):
        (a, b), report = quant.lqer(w, q, rank, hessian)
        assert (a.shape, b.shape, a.bits, b.bits) == ((96, rank), (rank, 128), 8, 8)
        restored = q.dequantize().astype(np.float64) + a.dequantize() @ b.dequantize().astype(np.float64)
        h = reference.hessian(x)
        assert report.before == pytest.approx(reference.relative_error(w, q.dequantize(), h), rel=1e-5)
        assert report.after == pytest.approx(reference.relative_error(w, restored, h), rel=1e-3)
        assert report.after == quant.output_error(w, q, hessian, (a, b))
        errors[rank] = report.after / report.before
    assert 1 > errors[1] > errors[8] > errors[32] > errors[96]
    assert errors[32] < 0.3
    assert errors[96] < 0.01
    plain, _ = quant.lqer(w, q, 32)
    assert quant.output_error(w, q, hessian, plain) > errors[32] * report.before
    y = x.astype(np.float64) @ w.T
    with_residual = quant.linear(x, q, residual=quant.lqer(w, q, 96, hessian)[0])
    assert np.linalg.norm(with_residual - y) < 0.5 * np.linalg.norm(quant.linear(x, q) - y)


@pytest.mark.parametrize(("n", "k", "rank"), [(40, 130, 7), (130, 40, 33), (5, 8, 5), (300, 200, 10)])
def test_lqer_has_the_least_error_of_its_rank(n, k, rank, rng):
    x, w = correlated(rng, 600, k), rng.standard_normal((n, k), np.float32)
    q = quant.quantize(w, 4)
    h = reference.damped(reference.hessian(x), 0.01)
    values, vectors = np.linalg.eigh(h)
    errors = np.linalg.svd((w - q.dequantize()) @ (vectors * np.sqrt(values)), compute_uv=False)
    (a, b), _ = quant.lqer(w, q, rank, observed(x))
    rest = w - q.dequantize() - a.dequantize() @ b.dequantize().astype(np.float64)
    best, whole = np.sum(errors[rank:] ** 2), np.sum(errors**2)
    assert best * (1 - 1e-6) <= reference.square(rest, h) <= best * 1.03 + 1e-3 * whole  # the factors are in int8


def test_lqer_without_samples(rng):
    w = rng.standard_normal((48, 64), np.float32)
    q = quant.quantize(w, 4)
    (a, b), report = quant.lqer(w, q, 16)
    error = w - q.dequantize()
    assert report.before == pytest.approx(np.linalg.norm(error) / np.linalg.norm(w), rel=1e-6)
    best = np.linalg.svd(error, compute_uv=False)[16:]
    assert report.after >= np.linalg.norm(best) / np.linalg.norm(w)
    assert report.after == pytest.approx(np.linalg.norm(best) / np.linalg.norm(w), rel=0.02)
    assert report.after == pytest.approx(
        np.linalg.norm(error - a.dequantize() @ b.dequantize()) / np.linalg.norm(w), rel=1e-5
    )


W = np.ones((4, 32), np.float32)
Q = quant.quantize(W)
SEEN = observed(np.ones((2, 32), np.float32))
NAN = np.where(np.arange(32) == 7, np.nan, W).astype(np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quant.gptq(W.astype(np.float64), SEEN), "w: expected dtype float32, got float64"),
        (lambda: quant.gptq(W[0], SEEN), r"w: expected shape \(outputs, 32\) for this hessian, got \(32,\)"),
        (lambda: quant.gptq(W[:, :16].copy(), SEEN), r"w: expected shape \(outputs, 32\).* got \(4, 16\)"),
        (lambda: quant.gptq(NAN, SEEN), r"w: expected finite values, got nan at index \(0, 7\)"),
        (lambda: quant.gptq(W, HessianObserver(32)), "hessian: expected one that has seen rows, got none"),
        (lambda: quant.gptq(W, SEEN, bits=5), "bits: expected 8 or 4, got 5"),
        (lambda: quant.gptq(W, SEEN, granularity="group", group_size=64), "group_size: expected a divisor of the 32"),
        (lambda: quant.gptq(W, SEEN, damping=-1), "damping: expected a finite number of at least 0, got -1"),
        (lambda: quant.gptq(W, SEEN, damping=np.inf), "damping: expected a finite number of at least 0, got inf"),
        (lambda: quant.round_coordinate_descent(W, Q, SEEN, passes=0), "passes: expected at least 1, got 0"),
        (
            lambda: quant.round_coordinate_descent(W[:2], Q, SEEN),
            r"q: expected shape \(2, 32\), got \(4, 32\)",
        ),
        (
            lambda: quant.round_coordinate_descent(W, quant.quantize(W, axis=1), SEEN),
            "axis: expected 0, the outputs of w, got 1",
        ),
        (lambda: quant.output_error(W[:2], Q, SEEN), r"q: expected shape \(2, 32\), got \(4, 32\)"),
        (lambda: quant.output_error(W, Q, SEEN, (Q, Q)), r"residual: expected \(4, rank\) and \(rank, 32\), got"),
        (lambda: quant.output_error(W, Q, HessianObserver(31)), r"w: expected shape \(outputs, 31\)"),
        (lambda: quant.bias_correction(W, Q, SEEN, np.ones(3, np.float32)), r"bias: expected float32 \(4,\), got"),
        (lambda: quant.bias_correction(W, Q, SEEN, np.full(4, np.nan, np.float32)), "bias: expected finite values"),
        (lambda: quant.lqer(W, Q, 0), "rank: expected 1 to 4"),
        (lambda: quant.lqer(W, Q, 2, HessianObserver(32)), "hessian: expected one that has seen rows"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quant.gptq(W, W), "hessian: expected a HessianObserver, got ndarray"),
        (lambda: quant.round_coordinate_descent(W, W, SEEN), "q: expected a QuantTensor, got ndarray"),
        (lambda: quant.round_coordinate_descent(W, Q, Q), "hessian: expected a HessianObserver, got QuantTensor"),
        (lambda: quant.output_error(W, W, SEEN), "q: expected a QuantTensor, got ndarray"),
        (lambda: quant.bias_correction(W, Q, W), "hessian: expected a HessianObserver, got ndarray"),
        (lambda: quant.lqer(W, Q, 2, W), "inputs: expected a HessianObserver, got ndarray"),
    ],
)
def test_what_is_of_another_type_is_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_a_bias_that_would_leave_float32_is_refused():
    w, bias = np.full((1, 3), 2e38, np.float32), np.full(1, 3e38, np.float32)
    q = quant.QuantTensor(np.zeros((1, 3), np.int8), np.ones(1, np.float32))
    with pytest.raises(ValueError, match=r"bias: expected one that stays within float32, got 3\.0000000"):
        quant.bias_correction(w, q, observed(np.ones((3, 3), np.float32)), bias)


@pytest.mark.parametrize("damping", ["0.1", None, [0.1]])
def test_a_damping_that_is_no_number(damping):
    w = np.ones((2, 4), np.float32)
    hessian = quant.HessianObserver(4)
    hessian.observe(np.eye(4, dtype=np.float32))
    mask = np.ones(w.shape, bool)
    for call in (
        lambda: quant.gptq(w, hessian, damping=damping),
        lambda: quant.round_coordinate_descent(w, quant.quantize(w), hessian, damping=damping),
        lambda: prune.sparse_gpt(w, hessian, sparsity=0.5, damping=damping),
        lambda: prune.compensate(w, hessian, mask, damping=damping),
    ):
        with pytest.raises(TypeError, match="damping: expected a number"):
            call()
