"""Tables on two factors: looked up, trained, and factorised as often as rows are looked up."""

import numpy as np
import pytest
from petrain import _core, lowrank, optim, quant
from petrain.lowrank import embedding, embedding_backward, factorize, factorize_embedding


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def zipf(rows):
    return 1000 / np.arange(1, rows + 1)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3), (0,), (40,)])
def test_a_lookup_is_that_of_the_product(shape):
    a, b = normal(50, 6), normal(6, 33)
    ids = np.random.default_rng(0).integers(0, 50, shape)
    y = embedding(ids, (a, b))
    assert y.shape == (*shape, 33)
    np.testing.assert_allclose(y, (a.astype(np.float64) @ b)[ids], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(y, _core.low_rank_product(a, b)[ids])  # a row does not depend on the others


def test_int8_factors_and_every_type_of_ids():
    factors = factorize(normal(50, 40), rank=8, dtype="int8")
    for dtype in (np.uint8, np.int32, np.int64):
        ids = np.array([3, 49, 3], dtype)
        np.testing.assert_array_equal(embedding(ids, factors), factors.dense()[ids])


def test_only_the_rows_that_are_asked_for_are_read():
    a, b = normal(50, 6), normal(6, 9)
    expected = embedding([4, 8], (a, b))
    a[:4] = a[5:8] = a[9:] = np.nan
    np.testing.assert_array_equal(embedding([4, 8], (a, b)), expected)
    assert np.isfinite(embedding_backward(np.ones((2, 9), np.float32), [4, 8], (a, b)).b).all()


def test_gradients_are_those_of_the_layer():
    a, b = normal(20, 4), normal(4, 9)
    ids = np.array([[3, 3, 17], [0, 3, 5]])
    outer = normal(2, 3, 9)
    gradients = embedding_backward(outer, ids, (a, b))
    whole = np.zeros((20, 9))
    np.add.at(whole, ids, outer.astype(np.float64))
    np.testing.assert_allclose(gradients.b, a.T.astype(np.float64) @ whole, rtol=0, atol=1e-5)
    indices, rows = gradients.a
    assert indices.dtype == np.int64
    summed = np.zeros((20, 4))
    np.add.at(summed, indices, rows)
    np.testing.assert_allclose(summed, whole @ b.T.astype(np.float64), rtol=0, atol=1e-5)


def test_a_table_on_factors_learns():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((30, 3)) @ rng.standard_normal((3, 8))
    f = factorize_embedding(normal(30, 8), rank=3)
    a, b = f.a, f.b
    opt = optim.AdamW([a, b], lr=0.05, weight_decay=0)
    for _ in range(600):
        ids = rng.integers(0, 30, 16)
        difference = (embedding(ids, (a, b)) - truth[ids]).astype(np.float32)
        gradients = embedding_backward(difference / 16, ids, (a, b))
        opt.step([gradients.a, gradients.b])
    assert np.linalg.norm(a @ b - truth) < 0.05 * np.linalg.norm(truth)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_rows_that_are_looked_up_often_lose_less(dtype):
    table, counts = normal(200, 24), zipf(200)
    root = np.sqrt(counts)[:, None]
    often = factorize_embedding(table, rank=6, counts=counts, dtype=dtype)
    plain = factorize_embedding(table, rank=6, dtype=dtype)
    lost = np.linalg.norm(root * (table - often.dense().astype(np.float64)))
    assert lost <= often.certificate.output_error * (1 + 1e-5)
    assert often.certificate.output_error <= lost * 1.0001
    assert lost < 0.9 * np.linalg.norm(root * (table - plain.dense()))
    assert plain.certificate.error < often.certificate.error
    assert often.certificate.output_norm == pytest.approx(np.linalg.norm(root * table.astype(np.float64)))
    if dtype == "float32":
        s = np.linalg.svd(root * table.astype(np.float64), compute_uv=False)
        assert often.certificate.output_error == pytest.approx(np.sqrt((s[6:] ** 2).sum()), rel=1e-4)


def test_rows_that_were_never_seen_are_the_best_they_can_be():
    table = normal(40, 10)
    counts = (np.arange(40) < 20).astype(np.float64)
    f = factorize_embedding(table, rank=4, counts=counts)
    best = np.linalg.lstsq(f.b.T.astype(np.float64), table.T, rcond=None)[0].T
    np.testing.assert_allclose(f.a, best, rtol=0, atol=1e-5)
    assert f.certificate.error > f.certificate.output_error


def test_the_criterion_is_of_the_rows_as_often_as_they_are_looked_up():
    table, counts = normal(200, 24), zipf(200) ** 2
    f = factorize_embedding(table, rel_error=0.1, counts=counts)
    assert f.certificate.rel_output_error <= 0.1
    assert f.rank < factorize_embedding(table, rel_error=0.1, force=True).rank
    assert factorize_embedding(table, max_params=1000, counts=counts).parameters == 4 * 224
    scaled = factorize_embedding(table, rank=3, counts=counts * 1e-30)
    np.testing.assert_array_equal(scaled.b, factorize_embedding(table, rank=3, counts=counts * 1e-30 * 2.0**40).b)


def test_without_counts_it_is_that_of_a_matrix():
    table = normal(30, 12)
    a, b = factorize_embedding(table, rank=3), factorize(table, rank=3)
    assert (a.a.tobytes(), a.b.tobytes(), a.certificate) == (b.a.tobytes(), b.b.tobytes(), b.certificate)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: embedding([20], (normal(20, 3), normal(3, 4))), IndexError, "ids: expected 0 to 19, got 20"),
        (lambda: embedding([-1], (normal(20, 3), normal(3, 4))), IndexError, "ids: expected 0 to 19, got -1"),
        (lambda: embedding([0.5], (normal(20, 3), normal(3, 4))), ValueError, "ids: expected integers"),
        (lambda: embedding([0], (normal(20, 3), normal(4, 4))), ValueError, "b: expected 3 rows"),
        (lambda: embedding([0], 3), TypeError, "factors: expected a LowRank or a pair"),
        (
            lambda: embedding_backward(normal(2, 4), [0], (normal(20, 3), normal(3, 4))),
            ValueError,
            r"gradient: expected float32 \(1, 4\), got float32 \(2, 4\)",
        ),
        (lambda: factorize_embedding(normal(5, 4), rank=1, counts=[1, 2]), ValueError, "counts: expected one for each"),
        (
            lambda: factorize_embedding(normal(2, 4), rank=1, counts=[1, -2]),
            ValueError,
            "counts: expected numbers",
        ),
        (lambda: factorize_embedding(normal(2, 4), rank=1, counts=[0, 0]), ValueError, "or 0 but not all of them"),
        (
            lambda: factorize_embedding(normal(2, 4), rank=1, counts=[1, np.inf]),
            ValueError,
            "counts: expected numbers",
        ),
        (lambda: factorize_embedding(normal(20, 4), rank=4, counts=[1] * 20), ValueError, "expected factors of fewer"),
        (lambda: factorize_embedding(normal(4, 4) * np.nan, rank=1, counts=[1] * 4), ValueError, "expected finite"),
        (
            lambda: factorize_embedding(normal(4, 4).astype(float), rank=1, counts=[1] * 4),
            ValueError,
            "table: expected",
        ),
        (lambda: _core.certify_rows(*[np.eye(3, dtype=np.float32)] * 3, [1.0]), ValueError, "weights: expected one"),
        (lambda: _core.certify_rows(*[np.eye(1, dtype=np.float32)] * 3, [-1.0]), ValueError, "weights: expected fin"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_quantized_table_beside_float_rows():
    """int8 rows of A with a float32 B: what a checkpoint may hold."""
    f = factorize(normal(50, 40), rank=8)
    q = quant.quantize(f.a)
    np.testing.assert_array_equal(embedding([1, 2], (q, f.b)), _core.low_rank_product(q.dequantize(), f.b)[[1, 2]])
    assert lowrank.cost((q, f.b)).parameters == 8 * 90
