"""Certificates of random factors, a few hundred; `make test PARTS=certificates` has 10,000."""

import numpy as np
from certificate_cases import KINDS, Case, Exact, root, run
from petrain import lowrank


def test_no_certificate_is_less_than_the_exact_error_and_none_much_more():
    certified, at_rounding, violated, (excess, seed) = run(range(400))
    assert violated == []
    assert certified - at_rounding > 250
    assert excess <= 0.01, f"case {seed}"


def test_all_kinds_are_among_them():
    assert {Case(seed).kind for seed in range(len(KINDS))} == set(KINDS)


def test_float64_alone_would_not_hold():
    """That what rounding takes off is added is seen."""
    below = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a, b = rng.standard_normal((6, 4), np.float32), rng.standard_normal((4, 7), np.float32)
        a, b = np.hstack([a, -a[:, ::-1]]), np.vstack([b, b[::-1]])
        w = (rng.standard_normal((6, 7)) * 1e-16).astype(np.float32)
        exact = root(Exact(w).minus(Exact(a).dot(Exact(b), 1)).square())
        below += float(np.linalg.norm(w - a.astype(np.float64) @ b)) < exact
        assert lowrank.certify(w, np.ascontiguousarray(a), b).error >= exact
    assert below > 0
