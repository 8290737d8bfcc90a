"""Where sparse weights are refused, groups of outputs that share a mask, and the form that the planner may choose."""

import numpy as np
import pytest
from petrain import compress, nn, prune, sparse
from petrain.compress import Samples, Sparse
from reference import prune as reference


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize(("n", "m", "group"), [(2, 4, 4), (1, 4, 8), (3, 8, 2), (2, 4, 1)])
def test_groups_share_a_mask(n, m, group):
    scores = normal(24, 40) ** 2
    means = np.float32(np.float64(scores).reshape(-1, group, 40).mean(axis=1))
    mask = prune.n_m(scores, n, m, group=group)
    np.testing.assert_array_equal(mask, reference.keep_greatest(means, m, n).repeat(group, axis=0))
    sparse.compress(scores, mask, n=n, m=m, group=group, force=True)


def test_groups_are_checked():
    with pytest.raises(ValueError, match=r"blocks of \(5, 1\) fill, got shape \(24, 40\)"):
        prune.n_m(normal(24, 40), 2, 4, group=5)
    with pytest.raises(ValueError, match="group: expected an integer from 1"):
        prune.n_m(normal(24, 40), 2, 4, group=0)
    with pytest.raises(ValueError, match="scores: expected float32 of 2 dimensions"):
        prune.n_m(normal(2, 24, 40), 2, 4, group=2)


@pytest.mark.parametrize(
    ("batch", "options", "most"),
    [
        (1, {}, 0.75),
        (64, {"group": 8}, 0.6),
        (7, {"group": 4}, 0.3),
        (8, {"group": 4}, 0.6),
        (1, {"group": 2}, 0.1),
        (9, {"group": 2}, 0.5),
        (7, {"group": 1}, 0.05),
        (8, {"group": 1}, 0.25),
        (1, {"bits": 8}, 0.5),
        (4, {"bits": 8, "scattered": True}, 0.15),
        (5, {"bits": 8, "scattered": True}, 0.4),
        (11, {"bits": 8}, 0.4),
        (12, {"bits": 8}, 0.5),
    ],
)
def test_most_density(batch, options, most):
    assert sparse.most_density(batch, **options) == most


def test_most_density_is_checked():
    with pytest.raises(ValueError, match="batch: expected an integer from 1"):
        sparse.most_density(0)
    with pytest.raises(ValueError, match="bits: expected 8 or 32, got 4"):
        sparse.most_density(1, bits=4)
    with pytest.raises(ValueError, match="group: expected 1, 2, 4, 8 or 16, and 16 with 8 bits, got 8"):
        sparse.most_density(1, bits=8, group=8)
    with pytest.raises(ValueError, match="group: expected 1, 2, 4, 8 or 16"):
        sparse.most_density(1, group=3)


def test_what_does_not_pay_is_refused():
    w = normal(64, 64)
    mask = prune.n_m(prune.magnitude(w), 2, 4)
    with pytest.raises(ValueError, match=r"w: expected at most 25% to be stored in groups of 1, .* got 50%"):
        sparse.compress(w, mask, n=2, m=4, group=1)
    assert not sparse.compress(w, mask, n=2, m=4, group=1, force=True).pays(64)
    mask = prune.n_m(prune.magnitude(w), 7, 8, group=16)
    with pytest.raises(ValueError, match=r"w: expected at most 75% to be stored in groups of 16, .* got 88%"):
        sparse.compress(w, mask, n=7, m=8)
    few = prune.n_m(prune.magnitude(w), 1, 4)
    small = sparse.compress(w, few, n=1, m=4, group=1)
    assert small.pays(8)
    assert not small.pays(1)
    assert small.density == 0.25


def test_scattered_int8():
    w = normal(64, 80)
    for block, single in (((16, 1), False), ((16, 4), True), ((16, 5), False)):
        small = sparse.compress(w, prune.blocks(prune.magnitude(w), block, 0.6), block=block, bits=8)
        assert small.pays(1) is single
        assert small.pays(64)
    for n, m, single in ((2, 8, True), (2, 5, False), (1, 10, True)):
        mask = prune.n_m(prune.magnitude(w), n, m, group=16)
        assert sparse.compress(w, mask, n=n, m=m, bits=8).pays(1) is single


def correlated(rows, inputs):
    return normal(rows, 12, seed=1) @ normal(12, inputs, seed=2) + 0.5 * normal(rows, inputs, seed=3)


@pytest.mark.parametrize("bits", [32, 8])
def test_candidate(bits):
    w, x = normal(64, 96), correlated(400, 96)
    form = Sparse(2, 4, bits)
    assert form.fits(w.shape)
    with_samples, without = form.build(w, Samples(x)), form.build(w, None)
    y = x @ w.T
    errors = []
    for weight in (with_samples, without):
        small = weight.values
        assert (small.n_m, small.bits, small.group) == ((2, 4), bits, 16)
        assert weight.nbytes == small.nbytes
        np.testing.assert_array_equal(weight.dense(), small.dense())
        outputs = nn.Sequential(nn.Linear.from_weight(weight))(x)
        np.testing.assert_array_equal(outputs, sparse.linear(x, small))
        errors.append(np.linalg.norm(outputs - y) / np.linalg.norm(y))
    assert errors[0] < 0.6 * errors[1]
    again = form.build(w, Samples(x))
    np.testing.assert_array_equal(again.dense(), with_samples.dense())
    zeros = form.build(w, Samples(np.zeros((5, 96), np.float32)))  # nothing is known of the inputs
    np.testing.assert_array_equal(zeros.dense(), without.dense())


def test_candidate_of_extreme_weights():
    for size in (1e-30, 1e30):
        w = normal(16, 16) * np.float32(size)
        kept = Sparse(2, 4).build(w, None).dense() != 0
        np.testing.assert_array_equal(kept, Sparse(2, 4).build(normal(16, 16), None).dense() != 0)
    assert not Sparse(2, 4).build(np.zeros((16, 16), np.float32), None).dense().any()


def test_candidate_fits():
    assert [Sparse(2, 4).name, Sparse(1, 4, 8).name, Sparse(1, 8, group=4).name] == [
        "2:4 g16",
        "1:4 g16 int8",
        "1:8 g4",
    ]
    assert not Sparse(2, 4).fits((24, 64))
    assert not Sparse(2, 4).fits((32, 66))
    assert not Sparse(2, 4, group=4).fits((32, 64))  # slower for one row
    assert not Sparse(2, 5, 8).fits((32, 80))
    for arguments in ((4, 4), (0, 4), (2, 17), (2, 4, 4), (2, 4, 8, 8), (2, 4, 32, 1)):
        with pytest.raises(ValueError, match="expected"):
            Sparse(*arguments)


def test_the_planner_takes_it():
    w, x = normal(64, 96), correlated(400, 96)
    forms = (compress.Dense(), Sparse(2, 4), Sparse(1, 4), Sparse(2, 4, group=4))
    found = compress.plan({"w": (w, x)}, budget_bytes=13_000, candidates=forms)
    assert found.choice == {"w": "2:4 g16"}
    assert found.nbytes == compress.build(found, {"w": (w, x)}, forms)["w"].nbytes == 64 * 96 * 2 + 4 * 48 // 4
