"""Truncated SVD of matrices that are hard: rank-deficient, zero, of extreme scales."""

import numpy as np
import pytest
from petrain.lowrank import svd
from reference import lowrank as reference
from svd_cases import METHODS, bits, check_form, named, of_rank, product, with_spectrum


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(80, 50), (50, 80), (64, 64)])
@pytest.mark.parametrize("rank", [1, 3, 20])
def test_rank_deficient(shape, rank, method):
    a = of_rank(shape, rank)
    for k in (1, rank, rank + 1, 2 * rank + 5, 50):
        result = svd(a, k, method=method)
        check_form(a, k, result)
        assert (result[1][rank:] <= 1e-6 * result[1][0]).all()
        if k >= rank:
            np.testing.assert_allclose(product(*result), a, rtol=0, atol=3e-6 * np.abs(a).max() * np.sqrt(rank))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (30, 20), (20, 30)])
def test_zero_matrix(shape, method):
    a = np.zeros(shape, np.float32)
    for k in {1, min(shape)}:
        result = svd(a, k, method=method)
        check_form(a, k, result)
        assert not result[1].any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 300), (300, 1)])
def test_vectors(shape, method):
    a = -np.arange(1, max(shape) + 1, dtype=np.float32).reshape(shape)
    u, s, vt = svd(a, 1, method=method)
    check_form(a, 1, (u, s, vt))
    np.testing.assert_allclose(s, [np.linalg.norm(a.astype(np.float64))], rtol=2e-7)
    np.testing.assert_allclose(product(u, s, vt), a, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exponent", [-140, -126, -100, -17, 17, 100, 120])
def test_scale_by_a_power_of_two(method, exponent):
    a = named((80, 60), "fast")
    a = np.where(np.abs(a) < 1e-3, np.float32(0), np.round(a, 2)).astype(np.float32)
    u, s, vt = svd(a, 5, method=method)
    scaled = np.ldexp(a, exponent)
    scaled_u, scaled_s, scaled_vt = svd(scaled, 5, method=method)
    check_form(scaled, 5, (scaled_u, scaled_s, scaled_vt))
    if exponent >= -100:  # no value is denormal: nothing is lost
        assert bits((u, vt)) == bits((scaled_u, scaled_vt))
        assert (scaled_s == np.ldexp(s, exponent)).all()
    else:
        assert (
            np.linalg.norm(scaled.astype(np.float64) - product(scaled_u, scaled_s, scaled_vt))
            <= 1.01 * (reference.best_error(scaled, 5)) + 2.0**-140
        )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e30, 1e-30, 3e37, 1e-38])
def test_huge_and_tiny_values(method, scale):
    a = (named((60, 60), "slow").astype(np.float64) * scale).astype(np.float32)
    result = svd(a, 10, method=method)
    check_form(a, 10, result)
    assert np.linalg.norm(a.astype(np.float64) - product(*result)) <= 1.002 * reference.best_error(a, 10)


@pytest.mark.parametrize("method", METHODS)
def test_values_far_apart(method):
    a = np.diag(np.float32([1e30, 1, 1e-30, 1e-45, 0, 0, 0, 0]))
    result = svd(a, 4, method=method)
    check_form(a, 4, result)
    assert result[1][0] == np.float32(1e30)


def test_too_large_for_float32():
    with pytest.raises(ValueError, match=r"singular values within float32, got 3.0\d*e\+39"):
        svd(np.full((10, 10), 3e38, np.float32), 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(200, 72), (72, 200)])
def test_transpose_gives_the_same_triplets(shape, method):
    a = with_spectrum(shape, 0.8 ** np.arange(min(shape)))
    u, s, vt = svd(a, 8, method=method)
    tu, ts, tvt = svd(np.ascontiguousarray(a.T), 8, method=method)
    np.testing.assert_allclose(s, ts, rtol=1e-6)
    np.testing.assert_allclose(product(u, s, vt), product(tu, ts, tvt).T, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(u * tvt.T, axis=0)), 1, rtol=1e-6)
