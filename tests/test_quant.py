"""int8 quantization against tests/reference/quant.py: equal bytes everywhere, not close values."""

import pickle

import numpy as np
import petrain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from petrain import quant
from reference import quant as reference

EDGE_SIZES = [1, 2, 3, 15, 16, 17, 63, 64, 65, 255, 256, 257]


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = petrain.get_num_threads()
    petrain.set_num_threads(request.param)
    yield request.param
    petrain.set_num_threads(before)


def same_bytes(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def check_quantize(w, axis=0):
    q = quant.quantize(w, axis)
    values, scale = reference.quantize(w, axis)
    assert same_bytes(q.values, values)
    assert same_bytes(q.scale, scale)
    assert same_bytes(q.zero_point, np.zeros(scale.shape, np.int8))
    assert same_bytes(q.dequantize(), reference.dequantize(values, scale, axis))
    return q


# Quantize and dequantize


@pytest.mark.parametrize("size", EDGE_SIZES)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_quantize_matrices(size, axis):
    rng = np.random.default_rng(size)
    check_quantize(rng.standard_normal((7, size), np.float32), axis)
    check_quantize(rng.standard_normal((size, 7), np.float32), axis)


FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=5, max_side=9), elements=FINITE), st.data())
def test_quantize_any_finite_values(w, data):
    axis = data.draw(st.integers(-w.ndim, w.ndim - 1))
    q = check_quantize(w, axis)
    assert q.axis == axis % w.ndim
    assert np.all(q.values[w == 0] == 0)
    assert np.all(np.isfinite(q.dequantize()))


@given(hnp.arrays(np.int32, st.integers(1, 300)))
def test_quantize_any_finite_bits(bits):
    w = bits.view(np.float32)
    w[~np.isfinite(w)] = 0
    check_quantize(w.reshape(1, -1))
    check_quantize(w.reshape(1, -1), 1)


@pytest.mark.parametrize("axis", [0, 1])
def test_half_way_values_go_to_even(axis):
    # The scale is exactly 2⁻³, so these quotients are exactly n + 1/2.
    halves = np.append(np.arange(-126.5, 127), 127).astype(np.float32) / 8
    w = np.stack([halves, -halves])
    q = check_quantize(w if axis == 0 else w.T.copy(), axis)
    assert np.all(q.scale == 0.125)
    values = q.values if axis == 0 else q.values.T
    assert np.all(values[:, :-1] % 2 == 0)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4), (4,), (1, 600), (600, 1)])
def test_zero_channels_stay_zero(shape):
    w = np.zeros(shape, np.float32)
    for axis in range(len(shape)):
        q = check_quantize(w, axis)
        assert np.all(q.scale == 1)
        assert not q.dequantize().any()
    w[0] = -0.0
    assert quant.quantize(w).dequantize().tobytes() == np.zeros(shape, np.float32).tobytes()


@pytest.mark.parametrize("largest", [1e-45, 1e-44, 1e-40, 1.1754942e-38, 1.1754944e-38, 1e-37, 3e38, 3.4028235e38])
def test_the_ends_of_the_float_range(largest):
    w = np.linspace(-1, 1, 101, dtype=np.float32)[None] * np.float32(largest)
    for axis in (0, 1):
        q = check_quantize(w, axis)
        assert np.all(np.isfinite(q.scale))
        assert np.all(np.abs(q.dequantize().astype(np.float64) - w) <= 0.5001 * q.scale.max())


def test_error_is_at_most_half_a_scale():
    w = np.random.default_rng(0).standard_normal((64, 300), np.float32)
    q = quant.quantize(w)
    error = np.abs(q.dequantize().astype(np.float64) - w)
    assert np.all(error <= 0.5 * q.scale[:, None] * (1 + 1e-5))


def test_threads_do_not_change_bytes(threads):
    rng = np.random.default_rng(1)
    for shape in [(300, 400), (3, 40_000), (40_000, 3), (5, 700, 33)]:
        w = rng.standard_normal(shape, np.float32)
        for axis in range(len(shape)):
            check_quantize(w, axis)


# The parts of a QuantTensor


def test_parts_and_pickle():
    q = quant.quantize(np.random.default_rng(2).standard_normal((3, 4, 5), np.float32), axis=-2)
    assert (q.shape, q.axis, q.nbytes) == ((3, 4, 5), 1, 60 + 16 + 4)
    for other in (
        quant.QuantTensor(q.values, q.scale, axis=-2),
        quant.QuantTensor(q.values, q.scale, 1, q.zero_point),
        pickle.loads(pickle.dumps(q)),
    ):
        assert other.axis == 1
        assert same_bytes(other.values, q.values)
        assert same_bytes(other.dequantize(), q.dequantize())
        assert not np.shares_memory(other.values, q.values)
    for part in (q.values, q.scale, q.zero_point):
        assert not part.flags.writeable


def test_parts_outlive_the_tensor():
    values = quant.quantize(np.full((100, 100), 2, np.float32)).values
    assert np.all(values == 127)


VALUES, SCALE = np.zeros((2, 3), np.int8), np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ((VALUES.astype(np.int32), SCALE), ValueError, "values: expected dtype int8, got int32"),
        ((VALUES, SCALE.astype(np.float64)), ValueError, "scale: expected dtype float32, got float64"),
        ((VALUES, np.ones(3, np.float32)), ValueError, r"scale: expected shape \(2,\), got \(3,\)"),
        ((VALUES, SCALE, 1), ValueError, r"scale: expected shape \(3,\), got \(2,\)"),
        ((VALUES, SCALE, 2), IndexError, r"axis: expected -2 to 1 for shape \(2, 3\), got 2"),
        ((VALUES, SCALE, -3), IndexError, "axis: expected -2 to 1"),
        ((VALUES[:0], SCALE[:0]), ValueError, r"values: expected at least one element, got shape \(0, 3\)"),
        ((np.array(0, np.int8), SCALE), ValueError, r"values: expected at least one dimension, got shape \(\)"),
        ((VALUES, SCALE * [1, 0]), ValueError, "scale: expected dtype float32"),
        ((VALUES, np.array([1, 0], "f")), ValueError, "scale: expected positive, finite values, got 0 at index 1"),
        ((VALUES, np.array([1, -2], "f")), ValueError, "got -2 at index 1"),
        ((VALUES, np.array([np.nan, 1], "f")), ValueError, "got nan at index 0"),
        ((VALUES, np.array([np.inf, 1], "f")), ValueError, "got inf at index 0"),
        ((VALUES, SCALE, 0, np.array([0, 3], np.int8)), ValueError, "zero_point: expected 0.*got 3 at index 1"),
        ((VALUES, SCALE, 0, np.zeros(3, np.int8)), ValueError, r"zero_point: expected shape \(2,\), got \(3,\)"),
        ((VALUES, SCALE, 0, np.zeros(0, np.int8)), ValueError, r"zero_point: expected shape \(2,\), got \(0,\)"),
        ((VALUES, SCALE, 0, np.zeros(2, np.int32)), ValueError, "zero_point: expected dtype int8, got int32"),
        ((VALUES.T, SCALE, 1), ValueError, "values: expected a C-contiguous array"),
        (([[1]], SCALE), TypeError, "values: expected a NumPy array"),
    ],
)
def test_parts_that_disagree(parts, error, message):
    with pytest.raises(error, match=message):
        quant.QuantTensor(*parts)


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


I8 = np.ones((2, 3), np.int8)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (I8.astype(np.uint8), I8, "a: expected dtype int8, got uint8"),
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


def test_linear_takes_values_of_minus_128():
    x, values, scale = np.ones((3, 40), np.float32), np.full((5, 40), -128, np.int8), np.full(5, 0.5, np.float32)
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
    for size in (1e-45, 1e-38, 1e38, 3.4028235e38):
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
        (X, quant.quantize(np.ones((4, 3), "f"), 1), None, r"w: expected two dimensions quantized along axis 0"),
        (X, quant.quantize(np.ones(3, "f")), None, r"w: expected two dimensions .* got shape \(3,\) and axis 0"),
        (
            X * np.float32(1e30),
            quant.quantize(np.full((4, 3), 1e30, "f")),
            None,
            "scales of x and w with a finite product",
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


@pytest.mark.parametrize(
    ("w", "axis", "error", "message"),
    [
        (with_value(X, (1, 0), np.nan), 0, ValueError, r"w: expected finite values, got nan at index \(1, 0\)"),
        (with_value(X, (1, 2), -np.inf), 1, ValueError, r"w: expected finite values, got -inf at index \(1, 2\)"),
        (X.astype(np.float64), 0, ValueError, "w: expected dtype float32, got float64"),
        (X.T, 0, ValueError, "w: expected a C-contiguous array"),
        (X[:0], 0, ValueError, r"w: expected at least one element, got shape \(0, 3\)"),
        (np.array(1, np.float32), 0, ValueError, r"w: expected at least one dimension, got shape \(\)"),
        (X, 2, IndexError, r"axis: expected -2 to 1 for shape \(2, 3\), got 2"),
        (X, -3, IndexError, "axis: expected -2 to 1"),
        ([1.0], 0, TypeError, "w: expected a NumPy array or a CPU tensor, got list"),
    ],
)
def test_quantize_refuses(w, axis, error, message):
    with pytest.raises(error, match=message):
        quant.quantize(w, axis)
