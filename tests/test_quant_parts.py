"""A QuantTensor made of parts, and parts that disagree."""

import pickle

import numpy as np
import pytest
from petrain import quant
from quant_cases import FORMATS, granularities, same_bytes
from reference import quant as reference

W = np.ones((2, 64), np.float32)


@pytest.mark.parametrize(("bits", "scheme"), FORMATS)
def test_parts_pickle_and_clone(bits, scheme):
    w = np.random.default_rng(2).standard_normal((3, 5, 32), np.float32)
    for granularity, axis, group_size in granularities(w.shape):
        q = quant.quantize(w, bits, scheme, granularity, axis, group_size)
        form = (bits, scheme, granularity, axis, group_size)
        for other in (
            quant.QuantTensor(q.values, q.scale, q.zero_point, *form),
            quant.QuantTensor.from_packed(q.packed, q.scale, q.zero_point, q.shape, *form),
            pickle.loads(pickle.dumps(q)),
            q.clone(),
        ):
            assert repr(other) == repr(q)
            assert same_bytes(other.packed, q.packed)
            assert same_bytes(other.dequantize(), q.dequantize())
            assert not np.shares_memory(other.packed, q.packed)
        for part in (q.packed, q.scale, q.zero_point):
            assert part is None or not part.flags.writeable


def test_repr():
    form = {"granularity": "group", "group_size": 64}
    assert repr(quant.quantize(W, 4, **form)) == (
        "QuantTensor(shape=(2, 64), bits=4, scheme='symmetric', granularity='group', axis=0, group_size=64)"
    )
    assert repr(quant.quantize(W, granularity="tensor")) == (
        "QuantTensor(shape=(2, 64), bits=8, scheme='symmetric', granularity='tensor')"
    )


@pytest.mark.parametrize("bits", [8, 4])
def test_every_integer_is_stored_and_read(bits):
    least, most = reference.limits(bits, "asymmetric")
    values = np.arange(least, most + 1, dtype=np.int8)
    for odd in (values, values[:-1], values[1:]):
        q = quant.QuantTensor(odd, np.array(0.5, "f"), np.array(least, np.int8), bits, "asymmetric", "tensor")
        assert same_bytes(q.values, odd)
        assert same_bytes(q.dequantize(), (odd.astype("f") - least) * np.float32(0.5))


def test_the_shape_of_packed_integers_is_not_guessed():
    q = quant.quantize(W)
    for shape in ((), (64, 2), (128,)):
        with pytest.raises(
            ValueError, match=r"values: expected (at least one dim|shape \((64, 2|128,)\), got \(2, 64\))"
        ):
            quant.QuantTensor.from_packed(q.packed, q.scale, None, shape)
    with pytest.raises(ValueError, match=r"values: expected shape \(\), got \(2, 64\)"):
        quant.QuantTensor.from_packed(q.packed, np.array(1, np.float32), None, (), granularity="tensor")


VALUES, SCALE, ZEROS = np.zeros((2, 3), np.int8), np.ones(2, np.float32), np.zeros(2, np.int8)


def with_value(value, dtype=np.int8):
    array = np.zeros((2, 3), dtype)
    array[1, 1] = value
    return array


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ((VALUES.astype(np.int32), SCALE), ValueError, "values: expected dtype int8, got int32"),
        ((VALUES, SCALE.astype(np.float64)), ValueError, "scale: expected dtype float32, got float64"),
        ((VALUES, np.ones(3, np.float32)), ValueError, r"scale: expected shape \(2,\), got \(3,\)"),
        ((VALUES, np.float32([[1, 1]])), ValueError, r"scale: expected shape \(2,\), got \(1, 2\)"),
        ((VALUES, SCALE, None, 8, "symmetric", "channel", 1), ValueError, r"scale: expected shape \(3,\), got \(2,\)"),
        ((VALUES, SCALE, None, 8, "symmetric", "tensor"), ValueError, r"scale: expected shape \(\), got \(2,\)"),
        ((VALUES, SCALE, None, 8, "symmetric", "channel", 2), IndexError, r"axis: expected -2 to 1 for shape \(2, 3\)"),
        ((VALUES[:0], SCALE[:0]), ValueError, r"values: expected at least one element, got shape \(0, 3\)"),
        ((np.array(0, np.int8), SCALE), ValueError, r"values: expected at least one dimension .*, got shape \(\)"),
        ((VALUES, np.float32([1, 0])), ValueError, "scale: expected positive, finite values, got 0 at element 1"),
        ((VALUES, np.float32([1, -2])), ValueError, "got -2 at element 1"),
        ((VALUES, np.float32([np.nan, 1])), ValueError, "got nan at element 0"),
        ((VALUES, np.float32([np.inf, 1])), ValueError, "got inf at element 0"),
        (
            (VALUES, SCALE, ZEROS),
            ValueError,
            r"zero_point: expected none, as the scheme is symmetric, got shape \(2,\)",
        ),
        ((VALUES, SCALE, ZEROS[:0]), ValueError, "zero_point: expected none, as the scheme is symmetric"),
        ((VALUES, SCALE, None, 8, "asymmetric"), ValueError, r"zero_point: expected shape \(2,\), got none"),
        ((VALUES, SCALE, ZEROS[:1], 8, "asymmetric"), ValueError, r"zero_point: expected shape \(2,\), got \(1,\)"),
        (
            (VALUES, SCALE, ZEROS[:0], 8, "asymmetric"),
            ValueError,
            r"zero_point: expected shape \(2,\), got shape \(0,\)",
        ),
        (
            (VALUES, SCALE, ZEROS.astype("i4"), 8, "asymmetric"),
            ValueError,
            "zero_point: expected dtype int8, got int32",
        ),
        ((VALUES, SCALE, ZEROS + np.int8(8), 4, "asymmetric"), ValueError, "zero_point: expected -8 to 7.*got 8 at el"),
        ((with_value(-128), SCALE), ValueError, "values: expected -127 to 127, .* symmetric, got -128 at element 4"),
        ((with_value(-8), SCALE, None, 4), ValueError, "values: expected -7 to 7, .* int4, .*, got -8 at element 4"),
        (
            (with_value(8), SCALE, ZEROS, 4, "asymmetric"),
            ValueError,
            "values: expected -8 to 7, .*, got 8 at element 4",
        ),
        ((VALUES.T, SCALE), ValueError, "values: expected a C-contiguous array"),
        (([[1]], SCALE), TypeError, "values: expected a NumPy array"),
    ],
)
def test_parts_that_disagree(parts, error, message):
    with pytest.raises(error, match=message):
        quant.QuantTensor(*parts)


@pytest.mark.parametrize(
    ("packed", "shape", "bits", "message"),
    [
        (np.zeros(3, np.uint8), (2, 3), 8, r"values: expected dtype int8, got uint8"),
        (np.zeros(6, np.int8), (2, 3), 8, r"values: expected shape \(2, 3\), got \(6,\)"),
        (VALUES, (2, 3), 4, r"values: expected dtype uint8, got int8"),
        (np.zeros(4, np.uint8), (2, 3), 4, r"values: expected shape \(3,\), got \(4,\)"),
        (np.zeros(3, np.uint8), (2, -3), 4, r"shape \(2, -3\) has a negative extent"),
        (np.zeros(3, np.uint8), (2, 2**62), 4, "has too many elements"),
        (np.zeros(3, np.uint8), (), 4, r"values: expected at least one dimension .*, got shape \(\)"),
        (np.uint8([0, 0, 0x80]), (2, 3), 4, "values: expected -7 to 7, .*, got -8 at element 5"),
        (np.uint8([0, 0x10]), (1, 3), 4, "values: expected 0 in the 4 bits after the last element, got 1"),
    ],
)
def test_stored_bytes_that_disagree(packed, shape, bits, message):
    scale = np.ones(shape[:1] if shape else 1, np.float32)
    with pytest.raises(ValueError, match=message):
        quant.QuantTensor.from_packed(packed, scale, None, shape, bits)
