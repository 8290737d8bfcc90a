"""Linear layers whose weight alone is in integers."""

import numpy as np
import pytest
from petrain import quant
from petrain.quant import QuantParams
from quant_cases import same_bytes
from reference import quant as reference
from test_quant_layers import FORMATS


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 128), (1, 70, 256), (22, 33, 128), (65, 40, 128)])
def test_every_format(name, m, n, k, rng):
    x = rng.standard_normal((m, k), np.float32)
    x[m // 2] = 0
    q, bias = (
        quant.quantize(rng.standard_normal((n, k), np.float32), **FORMATS[name]),
        rng.standard_normal(n, np.float32),
    )
    pair = tuple(quant.quantize(rng.standard_normal(shape, np.float32)) for shape in ((n, 5), (5, k)))
    assert same_bytes(quant.linear(x, q, weight_only=True), reference.weight_only_linear(x, q))
    expected = reference.weight_only_linear(x, q, bias, pair)
    assert same_bytes(quant.linear(x, q, bias, residual=pair, weight_only=True), expected)
    assert same_bytes(quant.linear(x[0], q, bias, residual=pair, weight_only=True), expected[0])


@pytest.mark.parametrize("m", [1, 3, 22, 70])
def test_what_several_threads_share(m, rng):
    x, w = rng.standard_normal((m, 2048), np.float32), rng.standard_normal((1100, 2048), np.float32)
    for name in ("int8 channel", "int4 group 32 asymmetric"):
        q = quant.quantize(w, **FORMATS[name])
        assert same_bytes(quant.linear(x, q, weight_only=True), reference.weight_only_linear(x, q))


@pytest.mark.parametrize("size", [1e-45, 1e-38, 2.0**-104, 1.0, 2.0**22, 1e30])
def test_every_magnitude(size, rng):
    x = rng.uniform(-size, size, (3, 128)).astype(np.float32)
    x[0, 0], x[1, 1], x[2] = size, -size, np.float32(size) * np.sign(rng.standard_normal(128))
    q = quant.quantize(rng.standard_normal((9, 128), np.float32))
    assert same_bytes(quant.linear(x, q, weight_only=True), reference.weight_only_linear(x, q))


def test_digits_at_their_ends():
    """Numbers whose digits are -128, 127 or 0, and the halves between integers."""
    ends = [-128, -127, -1, 0, 1, 127]
    numbers = [65536 * h + 256 * m + low for h in (-63, -1, 0, 1, 63) for m in ends for low in ends] + [0.5, 1.5, -2.5]
    x = np.zeros((1, 192), np.float32)
    x[0, : len(numbers)] = numbers
    x[0, -1] = 2**22
    q = quant.QuantTensor(np.eye(192, dtype=np.int8), np.array(1, np.float32), granularity="tensor")
    y = quant.linear(x, q, weight_only=True)
    assert same_bytes(y, np.rint(x))


def test_whole_numbers_lose_nothing_but_in_the_last_additions(rng):
    x = rng.integers(-1024, 1025, (4, 300)).astype(np.float16).astype(np.float32)
    q = quant.QuantTensor(
        rng.integers(-127, 128, (20, 300)).astype(np.int8), np.array(1, np.float32), granularity="tensor"
    )
    y = quant.linear(x, q, weight_only=True)
    exact = x.astype(np.float64) @ q.values.T
    assert np.abs(y - exact).max() <= 2**-23 * np.abs(exact).max()


@pytest.mark.parametrize("name", ["int8 channel", "int4 group 32"])
def test_it_is_as_near_as_float32(name, rng):
    x, w = rng.standard_normal((8, 4096), np.float32), rng.standard_normal((64, 4096), np.float32)
    q = quant.quantize(w, **FORMATS[name])
    plain = q.dequantize()
    exact = x.astype(np.float64) @ plain.astype(np.float64).T

    def error(y):
        return np.sqrt(((y - exact) ** 2).mean() / (exact**2).mean())

    assert error(quant.linear(x, q, weight_only=True)) < 6e-7  # of BLAS in float32: 3e-7
    assert error(quant.linear(x, q)) > 5e-3


def test_products_of_small_and_of_small_numbers(rng):
    """Scales whose product is subnormal, with results that are not."""
    x, w = (rng.standard_normal(shape, np.float32) for shape in ((2, 512), (8, 512)))
    q = quant.quantize(w * np.float32(1e-19))
    exact = (x * np.float32(1e-18)).astype(np.float64) @ q.dequantize().astype(np.float64).T
    y = quant.linear(x * np.float32(1e-18), q, weight_only=True)
    assert np.abs(y - exact).max() <= 1e-6 * np.abs(exact).max()


def test_a_low_rank_pair(rng):
    x = rng.standard_normal((9, 64), np.float32)
    a, b = (quant.quantize(rng.standard_normal(shape, np.float32)) for shape in ((70, 5), (5, 64)))
    inner = reference.weight_only_linear(x, b)
    assert same_bytes(quant.low_rank(x, a, b, weight_only=True), reference.weight_only_linear(inner, a))


def test_what_comes_after_the_product(rng):
    x, q = rng.standard_normal((9, 64), np.float32), quant.quantize(rng.standard_normal((40, 64), np.float32))
    y = np.maximum(quant.linear(x, q, weight_only=True), 0)
    assert same_bytes(quant.linear(x, q, activation="relu", weight_only=True), y)
    codes = quant.linear(x, q, activation="relu", y_params=QuantParams(0.1), weight_only=True)
    assert same_bytes(codes, reference.round_to(y, 0.1, 0, scheme="symmetric"))


X, Q = np.ones((2, 32), np.float32), quant.quantize(np.ones((4, 32), np.float32))


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (X, {"x_params": QuantParams(1.0)}, "x_params: expected none with weight_only, got a scale of 1"),
        (X.astype(np.int8), {}, "x: expected dtype float32, got int8"),
        (X * np.float32(np.inf), {}, r"x: expected finite values, got inf at index \(0, 0\)"),
        (X * np.float32(np.nan), {}, r"x: expected finite values, got nan at index \(0, 0\)"),
        (X[:, :16].copy(), {}, r"x: expected shape \(2, 32\), got \(2, 16\)"),
        (X * np.float32(1e38), {}, "x and w: expected scales with which no sum is larger than 8.5"),
    ],
)
def test_what_is_refused(x, options, message):
    with pytest.raises(ValueError, match=message):
        quant.linear(x, Q, weight_only=True, **options)
