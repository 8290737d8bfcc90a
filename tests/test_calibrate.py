"""The ranges that observers choose, against tests/reference/calibrate.py, which holds all samples in memory."""

import numpy as np
import pytest
from calibrate_cases import check_params, observed
from petrain import quant
from reference import calibrate as reference
from reference import quant as reference_quant

WIDTH = 2.0**-9  # of a bin, relative to its lower edge
SCHEMES = ["symmetric", "asymmetric"]
SIZE = 30_000


def swish(x):
    return x / (1 + np.exp(-x))


def make(name):
    rng = np.random.default_rng(7)
    normal = rng.standard_normal(SIZE)
    return {
        "gaussian": lambda: normal,
        "laplace": lambda: rng.laplace(size=SIZE),
        "relu": lambda: np.maximum(normal, 0),
        "relu6": lambda: np.clip(3 * normal, 0, 6),
        "swish": lambda: swish(2 * normal),
        "all above zero": lambda: normal * 0.1 + 3,
        "outliers": lambda: np.append(normal, [50, -80, 60, 100]),
        "heavy tails": lambda: rng.standard_t(2.5, SIZE),
        "lognormal": lambda: rng.lognormal(0, 1.5, SIZE),
    }[name]().astype(np.float32)


DATA = ["gaussian", "laplace", "relu", "relu6", "swish", "all above zero", "outliers", "heavy tails", "lognormal"]


# MinMax and moving average


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", DATA)
def test_min_max(name, bits, scheme):
    x = make(name)
    observer = observed(quant.MinMaxObserver(bits, scheme), *np.array_split(x, 5))
    assert observer.range() == reference.extremes(x)
    assert observer.count == x.size
    check_params(observer, *observer.range())


@pytest.mark.parametrize(
    "shape", [(4,), (5, 3), (2, 7, 700), (3, 2, 5, 4), (2, 40_000), (40_000, 2), (99_999, 1), (1, 1)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_min_max_of_channels(shape, dtype, threads, rng):
    first, second = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    for axis in range(-len(shape), len(shape)):
        for count in (1, 2, 3):
            threads(count)
            observer = quant.MinMaxObserver(axis=axis)
            observer.observe(first)
            observer.observe(second)
            both = np.stack([first, second])
            low, high = reference.extremes(both, axis + 1 if axis >= 0 else axis)
            assert np.array_equal(observer.range()[0], low)
            assert np.array_equal(observer.range()[1], high)
    params = observer.qparams()
    expected = [reference_quant.range_params(a, b, 8, "asymmetric") for a, b in zip(low, high, strict=True)]
    assert params.scale.dtype == np.float32
    assert params.zero_point.dtype == np.int8
    assert [*zip(params.scale.tolist(), params.zero_point.tolist(), strict=True)] == expected
    assert params.axis == observer.axis


@pytest.mark.parametrize("constant", [0.01, 0.3, 1.0])
def test_moving_average(constant, rng):
    arrays = [rng.standard_normal(50).astype(np.float32) * scale for scale in (1, 5, 0.1, 3)]
    observer = quant.MovingAverageObserver(averaging_constant=constant)
    for x in arrays:
        observer.observe(x)
    np.testing.assert_allclose(observer.range(), reference.moving_average(arrays, constant), rtol=1e-14)
    check_params(observer, *observer.range())
    if constant == 1:
        assert observer.range() == reference.extremes(arrays[-1])


def test_moving_average_of_channels(rng):
    arrays = [rng.standard_normal((4, 30)).astype(np.float32) for _ in range(5)]
    observer = quant.MovingAverageObserver(axis=0, averaging_constant=0.2)
    for x in arrays:
        observer.observe(x)
    for channel in range(4):
        expected = reference.moving_average([x[channel] for x in arrays], 0.2)
        np.testing.assert_allclose([end[channel] for end in observer.range()], expected, rtol=1e-14)


def test_moving_average_is_that_of_torch(rng):
    observers = pytest.importorskip("torch.ao.quantization.observer")
    torch = pytest.importorskip("torch")
    theirs, ours = observers.MovingAverageMinMaxObserver(), quant.MovingAverageObserver()
    for _ in range(20):
        x = torch.from_numpy(rng.standard_normal(100).astype(np.float32))
        theirs(x)
        ours.observe(x)
    np.testing.assert_allclose(ours.range(), (theirs.min_val.item(), theirs.max_val.item()), rtol=1e-6)


# Percentile


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("percent", [100, 99.99, 99, 60])
@pytest.mark.parametrize("name", DATA)
def test_percentile(name, percent, scheme):
    x = make(name)
    observer = observed(quant.PercentileObserver(scheme=scheme, percentile=percent), *np.array_split(x, 5))
    low, high = observer.range()
    for end, exact in zip((-low, high), np.multiply(reference.percentile(x, percent, scheme), (-1, 1)), strict=True):
        assert exact <= end <= exact + abs(exact) * WIDTH
    outside = (np.abs(x) > high) if scheme == "symmetric" else (x < low) | (x > high)
    assert np.count_nonzero(outside) <= (100 - percent) / 100 * x.size
    if percent == 100 and scheme == "asymmetric":
        assert (low, high) == reference.extremes(x)
    check_params(observer, low, high)


# MSE


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", DATA)
def test_mse_is_as_good_as_a_search_on_the_samples(name, bits, scheme):
    x = make(name)
    observer = observed(quant.MSEObserver(bits, scheme), *np.array_split(x, 5))
    error = reference.mean_squared_error(x, *observer.range(), bits, scheme)
    best = reference.mse(x, bits, scheme, 300 if scheme == "symmetric" else 30)
    assert error <= 1.01 * best
    assert error <= reference.mean_squared_error(x, *reference.extremes(x), bits, scheme) * (1 + 1e-3)
    check_params(observer, *observer.range())


@pytest.mark.parametrize("name", DATA)
def test_mse_is_no_worse_than_the_histogram_of_torch(name):
    observers = pytest.importorskip("torch.ao.quantization.observer")
    torch = pytest.importorskip("torch")
    x = make(name)
    ours, theirs = quant.MSEObserver(), observers.HistogramObserver(dtype=torch.qint8, qscheme=torch.per_tensor_affine)
    for part in np.array_split(x, 5):
        ours.observe(part)
        theirs(torch.from_numpy(part))
    scale, zero_point = (value.item() for value in theirs.calculate_qparams())
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    error = reference.mean_squared_error(x, *ours.range(), 8, "asymmetric")
    assert error <= 1.005 * reference.mean_squared_error(x, low, high, 8, "asymmetric")


# Entropy


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", DATA)
def test_entropy_is_near_the_search_on_the_samples(name, bits):
    x = make(name)
    low, high = observed(quant.EntropyObserver(bits, "symmetric"), *np.array_split(x, 5)).range()
    assert low == -high
    thresholds, divergences = reference.divergences(x, bits)
    chosen = np.interp(high, thresholds, divergences)
    assert chosen <= divergences.min() * 1.25 + 5e-4


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", DATA)
def test_asymmetric_entropy_cuts_within_the_extremes(name, bits):
    x = make(name)
    low, high = observed(quant.EntropyObserver(bits), *np.array_split(x, 5)).range()
    least, most = reference.extremes(x)
    end = max(-low, high)
    assert least <= low <= high <= most
    assert low == max(least, -end)
    assert high == min(most, end)
    assert end >= max(-least, most) / 16
    assert np.mean((x < low) | (x > high)) < 0.03


def test_entropy_leaves_out_a_far_outlier():
    x = np.append(make("laplace"), np.float32(1000))
    for scheme in SCHEMES:
        assert observed(quant.EntropyObserver(8, scheme), *np.array_split(x, 5)).range()[1] == 62.5


def test_zeros_do_not_change_entropy():
    x = make("gaussian")
    with_zeros = np.append(x, np.zeros(5 * x.size, np.float32))
    for scheme in SCHEMES:
        assert (
            observed(quant.EntropyObserver(8, scheme), *np.array_split(with_zeros, 5)).range()
            == observed(quant.EntropyObserver(8, scheme), *np.array_split(x, 5)).range()
        )
