"""The observer of a layer's inputs: equal bytes whatever the pieces, the threads and the breaks."""

import pickle

import numpy as np
import pytest
from petrain.quant import HessianObserver


def observed(*pieces):
    observer = HessianObserver(pieces[0].shape[-1])
    for x in pieces:
        observer.observe(x)
    return observer


def same(a, b):
    return (a.count, a.hessian.tobytes(), a.mean.tobytes()) == (b.count, b.hessian.tobytes(), b.mean.tobytes())


@pytest.mark.parametrize("k", [1, 7, 8, 9, 33, 100, 257])
@pytest.mark.parametrize("rows", [1, 255, 256, 257, 1000])
def test_sums(k, rows, rng):
    x = rng.standard_normal((rows, k), np.float32) + np.float32(0.5)
    observer, wide = observed(x), x.astype(np.float64)
    assert observer.count == rows
    assert observer.in_features == k
    assert np.allclose(observer.hessian, wide.T @ wide, rtol=1e-12, atol=1e-10)
    assert np.array_equal(observer.hessian, observer.hessian.T)
    assert np.allclose(observer.mean, wide.mean(axis=0), rtol=1e-12, atol=1e-13)


def test_pieces_and_shapes_do_not_matter(rng):
    x = rng.standard_normal((1000, 24), np.float32)
    whole = observed(x)
    assert same(whole, observed(*np.split(x, [1, 2, 100, 356, 700, 701])))
    assert same(whole, observed(*x))
    assert same(whole, observed(x.reshape(10, 4, 25, 24)))
    assert same(whole, observed(x[:0], x, x[:0]))


def test_threads_do_not_matter(rng, threads):
    for k in (40, 300, 517):
        x = rng.standard_normal((600, k), np.float32)
        threads(1)
        one = observed(x)
        for count in (2, 3):
            threads(count)
            assert same(one, observed(x))


def test_reading_in_between_changes_nothing(rng):
    x = rng.standard_normal((600, 12), np.float32)
    observer = HessianObserver(12)
    for part in np.split(x, 6):
        observer.observe(part)
        _ = observer.hessian, observer.mean, observer.state_dict()
    assert same(observer, observed(x))


def test_a_break_changes_nothing(rng):
    x = rng.standard_normal((900, 20), np.float32)
    for cut in (0, 1, 256, 300):
        first = observed(x[:cut])
        resumed = HessianObserver(20)
        resumed.load_state_dict(first.state_dict())
        copy = pickle.loads(pickle.dumps(first))
        for other in (resumed, copy):
            assert same(other, first)
            other.observe(x[cut:])
            assert same(other, observed(x))


def test_merging(rng):
    x = rng.standard_normal((1000, 20), np.float32)
    first, second = observed(x[:400]), observed(x[400:])
    first.merge(second)
    assert first.count == 1000
    assert np.allclose(first.hessian, observed(x).hessian, rtol=1e-12, atol=1e-11)
    assert np.allclose(first.mean, observed(x).mean, rtol=1e-12, atol=1e-14)
    second.merge(second)
    assert second.count == 1200
    assert np.allclose(second.hessian, 2 * observed(x[400:]).hessian, rtol=1e-12, atol=1e-11)
    empty = HessianObserver(20)
    empty.merge(observed(x))
    assert same(empty, observed(x))


def test_huge_and_tiny_inputs(rng):
    x = rng.standard_normal((300, 6), np.float32)
    for size in (1e38, 1e-38):
        h = observed(x * np.float32(size / 10)).hessian
        assert np.isfinite(h).all()
        assert np.allclose(h / (size / 10) ** 2, observed(x).hessian, rtol=1e-4, atol=1e-2)


def test_nothing_seen():
    observer = HessianObserver(3)
    assert observer.count == 0
    assert not observer.hessian.any()
    assert not observer.mean.any()
    assert repr(observer) == "HessianObserver(in_features=3, count=0)"


def test_what_does_not_fit_is_refused_and_nothing_is_added(rng):
    x = rng.standard_normal((10, 4), np.float32)
    observer = observed(x)
    bad = x.copy()
    bad[9, 2] = np.inf
    for array, message in [
        (bad, r"x: expected finite values, got inf at index \(9, 2\)"),
        (x.astype(np.float64), "x: expected dtype float32, got float64"),
        (x[:, :3].copy(), r"x: expected 4 input features in the last dimension, got shape \(10, 3\)"),
        (x.T, "x: expected a C-contiguous array"),
        (np.array(1, np.float32), r"x: expected 4 input features.* got shape \(\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            observer.observe(array)
    with pytest.raises(ValueError, match="other: expected 4 input features, got 5"):
        observer.merge(HessianObserver(5))
    with pytest.raises(TypeError, match="other: expected a HessianObserver, got ndarray"):
        observer.merge(x)
    assert same(observer, observed(x))
    for size in (0, -1, 2**20 + 1):
        with pytest.raises(ValueError, match=f"in_features: expected 1 to 1048576, got {size}"):
            HessianObserver(size)


def test_wrong_states_are_refused(rng):
    observer = observed(rng.standard_normal((300, 4), np.float32))
    state, before = observer.state_dict(), pickle.dumps(observer)
    crooked, negative = state["hessian"].copy(), state["hessian"].copy()
    crooked[0, 1] += 1
    negative[2, 2] = -1
    for change, message in [
        ({"hessian": crooked}, r"hessian: expected a symmetric matrix.* got another at \(0, 1\)"),
        ({"hessian": negative}, r"hessian: expected a symmetric matrix.* got another at \(2, 2\)"),
        ({"hessian": state["hessian"][:3]}, r"hessian: expected shape \(4, 4\), got \(3, 4\)"),
        ({"hessian": state["hessian"] * np.nan}, "hessian: expected finite values, got nan"),
        ({"sum": state["sum"].astype(np.float32)}, "sum: expected dtype float64, got float32"),
        ({"count": 299}, "pending: expected the rows of count 299 beyond a multiple of 256, got 44"),
        ({"count": -212}, "pending: expected the rows of count -212"),
        ({"count": 2**62 + 44}, "count: expected at most 2\\^62, got 4611686018427387948"),
        ({"count": 44}, "count: expected 256 rows or more beside the pending ones for sums that are not 0, got 0"),
        ({"count": 44, "hessian": np.zeros((4, 4))}, "count: expected 256 rows or more"),
        ({"pending": state["pending"] * np.nan}, "pending: expected finite values, got nan"),
    ]:
        with pytest.raises(ValueError, match=message):
            observer.load_state_dict({**state, **change})
    for wrong in (300.0, "300", None):
        with pytest.raises(TypeError, match="integer"):
            observer.load_state_dict({**state, "count": wrong})
    with pytest.raises(ValueError, match="state: expected 5 input features, got 4"):
        HessianObserver(5).load_state_dict(state)
    assert pickle.dumps(observer) == before


def test_rows_beyond_the_most_are_not_merged():
    full = observed(np.ones((256, 1), np.float32))
    full.load_state_dict({**full.state_dict(), "count": 2**62})
    before = pickle.dumps(full)
    with pytest.raises(ValueError, match=r"other: expected at most 2\^62 rows in all, got 4611686018427387904 and 46"):
        full.merge(full)
    assert pickle.dumps(full) == before
