"""Every format of a QuantTensor against tests/reference/quant.py: equal bytes everywhere, not close values."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from petrain import quant
from quant_cases import FORMATS, granularities, same_bytes
from reference import quant as reference

DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def check(w, bits=8, scheme="symmetric", granularity="channel", axis=0, group_size=None):
    q = quant.quantize(w, bits, scheme, granularity, axis, group_size)
    values, scale, zero_point = reference.encode(w, bits, scheme, granularity, axis, group_size)
    assert same_bytes(q.values, values)
    assert same_bytes(q.packed, values if bits == 8 else reference.pack4(values))
    assert same_bytes(q.scale, scale)
    if scheme == "symmetric":
        assert q.zero_point is None
        assert not zero_point.any()
    else:
        assert same_bytes(q.zero_point, zero_point)
    stored = (w.size if bits == 8 else (w.size + 1) // 2) + 4 * scale.size + (scheme == "asymmetric") * scale.size
    assert (q.shape, q.bits, q.scheme, q.granularity, q.nbytes) == (w.shape, bits, scheme, granularity, stored)
    assert q.axis == (0 if granularity == "tensor" else axis % w.ndim)
    assert q.group_size == group_size
    numbers = reference.decode(values, scale, zero_point, granularity, axis, group_size)
    for name, dtype in DTYPES.items():
        with np.errstate(over="ignore"):
            assert same_bytes(q.dequantize(name), numbers.astype(dtype)), name
    assert not q.dequantize()[w == 0].any()
    return q


def numbers(rng, shape, dtype):
    """Of a different size and offset in every row, a few of them zero."""
    w = rng.standard_normal(shape) * np.exp2(rng.integers(-6, 6, shape[:1]).reshape([-1] + [1] * (len(shape) - 1)))
    w += rng.standard_normal(shape[-1:])
    w[rng.random(shape) < 0.1] = 0
    return w.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("bits", "scheme"), FORMATS)
@pytest.mark.parametrize(
    "shape",
    [(1,), (7,), (128,), (3, 5), (6, 128), (128, 6), (33, 65), (64, 2, 2), (2, 3, 64), (5, 96, 7), (4, 8, 4, 4)],
)
def test_every_format(shape, bits, scheme, dtype):
    w = numbers(np.random.default_rng(len(shape)), shape, DTYPES[dtype])
    seen = [check(w, bits, scheme, *rest).granularity for rest in granularities(shape)]
    assert "tensor" in seen
    assert "channel" in seen


@pytest.mark.parametrize("size", [1, 2, 3, 15, 16, 17, 255, 256, 257, 4095, 4096, 4097, 8193])
@pytest.mark.parametrize(("bits", "scheme"), FORMATS)
def test_edge_sizes(size, bits, scheme):
    rng = np.random.default_rng(size)
    check(rng.standard_normal(size, np.float32), bits, scheme, "tensor")
    check(rng.standard_normal((3, size), np.float32), bits, scheme)
    check(rng.standard_normal((size, 3), np.float32), bits, scheme)
    check(rng.standard_normal((size, 3), np.float32), bits, scheme, axis=1)
    check(rng.standard_normal((size, 64), np.float32), bits, scheme, "group", group_size=32)
    check(rng.standard_normal((64, size), np.float32), bits, scheme, "group", axis=1, group_size=64)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(("bits", "scheme"), FORMATS)
def test_threads_do_not_change_bytes(threads, count, bits, scheme):
    threads(count)
    rng = np.random.default_rng(1)
    for shape, axes in [((300, 384), (0, 1)), ((100_003,), (0,)), ((64, 3, 1001), (0, 1, 2)), ((2, 70_000), (0, 1))]:
        w = rng.standard_normal(shape, np.float32)
        check(w, bits, scheme, "tensor")
        for axis in axes:
            if shape[axis] < 10_000:  # the reference takes a loop over the channels
                check(w, bits, scheme, axis=axis)
    w = rng.standard_normal((160, 1024), np.float32)
    check(w, bits, scheme, "group", 0, 128)
    check(w, bits, scheme, "group", 1, 32)
    check(w.reshape(160, 32, 32), bits, scheme, "group", 1, 64)


FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=7), elements=FINITE),
    st.sampled_from(FORMATS),
    st.data(),
)
def test_any_finite_values(w, form, data):
    check(w, *form, "tensor")
    q = check(w, *form, axis=data.draw(st.integers(-w.ndim, w.ndim - 1)))
    assert np.all(np.isfinite(q.dequantize()))


@given(hnp.arrays(np.int32, (4, 64)), st.sampled_from(FORMATS), st.integers(0, 3))
def test_any_finite_bits(bits, form, exponents):
    w = bits.view(np.float32)
    w[~np.isfinite(w)] = 0
    check(w, *form, "group", group_size=32)
    check(np.clip(w, -(10.0**exponents), 1).astype(np.float32), *form)


@given(hnp.arrays(np.uint16, (2, 32)), st.sampled_from(["float16", "bfloat16"]), st.sampled_from(FORMATS))
def test_any_finite_sixteen_bits(bits, dtype, form):
    w = bits.view(DTYPES[dtype])
    w[~np.isfinite(w.astype(np.float32))] = 0
    check(w, *form)


@pytest.mark.parametrize(("bits", "scheme"), FORMATS)
@pytest.mark.parametrize("value", [0.0, -0.0])
def test_what_is_all_zero_stays_zero(bits, scheme, value):
    w = np.full((3, 64), value, np.float32)
    w[1] = np.linspace(-2, 1, 64)
    for granularity, axis, group_size in granularities(w.shape):
        q = check(w, bits, scheme, granularity, axis, group_size)
        if granularity != "tensor" and axis in (0, -2):
            assert np.all(q.scale[[0, 2]] == 1)
            assert scheme == "symmetric" or not q.zero_point[[0, 2]].any()


@pytest.mark.parametrize(("bits", "scheme"), FORMATS)
@pytest.mark.parametrize("value", [5.0, -5.0, 1e-45, -1e-45, 1e-38, 3.4028235e38, -3.4028235e38])
def test_a_range_of_no_width(bits, scheme, value):
    q = check(np.full((2, 3), value, np.float32), bits, scheme)
    assert np.all(np.abs(q.dequantize() - np.float32(value)) <= 0.5001 * q.scale[:, None])


@pytest.mark.parametrize(("bits", "scheme"), FORMATS)
@pytest.mark.parametrize("largest", [1e-45, 1e-40, 1.1754944e-38, 1e-36, 1.0, 2e38])
def test_error_is_at_most_half_a_scale(bits, scheme, largest):
    w = np.linspace(-1, 0.5, 97, dtype=np.float32)[None] * np.float32(largest)
    for sign in (1, -1):
        q = check(np.float32(sign) * w, bits, scheme)
        error = np.abs(q.dequantize().astype(np.float64) - np.float64(sign) * w)
        # Also at the end where, the zero point being rounded too, half a scale may be clamped away.
        assert np.all(error <= 0.5001 * q.scale[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf"])
def test_what_is_not_finite_is_refused_at_its_first_index(dtype, value):
    for shape, index in [((3, 64), (1, 7)), ((2, 3, 64), (0, 2, 63)), ((90_000,), (77_777,))]:
        for granularity, axis, group_size in granularities(shape):
            w = np.ones(shape, DTYPES[dtype])
            w[index] = float(value)
            w.flat[-1] = np.inf if value == "-inf" else -np.inf
            text = f"w: expected finite values, got {value.replace('-nan', 'nan')} at index {index}"
            with pytest.raises(ValueError) as caught:  # noqa: PT011
                quant.quantize(w, 4, "asymmetric", granularity, axis, group_size)
            assert str(caught.value) == text


W = np.ones((2, 64), np.float32)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bits": 3}, ValueError, "bits: expected 8 or 4, got 3"),
        ({"bits": 8.0}, TypeError, "incompatible function arguments"),
        ({"scheme": "affine"}, ValueError, 'scheme: expected "symmetric" or "asymmetric", got "affine"'),
        ({"granularity": "row"}, ValueError, 'granularity: expected "tensor", "channel" or "group", got "row"'),
        ({"axis": 2}, IndexError, r"axis: expected -2 to 1 for shape \(2, 64\), got 2"),
        ({"granularity": "group", "group_size": 32, "axis": -3}, IndexError, "axis: expected -2 to 1"),
        ({"granularity": "group"}, ValueError, "group_size: expected 32, 64 or 128, got none"),
        ({"granularity": "group", "group_size": 16}, ValueError, "group_size: expected 32, 64 or 128, got 16"),
        ({"granularity": "group", "group_size": -32}, ValueError, "group_size: expected 32, 64 or 128, got -32"),
        ({"group_size": 32}, ValueError, "group_size: expected none, as the granularity is channel, got 32"),
        (
            {"granularity": "group", "group_size": 128},
            ValueError,
            r"group_size: expected a divisor of the 64 elements at each index of axis 0 of shape \(2, 64\), got 128",
        ),
        ({"granularity": "group", "group_size": 32, "axis": 1}, ValueError, "divisor of the 2 elements"),
    ],
)
def test_a_format_that_is_none_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        quant.quantize(W, **options)


def test_a_scalar_has_one_scale_for_the_tensor():
    q = check(np.array(-3, np.float32), 4, "asymmetric", "tensor")
    assert (q.scale.shape, q.packed.shape) == ((), (1,))
    with pytest.raises(ValueError, match=r"w: expected at least one dimension for scales per channel, got shape \(\)"):
        quant.quantize(np.array(1, np.float32))
    with pytest.raises(ValueError, match=r"w: expected at least one element, got shape \(0, 3\)"):
        quant.quantize(np.ones((0, 3), np.float32), granularity="tensor")


def test_dequantize_refuses_other_types():
    with pytest.raises(ValueError, match='dtype: expected "float32", "float16" or "bfloat16", got "float64"'):
        quant.quantize(W).dequantize("float64")
