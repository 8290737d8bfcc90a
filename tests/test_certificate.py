"""Certificates of low-rank factors against exact fractions, and factors that know their inputs."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from petrain import _core, lowrank, quant
from petrain.lowrank import Certificate, certify
from reference import certificate as reference

factorize = partial(lowrank.factorize, force=True)  # of any rank


def random(shape, seed=0, scale=1.0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def observed(rows):
    observer = quant.HessianObserver(rows.shape[1])
    observer.observe(rows)
    return observer


def holds(bound, square):
    """Whether bound² >= square, both taken as exact, and not by more than 1%."""
    return Fraction(bound) ** 2 >= square and Fraction(bound) ** 2 <= square * Fraction(1.01) ** 2


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(1, 12),
    n=st.integers(1, 12),
    rank=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-18, 1e-6, 1.0, 1e6, 1e15]),
    closeness=st.sampled_from([0.0, 1.0, 1e-3, 1e-6]),
)
def test_never_less_than_the_exact_error_and_hardly_more(m, n, rank, seed, scale, closeness):
    a, b = random((m, rank), seed), random((rank, n), seed + 1)
    w = ((a.astype(np.float64) @ b + closeness * random((m, n), seed + 2)) * scale).astype(np.float32)
    a *= np.float32(scale)
    inputs = observed(random((2 * n, n), seed + 3))
    got = certify(w, a, b, inputs)
    square, outputs = reference.error_squares(w, a, b, inputs.hessian)
    assert holds(got.error, square) or (square == 0 and got.error <= 1e-12 * got.norm)
    assert Fraction(got.output_error) ** 2 >= outputs
    if closeness >= 1e-3:
        assert holds(got.output_error, outputs)
    assert certify(w, a, b) == Certificate(got.error, got.norm)


def test_of_every_factorization():
    w = random((40, 30))
    inputs = observed(random((100, 30), 1))
    for factors in (factorize(w, rank=5), factorize(w, rank=5, inputs=inputs)):
        square, _ = reference.error_squares(w, factors.a, factors.b)
        assert holds(factors.certificate.error, square)
        assert factors.rel_error == factors.certificate.rel_error
    assert factorize(w, rank=5).certificate.output_error is None
    assert factors.certificate == certify(w, factors.a, factors.b, inputs)


def test_quantized_factors_are_what_they_stand_for():
    w = random((40, 30))
    f = factorize(w, rank=5)
    a, b = quant.quantize(f.a), quant.quantize(f.b)
    assert certify(w, a, b) == certify(w, a.dequantize(), b.dequantize())
    assert certify(w, a, b).error > f.certificate.error


def test_zeros():
    zeros = np.zeros((3, 4), np.float32)
    f = factorize(zeros, rank=2)
    assert f.certificate == Certificate(0.0, 0.0)
    assert f.rel_error == 0


def test_all_that_is_there_is_lost():
    got = certify(np.zeros((2, 2), np.float32), np.ones((2, 1), np.float32), np.ones((1, 2), np.float32))
    assert got.error >= 2
    assert got.rel_error == np.inf


def test_damping_does_not_count_as_outputs():
    """Of H + λ the second input, which is always 0, is the larger part."""
    inputs = observed(np.tile(np.array([[1, 0]], np.float32), (100, 1)))
    f = factorize(np.diag([0.01, 1]).astype(np.float32), rel_error=0.2, inputs=inputs)
    assert f.certificate.rel_output_error <= 0.2


def correlated(count, n, seed=0):
    """Inputs of which few directions are large."""
    return (random((count, n), seed) * np.logspace(0, -3, n)) @ random((n, n), seed + 1)


def test_inputs_make_outputs_better_and_weights_worse():
    w = random((48, 64))
    inputs = observed(np.ascontiguousarray(correlated(500, 64), np.float32))
    plain, aware = factorize(w, rank=8), factorize(w, rank=8, inputs=inputs)
    of_plain = certify(w, plain.a, plain.b, inputs)
    assert aware.certificate.output_error < 0.5 * of_plain.output_error
    assert aware.certificate.error > plain.certificate.error


def test_they_are_the_best_in_their_norm():
    w, rows = random((20, 16)), np.ascontiguousarray(correlated(200, 16, 3), np.float32)
    inputs = observed(rows)
    for rank in (1, 4, 15):
        aware = factorize(w, rank=rank, inputs=inputs, damping=0.0)
        best = reference.best_output_error(w, inputs.hessian, rank)
        assert aware.certificate.output_error == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("criterion", [{"rel_error": 0.1}, {"energy": 0.99}])
def test_a_criterion_is_that_of_the_outputs(criterion):
    w = random((48, 64))
    inputs = observed(np.ascontiguousarray(correlated(500, 64), np.float32))
    f = factorize(w, **criterion, inputs=inputs, damping=1e-6)
    assert f.certificate.rel_output_error <= 0.1 * 1.01
    assert f.rank < factorize(w, **criterion).rank
    fewer = factorize(w, rank=f.rank - 1, inputs=inputs, damping=1e-6)
    assert fewer.certificate.rel_output_error > 0.1


def test_inputs_that_are_not_of_full_rank():
    w = random((20, 32))
    rows = random((8, 32), 1)
    f = factorize(w, rank=8, inputs=observed(rows))
    assert np.isfinite(f.a).all()
    assert np.isfinite(f.b).all()
    assert f.certificate.rel_output_error < 0.05  # 8 rows of inputs need no more than rank 8


def test_max_params_is_the_largest_rank_that_fits():
    w = random((40, 30))
    assert factorize(w, max_params=70).rank == 1
    assert factorize(w, max_params=139).rank == 1
    assert factorize(w, max_params=140).rank == 2
    assert factorize(w, max_params=10**9).rank == 30
    with pytest.raises(ValueError, match=r"max_params: expected at least 70 for shape \(40, 30\), got 69"):
        factorize(w, max_params=69)
    with pytest.raises(ValueError, match="expected exactly one of rank, energy, rel_error and max_params"):
        factorize(w, max_params=140, rank=2)


def test_a_refitted_factor_is_the_best_for_the_other_one():
    w, a, b = random((12, 9)), random((12, 4), 1), random((4, 9), 2)
    h = observed(random((30, 9), 3))
    root = np.linalg.cholesky(h.hessian)
    right = np.linalg.lstsq(a.astype(np.float64), w, rcond=None)[0]
    left = np.linalg.lstsq(b.astype(np.float64).T, w.T, rcond=None)[0].T
    weighted = np.linalg.lstsq((b @ root).T, (w @ root).T, rcond=None)[0].T
    np.testing.assert_allclose(_core.fit_right(w, a), right, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(_core.fit_left(w, b, None), left, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(_core.fit_left(w, b, h._core), weighted, rtol=1e-5, atol=1e-6)


def test_refitting_to_a_factor_that_is_not_of_full_rank():
    w, a = random((12, 9)), random((12, 4), 1)
    a[:, 3] = a[:, 0]
    a[:, 2] = 0
    right = _core.fit_right(w, a)
    best = np.linalg.lstsq(a[:, :2].astype(np.float64), w, rcond=None)[0]
    np.testing.assert_allclose(a.astype(np.float64) @ right, a[:, :2] @ best, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("aware", [False, True])
def test_int8_factors_are_fitted_to_each_other(aware):
    w = random((96, 32)) @ random((32, 128), 1)
    inputs = observed(np.ascontiguousarray(correlated(600, 128), np.float32)) if aware else None
    exact = factorize(w, rank=16, inputs=inputs)
    small = factorize(w, rank=16, inputs=inputs, dtype="int8")
    naive = certify(w, quant.quantize(exact.a), quant.quantize(exact.b), inputs)
    assert small.a.values.dtype == np.int8
    assert small.nbytes == 16 * (96 + 128) + 4 * (96 + 16)
    assert small.certificate == certify(w, small.a, small.b, inputs)
    of = "output_error" if aware else "error"
    assert getattr(exact.certificate, of) < getattr(small.certificate, of) < getattr(naive, of)


def test_int8_factors_run_as_a_layer():
    w, x = random((24, 16)) @ random((16, 32), 1), random((5, 32), 2)
    f = factorize(w, rank=16, dtype="int8")
    np.testing.assert_allclose(lowrank.linear(x, f), x @ f.dense().T, rtol=0, atol=0.05 * np.abs(x @ w.T).max())
    assert lowrank.linear(x, f).tobytes() == quant.low_rank(x, f.a, f.b).tobytes()


def test_zeros_in_int8():
    f = factorize(np.zeros((3, 4), np.float32), rank=2, dtype="int8")
    assert not f.dense().any()
    assert f.certificate.error == 0


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads):
    import petrain

    w, inputs = random((300, 200)), observed(random((400, 200), 1))
    before = petrain.get_num_threads()
    petrain.set_num_threads(1)
    try:
        one = factorize(w, rank=20, inputs=inputs)
        petrain.set_num_threads(threads)
        more = factorize(w, rank=20, inputs=inputs)
    finally:
        petrain.set_num_threads(before)
    assert one.certificate == more.certificate
    assert one.a.tobytes() == more.a.tobytes()
    assert one.b.tobytes() == more.b.tobytes()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda w: certify(w, w, w),
            ValueError,
            r"expected a \(4, rank\) and b \(rank, 3\), got",
        ),
        (lambda w: certify(w[0], w, w), ValueError, "w: expected a matrix"),
        (lambda w: certify(w, w * np.nan, w), ValueError, "a: expected finite values"),
        (lambda w: certify(w, w.astype(float), w), ValueError, "a: expected dtype float32"),
        (lambda w: certify(w, w, np.eye(3, dtype=np.float32), 3), TypeError, "inputs: expected a HessianObserver"),
        (
            lambda w: factorize(w, rank=1, inputs=quant.HessianObserver(3)),
            ValueError,
            "expected one that has seen rows",
        ),
        (lambda w: factorize(w, rank=1, inputs=observed(w.T.copy())), ValueError, "for this hessian"),
        (lambda w: factorize(w, rank=1, dtype="int4"), ValueError, 'dtype: expected "float32" or "int8", got .int4.'),
        (lambda w: _core.fit_right(w, w.T.copy()), ValueError, r"a: expected shape \(4, rank\)"),
        (lambda w: _core.fit_left(w, w.T.copy(), None), ValueError, r"b: expected shape \(rank, 3\)"),
        (lambda w: factorize(w, rank=9, inputs=observed(w)), ValueError, "rank: expected 1 to 3"),
        (lambda w: factorize(w, rank=1, inputs=observed(w), damping=-1.0), ValueError, "damping: expected"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(random((4, 3)))


def test_the_names_are_there():
    assert {"Certificate", "certify"} <= set(lowrank.__all__)
