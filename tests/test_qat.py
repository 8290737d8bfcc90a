"""Fake quantization and learned scales against tests/reference/qat.py, and against quantizing and dequantizing."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from petrain import quant
from petrain.quant import LSQ, fake_quantize, fake_quantize_backward
from reference import qat as reference

TINY = np.finfo(np.float32).tiny

# Shapes and how their scales lie: runs of one scale, columns, groups that end within a row and groups over several
# rows, more than a chunk of 16384 elements, and a row of more columns than that.
LAYOUTS = [
    ((1,), {"granularity": "tensor"}),
    ((), {"granularity": "tensor"}),
    ((3, 5, 7), {"granularity": "tensor"}),
    ((40_000,), {"granularity": "tensor"}),
    ((7, 513), {"granularity": "channel"}),
    ((5, 1), {"granularity": "channel"}),
    ((1, 600), {"granularity": "channel", "axis": 1}),
    ((129, 33), {"granularity": "channel", "axis": -1}),
    ((3, 17_000), {"granularity": "channel", "axis": 1}),
    ((40, 6, 3, 3), {"granularity": "channel"}),
    ((20, 40, 3, 3), {"granularity": "channel", "axis": 1}),
    ((3, 20_001), {"granularity": "channel"}),
    ((70, 96), {"granularity": "group", "group_size": 32}),
    ((70, 384), {"granularity": "group", "group_size": 128}),
    ((192, 40), {"granularity": "group", "axis": 1, "group_size": 64}),
    ((128, 130), {"granularity": "group", "axis": 1, "group_size": 32}),
    ((64, 20_000), {"granularity": "group", "axis": 1, "group_size": 32}),
    ((8, 30, 12), {"granularity": "group", "axis": 1, "group_size": 32}),
    ((6, 5, 64), {"granularity": "group", "axis": 1, "group_size": 32}),
]
every_layout = pytest.mark.parametrize(("shape", "layout"), LAYOUTS, ids=[f"{s}-{v}" for s, v in LAYOUTS])
FORMATS = list(itertools.product((8, 4), ("symmetric", "asymmetric")))
every_format = pytest.mark.parametrize(("bits", "scheme"), FORMATS)


def same_bytes(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def numbers(rng, shape, bits):
    """Some beyond the range of the integers, some half way between two, for scales around 1."""
    x = rng.standard_normal(shape, np.float32) * np.float32(2 ** (bits - 1) * 0.7)
    return np.where(rng.random(shape) < 0.1, np.round(x) + np.float32(0.5), x).astype(np.float32).reshape(shape)


def scales(rng, shape):
    """Half of them are 1, so that half-way values stay half way."""
    return np.where(rng.random(shape) < 0.5, 1, rng.uniform(0.5, 2, shape)).astype(np.float32).reshape(shape)


def zero_points(rng, shape, bits, scheme):
    if scheme == "symmetric":
        return None
    return rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), shape).astype(np.int8).reshape(shape)


def case(rng, shape, layout, bits, scheme):
    fake = reference.Fake(shape, bits, scheme, **layout)
    zero_point = zero_points(rng, fake.scale_shape, bits, scheme)
    return fake, numbers(rng, shape, bits), scales(rng, fake.scale_shape), zero_point


@every_format
@every_layout
@pytest.mark.parametrize("count", [1, 3])
def test_forward_and_backward(rng, threads, shape, layout, bits, scheme, count):
    threads(count)
    fake, x, scale, zero_point = case(rng, shape, layout, bits, scheme)
    out = fake_quantize(x, scale, zero_point, bits, scheme, **layout)
    assert same_bytes(out, fake.forward(x, scale, zero_point))
    integers = np.empty(shape, np.int8)
    assert fake_quantize(x, scale, zero_point, bits, scheme, **layout, out=integers) is integers
    np.testing.assert_array_equal(integers, fake.integers(x, scale, zero_point))
    stored = quant.QuantTensor(integers, scale, zero_point, bits, scheme, **layout)
    assert same_bytes(stored.dequantize(), out)

    g = rng.standard_normal(shape, np.float32).reshape(shape)
    of_x, of_scale = fake_quantize_backward(g, x, scale, zero_point, bits, scheme, **layout, factor=0.25)
    want_x, want_scale = fake.backward(g, x, scale, zero_point, 0.25)
    assert same_bytes(of_x, want_x)
    np.testing.assert_allclose(of_scale, want_scale, rtol=1e-7, atol=1e-13 * np.abs(g).sum() * 2**bits)
    threads(2)
    again = fake_quantize_backward(g, x, scale, zero_point, bits, scheme, **layout, factor=0.25, out=g)
    assert again[0] is g
    assert same_bytes(g, of_x)
    assert same_bytes(again[1], of_scale)
    assert same_bytes(fake_quantize(x, scale, zero_point, bits, scheme, **layout, out=x), out)


@every_format
@every_layout
def test_equal_to_quantize_and_dequantize(rng, shape, layout, bits, scheme):
    x = numbers(rng, shape, bits)
    q = quant.quantize(x, bits, scheme, **layout)
    assert same_bytes(fake_quantize(x, q.scale, q.zero_point, bits, scheme, **layout), q.dequantize())


def test_the_scale_gradient_is_a_sum_in_float64(rng):
    """4e6 products that nearly cancel: in float32, some thousandths of each would be lost."""
    x = np.full((2048, 2048), 0.25, np.float32)
    g = rng.standard_normal(x.shape, np.float32)
    g -= np.float32(g.mean(dtype=np.float64))
    _, of_scale = fake_quantize_backward(g, x, 1.0, granularity="tensor")
    exact = -0.25 * g.sum(dtype=np.longdouble)
    assert abs(of_scale - exact) < 1e-9 + 1e-7 * abs(exact)
    np.testing.assert_allclose(of_scale, reference.Fake(x.shape, granularity="tensor").backward(g, x, 1.0)[1], 1e-6)


def test_the_gradients_are_derivatives(rng):
    """Of the scale: that of the formula with the rounding's offset held fixed. Of x: 1 inside, as of the clamp."""
    x = numbers(rng, (500,), 4).astype(np.float64)
    scale, step = 1.25, 1e-6
    offset = np.rint(x / scale) - x / scale

    def smooth(x, scale):
        return np.clip(x / scale, -7, 7) * scale + np.where(np.abs(x / scale) <= 7, offset, 0) * scale

    g = rng.standard_normal(500)
    of_scale = (g * (smooth(x, scale + step) - smooth(x, scale - step))).sum() / (2 * step)
    got_x, got_scale = fake_quantize_backward(
        g.astype(np.float32), x.astype(np.float32), scale, None, 4, granularity="tensor"
    )
    np.testing.assert_allclose(got_scale, of_scale, rtol=1e-4)
    of_x = g * (np.clip((x + step) / scale, -7, 7) - np.clip((x - step) / scale, -7, 7)) * scale / (2 * step)
    np.testing.assert_allclose(got_x, of_x, rtol=1e-5, atol=1e-7)


@given(
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=200), st.integers(0, 2**32 - 1), st.sampled_from([8, 4])
)
def test_any_finite_bits(bits_of_x, bits_of_scale, bits):
    x = np.array(bits_of_x, np.uint32).view(np.float32)
    x[~np.isfinite(x)] = 0
    largest = np.nextafter(np.finfo(np.float32).max / np.float32(2 ** (bits - 1) - 1), np.float32(0))
    scale = np.array([bits_of_scale], np.uint32).view(np.float32)[0]
    scale = np.clip(np.abs(scale), TINY, largest) if np.isfinite(scale) else np.float32(1)
    out = fake_quantize(x, np.array(scale), None, bits, granularity="tensor")
    assert same_bytes(out, reference.Fake(x.shape, bits, granularity="tensor").forward(x, scale))
    assert np.all(np.isfinite(out))
    assert not out[x == 0].any()
    assert not np.signbit(out[out == 0]).any()


@given(
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=200),
    st.integers(-8, 7),
    st.floats(float(TINY), 2.0**100, width=32),
    st.sampled_from([8, 4]),
)
def test_any_finite_bits_with_a_zero_point(bits_of_x, zero_point, scale, bits):
    x = np.array(bits_of_x, np.uint32).view(np.float32)
    x[~np.isfinite(x)] = 0
    fake = reference.Fake(x.shape, bits, "asymmetric", granularity="tensor")
    scale, zero = np.float32(scale), np.int8(zero_point)
    options = {"bits": bits, "scheme": "asymmetric", "granularity": "tensor"}
    assert same_bytes(fake_quantize(x, np.array(scale), np.array(zero), **options), fake.forward(x, scale, zero))
    gradient = np.ones_like(x)
    of_x, _ = fake_quantize_backward(gradient, x, np.array(scale), np.array(zero), **options)
    assert same_bytes(of_x, fake.backward(gradient, x, scale, zero)[0])


def test_nan_goes_through_the_backward_pass():
    x = np.array([1.0, 1.0, 300.0], np.float32)
    of_x, of_scale = fake_quantize_backward(np.array([1, np.nan, np.nan], np.float32), x, 1.0, granularity="tensor")
    np.testing.assert_array_equal(of_x, [1, np.nan, 0])
    assert np.isnan(of_scale)
    of_x, _ = fake_quantize_backward(np.array([1, np.inf, 2], np.float32), x, 1.0, granularity="tensor")
    np.testing.assert_array_equal(of_x, [1, np.inf, 0])


X, ONE, TWO = np.ones((2, 3), np.float32), np.ones((), np.float32), np.ones(2, np.float32)
BAD = np.array([[1, 2, 3], [np.inf, np.nan, 0]], np.float32)
Z = np.zeros(2, np.int8)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((BAD, TWO), {}, ValueError, r"x: expected finite values, got inf at index \(1, 0\)"),
        ((X.astype(np.float64), TWO), {}, ValueError, "x: expected dtype float32, got float64"),
        ((X[:0], TWO), {}, ValueError, r"x: expected at least one element, got shape \(0, 3\)"),
        ((X.T, TWO), {}, ValueError, "x: expected a C-contiguous array"),
        ((X, TWO), {"bits": 5}, ValueError, "bits: expected 8 or 4, got 5"),
        ((X, TWO), {"scheme": "odd"}, ValueError, 'scheme: expected "symmetric" or "asymmetric"'),
        ((X, TWO), {"granularity": "row"}, ValueError, 'granularity: expected "tensor"'),
        ((X, TWO), {"axis": 2}, IndexError, r"axis: expected -2 to 1 for shape \(2, 3\), got 2"),
        ((X, TWO), {"group_size": 32}, ValueError, "group_size: expected none"),
        ((X, TWO), {"granularity": "group", "group_size": 32}, ValueError, "group_size: expected a divisor of the 3"),
        ((X, ONE), {}, ValueError, r"scale: expected shape \(2,\), got \(\)"),
        ((X, TWO), {"granularity": "tensor"}, ValueError, r"scale: expected shape \(\), got \(2,\)"),
        ((X, TWO.astype(np.float64)), {}, ValueError, "scale: expected dtype float32, got float64"),
        ((X, np.array([1, 0], "f")), {}, ValueError, "scale: expected 1.17549435e-38 to .*, got 0 at element 1"),
        ((X, np.array([-1, 1], "f")), {}, ValueError, "got -1 at element 0"),
        ((X, np.array([1, np.nan], "f")), {}, ValueError, "got nan at element 1"),
        ((X, np.array([1, 1e37], "f")), {}, ValueError, "scale: expected .* to 2.67.*e.36, got 9.9.*e.36 at element 1"),
        ((X, TWO, Z), {}, ValueError, "zero_point: expected none, as the scheme is symmetric"),
        ((X, TWO), {"scheme": "asymmetric"}, ValueError, "zero_point: expected one for each scale, got none"),
        ((X, TWO, Z[:1]), {"scheme": "asymmetric"}, ValueError, r"zero_point: expected shape \(2,\), got \(1,\)"),
        (
            (X, TWO, Z + np.int8(9)),
            {"scheme": "asymmetric", "bits": 4},
            ValueError,
            "zero_point: expected -8 to 7, got 9",
        ),
    ],
)
def test_refused(arguments, options, error, message):
    out = np.full((2, 3), 7, np.float32)
    with pytest.raises(error, match=message):
        fake_quantize(*arguments, **options, out=out)
    assert np.all(out == 7)
    if "finite values" not in message:
        with pytest.raises(error, match=message):
            fake_quantize_backward(X, *arguments, **options, out=out)
        assert np.all(out == 7)


@pytest.mark.parametrize("kind", [int, np.int64, np.int16])
def test_numbers_in_the_place_of_arrays(kind):
    form = {"scheme": "asymmetric", "granularity": "tensor"}
    expected = fake_quantize(X, np.array(2, np.float32), np.array(-100, np.int8), **form)
    assert same_bytes(fake_quantize(X, kind(2), kind(-100), **form), expected)
    for zero_point in (300, 256, 128, -129):  # in int8: 44, 0, -128, 127
        with pytest.raises(ValueError, match=f"zero_point: expected -128 to 127, got {zero_point}"):
            fake_quantize(X, 0.5, kind(zero_point), **form)
    with pytest.raises(ValueError, match=r"scale: expected .* got inf"):
        fake_quantize(X, 1e300, kind(0), **form)


MEMORY = np.zeros(20, np.float32)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty((2, 3)), "out: expected dtype float32 or int8, got float64"),
        (np.empty((3, 2), np.float32), r"out: expected shape \(2, 3\), got \(3, 2\)"),
        (MEMORY[1:7].reshape(2, 3), "out and x: expected the same memory or memory apart"),
        (MEMORY.view(np.int8)[:6].reshape(2, 3), "out: int8 cannot be x itself"),
        (X.T.reshape(2, 3)[:, ::-1], "out: expected a C-contiguous array"),
    ],
)
def test_refused_outputs(out, message):
    x = MEMORY[:6].reshape(2, 3)
    with pytest.raises(ValueError, match=message):
        fake_quantize(x, TWO, out=out)


def test_refused_gradients():
    with pytest.raises(TypeError, match="x: expected a NumPy array or a CPU tensor, got list"):
        fake_quantize([1.0], 1.0)
    with pytest.raises(TypeError, match="x: expected a NumPy array or a CPU tensor, got list"):
        fake_quantize_backward(X, [1.0], 1.0)
    with pytest.raises(TypeError, match="scale: expected a NumPy array or a CPU tensor, got str"):
        fake_quantize_backward(X, X, "a")
    with pytest.raises(TypeError, match="x: expected a NumPy array or a CPU tensor, got list"):
        LSQ(X).forward([1.0])
    with pytest.raises(ValueError, match=r"gradient: expected shape \(2, 3\), got \(3, 2\)"):
        fake_quantize_backward(np.ones((3, 2), np.float32), X, TWO)
    with pytest.raises(ValueError, match="x_gradient: expected dtype float32, got int8"):
        fake_quantize_backward(X, X, TWO, out=np.empty((2, 3), np.int8))
    with pytest.raises(ValueError, match="x_gradient and gradient: expected the same memory or memory apart"):
        fake_quantize_backward(MEMORY[:6].reshape(2, 3), X, TWO, out=MEMORY[2:8].reshape(2, 3))


# Learned step sizes


@every_layout
@pytest.mark.parametrize("bits", [8, 4])
def test_lsq(rng, shape, layout, bits):
    w = numbers(rng, shape, bits)
    fake = reference.Fake(shape, bits, **layout)
    lsq = LSQ(w, bits, **layout)
    np.testing.assert_allclose(lsq.scale, fake.lsq_scale(w), rtol=1e-7)
    assert lsq.scale.dtype == np.float32
    assert lsq.scale.shape == lsq.scale_gradient.shape == fake.scale_shape
    assert not lsq.scale_gradient.any()
    w_hat = lsq.forward(w)
    assert same_bytes(w_hat, fake.forward(w, lsq.scale))
    g = rng.standard_normal(shape, np.float32).reshape(shape)
    want, want_scale = fake.backward(g, w, lsq.scale, factor=fake.lsq_factor())
    assert same_bytes(lsq.backward(w, g), want)
    np.testing.assert_allclose(lsq.scale_gradient, want_scale, rtol=1e-7, atol=1e-13 * np.abs(g).sum() * 2**bits)
    q = lsq.to_quantized(w)
    assert (q.bits, q.scheme, q.granularity) == (bits, "symmetric", layout["granularity"])
    assert same_bytes(q.dequantize(), w_hat)


def test_a_scale_out_of_range_is_put_at_its_end():
    w = np.ones((5, 4), np.float32)
    lsq = LSQ(w, 4)
    largest = np.nextafter(np.finfo(np.float32).max / np.float32(7), np.float32(0))
    lsq.scale[:] = [-1, 0, np.nan, np.inf, 1]
    assert np.all(np.isfinite(lsq.forward(w)))
    np.testing.assert_array_equal(lsq.scale, np.array([TINY, TINY, TINY, largest, 1], np.float32))


def test_first_scales_of_zeros_and_of_the_largest_numbers():
    w = np.array([[0, 0], [3e38, -3e38], [1e-45, 0]], np.float32)
    lsq = LSQ(w, 4)
    largest = np.nextafter(np.finfo(np.float32).max / np.float32(7), np.float32(0))
    np.testing.assert_array_equal(lsq.scale, np.array([1, largest, TINY], np.float32))
    assert np.all(np.isfinite(lsq.forward(w)))
    assert not lsq.forward(w)[0].any()
    with pytest.raises(ValueError, match=r"x: expected finite values, got nan at index \(0, 1\)"):
        LSQ(np.array([[1, np.nan]], np.float32))


def test_state_dict_of_lsq(rng):
    w = rng.standard_normal((4, 6), np.float32)
    lsq, other = LSQ(w, 4), LSQ(2 * w, 4)
    lsq.backward(w, w)
    state = pickle.loads(pickle.dumps(lsq.state_dict()))
    kept = other.scale
    other.load_state_dict(state)
    assert other.scale is kept
    assert same_bytes(other.scale, lsq.scale)
    assert same_bytes(other.scale_gradient, lsq.scale_gradient)
    for bad in (
        {"scale": lsq.scale},
        {**state, "more": 1},
        {**state, "scale": lsq.scale[:2]},
        {**state, "scale": np.ones(4)},
        {**state, "scale": np.array([1, np.nan, 1, 1], np.float32)},
        {**state, "scale": np.full(4, np.inf, np.float32)},
        {**state, "scale_gradient": np.full(4, np.nan, np.float32)},
    ):
        other.scale[:] = 3
        with pytest.raises(ValueError, match="expected"):
            other.load_state_dict(bad)
        assert np.all(other.scale == 3)
    assert repr(lsq) == "LSQ(bits=4, granularity='channel', axis=0, group_size=None)"


def test_results_in_the_memory_of_scales_are_refused():
    memory = np.ones(64, np.float32)
    scale, out, x = memory[:4], memory[:32].reshape(4, 8), np.ones((4, 8), np.float32)
    with pytest.raises(ValueError, match="out: expected memory of its own, got some of another argument"):
        fake_quantize(x, scale, out=out)
    with pytest.raises(ValueError, match="x_gradient: expected memory of its own, got some of another argument"):
        fake_quantize_backward(x, x, scale, out=out)
    assert (memory == 1).all()
