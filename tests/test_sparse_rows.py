"""Gradients by rows: only those rows move, as the same rule moves them alone."""

import numpy as np
import pytest
from petrain import _core, optim

LAYERWISE = ("lars", "lamb")
FROM_A_COPY = ("schedule_free_adamw",)  # its z is that of the first step
MATRIX = [rule for rule, facts in _core.rules().items() if facts["matrix"]]
RULES = [rule for rule in _core.rules() if rule not in (*LAYERWISE, *FROM_A_COPY, *MATRIX)]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("width", [1, 5, 64, 300])
def test_rows_move_as_a_tensor_of_their_own(rule, width):
    table, start = normal(20, width), normal(20, width)
    alone = start[[3, 11, 17]].copy()
    by_rows, whole = _core.Optimizer([(rule, {}, [table])]), _core.Optimizer([(rule, {}, [alone])])
    for step in range(3):
        grad = normal(3, width, seed=step + 1)
        order = [2, 0, 1]
        info = by_rows.step([(np.array([3, 11, 17])[order], grad[order])], 0.5)
        assert info.grad_norm == pytest.approx(whole.step([grad], 0.5).grad_norm, rel=1e-12)
    np.testing.assert_array_equal(table[[3, 11, 17]], alone)
    rest = np.setdiff1d(np.arange(20), [3, 11, 17])
    np.testing.assert_array_equal(table[rest], start[rest])
    for name, array in by_rows.state(0).items():
        np.testing.assert_array_equal(array[[3, 11, 17]], whole.state(0)[name])
        assert (array[rest] == 0).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_that_come_twice_are_added_up(dtype):
    a, b = np.zeros((6, 70), np.float32), np.zeros((6, 70), np.float32)
    grad = normal(4, 70).astype(dtype)
    optim.SGD([a], lr=1.0).step([(np.array([4, 1, 4, 4]), grad)])
    whole = np.zeros((6, 70), np.float32)
    for row, g in zip([4, 1, 4, 4], grad.astype(np.float32), strict=True):
        whole[row] = g if not whole[row].any() else whole[row] + g
    optim.SGD([b], lr=1.0).step([whole])
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("state_dtype", ["float32", "bfloat16", "int8"])
def test_beside_whole_gradients_and_for_any_thread_count(state_dtype, threads):
    results = []
    for count in (1, 2, 3):
        threads(count)
        table, dense = normal(1000, 128), normal(50000)
        opt = optim.AdamW({"table": table, "dense": dense}, lr=0.1, state_dtype=state_dtype)
        for step in range(3):
            rows = np.random.default_rng(step).integers(0, 1000, 700)
            grads = {"table": (rows, normal(700, 128, seed=step)), "dense": normal(50000, seed=step)}
            opt.step(grads, max_norm=1.0, zero_grads=True)
            assert not grads["table"][1].any()
            assert not grads["dense"].any()
        results.append((table, dense))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0][0], other[0])
        np.testing.assert_array_equal(results[0][1], other[1])


def test_no_rows_and_a_row_that_is_not_finite():
    table = normal(5, 8)
    start = table.copy()
    opt = optim.AdamW([table], lr=0.1)
    assert opt.step([(np.empty(0, np.int64), np.empty((0, 8), np.float32))]).grad_norm == 0
    np.testing.assert_array_equal(table, start)
    grad = np.ones((2, 8), np.float32)
    grad[1, 3] = np.nan
    assert opt.step([(np.array([1, 2]), grad)]).skipped
    np.testing.assert_array_equal(table, start)


ONES = np.ones((2, 8), np.float32)


@pytest.mark.parametrize(
    ("grad", "error", "message"),
    [
        ((np.array([0, 5]), ONES), IndexError, "gradient 0: row 1: expected 0 to 4, got 5"),
        ((np.array([-1, 0]), ONES), IndexError, "gradient 0: row 0: expected 0 to 4, got -1"),
        ((np.array([0]), ONES), ValueError, r"gradient 0: expected shape \(1, 8\), got \(2, 8\)"),
        ((np.array([0, 1], np.int32), ONES), ValueError, r"indices: expected int64 of shape \(n,\), got int32"),
        (
            (np.array([[0, 1]]), ONES),
            ValueError,
            r"indices: expected int64 of shape \(n,\), got int64 of shape \(1, 2\)",
        ),
        ((np.array([0, 1]), ONES, 3), ValueError, r"expected \(indices, rows\), got a tuple of 3"),
        ((np.array([0, 1]), ONES.astype(int)), ValueError, "float32, float64, float16 or bfloat16, got int64"),
    ],
)
def test_refused(grad, error, message):
    table = normal(5, 8)
    start = table.copy()
    with pytest.raises(error, match=message):
        optim.AdamW([table]).step([grad])
    np.testing.assert_array_equal(table, start)


def test_what_cannot_be_done_by_rows_says_so():
    rows = (np.array([0, 1]), ONES)
    with pytest.raises(ValueError, match="needs the whole gradient"):
        optim.LAMB([normal(5, 8)]).step([rows])
    with pytest.raises(ValueError, match="whose z starts as a copy of the parameter needs the whole gradient"):
        optim.ScheduleFreeAdamW([normal(5, 8)]).step([rows])
    with pytest.raises(ValueError, match="need a multiple of 64 elements, got 8"):
        optim.AdamW([normal(5, 8)], state_dtype="int8").step([rows])
    with pytest.raises(ValueError, match="a parameter without dimensions has no rows"):
        optim.AdamW([np.ones((), np.float32)]).step([(np.array([0]), np.ones(1, np.float32))])


def test_rows_that_come_twice_are_added_up_in_float64_for_float64(rng):
    p = np.zeros((5, 3))
    rows = rng.standard_normal((3, 3))
    optim.SGD([p], lr=1.0).step([(np.array([1, 4, 1]), rows)])
    np.testing.assert_array_equal(p[1], -(rows[0] + rows[2]))
    np.testing.assert_array_equal(p[4], -rows[1])
    q = np.zeros((5, 3))
    half = rows.astype(np.float16)
    optim.SGD([q], lr=1.0).step([(np.array([1, 4, 1]), half)])
    np.testing.assert_array_equal(q[1], -(half[0].astype(np.float64) + half[2]))


def test_no_rows_at_all():
    torch = pytest.importorskip("torch", reason="needs torch")
    p = np.ones((5, 3), np.float32)
    opt = optim.SGD([p], lr=1.0)
    for nothing in (np.empty((0, 3), np.float32), torch.empty(0, 3)):
        assert not opt.step([(np.empty(0, np.int64), nothing)]).skipped
    np.testing.assert_array_equal(p, 1)
