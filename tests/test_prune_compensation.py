"""SparseGPT against the algorithm of its paper in tests/reference/prune.py."""

import numpy as np
import pytest
from petrain import prune, quant
from petrain.quant import HessianObserver
from reference import prune as reference
from reference import rounding


def correlated(rng, rows, k):
    strong = rng.standard_normal((rows, max(1, k // 8))) @ rng.standard_normal((max(1, k // 8), k))
    return (strong + 0.3 * rng.standard_normal((rows, k))).astype(np.float32)


def observed(x):
    hessian = HessianObserver(x.shape[-1])
    hessian.observe(x)
    return hessian


def check(w, x, result):
    """The report is that of the arrays; what is pruned is exactly zero."""
    pruned, mask, report = result
    h = rounding.hessian(x)
    assert report.before == pytest.approx(rounding.relative_error(w, w * mask, h), rel=1e-6)
    assert report.after == pytest.approx(rounding.relative_error(w, pruned, h), rel=1e-6)
    assert report.after <= report.before
    assert not pruned[~mask].any()
    assert pruned.dtype == np.float32


@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 2), (33, 7), (5, 129), (20, 300), (70, 64)])
@pytest.mark.parametrize("damping", [0.01, 0.5])
def test_compensation_is_that_of_the_paper(n, k, damping, rng):
    x, w = correlated(rng, 600, k), rng.standard_normal((n, k), np.float32)
    mask = rng.random((n, k)) < 0.5
    result = prune.compensate(w, observed(x), mask, damping=damping)
    check(w, x, result)
    expected = reference.compensate(w, mask, rounding.hessian(x), damping)
    adjusted = ~(result[0] == w * mask).all(axis=1) | mask.all(axis=1)
    assert adjusted.sum() >= n - result[2].kept
    np.testing.assert_allclose(result[0][adjusted], expected[adjusted], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(result[1], mask)


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("k", [64, 128, 300])
def test_sparse_gpt_is_that_of_the_paper_within_rows(sparsity, k, rng):
    x, w = correlated(rng, 1000, k), rng.standard_normal((20, k), np.float32)
    result = prune.sparse_gpt(w, observed(x), sparsity)
    check(w, x, result)
    keep = k - round(k * sparsity)
    assert (result[1].sum(axis=1) == keep).all()
    _, mask = reference.sparse_gpt(
        w, rounding.hessian(x), 0.01, 128, lambda j, size: keep * (j + size) // k - keep * j // k
    )
    assert np.mean((mask == result[1]).all(axis=1)) >= 0.9  # float64 may break a near tie otherwise


@pytest.mark.parametrize(("n", "m"), [(2, 4), (4, 8), (1, 2), (0, 4), (4, 4), (16, 32)])
def test_sparse_gpt_in_patterns(n, m, rng):
    x, w = correlated(rng, 1000, 192), rng.standard_normal((20, 192), np.float32)
    result = prune.sparse_gpt(w, observed(x), n=n, m=m)
    check(w, x, result)
    assert (result[1].reshape(20, -1, m).sum(axis=2) == n).all()
    expected, mask = reference.sparse_gpt(w, rounding.hessian(x), 0.01, m, lambda j, size: n)
    same = (mask == result[1]).all(axis=1)
    assert same.mean() >= 0.9
    if 0 < n < m:
        np.testing.assert_allclose(result[0][same], expected[same], rtol=1e-3, atol=1e-4)


def test_it_gains_on_correlated_inputs(rng):
    x, w = correlated(rng, 2000, 256), rng.standard_normal((64, 256), np.float32)
    hessian, norms = observed(x), prune.ColumnNorms(256)
    norms.observe(x)
    mask = prune.n_m(prune.wanda(w, norms), 2, 4)
    _, _, report = prune.compensate(w, hessian, mask)
    assert report.after < 0.65 * report.before
    better, _, chosen = prune.sparse_gpt(w, hessian, n=2, m=4)
    assert chosen.after < report.after
    fresh = observed(correlated(rng, 1000, 256))  # of other directions
    assert quant.output_error(w, quant.quantize(better), fresh) < 2 * report.before


def test_threads_change_nothing(rng, threads):
    x, w = correlated(rng, 700, 300), rng.standard_normal((130, 300), np.float32)
    results = []
    for count in (1, 2, 3):
        threads(count)
        hessian = observed(x)
        parts = [prune.sparse_gpt(w, hessian, 0.5), prune.sparse_gpt(w, hessian, n=2, m=4)]
        parts.append(prune.compensate(w, hessian, parts[0][1]))
        results.append([(a.tobytes(), b.tobytes(), report) for a, b, report in parts])
    assert results[0] == results[1] == results[2]


def test_dead_inputs_and_zero_rows(rng):
    x, w = correlated(rng, 600, 160), rng.standard_normal((20, 160), np.float32)
    x[:, [0, 5, 128]] = 0
    w[3] = 0
    for damping in (0.0, 0.01):
        result = prune.sparse_gpt(w, observed(x), 0.5, damping=damping)
        check(w, x, result)
        assert np.isfinite(result[0]).all()
        assert not result[0][3].any()


def test_a_singular_hessian_needs_damping(rng):
    x, w = rng.standard_normal((5, 40), np.float32), rng.standard_normal((6, 40), np.float32)
    with pytest.raises(ValueError, match="hessian: expected a positive definite matrix"):
        prune.sparse_gpt(w, observed(x), 0.5, damping=0)
    check(w, x, prune.sparse_gpt(w, observed(x), 0.5))


def test_inputs_that_are_all_zero(rng):
    w = rng.standard_normal((4, 8), np.float32)
    pruned, mask, report = prune.sparse_gpt(w, observed(np.zeros((3, 8), np.float32)), 0.5)
    np.testing.assert_array_equal(pruned, w * mask)
    assert (report.before, report.after, report.kept) == (0, 0, 4)


W = np.ones((2, 6), np.float32)
SEEN = observed(np.eye(6, dtype=np.float32))


@pytest.mark.parametrize(
    ("error", "call", "message"),
    [
        (TypeError, lambda: prune.sparse_gpt(W, SEEN), "expected either sparsity or n and m"),
        (TypeError, lambda: prune.sparse_gpt(W, SEEN, 0.5, n=1, m=2), "expected either sparsity or n and m"),
        (TypeError, lambda: prune.sparse_gpt(W, SEEN, n=2), "expected either sparsity or n and m"),
        (TypeError, lambda: prune.sparse_gpt(W, W, 0.5), "hessian: expected a HessianObserver, got ndarray"),
        (TypeError, lambda: prune.compensate(W, SEEN, W), "mask: expected a NumPy array of bool, got float32"),
        (ValueError, lambda: prune.sparse_gpt(W, SEEN, 2), "sparsity: expected a number from 0 to 1, got 2"),
        (
            ValueError,
            lambda: prune.sparse_gpt(W, SEEN, n=1, m=3),
            "pool: expected a divisor of 128 and of the 6 inputs",
        ),
        (ValueError, lambda: prune.sparse_gpt(W, SEEN, n=3, m=2), "keep: expected 0 to 2, got 3"),
        (ValueError, lambda: prune.sparse_gpt(W, SEEN, 0.5, damping=-1), "damping: expected a finite number"),
        (ValueError, lambda: prune.sparse_gpt(W * np.inf, SEEN, 0.5), "w: expected finite values, got inf"),
        (ValueError, lambda: prune.sparse_gpt(W, HessianObserver(6), 0.5), "expected one that has seen rows"),
        (ValueError, lambda: prune.compensate(W, SEEN, W[:1] > 0), r"mask: expected shape \(2, 6\), got \(1, 6\)"),
        (
            ValueError,
            lambda: prune.compensate(W.reshape(3, 4), SEEN, W > 0),
            r"expected shape \(outputs, 6\)",
        ),
    ],
)
def test_refusals(error, call, message):
    with pytest.raises(error, match=message):
        call()
