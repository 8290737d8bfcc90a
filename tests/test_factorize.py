"""Low-rank factors against LAPACK in float64."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from petrain import lowrank
from petrain.lowrank import Certificate, LowRank
from reference import lowrank as reference
from svd_cases import SPECTRA, bits, named, of_rank, with_spectrum, with_threads

factorize = partial(lowrank.factorize, force=True)  # of any rank


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


def test_the_number_of_threads_changes_no_bit_of_factors():
    w = np.random.default_rng(2).standard_normal((150, 330)).astype(np.float32)
    for criterion in ({"rank": 20}, {"energy": 0.6}, {"rel_error": 0.5}):
        f, *others = [with_threads(n, lambda c=criterion: factorize(w, **c)) for n in (1, 2, 3)]
        for other in others:
            assert bits((other.a, other.b, other.dense())) == bits((f.a, f.b, f.dense()))
            assert other.rel_error == f.rel_error


# Bad input

GOOD = np.eye(4, 3, dtype=np.float32)


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
