"""Sparse weights and the layer on them against tests/reference/sparse.py, and what they refuse."""

import pickle

import numpy as np
import petrain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from petrain import prune, quant, sparse
from reference import sparse as reference

GROUPS = (1, 2, 4, 8, 16)
N_M = [(2, 4), (4, 8), (1, 4), (2, 8), (1, 2), (3, 5), (15, 16), (1, 16)]
BLOCKS = [(rows, columns) for rows in GROUPS for columns in (1, 3, 4, 8)]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def n_m(w, n, m, group=16, bits=32):
    mask = prune.n_m(prune.magnitude(w), n, m, group=group)
    return sparse.compress(w, mask, n=n, m=m, group=group, bits=bits, force=True), mask


def blocks(w, block, sparsity, bits=32):
    mask = prune.blocks(prune.magnitude(w), block, sparsity)
    return sparse.compress(w, mask, block=block, bits=bits, force=True), mask


def stored(small, w, mask):
    n, m = small.n_m or (0, 0)
    columns = small.block[1] if small.block else 0
    return reference.compress(w, mask, n, m, small.group, columns)


def require_products(x, small, parts, all_rows):
    """What is stored times x, within the rounding of float32 sums, for the first rows of x."""
    exact, size = reference.products(x, *parts, small.group)
    for rows in all_rows:
        y = sparse.linear(x[:rows], small)
        assert y.dtype == np.float32
        assert y.shape == (rows, small.shape[0])
        assert (np.abs(y - exact[:rows]) <= 2**-23 * (small.shape[1] + 2) * size[:rows] + 1e-30).all()


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("n", "m"), N_M)
def test_n_m(n, m, group):
    w = normal(3 * group, 6 * m)
    small, mask = n_m(w, n, m, group)
    values, inputs, _ = parts = stored(small, w, mask)
    np.testing.assert_array_equal(small.values.reshape(values.shape), values)
    np.testing.assert_array_equal(small.positions, reference.packed_places(inputs, m))
    np.testing.assert_array_equal(small.dense(), w * mask)
    assert small.nbytes == 4 * values.size + -(-len(inputs) * (m - 1).bit_length() // 8)
    require_products(normal(65, 6 * m, seed=1), small, parts, (1, 2, 3, 4, 5, 7, 16, 65))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 1.0])
def test_blocks(block, sparsity):
    w = normal(5 * block[0], 40 * block[1])
    small, mask = blocks(w, block, sparsity)
    parts = stored(small, w, mask)
    np.testing.assert_array_equal(small.values.reshape(-1, block[0]), parts[0])
    np.testing.assert_array_equal(small.columns, parts[1][:: block[1]] // block[1])
    np.testing.assert_array_equal(small.starts, np.array(parts[2]) // block[1])
    np.testing.assert_array_equal(small.dense(), w * mask)
    assert small.nbytes == small.values.nbytes + 4 * len(small.columns) + 4 * len(small.starts)
    require_products(normal(70, w.shape[1], seed=1), small, parts, (1, 5, 12, 70))


@given(
    st.sampled_from(GROUPS),
    st.integers(1, 40),
    st.integers(1, 130),
    st.integers(1, 70),
    st.floats(0, 1),
    st.integers(0),
)
def test_any_mask_any_shape(group, groups, inputs, rows, density, seed):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((group * groups, inputs), np.float32)
    mask = np.repeat(rng.random((groups, inputs)) < density, group, axis=0)
    small = sparse.compress(w, mask, block=(group, 1), force=True)
    x, bias = rng.standard_normal((rows, inputs), np.float32), rng.standard_normal(len(w), np.float32)
    y = sparse.linear(x, small)
    require_products(x, small, stored(small, w, mask), [rows])
    np.testing.assert_array_equal(sparse.linear(x, small, bias), y + bias)
    np.testing.assert_array_equal(sparse.linear(x[rows // 2], small), y[rows // 2])  # a row does not see the others


@pytest.mark.parametrize("group", GROUPS)
def test_wide_layers_and_threads(group):
    w = normal(64 * group if group < 8 else 512, 2000)
    small, mask = n_m(w, 2, 4, group)
    parts = stored(small, w, mask)
    for rows in (1, 6, 97, 300):
        x = normal(rows, 2000, seed=rows)
        y = sparse.linear(x, small)
        if rows == 6:
            require_products(x, small, parts, [rows])
        np.testing.assert_array_equal(y[::7], sparse.linear(x[::7].copy(), small))
        before = petrain.get_num_threads()
        petrain.set_num_threads(1 if before > 1 else 2)
        np.testing.assert_array_equal(y, sparse.linear(x, small))
        petrain.set_num_threads(before)
    stacked = normal(2, 3, 2000)
    np.testing.assert_array_equal(
        sparse.linear(stacked, small), sparse.linear(stacked.reshape(6, -1), small).reshape(2, 3, -1)
    )
    assert sparse.linear(np.zeros((0, 2000), np.float32), small).shape == (0, len(w))


@pytest.mark.parametrize(("n", "m"), N_M)
def test_int8_is_the_dense_layer(n, m):
    w = normal(48, 16 * m)
    small, mask = n_m(w, n, m, bits=8)
    require_dense_int8(small, w * mask)


@pytest.mark.parametrize("columns", [1, 2, 4, 8, 12])
@pytest.mark.parametrize("sparsity", [0.0, 0.6, 0.95, 1.0])
def test_int8_blocks_are_the_dense_layer(columns, sparsity):
    w = normal(80, 24 * columns)
    small, mask = blocks(w, (16, columns), sparsity, bits=8)
    require_dense_int8(small, w * mask)


def test_int8_of_extreme_weights():
    """Numbers at the ends of the range, so that no instruction may saturate and much is taken off before products."""
    rng = np.random.default_rng(0)
    for choices in ([-127, 127], [127], [-127, 127, 1, 0], [64, -65, 127]):
        w = rng.choice(np.float32(choices), (64, 1024))
        w[:, 0] = 127
        small, mask = n_m(w, 2, 4, bits=8)
        x = rng.choice(np.float32([-127, 127, 126]), (70, 1024))
        require_dense_int8(small, w * mask, x)


def require_dense_int8(small, w, x=None):
    q = quant.quantize(w)
    np.testing.assert_array_equal(small.dense(), q.dequantize())
    np.testing.assert_array_equal(small.scale, q.scale)
    bias = normal(len(w), seed=5)
    x = normal(130, w.shape[1], seed=3) if x is None else x
    for rows in (1, 2, 4, 5, 8, 33, len(x)):
        np.testing.assert_array_equal(sparse.linear(x[:rows], small, bias), quant.linear(x[:rows], q, bias))
    np.testing.assert_array_equal(sparse.linear(x[0], small), quant.linear(x[0], q))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("rows", [1, 3, 16, 37])
def test_backward(group, rows):
    w = normal(6 * group, 40)
    for small, mask in (n_m(w, 1, 4, group), blocks(w, (group, 5), 0.7)):
        _, inputs, starts = stored(small, w, mask)
        x, g = normal(rows, 40, seed=1), normal(rows, len(w), seed=2)
        gradients = sparse.linear_backward(g, x, small)
        dense = np.float64(w * mask)
        np.testing.assert_allclose(gradients.x, np.float64(g) @ dense, rtol=1e-4, atol=1e-4)
        full = np.float64(g).T @ np.float64(x)
        expected = [full[i * group : (i + 1) * group, inputs[s]] for i in range(6) for s in range(*starts[i : i + 2])]
        np.testing.assert_allclose(gradients.values.reshape(-1, group), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(gradients.bias, np.float64(g).sum(axis=0), rtol=1e-5, atol=1e-5)
        assert gradients.values.shape == small.values.shape
        assert sparse.linear_backward(g, x, small, need_x=False).x is None


def test_training_keeps_the_pattern():
    w = normal(32, 64)
    small, mask = n_m(w, 2, 4)
    x = normal(200, 64, seed=1)
    target = x @ (normal(32, 64, seed=2) * mask).T
    opt = petrain.optim.AdamW([small.values], lr=0.05, weight_decay=0.0)
    for _ in range(300):
        gradients = sparse.linear_backward((sparse.linear(x, small) - target) / len(x), x, small, need_x=False)
        opt.step([gradients.values])
    assert np.abs(sparse.linear(x, small) - target).max() < 0.05
    assert not small.dense()[~mask].any()


def test_what_is_not_stored_is_not_multiplied():
    w = np.zeros((16, 4), np.float32)
    w[:, 1] = 1
    small = sparse.compress(w, block=(16, 1))
    x = np.array([[np.nan, 2, np.inf, np.nan]], np.float32)
    assert (sparse.linear(x, small) == 2).all()
    x[0, 1] = np.nan
    assert np.isnan(sparse.linear(x, small)).all()


def test_fewer_than_n_are_filled_up():
    w = np.zeros((16, 8), np.float32)
    w[:, 3] = 1
    small = sparse.compress(w, n=2, m=4, force=True)
    np.testing.assert_array_equal(small.positions, reference.packed_places([0, 3, 4, 5], 4))
    np.testing.assert_array_equal(small.dense(), w)


def test_copies_and_pickles():
    w = normal(32, 32)
    for small in (n_m(w, 2, 4)[0], n_m(w, 2, 4, bits=8)[0], blocks(w, (16, 4), 0.8)[0]):
        for copy in (small.clone(), pickle.loads(pickle.dumps(small))):
            assert repr(copy) == repr(small)
            np.testing.assert_array_equal(copy.dense(), small.dense())
            assert not np.shares_memory(copy.values, small.values)


W = normal(32, 32)
MASK = np.ones((32, 32), bool)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sparse.compress(W.astype(np.float64), n=2, m=4), ValueError, "w: expected float32"),
        (lambda: sparse.compress(W[0], n=2, m=4), ValueError, "w: expected float32 of 2 dimensions"),
        (lambda: sparse.compress(W), TypeError, "expected either n and m or block"),
        (lambda: sparse.compress(W, n=2, m=4, block=(16, 1)), TypeError, "expected either n and m or block"),
        (lambda: sparse.compress(W, block=16), TypeError, "block: expected a pair of integers, got 16"),
        (lambda: sparse.compress(W, MASK, n=4, m=4), ValueError, "n, m: expected 1 <= n < m <= 16, got 4 and 4"),
        (lambda: sparse.compress(W, MASK, n=4, m=32), ValueError, "n, m: expected 1 <= n < m <= 16, got 4 and 32"),
        (lambda: sparse.compress(W, MASK, n=2, m=5), ValueError, "multiple of 16 outputs and of 5 inputs"),
        (lambda: sparse.compress(W, MASK, n=2, m=4, group=3), ValueError, "group: expected 1, 2, 4, 8 or 16"),
        (lambda: sparse.compress(W[:8], MASK[:8], n=2, m=4), ValueError, r"got shape \(8, 32\)"),
        (lambda: sparse.compress(W, MASK, block=(16, 65)), ValueError, "block: expected 1 to 64 inputs, got 65"),
        (lambda: sparse.compress(W, MASK, n=2, m=4), ValueError, "at most 2:4 in groups of 16, got 4 for the outputs"),
        (lambda: sparse.compress(W, MASK.astype(int), n=2, m=4), TypeError, "mask: expected a NumPy array of bool"),
        (lambda: sparse.compress(W, MASK[:16], n=2, m=4), ValueError, r"mask: expected shape \(32, 32\)"),
        (lambda: sparse.compress(W, MASK, block=(16, 1), bits=4), ValueError, "bits: expected 8 or 32, got 4"),
        (lambda: sparse.compress(W, MASK, block=(8, 1), bits=8), ValueError, "group: expected 16 outputs with 8 bits"),
        (lambda: sparse.compress(W * np.inf, MASK, block=(8, 1)), ValueError, "w: expected finite values"),
        (
            lambda: sparse.compress(W, MASK, block=(16, 8)),
            ValueError,
            "w: expected fewer bytes than the 4096 of a dense weight, got",
        ),
        (lambda: sparse.linear(W, W), TypeError, "w: expected a SparseTensor, got ndarray"),
        (lambda: sparse.linear_backward(W, W, n_m(W, 2, 4, bits=8)[0]), ValueError, "w: expected 32 bits, got 8"),
        (lambda: sparse.linear(W[:, :16].copy(), n_m(W, 2, 4)[0]), ValueError, "x: expected shape"),
        (lambda: sparse.linear(W * np.nan, n_m(W, 2, 4, bits=8)[0]), ValueError, "x: expected finite values"),
        (lambda: sparse.linear(W, n_m(W, 2, 4)[0], W[0, :3].copy()), ValueError, "bias: expected shape"),
        (lambda: sparse.linear_backward(W[:3].copy(), W, n_m(W, 2, 4)[0]), ValueError, "gradient: expected shape"),
    ],
)
def test_refused(call, error, message):
    with np.errstate(invalid="ignore"), pytest.raises(error, match=message):
        call()


def test_int8_and_positions_cannot_be_changed():
    small, _ = n_m(W, 2, 4, bits=8)
    for array in (small.values, small.scale, small.positions):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_blocks_are_those_of_scipy():
    scipy_sparse = pytest.importorskip("scipy.sparse")
    small, _ = blocks(normal(64, 96), (16, 4), 0.7)
    data = np.ascontiguousarray(small.values.transpose(0, 2, 1))
    theirs = scipy_sparse.bsr_matrix((data, small.columns, small.starts), shape=small.shape)
    np.testing.assert_array_equal(theirs.toarray(), small.dense())
