"""The layer on two factors, against float64 with the weight made."""

from __future__ import annotations

import numpy as np
import pytest
from petrain import lowrank, quant
from reference import lowrank as reference


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def close(got, expected, terms):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6 * terms)


SHAPES = [(1, 1, 1, 1), (7, 5, 9, 2), (33, 300, 130, 17), (1, 64, 64, 8), (128, 40, 520, 300)]


@pytest.mark.parametrize(("rows", "out", "n", "rank"), SHAPES)
def test_forward_and_backward(rows, out, n, rank):
    x, a, b, bias, dy = normal(rows, n), normal(out, rank), normal(rank, n), normal(out), normal(rows, out, seed=1)
    wide = [array.astype(np.float64) for array in (x, a, b, bias, dy)]
    close(lowrank.linear(x, (a, b), bias), reference.linear(*wide[:4]), rank * n)
    gradients = lowrank.linear_backward(dy, x, (a, b))
    expected = reference.linear_backward(wide[4], wide[0], wide[1], wide[2])
    for got, right in zip((gradients.x, gradients.a, gradients.b, gradients.bias), expected, strict=True):
        assert got.dtype == np.float32
        close(got, right, rows * (out + n))
    without = lowrank.linear_backward(dy, x, (a, b), input_gradient=False)
    assert without.x is None
    np.testing.assert_array_equal(without.b, gradients.b)


def test_factors_of_a_matrix_run_as_a_layer():
    w, x = normal(48, 64), normal(5, 64)
    factors = lowrank.factorize(w, rank=10)
    close(lowrank.linear(x, factors), x @ factors.dense().T, 64)
    assert lowrank.cost(factors) == lowrank.LowRankCost(1120, 4480, 1120, 3072)
    assert lowrank.cost((quant.quantize(factors.a), quant.quantize(factors.b))).nbytes == 1120 + 4 * (48 + 10)


def test_any_number_of_leading_dimensions():
    x, a, b, dy = normal(2, 3, 4), normal(5, 2), normal(2, 4), normal(2, 3, 5)
    flat = lowrank.linear(x.reshape(6, 4), (a, b))
    np.testing.assert_array_equal(lowrank.linear(x, (a, b)), flat.reshape(2, 3, 5))
    np.testing.assert_array_equal(lowrank.linear(x[1, 2], (a, b)), flat[5])
    got = lowrank.linear_backward(dy, x, (a, b))
    same = lowrank.linear_backward(dy.reshape(6, 5), x.reshape(6, 4), (a, b))
    np.testing.assert_array_equal(got.x, same.x.reshape(2, 3, 4))
    np.testing.assert_array_equal(got.a, same.a)
    assert lowrank.linear(np.empty((0, 4), np.float32), (a, b)).shape == (0, 5)
    assert not lowrank.linear_backward(np.empty((0, 5), np.float32), np.empty((0, 4), np.float32), (a, b)).a.any()


def test_results_do_not_depend_on_threads_or_other_rows(threads):
    x, a, b, dy = normal(200, 300), normal(400, 24), normal(24, 300), normal(200, 400)
    results = []
    for count in (1, 2, 3):
        threads(count)
        gradients = lowrank.linear_backward(dy, x, (a, b))
        results.append((lowrank.linear(x, (a, b)), gradients.x, gradients.a, gradients.b, gradients.bias))
    for result in results[1:]:
        for one, more in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(one, more)
    np.testing.assert_array_equal(lowrank.linear(x[70:71], (a, b)), results[0][0][70:71])


def test_torch_tensors():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x, a, b = torch.randn(3, 4), torch.randn(5, 2, requires_grad=True), torch.randn(2, 4)
    np.testing.assert_allclose(lowrank.linear(x, (a, b)), (x @ (a @ b).T).detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": normal(3, 5)}, ValueError, r"x: expected shape \(…, 4\), got \(3, 5\)"),
        ({"x": normal(3, 4).astype(np.float64)}, ValueError, "x: expected dtype float32, got float64"),
        ({"x": normal(4, 3).T}, ValueError, "expected a C-contiguous array"),
        ({"x": np.float32(1)}, TypeError, "x: expected a NumPy array"),
        ({"factors": (normal(5, 3), normal(2, 4))}, ValueError, r"b: expected shape \(3, in\) for a of shape \(5, 3\)"),
        (
            {"factors": (normal(5), normal(2, 4))},
            ValueError,
            r"a: expected a matrix that is not empty, got shape \(5,\)",
        ),
        ({"factors": (normal(5, 0), normal(0, 4))}, ValueError, "a: expected a matrix that is not empty"),
        ({"factors": normal(5, 2)}, TypeError, r"factors: expected a LowRank or a pair \(a, b\), got ndarray"),
        ({"bias": normal(4)}, ValueError, r"bias: expected shape \(5,\), got \(4,\)"),
    ],
)
def test_refusals(change, error, message):
    arguments = {"x": normal(3, 4), "factors": (normal(5, 2), normal(2, 4)), "bias": normal(5), **change}
    with pytest.raises(error, match=message):
        lowrank.linear(**arguments)
    if "bias" not in change:
        with pytest.raises(error, match=message):
            lowrank.linear_backward(normal(3, 5), arguments["x"], arguments["factors"])


def test_a_gradient_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"gradient: expected shape \(3, 5\), got \(5, 3\)"):
        lowrank.linear_backward(normal(5, 3), normal(3, 4), (normal(5, 2), normal(2, 4)))
    with pytest.raises(ValueError, match=r"factors: expected shapes \(out, rank\) and \(rank, in\)"):
        lowrank.cost((normal(5, 2), normal(3, 4)))
