"""Truncated SVD and factors against LAPACK in float64 on matrices whose spectrum is known."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import petrain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from petrain import lowrank
from petrain.lowrank import Certificate, LowRank, svd
from reference import lowrank as reference

factorize = partial(lowrank.factorize, force=True)  # of any rank

SPECTRA = {
    "fast": lambda i: i**-2.0,
    "slow": lambda i: i**-0.5,
    "clustered": lambda i: np.repeat([1.0, 0.3, 0.1, 0.03], -(-len(i) // 4))[: len(i)],
    "flat tail": lambda i: np.where(i <= 12, 1.0, 0.01),
    "flat": lambda i: np.ones(len(i)),
    "exponential": lambda i: 0.7**i,
}
SHAPES = [(96, 96), (200, 72), (72, 200), (513, 40)]
METHODS = ["full", "randomized"]


def with_spectrum(shape, s, seed=0):
    rng = np.random.default_rng(seed)
    r = min(shape)
    u = np.linalg.qr(rng.standard_normal((shape[0], r)))[0]
    v = np.linalg.qr(rng.standard_normal((shape[1], r)))[0]
    return ((u * s[:r]) @ v.T).astype(np.float32)


def named(shape, name):
    return with_spectrum(shape, SPECTRA[name](np.arange(1, min(shape) + 1)))


def of_rank(shape, rank):
    """Small integers: their rank is exact in float32."""
    rng = np.random.default_rng(rank)
    m, n = shape
    return (rng.integers(-3, 4, (m, rank)) @ rng.integers(-3, 4, (rank, n))).astype(np.float32)


def with_threads(count, call):
    before = petrain.get_num_threads()
    petrain.set_num_threads(count)
    try:
        return call()
    finally:
        petrain.set_num_threads(before)


def product(u, s, vt):
    return (u.astype(np.float64) * s) @ vt


def bits(arrays):
    return [array.tobytes() for array in arrays]


def check_form(a, k, result):
    """What holds for every decomposition, however good it is."""
    u, s, vt = result
    assert u.shape == (a.shape[0], k)
    assert s.shape == (k,)
    assert vt.shape == (k, a.shape[1])
    assert all(x.dtype == np.float32 for x in result)
    assert np.abs(u.T.astype(np.float64) @ u - np.eye(k)).max() < 1e-6
    assert np.abs(vt.astype(np.float64) @ vt.T - np.eye(k)).max() < 1e-6
    assert (s >= 0).all()
    assert (np.diff(s) <= 0).all()
    rows = np.abs(u).argmax(axis=0)
    assert (u[rows, np.arange(k)] > 0).all()


# The full method


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("shape", SHAPES)
def test_full_matches_lapack(shape, name):
    a = named(shape, name)
    for k in (1, 10, min(shape) // 2, min(shape)):
        result = svd(a, k, method="full")
        check_form(a, k, result)
        _, s, _ = reference.svd(a, k)
        np.testing.assert_allclose(result[1], s, rtol=0, atol=1e-7 * s[0])
        error = np.linalg.norm(a - product(*result))
        assert error <= reference.best_error(a, k) + 1e-6 * np.linalg.norm(a)


def test_full_gives_the_vectors_where_they_are_unique():
    a = with_spectrum((90, 60), 0.8 ** np.arange(60))
    u, _, vt = svd(a, 20, method="full")
    expected_u, _, expected_vt = reference.svd(a, 20)
    np.testing.assert_allclose(u, expected_u, rtol=0, atol=2e-6)
    np.testing.assert_allclose(vt, expected_vt, rtol=0, atol=2e-6)


# The randomized method. Bounds are on the excess error ‖A - Â‖ / ‖A - A_k‖ - 1.


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("shape", SHAPES)
def test_randomized_is_near_the_best(shape, name):
    a = named(shape, name)
    best = reference.best_error(a, 10)
    resolution = 1e-6 * np.linalg.norm(a)
    for seed in range(3):
        result = svd(a, 10, method="randomized", seed=seed)
        check_form(a, 10, result)
        assert np.linalg.norm(a - product(*result)) <= 1.002 * best + resolution
        _, s, _ = reference.svd(a, 10)
        np.testing.assert_allclose(result[1], s, rtol=0, atol=0.02 * s[0])


def test_iterations_are_what_makes_it_good():
    a = named((300, 300), "slow")
    best = reference.best_error(a, 30)
    excess = [np.linalg.norm(a - product(*svd(a, 30, 10, q, "randomized"))) / best - 1 for q in (0, 1, 2, 4)]
    assert excess[0] > 0.05  # without them it is not
    assert excess[0] > excess[1] > excess[2] > excess[3] > -1e-6
    assert excess[2] < 0.02
    assert excess[3] < 0.005


def test_oversampling_helps():
    a = named((300, 300), "slow")
    errors = [np.linalg.norm(a - product(*svd(a, 30, p, 1, "randomized"))) for p in (0, 10, 60)]
    assert errors[0] > errors[1] > errors[2]


def test_a_small_k_of_a_large_flat_matrix():
    """The first directions hold next to nothing of it, which must not be taken for having converged."""
    rng = np.random.default_rng(0)
    n, k = 1024, 4
    u, v = (np.linalg.qr(rng.standard_normal((n, k)))[0] for _ in range(2))
    a = (rng.standard_normal((n, n)) + 3 * np.sqrt(n) * u @ v.T).astype(np.float32)
    exact = np.linalg.svd(a, compute_uv=False)[:k]
    np.testing.assert_allclose(svd(a, k, method="randomized")[1], exact, rtol=0.01)


@pytest.mark.parametrize(
    "a",
    [
        with_spectrum((300, 300), np.repeat([1, 0.3, 0.1, 0.03], 75)),
        np.kron(np.eye(24), np.random.default_rng(0).standard_normal((16, 16))).astype(np.float32),
    ],
)
def test_a_singular_value_that_is_there_more_often_than_a_block_has_columns(a):
    exact = np.linalg.svd(a.astype(np.float64), compute_uv=False)[:40]
    got = svd(a, 40, method="randomized")
    check_form(a, 40, got)
    best, error = (
        np.sqrt((a.astype(np.float64) ** 2).sum() - (s.astype(np.float64) ** 2).sum()) for s in (exact, got[1])
    )
    assert error <= 1.002 * best


def test_more_steps_than_there_are_directions():
    a = named((80, 60), "slow")
    for options in ({"n_iter": 2**60}, {"oversample": 2**62}, {"oversample": 2**62, "method": "auto"}):
        s = svd(a, 5, **{"method": "randomized", **options})[1]
        np.testing.assert_allclose(s, np.arange(1, 6) ** -0.5, rtol=1e-5)


def test_randomized_with_all_directions_is_exact():
    a = named((60, 40), "slow")
    result = svd(a, 40, oversample=1000, method="randomized")
    check_form(a, 40, result)
    np.testing.assert_allclose(product(*result), a, rtol=0, atol=1e-6)


def test_auto_is_full_where_that_is_cheap_or_k_is_large():
    for shape, k in [((100, 100), 5), ((4000, 30), 2), ((300, 300), 100)]:
        a = named(shape, "slow")
        assert bits(svd(a, k)) == bits(svd(a, k, method="full"))
    a = named((300, 300), "slow")
    assert bits(svd(a, 10)) == bits(svd(a, 10, method="randomized"))


# Hard matrices, by both methods


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


# The same bits


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(300, 210), (210, 300), (5000, 9), (37, 41)])
def test_the_number_of_threads_changes_no_bit(shape, method):
    a = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    k = min(7, min(shape))
    first, *others = [with_threads(n, lambda: bits(svd(a, k, method=method))) for n in (1, 2, 3)]
    assert all(other == first for other in others)


def test_the_number_of_threads_changes_no_bit_of_factors():
    w = np.random.default_rng(2).standard_normal((150, 330)).astype(np.float32)
    for criterion in ({"rank": 20}, {"energy": 0.6}, {"rel_error": 0.5}):
        f, *others = [with_threads(n, lambda c=criterion: factorize(w, **c)) for n in (1, 2, 3)]
        for other in others:
            assert bits((other.a, other.b, other.dense())) == bits((f.a, f.b, f.dense()))
            assert other.rel_error == f.rel_error


def test_seeds():
    a = named((300, 300), "slow")
    once = bits(svd(a, 10, method="randomized", seed=5))
    assert bits(svd(a, 10, method="randomized", seed=5)) == once
    assert bits(svd(a, 10, method="randomized", seed=6)) != once
    assert bits(svd(a, 10, method="randomized", seed=2**64 - 1)) != once


def test_the_full_method_gives_the_same_bits_on_every_instruction_set():
    code = (
        "import hashlib, numpy as np, petrain; a = np.random.default_rng(0).standard_normal((90, 70)).astype('f4');"
        "f = petrain.lowrank.factorize(a, rel_error=0.3, force=True);"
        "h = b''.join(x.tobytes() for x in (*petrain.lowrank.svd(a, 9, method='full'), f.a, f.b));"
        "print(hashlib.sha256(h).hexdigest(), f.rel_error)"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PETRAIN_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for isa in petrain.cpu_info()["available"]
    }
    assert len(printed) == 1


def test_the_input_is_left_alone():
    a = named((40, 30), "slow")
    before = a.copy()
    a.flags.writeable = False
    svd(a, 3)
    factorize(a, rank=3)
    assert (a == before).all()


# Factors


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("shape", [(96, 96), (200, 72), (72, 200)])
@pytest.mark.parametrize(
    "criterion", [{"energy": 0.5}, {"energy": 0.9}, {"energy": 0.999}, {"rel_error": 0.5}, {"rel_error": 1e-3}]
)
def test_factorize_meets_the_criterion_with_the_smallest_rank(shape, name, criterion):
    w = named(shape, name)
    f = factorize(w, **criterion)
    assert f.rel_error == pytest.approx(reference.relative_error(w, f.a, f.b), rel=1e-9, abs=1e-12)
    allowed = criterion.get("rel_error", np.sqrt(1 - criterion.get("energy", 1)))
    assert f.rel_error <= allowed * (1 + 1e-12)
    assert f.energy >= 1 - allowed**2 - 1e-12
    if f.rank > 1:
        assert factorize(w, rank=f.rank - 1).rel_error > allowed
        assert reference.best_error(w, f.rank - 1) / np.linalg.norm(w.astype(np.float64)) > allowed * (1 - 1e-9)


@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31), st.floats(1e-5, 0.999), st.sampled_from([1, 3, 12])
)
def test_factorize_against_the_reference(m, n, seed, rel_error, rank):
    rng = np.random.default_rng(seed)
    w = (rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n))).astype(np.float32)
    f = factorize(w, rel_error=rel_error)
    assert f.rel_error <= rel_error
    assert f.rank == reference.smallest_rank(w, rel_error=rel_error)


def test_factors_share_the_singular_values_evenly():
    w = named((80, 50), "slow")
    f = factorize(w, rank=10)
    _, s, _ = reference.svd(w, 10)
    np.testing.assert_allclose(f.a.T @ f.a, np.diag(s), rtol=0, atol=1e-6)
    np.testing.assert_allclose(f.b @ f.b.T, np.diag(s), rtol=0, atol=1e-6)
    assert f.a.shape == (80, 10)
    assert f.b.shape == (10, 50)
    assert f.nbytes == 4 * (800 + 500)
    assert isinstance(f, LowRank)
    assert repr(f) == f"LowRank(shape=(80, 50), rank=10, rel_error={f.rel_error:.3g})"
    np.testing.assert_allclose(f.dense(), f.a @ f.b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("criterion", [{"energy": 1.0}, {"rel_error": 0.0}, {"rel_error": 1e-9}])
def test_a_criterion_that_float32_cannot_meet_gives_the_rank_without_rounding(criterion):
    assert factorize(named((60, 40), "slow"), **criterion).rank == 40
    f = factorize(of_rank((60, 40), 6), **criterion)
    assert f.rank == 6
    assert 0 < f.rel_error < 2e-7


def test_where_rounding_breaks_the_criterion_another_rank_is_taken():
    w = with_spectrum((40, 40), np.where(np.arange(40) < 3, 1, 3e-7))
    target = reference.best_error(w, 20) / np.linalg.norm(w.astype(np.float64)) * (1 + 1e-6)
    assert reference.smallest_rank(w, rel_error=target) == 20
    assert factorize(w, rank=20).rel_error > target
    f = factorize(w, rel_error=target)
    assert f.rel_error <= target
    assert 20 < f.rank < 40
    assert factorize(w, rank=f.rank - 1).rel_error > target


@pytest.mark.parametrize("criterion", [{"rank": 1}, {"rank": 3}, {"energy": 1.0}, {"rel_error": 0.0}])
def test_factors_of_zeros(criterion):
    f = factorize(np.zeros((3, 5), np.float32), **criterion)
    assert f.rank == criterion.get("rank", 1)
    assert not f.a.any()
    assert not f.b.any()
    assert f.rel_error == 0
    assert f.energy == 1
    assert not np.signbit(f.dense()).any()


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e30, 1e38])
def test_factors_of_huge_and_tiny_values(scale):
    w = (named((40, 30), "fast").astype(np.float64) * scale).astype(np.float32)
    f = factorize(w, rel_error=0.05)
    assert f.rel_error <= 0.05
    assert f.rel_error == pytest.approx(reference.relative_error(w, f.a, f.b), rel=1e-9)
    assert f.rank == reference.smallest_rank(w, rel_error=0.05)


# Bad input

GOOD = np.eye(4, 3, dtype=np.float32)


def holding(value):
    a = np.zeros((200, 300), np.float32)
    a[123, 45] = value
    return a


@pytest.mark.parametrize(
    "call", [lambda a: svd(a, 1), lambda a: factorize(a, rank=1), lambda a: factorize(a, energy=1)]
)
@pytest.mark.parametrize(
    ("a", "error", "message"),
    [
        (np.eye(3), ValueError, "expected dtype float32, got float64"),
        (np.eye(3, dtype=np.int8), ValueError, "expected dtype float32, got int8"),
        (np.eye(3, dtype=np.float16), ValueError, "expected dtype .*, got float16"),
        (np.eye(3, dtype=">f4"), ValueError, "expected native byte order, got >f4"),
        (np.ones((3, 4), np.float32).T, ValueError, "expected a C-contiguous array, got strides"),
        (np.ones((4, 4), np.float32)[:, ::2], ValueError, "expected a C-contiguous array, got strides"),
        (np.ones(3, np.float32), ValueError, r"expected a matrix that is not empty, got shape \(3,\)"),
        (np.float32([[[1]]]), ValueError, r"expected a matrix that is not empty, got shape \(1, 1, 1\)"),
        (np.zeros((0, 3), np.float32), ValueError, r"expected a matrix that is not empty, got shape \(0, 3\)"),
        (np.zeros((3, 0), np.float32), ValueError, r"expected a matrix that is not empty, got shape \(3, 0\)"),
        (holding(np.nan), ValueError, r"expected finite values, got -?nan at \(123, 45\)"),
        (holding(np.inf), ValueError, r"expected finite values, got inf at \(123, 45\)"),
        (holding(-np.inf), ValueError, r"expected finite values, got -inf at \(123, 45\)"),
        ([[1.0]], TypeError, "expected a NumPy array or a CPU tensor, got list"),
        (None, TypeError, "expected a NumPy array or a CPU tensor, got NoneType"),
    ],
)
def test_bad_arrays(call, a, error, message):
    with pytest.raises(error, match=message):
        call(a)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 0}, ValueError, r"k: expected 1 to 3 for shape \(4, 3\), got 0"),
        ({"k": -1}, ValueError, r"k: expected 1 to 3 for shape \(4, 3\), got -1"),
        ({"k": 4}, ValueError, r"k: expected 1 to 3 for shape \(4, 3\), got 4"),
        ({"k": 2**70}, ValueError, "k: expected an integer from"),
        ({"k": 1.0}, TypeError, "k: expected an integer, got 1.0"),
        ({"k": 1, "oversample": -1}, ValueError, "oversample: expected at least 0, got -1"),
        ({"k": 1, "n_iter": -1}, ValueError, "n_iter: expected at least 0, got -1"),
        ({"k": 1, "n_iter": "many"}, ValueError, "n_iter: expected \"auto\" or an integer, got 'many'"),
        ({"k": 1, "n_iter": 2.5}, TypeError, "n_iter: expected an integer, got 2.5"),
        ({"k": 1, "n_iter": None}, TypeError, "n_iter: expected an integer, got None"),
        ({"k": 1, "method": "fast"}, ValueError, 'method: expected "auto", "full" or "randomized", got "fast"'),
        ({"k": 1, "seed": -1}, ValueError, "seed: expected an integer from 0 to 18446744073709551615, got -1"),
        ({"k": 1, "seed": 2**64}, ValueError, "seed: expected an integer from 0 to"),
        ({"k": 1, "seed": "a"}, TypeError, "seed: expected an integer, got 'a'"),
    ],
)
def test_bad_options(arguments, error, message):
    with pytest.raises(error, match=message):
        svd(GOOD, **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "exactly one of rank, energy and rel_error, got rank none, energy none, rel_error none"),
        ({"rank": 1, "energy": 0.5}, ValueError, "exactly one .* got rank 1, energy 0.5, rel_error none"),
        ({"energy": 0.5, "rel_error": 0.1}, ValueError, "exactly one"),
        ({"rank": 0}, ValueError, r"rank: expected 1 to 3 for shape \(4, 3\), got 0"),
        ({"rank": 4}, ValueError, r"rank: expected 1 to 3 for shape \(4, 3\), got 4"),
        ({"rank": 2.0}, TypeError, "rank: expected an integer, got 2.0"),
        ({"energy": 0.0}, ValueError, r"energy: expected a number in \(0, 1\], got 0"),
        ({"energy": 1.01}, ValueError, r"energy: expected a number in \(0, 1\], got 1.01"),
        ({"energy": np.nan}, ValueError, r"energy: expected a number in \(0, 1\], got nan"),
        ({"energy": "most"}, TypeError, "energy: expected a number, got 'most'"),
        ({"rel_error": 1.0}, ValueError, r"rel_error: expected a number in \[0, 1\), got 1"),
        ({"rel_error": -0.1}, ValueError, r"rel_error: expected a number in \[0, 1\), got -0.1"),
        ({"rel_error": np.nan}, ValueError, r"rel_error: expected a number in \[0, 1\), got nan"),
        ({"rank": 1, "seed": -1}, ValueError, "seed: expected an integer from 0 to"),
    ],
)
def test_bad_criteria(arguments, error, message):
    with pytest.raises(error, match=message):
        factorize(GOOD, **arguments)


def test_products_of_mismatched_factors_are_refused():
    with pytest.raises(ValueError, match=r"b: expected 3 rows for a of shape \(4, 3\), got shape \(4, 3\)"):
        LowRank(GOOD, GOOD, Certificate(0.0, 1.0)).dense()


# Beside torch


def test_beside_torch():
    torch = pytest.importorskip("torch")
    a = named((150, 120), "slow")
    _, expected, _ = torch.linalg.svd(torch.from_numpy(a))
    u, s, vt = svd(torch.from_numpy(a), 20, method="full")
    np.testing.assert_allclose(s, expected[:20].numpy(), rtol=2e-6)
    torch.manual_seed(0)
    tu, ts, tv = torch.svd_lowrank(torch.from_numpy(a), q=20, niter=2)
    theirs = np.linalg.norm(a - product(tu.numpy(), ts.numpy(), tv.numpy().T))
    assert np.linalg.norm(a - product(*svd(a, 20, n_iter=2, method="randomized"))) <= theirs
    np.testing.assert_allclose(product(u, s, vt), product(*reference.svd(a, 20)), rtol=0, atol=1e-6)
