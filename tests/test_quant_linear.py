"""Exact int8 products, and the int8 linear layer, against tests/reference/quant.py."""

import numpy as np
import petrain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from petrain import quant
from reference import quant as reference


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = petrain.get_num_threads()
    petrain.set_num_threads(request.param)
    yield request.param
    petrain.set_num_threads(before)


def same_bytes(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# Integer products


def test_matmul_int_of_all_small_shapes():
    rng = np.random.default_rng(3)
    a = rng.integers(-128, 128, 20 * 20, np.int8)
    b = rng.integers(-128, 128, 20 * 20, np.int8)
    for m in range(1, 21):
        for n in range(1, 21):
            for k in range(1, 21):
                left, right = a[: m * k].reshape(m, k), b[: n * k].reshape(n, k)
                got = quant.matmul_int(left, right)
                assert got.dtype == np.int32
                assert np.array_equal(got, reference.matmul_int(left, right)), (m, n, k)


@settings(deadline=None)
@given(st.integers(1, 140), st.integers(1, 140), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_matmul_int_of_larger_shapes(m, n, k, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-128, 128, (m, k), np.int8), rng.integers(-128, 128, (n, k), np.int8)
    assert np.array_equal(quant.matmul_int(a, b), reference.matmul_int(a, b))


@pytest.mark.parametrize("k", [2047, 2048, 2049, 4095, 4096, 4099, 10_007])
def test_matmul_int_of_long_sums(k):
    rng = np.random.default_rng(k)
    for m in (1, 2, 3, 4, 5, 9):
        a, b = rng.integers(-128, 128, (m, k), np.int8), rng.integers(-128, 128, (11, k), np.int8)
        assert np.array_equal(quant.matmul_int(a, b), reference.matmul_int(a, b))


# Where instructions saturate: neighbouring products of one sign, and -128 * -128, in every position of a pair.
SATURATING = [
    [-128],
    [127],
    [-127],
    [127, -128],
    [-128, 127],
    [127, 127, -128, -128],
    [-128, -128, 127, 127],
    [0, -128],
]


@pytest.mark.parametrize("k", [1, 2, 3, 16, 31, 32, 33, 100, 2050])
def test_matmul_int_cannot_saturate(k):
    a = np.array([np.resize(pattern, k) for pattern in SATURATING], np.int8)
    assert np.array_equal(quant.matmul_int(a, a), reference.matmul_int(a, a))


@pytest.mark.parametrize("pair", [(-128, -128), (-128, 127), (127, 127)])
def test_matmul_int_at_the_limit_of_int32(pair):
    a, b = np.full((3, 131_071), pair[0], np.int8), np.full((2, 131_071), pair[1], np.int8)
    assert np.all(quant.matmul_int(a, b).astype(np.int64) == 131_071 * pair[0] * pair[1])


def test_matmul_int_does_not_depend_on_threads(threads):
    rng = np.random.default_rng(4)
    for m, n, k in [(1, 4099, 300), (300, 200, 100), (130, 65, 2100)]:
        a, b = rng.integers(-128, 128, (m, k), np.int8), rng.integers(-128, 128, (n, k), np.int8)
        assert np.array_equal(quant.matmul_int(a, b), reference.matmul_int(a, b))


def test_matmul_int_takes_unsigned_rows(rng):
    for m, n, k in [(1, 70, 33), (5, 17, 100), (70, 3, 9)]:
        a, b = rng.integers(0, 256, (m, k), np.uint8), rng.integers(-128, 128, (n, k), np.int8)
        assert np.array_equal(quant.matmul_int(a, b), reference.matmul_int(a, b))
    a, b = np.full((2, 65_793), 255, np.uint8), np.full((2, 65_793), -128, np.int8)
    assert np.all(quant.matmul_int(a, b) == -255 * 128 * 65_793)
    with pytest.raises(ValueError, match=r"at most 65793 products.*got 65794"):
        quant.matmul_int(np.ones((1, 65_794), np.uint8), np.ones((1, 65_794), np.int8))


I8 = np.ones((2, 3), np.int8)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (I8.astype(np.int32), I8, "a: expected dtype int8 or uint8, got int32"),
        (I8, I8.astype(np.float32), "b: expected dtype int8, got float32"),
        (I8, I8.T.copy(), r"b: expected shape \(3, 3\), got \(3, 2\)"),
        (I8[0], I8, r"a: expected two dimensions, got shape \(3,\)"),
        (I8, I8[0], r"b: expected two dimensions, got shape \(3,\)"),
        (I8[:0], I8, r"a: expected at least one element, got shape \(0, 3\)"),
        (I8, I8[:, :0].copy(), r"b: expected at least one element, got shape \(2, 0\)"),
        (I8[:, ::2], I8, "a: expected a C-contiguous array"),
        (np.ones((1, 131_072), np.int8), np.ones((1, 131_072), np.int8), "at most 131071 products.*got 131072"),
    ],
)
def test_matmul_int_refuses(a, b, message):
    with pytest.raises(ValueError, match=message):
        quant.matmul_int(a, b)


# Linear


def check_linear(x, w, bias):
    q = quant.quantize(w)
    expected = reference.linear(x, *reference.quantize(w), bias)
    assert same_bytes(quant.linear(x, q, bias), expected)
    assert same_bytes(quant.linear(x[0], q, bias), expected[0])


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 300), st.booleans(), st.integers(0, 2**32 - 1))
def test_linear_is_equal_to_the_reference(m, n, k, with_bias, seed):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((m, k), np.float32) * 3, rng.standard_normal((n, k), np.float32)
    x[rng.integers(m)] = 0
    w[rng.integers(n)] = 0
    check_linear(x, w, rng.standard_normal(n, np.float32) if with_bias else None)


def test_linear_does_not_depend_on_threads(threads):
    rng = np.random.default_rng(5)
    for m, n, k in [(1, 2049, 700), (200, 129, 300), (1000, 10, 64)]:
        check_linear(
            rng.standard_normal((m, k), np.float32),
            rng.standard_normal((n, k), np.float32),
            rng.standard_normal(n, np.float32),
        )


def test_linear_rounds_long_sums_as_float32_does():
    rng = np.random.default_rng(7)
    x, w = rng.random((5, 20_000), np.float32), rng.random((6, 20_000), np.float32)
    sums = reference.matmul_int(reference.quantize(x)[0], reference.quantize(w)[0])
    assert np.any(sums.astype(np.float32) != sums)
    check_linear(x, w, None)


def test_linear_takes_values_of_minus_127():
    x, values, scale = np.ones((3, 40), np.float32), np.full((5, 40), -127, np.int8), np.full(5, 0.5, np.float32)
    y = quant.linear(x, quant.QuantTensor(values, scale))
    assert same_bytes(y, reference.linear(x, values, scale))


def test_linear_is_near_the_product_it_stands_for():
    rng = np.random.default_rng(6)
    x, w = rng.standard_normal((50, 256), np.float32), rng.standard_normal((60, 256), np.float32)
    exact = x.astype(np.float64) @ w.T
    error = np.linalg.norm(quant.linear(x, quant.quantize(w)) - exact) / np.linalg.norm(exact)
    # Two independent roundings, each uniform over a scale of max / 127: for normal values about 0.0095 each.
    assert 0.002 < error < 0.02


def test_linear_at_the_ends_of_the_float_range():
    w = np.array([[1e-3, -2e-3], [0, 0]], np.float32)
    for size in (1e-45, 1e-38, 1e34):
        check_linear(np.array([[size, -size], [0, 0]], np.float32), w, None)


X, Q = np.ones((2, 3), np.float32), quant.quantize(np.ones((4, 3), np.float32))


def with_value(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("x", "q", "bias", "message"),
    [
        (with_value(X, (1, 2), np.nan), Q, None, r"x: expected finite values, got nan at index \(1, 2\)"),
        (with_value(X, (0, 1), -np.inf), Q, None, r"x: expected finite values, got -inf at index \(0, 1\)"),
        (with_value(X[0], 2, np.inf), Q, None, r"x: expected finite values, got inf at index \(2,\)"),
        (X, Q, with_value(np.ones(4, "f"), 3, np.nan), r"bias: expected finite values, got nan at index \(3,\)"),
        (X.astype(np.float64), Q, None, "x: expected dtype float32, got float64"),
        (X[:, :2].copy(), Q, None, r"x: expected shape \(2, 3\), got \(2, 2\)"),
        (X[:, ::-1], Q, None, "x: expected a C-contiguous array"),
        (X[:0], Q, None, r"x: expected at least one element, got shape \(0, 3\)"),
        (X[None], Q, None, r"x: expected two dimensions, got shape \(1, 2, 3\)"),
        (X, Q, np.ones(3, np.float32), r"bias: expected shape \(4,\), got \(3,\)"),
        (X, Q, np.ones(4, np.float64), "bias: expected dtype float32, got float64"),
        (X, quant.quantize(np.ones((4, 3), "f"), axis=1), None, "quantized along axis 0, got .* along axis 1"),
        (X, quant.quantize(np.ones((4, 32), "f"), 4), None, r"x: expected shape \(2, 32\), got \(2, 3\)"),
        (X, quant.quantize(np.ones(3, "f")), None, r"w: expected two dimensions .* got shape \(3,\), int8"),
        (
            X * np.float32(1e30),
            quant.quantize(np.full((4, 3), 1e30, "f")),
            None,
            "x and w: expected scales with which no sum is larger than 8.5.* for 3 products",
        ),
    ],
)
def test_linear_refuses(x, q, bias, message):
    with pytest.raises(ValueError, match=message):
        quant.linear(x, q, bias)


def test_linear_refuses_sums_too_long():
    w = np.ones((1, 131_072), np.float32)
    with pytest.raises(ValueError, match=r"at most 131071 products.*got 131072"):
        quant.linear(w, quant.quantize(w))


def test_linear_refuses_what_is_not_a_quant_tensor():
    with pytest.raises(TypeError, match="q: expected a QuantTensor, got ndarray"):
        quant.linear(X, X)
