"""Factors that would take as many bytes as the matrix, or more, are refused; what factors say of themselves."""

import numpy as np
import pytest
from petrain import lowrank, quant
from petrain.lowrank import factorize


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("shape", [(40, 30), (7, 90), (5, 5), (128, 16)])
def test_the_greatest_rank_that_saves(shape, dtype):
    w = normal(*shape)
    ranks = range(1, min(shape) + 1)
    saving = [rank for rank in ranks if factorize(w, rank=rank, dtype=dtype, force=True).nbytes < w.nbytes]
    for rank in ranks:
        if rank in saving:
            assert factorize(w, rank=rank, dtype=dtype).rank == rank
            continue
        size = factorize(w, rank=rank, dtype=dtype, force=True).nbytes
        message = (
            f"fewer bytes than the {w.nbytes} .* got {size} with rank {rank}: ranks up to {max(saving)} would save"
        )
        with pytest.raises(ValueError, match=message):
            factorize(w, rank=rank, dtype=dtype)
    assert list(range(1, len(saving) + 1)) == saving


@pytest.mark.parametrize("criterion", [{"rel_error": 1e-3}, {"energy": 0.99999}, {"max_params": 10**6}, {"rank": 30}])
def test_whatever_gives_the_rank(criterion):
    w = normal(40, 30)
    with pytest.raises(ValueError, match="got 8400 with rank 30: ranks up to 17 would save"):
        factorize(w, **criterion)
    assert factorize(w, **criterion, force=True).rank == 30


def test_where_no_rank_saves():
    with pytest.raises(ValueError, match="than the 16 of what they stand for, got 16 with rank 1: no rank would save"):
        factorize(normal(2, 2), rank=1)
    with pytest.raises(ValueError, match="got 12 with rank 1: no rank would save"):
        factorize(normal(1, 2), rel_error=0.5)


def test_a_rank_that_is_none_is_still_said_so():
    with pytest.raises(ValueError, match="rank: expected 1 to 30 for shape"):
        factorize(normal(40, 30), rank=31)


def test_what_factors_say_of_themselves():
    w = normal(40, 30)
    f = factorize(w, rank=4)
    assert (f.parameters, f.macs, f.nbytes) == (280, 280, 1120)
    assert lowrank.cost(f) == lowrank.LowRankCost(f.parameters, f.nbytes, f.macs, w.size)
    small = factorize(w, rank=4, dtype="int8")
    assert (small.parameters, small.macs, small.nbytes) == (280, 280, 280 + 4 * 44)
    assert lowrank.cost(small).nbytes == small.nbytes
    np.testing.assert_allclose(f.dense(), f.a.astype(np.float64) @ f.b, rtol=0, atol=1e-5)


def test_residuals_are_not_in_the_place_of_the_matrix():
    """lqer's factors come beside the quantized matrix, so that they may be as large."""
    w = normal(6, 6)
    (a, b), _ = quant.lqer(w, quant.quantize(w, bits=4), rank=6)
    assert a.shape == b.shape == (6, 6)
