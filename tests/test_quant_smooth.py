"""Scales that move from activations into weights."""

import numpy as np
import pytest
from petrain import quant


def norm(x, gain, bias):
    centered = x - x.mean(axis=1, keepdims=True)
    return (centered / np.sqrt((centered**2).mean(axis=1, keepdims=True) + 1e-5) * gain + bias).astype(np.float32)


@pytest.fixture
def case(rng):
    gain = np.exp(rng.standard_normal(96)).astype(np.float32)
    gain[[3, 50]] *= 60
    bias = rng.standard_normal(96).astype(np.float32)
    weights = [rng.standard_normal((n, 96), np.float32) for n in (32, 48)]
    return rng.standard_normal((200, 96), np.float32), gain, bias, weights


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.85, 1.0])
def test_the_scales_are_those_of_the_paper_and_the_function_stays(case, alpha):
    inputs, gain, bias, weights = case
    x = norm(inputs, gain, bias)
    smoothed, _ = quant.smooth_quant(x, weights, gain, bias, alpha=alpha)
    largest = np.maximum(*(np.abs(w).max(axis=0) for w in weights)).astype(np.float64)
    expected = np.abs(x).max(axis=0).astype(np.float64) ** alpha / largest ** (1 - alpha)
    assert np.allclose(smoothed.scale, expected, rtol=1e-6)
    new_x = norm(inputs, smoothed.gain, smoothed.bias)
    for w, new_w in zip(weights, smoothed.weights, strict=True):
        y = x.astype(np.float64) @ w.T
        assert np.linalg.norm(new_x.astype(np.float64) @ new_w.T - y) < 1e-6 * np.linalg.norm(y)


def test_the_error_is_that_of_int8_layers_and_falls(case):
    inputs, gain, bias, weights = case
    x = norm(inputs, gain, bias)
    smoothed, report = quant.smooth_quant(x, weights, gain, bias)
    exact = np.concatenate([x.astype(np.float64) @ w.T for w in weights], axis=1)
    for error, rows, layers in [(report.before, x, weights), (report.after, x / smoothed.scale, smoothed.weights)]:
        y = np.concatenate([quant.linear(rows, quant.quantize(w)) for w in layers], axis=1)
        assert error == pytest.approx(np.linalg.norm(y - exact) / np.linalg.norm(exact), rel=1e-6)
    assert report.after < 0.5 * report.before


def test_channels_that_are_all_zero_stay(case):
    inputs, gain, bias, weights = case
    gain[7] = bias[7] = 0
    for w in weights:
        w[:, 9] = 0
    smoothed, _ = quant.smooth_quant(norm(inputs, gain, bias), weights, gain, bias)
    assert smoothed.scale[7] == smoothed.scale[9] == 1
    assert not smoothed.gain[7]
    assert not smoothed.weights[0][:, 9].any()


def test_maxima_from_elsewhere(case):
    inputs, gain, bias, weights = case
    x = norm(inputs, gain, bias)
    given, _ = quant.smooth_quant(x[:10], weights, gain, max_abs=np.abs(x).max(axis=0))
    own, _ = quant.smooth_quant(x, weights, gain)
    assert np.array_equal(given.scale, own.scale)
    assert given.bias is None


X, W, GAIN = (np.ones(shape, np.float32) for shape in ((2, 3), (4, 3), (3,)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gain": W}, r"gain: expected float32 \(\*,\), got float32 \(4, 3\)"),
        ({"x": X[:, :2]}, r"x: expected float32 \(\*, 3\), got float32 \(2, 2\)"),
        ({"weights": []}, "weights: expected at least one, got none"),
        ({"weights": [W, W.astype(np.float64)]}, r"weight 1: expected float32 \(\*, 3\), got float64"),
        ({"bias": GAIN[:2]}, r"bias: expected float32 \(3,\), got float32 \(2,\)"),
        ({"max_abs": GAIN * np.nan}, r"max_abs: expected finite values, got nan at index \(0,\)"),
        ({"alpha": 1.5}, "alpha: expected a number from 0 to 1, got 1.5"),
        ({"alpha": float("nan")}, "alpha: expected a number from 0 to 1, got nan"),
        ({"x": X * 0, "gain": GAIN * 0, "weights": [W * np.inf]}, "weight 0: expected finite values, got nan|inf"),
        ({"gain": GAIN * 1e38, "max_abs": GAIN * 1e-38, "alpha": 1.0}, "scaled gain: expected finite values, got inf"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message), np.errstate(invalid="ignore"):
        quant.smooth_quant(**{"x": X, "weights": [W], "gain": GAIN} | arguments)
