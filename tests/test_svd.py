"""Truncated SVD against LAPACK in float64 on matrices whose spectrum is known."""

import os
import subprocess
import sys

import numpy as np
import petrain
import pytest
from petrain.lowrank import factorize, svd
from reference import lowrank as reference
from svd_cases import METHODS, SHAPES, SPECTRA, bits, check_form, named, product, with_spectrum, with_threads

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


# The same bits


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(300, 210), (210, 300), (5000, 9), (37, 41)])
def test_the_number_of_threads_changes_no_bit(shape, method):
    a = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    k = min(7, min(shape))
    first, *others = [with_threads(n, lambda: bits(svd(a, k, method=method))) for n in (1, 2, 3)]
    assert all(other == first for other in others)


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
