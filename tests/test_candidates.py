"""Which weights a candidate may be for."""

import pytest
from petrain.compress import candidates


@pytest.mark.parametrize(
    "candidate",
    [candidates.Quantized(8), candidates.Quantized(8, residual_rank=2), candidates.Factorized(4, 8)],
    ids=lambda candidate: candidate.name,
)
def test_integer_products_are_not_longer_than_int32_holds(candidate):
    assert candidate.fits((8, 131071))
    assert not candidate.fits((8, 131072))
    assert candidates.Factorized(4, 32).fits((8, 131072))
    assert candidates.Dense().fits((8, 131072))
