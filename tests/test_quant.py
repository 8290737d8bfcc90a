"""Symmetric int8 quantization per channel against tests/reference/quant.py: equal bytes, not close values."""

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
    q = quant.quantize(w, axis=axis)
    values, scale = reference.quantize(w, axis)
    assert same_bytes(q.values, values)
    assert same_bytes(q.scale, scale)
    assert q.zero_point is None
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


@settings(deadline=None)
@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=5, max_side=9), elements=FINITE), st.data())
def test_quantize_any_finite_values(w, data):
    axis = data.draw(st.integers(-w.ndim, w.ndim - 1))
    q = check_quantize(w, axis)
    assert q.axis == axis % w.ndim
    assert np.all(q.values[w == 0] == 0)
    assert np.all(np.isfinite(q.dequantize()))


@settings(deadline=None)
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


def test_the_quotient_is_rounded_once():
    # Next to half-way values, a product with the reciprocal of the scale goes to the other side.
    largest = np.random.default_rng(8).random((500, 1), np.float32) + np.float32(1)
    scale = largest / np.float32(127)
    halves = (np.arange(-126.5, 127, dtype=np.float32) * scale).astype(np.float32)
    w = np.concatenate([largest, halves, np.nextafter(halves, np.float32(0)), np.nextafter(halves, 2 * halves)], axis=1)
    by_reciprocal = np.rint(w * (np.float32(1) / scale))
    assert np.count_nonzero(by_reciprocal != check_quantize(w).values) > 1000
    check_quantize(w.T.copy(), axis=1)


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
    assert (q.shape, q.axis, q.nbytes) == ((3, 4, 5), 1, 60 + 16)
    for other in (
        quant.QuantTensor(q.values, q.scale, axis=-2),
        quant.QuantTensor.from_packed(q.packed, q.scale, None, (3, 4, 5), axis=1),
        q.clone(),
        pickle.loads(pickle.dumps(q)),
    ):
        assert other.axis == 1
        assert same_bytes(other.values, q.values)
        assert same_bytes(other.dequantize(), q.dequantize())
        assert not np.shares_memory(other.values, q.values)
    for part in (q.values, q.packed, q.scale):
        assert not part.flags.writeable


def test_parts_outlive_the_tensor():
    values = quant.quantize(np.full((100, 100), 2, np.float32)).values
    assert np.all(values == 127)


X = np.ones((2, 3), np.float32)


def with_value(index, value):
    array = X.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("w", "axis", "error", "message"),
    [
        (with_value((1, 0), np.nan), 0, ValueError, r"w: expected finite values, got nan at index \(1, 0\)"),
        (with_value((1, 2), -np.inf), 1, ValueError, r"w: expected finite values, got -inf at index \(1, 2\)"),
        (X.astype(np.float64), 0, ValueError, "w: expected dtype float32, float16 or bfloat16, got float64"),
        (X.T, 0, ValueError, "w: expected a C-contiguous array"),
        (X[:0], 0, ValueError, r"w: expected at least one element, got shape \(0, 3\)"),
        (np.array(1, np.float32), 0, ValueError, r"w: expected at least one dimension .*, got shape \(\)"),
        (X, 2, IndexError, r"axis: expected -2 to 1 for shape \(2, 3\), got 2"),
        (X, -3, IndexError, "axis: expected -2 to 1"),
        ([1.0], 0, TypeError, "w: expected a NumPy array or a CPU tensor, got list"),
    ],
)
def test_quantize_refuses(w, axis, error, message):
    with pytest.raises(error, match=message):
        quant.quantize(w, axis=axis)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 2.0), (0.5, 3.0), (-3.0, -0.5), (0.0, 0.0), (-1e-44, 0.0), (-3e38, 3e38)]
)
def test_a_range_fills_the_integers_and_holds_zero(bits, scheme, low, high):
    params = quant.range_params(low, high, bits, scheme)
    scale, zero_point = reference.range_params(low, high, bits, scheme)
    assert (params.scale, params.zero_point) == (scale, zero_point)
    most = 2 ** (bits - 1) - 1
    least = -most - (scheme == "asymmetric")
    assert least <= params.zero_point <= most
    assert np.isfinite(np.float32(most - params.zero_point) * np.float32(params.scale))


@pytest.mark.parametrize(("low", "high"), [(1.0, 0.0), (np.nan, 1.0), (0.0, np.inf)])
def test_a_range_that_is_none_is_refused(low, high):
    with pytest.raises(ValueError, match="range: expected finite numbers, the lower one first, got"):
        quant.range_params(low, high)
