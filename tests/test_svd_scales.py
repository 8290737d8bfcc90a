"""The randomized SVD where its steps leave nothing, or next to nothing, to make orthonormal."""

import numpy as np
import pytest
from petrain.lowrank import svd


@pytest.mark.parametrize("tail", [0.0, 1e-38, 1e-33, 1e-30, 1e-25, 1e-8])
@pytest.mark.parametrize("rank", [1, 5, 40])
def test_a_tail_of_any_size(tail, rank):
    rng = np.random.default_rng(rank)
    a = rng.standard_normal((300, rank)) @ rng.standard_normal((rank, 200))
    a = (a + tail * rng.standard_normal(a.shape)).astype(np.float32)
    u, s, vt = svd(a, 30, method="randomized")
    assert np.isfinite(s).all()
    np.testing.assert_allclose(u.T @ u, np.eye(30), rtol=0, atol=1e-4)
    np.testing.assert_allclose(vt @ vt.T, np.eye(30), rtol=0, atol=1e-4)
    exact = np.linalg.svd(a.astype(np.float64), compute_uv=False)[:30]
    np.testing.assert_allclose(s, exact, rtol=1e-4, atol=1e-5 * exact[0])
