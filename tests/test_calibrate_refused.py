"""What observers refuse, and that nothing has changed then."""

import ml_dtypes
import numpy as np
import pytest
from calibrate_cases import OBSERVERS, every_octave, observed, same_state
from petrain import quant

pytestmark = pytest.mark.once


@pytest.fixture
def x(rng):
    return every_octave(rng)


@pytest.mark.parametrize("kind", OBSERVERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -np.float32(np.nan)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_sample_that_is_not_finite_changes_nothing(kind, value, dtype, x, threads):
    threads(2)
    observer = observed(kind(), x)
    before = observer.state_dict()
    bad = np.ones((3, 40_000), ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    bad[1, 7] = bad[2, 3] = value
    text = "nan" if np.isnan(value) else "inf" if value > 0 else "-inf"
    with pytest.raises(ValueError, match=rf"x: expected finite values, got {text} at index \(1, 7\)"):
        observer.observe(bad)
    assert same_state(observer.state_dict(), before)
    observer.observe(x)  # and leaves nothing behind that is counted later
    assert same_state(observer.state_dict(), observed(kind(), x, x).state_dict())


ONES = np.ones((2, 3), np.float32)


@pytest.mark.parametrize("kind", OBSERVERS)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (ONES.astype(np.float64), ValueError, "x: expected dtype float32, float16 or bfloat16, got float64"),
        (ONES.astype(np.int8), ValueError, "x: expected dtype float32, float16 or bfloat16, got int8"),
        (ONES[:0], ValueError, r"x: expected at least one element, got shape \(0, 3\)"),
        (ONES.T, ValueError, "x: expected a C-contiguous array"),
        ([1.0], TypeError, "x: expected a NumPy array or a CPU tensor, got list"),
    ],
)
def test_what_is_no_sample(kind, x, error, message):
    observer = kind()
    with pytest.raises(error, match=message):
        observer.observe(x)
    assert observer.count == 0


def test_channels_that_do_not_fit():
    for kind in (quant.MinMaxObserver, quant.MovingAverageObserver):
        observer = observed(kind(axis=1), ONES)
        with pytest.raises(ValueError, match="expected 3 channels, as before, got 2"):
            observer.observe(ONES.T.copy())
        with pytest.raises(IndexError, match=r"axis: expected -1 to 0 for shape \(3,\), got 1"):
            observer.observe(ONES[0])
        assert observer.count == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: quant.MSEObserver(bits=5), "bits: expected 8 or 4, got 5"),
        (lambda: quant.MinMaxObserver(scheme="affine"), 'scheme: expected "symmetric" or "asymmetric", got "affine"'),
        (lambda: quant.PercentileObserver(percentile=0), "percentile: expected more than 0 and at most 100, got 0"),
        (lambda: quant.PercentileObserver(percentile=np.nan), "percentile: expected more than 0"),
        (lambda: quant.MovingAverageObserver(averaging_constant=0), "averaging_constant: expected more than 0"),
        (lambda: quant.MovingAverageObserver(averaging_constant=1.5), "averaging_constant: .* got 1.5"),
    ],
)
def test_settings_that_are_none(make, message):
    with pytest.raises(ValueError, match=message):
        make()


HISTOGRAM = observed(quant.MSEObserver(), np.array([-2, 0, 0, 1, 3], np.float32))
MIN_MAX = observed(quant.MinMaxObserver(axis=0), ONES)
AVERAGE = observed(quant.MovingAverageObserver(), ONES)
INT32, INT64 = np.int32, np.int64
ONE_BIN = np.array([65024], INT32)  # of 1.0


@pytest.mark.parametrize(
    ("observer", "change", "message"),
    [
        (HISTOGRAM, {"observer": "EntropyObserver"}, "expected observer 'MSEObserver', got 'EntropyObserver'"),
        (HISTOGRAM, {"version": 2}, "expected version 1, got 2"),
        (HISTOGRAM, {"version": True}, "expected version 1, got True"),
        (HISTOGRAM, {"bits": 4}, "expected bits 8, got 4"),
        (HISTOGRAM, {"more": 4}, "expected the keys"),
        (HISTOGRAM, {"bins": None}, "bins: expected a NumPy array"),
        (HISTOGRAM, {"bins": HISTOGRAM.state_dict()["bins"].astype(INT64)}, "bins: expected one dimension of int32"),
        (HISTOGRAM, {"bins": HISTOGRAM.state_dict()["bins"][None]}, "bins: expected one dimension of int32"),
        (HISTOGRAM, {"bins": HISTOGRAM.state_dict()["bins"][::-1].copy()}, "bins: expected ascending numbers"),
        (HISTOGRAM, {"bins": HISTOGRAM.state_dict()["bins"][1:].copy()}, "expected 3 counts, one for each bin, got 4"),
        (HISTOGRAM, {"bins": ONE_BIN * -1, "counts": np.ones(1, INT64)}, "bins: expected numbers of bins with finite"),
        (HISTOGRAM, {"bins": ONE_BIN * 0 + 2**18, "counts": np.ones(1, INT64)}, "bins: expected numbers of bins with"),
        (HISTOGRAM, {"bins": ONE_BIN * 0 + 255 * 512, "counts": np.ones(1, INT64)}, "bins: expected numbers of bins"),
        (HISTOGRAM, {"bins": ONE_BIN * 0 + 511 * 512, "counts": np.ones(1, INT64)}, "bins: expected numbers of bins"),
        (HISTOGRAM, {"bins": ONE_BIN * 0 + 256 * 512, "counts": np.ones(1, INT64)}, "bins: expected numbers of bins"),
        (
            HISTOGRAM,
            {"counts": np.array([1, 2, 0, 1], INT64)},
            "counts: expected positive ones, got another at index 2",
        ),
        (HISTOGRAM, {"counts": np.array([1, 2, -1, 1], INT64)}, "counts: expected positive ones"),
        (HISTOGRAM, {"counts": np.array([1, 2, 3, 2**62], INT64)}, r"expected at most 2\^62 numbers in all"),
        (HISTOGRAM, {"low": -2.5}, "extremes: expected float32 numbers in the outer bins, got -2.5 and 3"),
        (HISTOGRAM, {"low": -2.0000000001}, "extremes: expected float32 numbers"),
        (HISTOGRAM, {"high": 2.999}, "extremes: expected float32 numbers"),
        (HISTOGRAM, {"high": np.nan}, "extremes: expected the ends within float32"),
        (HISTOGRAM, {"high": 1e39}, "extremes: expected the ends within float32"),
        (HISTOGRAM, {"high": "3"}, "incompatible constructor arguments"),
        (HISTOGRAM, {"bins": ONE_BIN[:0], "counts": np.ones(0, INT64)}, "extremes: expected float32 numbers"),
        (MIN_MAX, {"axis": 1}, "expected axis 0, got 1"),
        (MIN_MAX, {"low": np.array([1.0, 2.0])}, "range: expected the ends within float32, the lower one first"),
        (MIN_MAX, {"low": np.array([np.nan, 1.0])}, "range: expected the ends within float32"),
        (MIN_MAX, {"high": np.array([np.inf, 1.0])}, "range: expected the ends within float32"),
        (MIN_MAX, {"low": np.ones(1)}, "high: expected 1 numbers as in low, got 2"),
        (MIN_MAX, {"low": np.ones(2, np.float32)}, "low: expected one dimension of float64"),
        (MIN_MAX, {"count": 0}, "expected no range after 0 numbers, got 2"),
        (MIN_MAX, {"count": -1}, r"count: expected 0 to 2\^62, got -1"),
        (MIN_MAX, {"count": 2**63}, "incompatible constructor arguments"),
        (MIN_MAX, {"count": 1.5}, "incompatible constructor arguments"),
        (AVERAGE, {"low": np.ones(2), "high": np.ones(2)}, "expected one range after 6 numbers, got 2"),
        (AVERAGE, {"arrays": 0}, r"arrays: expected 1 to 2\^62, got 0"),
        (AVERAGE, {"arrays": 7}, "arrays: expected at most 6, the numbers in them, got 7"),
        (AVERAGE, {"averaging_constant": 0.5}, "expected averaging_constant 0.01, got 0.5"),
    ],
)
def test_hostile_states_are_refused(observer, change, message):
    before = observer.state_dict()
    with pytest.raises(ValueError, match=f"state_dict: .*{message}"):
        observer.load_state_dict({**before, **change})
    assert same_state(observer.state_dict(), before)


def test_a_state_without_a_part_is_refused():
    state = HISTOGRAM.state_dict()
    del state["counts"]
    with pytest.raises(ValueError, match="state_dict: expected the keys"):
        HISTOGRAM.load_state_dict(state)
    with pytest.raises(TypeError, match="state_dict: expected a dict, got list"):
        HISTOGRAM.load_state_dict([1])


def test_counts_that_would_overflow_are_not_merged():
    state = HISTOGRAM.state_dict() | {"counts": np.array([1, 2**62 - 10, 1, 1], INT64)}
    observer = quant.MSEObserver()
    observer.load_state_dict(state)
    with pytest.raises(ValueError, match=r"expected at most 2\^62 numbers in all, got 4611686018427387897 and"):
        observer.merge(observer)
    assert same_state(observer.state_dict(), state)
    assert np.isfinite(observer.range()).all()


@pytest.mark.parametrize(
    ("own", "other", "error", "message"),
    [
        (quant.MSEObserver(), quant.EntropyObserver(), TypeError, "other: expected MSEObserver, got EntropyObserver"),
        (quant.MSEObserver(), quant.MSEObserver(4), ValueError, "other: expected bits 8, got 4"),
        (quant.MSEObserver(), quant.MSEObserver(8, "symmetric"), ValueError, "other: expected scheme 'asymmetric'"),
        (quant.PercentileObserver(), quant.PercentileObserver(percentile=99), ValueError, "expected percentile 99.99"),
        (quant.MinMaxObserver(axis=0), quant.MinMaxObserver(), ValueError, "other: expected axis 0, got None"),
        (
            quant.MovingAverageObserver(),
            quant.MovingAverageObserver(averaging_constant=0.1),
            ValueError,
            "other: expected averaging_constant 0.01, got 0.1",
        ),
        (
            observed(quant.MinMaxObserver(axis=0), np.ones((2, 3), np.float32)),
            observed(quant.MinMaxObserver(axis=0), np.ones((4, 3), np.float32)),
            ValueError,
            "expected 2 channels, as before, got 4",
        ),
    ],
)
def test_what_does_not_fit_is_not_merged(own, other, error, message):
    before = own.state_dict()
    with pytest.raises(error, match=message):
        own.merge(other)
    assert same_state(own.state_dict(), before)


def test_settings_may_be_integers_of_numpy(rng):
    x = rng.standard_normal((4, 3)).astype(np.float32)
    own = observed(quant.MinMaxObserver(np.int64(8), axis=np.int32(1)), x)
    other = observed(quant.MinMaxObserver(8, axis=1), x)
    assert repr(own) == repr(other)
    own.merge(other)
    other.load_state_dict(own.state_dict())
    assert other.count == 24
    for settings in ({"bits": 8.0}, {"axis": 1.0}):
        with pytest.raises(TypeError):
            quant.MinMaxObserver(**settings)
