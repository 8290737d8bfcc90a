"""What svd and factorize refuse."""

import numpy as np
import pytest
from petrain.lowrank import factorize, svd

GOOD = np.eye(4, 3, dtype=np.float32)


def holding(value):
    a = np.zeros((200, 300), np.float32)
    a[123, 45] = value
    return a


@pytest.mark.parametrize("call", [lambda a: svd(a, 1), lambda a: svd(a, energy=0.5), lambda a: factorize(a, rank=1)])
@pytest.mark.parametrize(
    ("a", "error", "message"),
    [
        (np.eye(3, dtype=np.int8), ValueError, "expected dtype float32( or float64)?, got int8"),
        (np.eye(3, dtype=np.float16), ValueError, "expected dtype .*, got float16"),
        (np.eye(3, dtype=">f4"), ValueError, "expected native byte order, got >f4"),
        (np.ones((3, 4), np.float32).T, ValueError, "expected a C-contiguous array, got strides"),
        (np.ones((4, 4), np.float32)[:, ::2], ValueError, "expected a C-contiguous array, got strides"),
        (np.ones(3, np.float32), ValueError, r"expected a matrix that is not empty, got shape \(3,\)"),
        (np.float32([[[1]]]), ValueError, r"expected a matrix that is not empty, got shape \(1, 1, 1\)"),
        (np.zeros((0, 3), np.float32), ValueError, r"expected a matrix that is not empty, got shape \(0, 3\)"),
        (np.zeros((3, 0), np.float32), ValueError, r"expected a matrix that is not empty, got shape \(3, 0\)"),
        (holding(np.nan), ValueError, r"expected finite values, got -?nan at \(123, 45\)"),
        (holding(np.inf), ValueError, r"expected finite values, got inf at \(123, 45\)"),
        (holding(-np.inf), ValueError, r"expected finite values, got -inf at \(123, 45\)"),
        ([[1.0]], TypeError, "expected a NumPy array or a CPU tensor, got list"),
        (None, TypeError, "expected a NumPy array or a CPU tensor, got NoneType"),
    ],
)
def test_bad_arrays(call, a, error, message):
    with pytest.raises(error, match=message):
        call(a)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 0}, ValueError, r"k: expected 1 to 3 for shape \(4, 3\), got 0"),
        ({"k": -1}, ValueError, r"k: expected 1 to 3 for shape \(4, 3\), got -1"),
        ({"k": 4}, ValueError, r"k: expected 1 to 3 for shape \(4, 3\), got 4"),
        ({"k": 2**70}, ValueError, "k: expected an integer from"),
        ({"k": 1.0}, TypeError, "k: expected an integer, got 1.0"),
        ({"k": 1, "oversample": -1}, ValueError, "oversample: expected at least 0, got -1"),
        ({"k": 1, "n_iter": -1}, ValueError, "n_iter: expected at least 0, got -1"),
        ({"k": 1, "n_iter": "many"}, ValueError, "n_iter: expected \"auto\" or an integer, got 'many'"),
        ({"k": 1, "n_iter": 2.5}, TypeError, "n_iter: expected an integer, got 2.5"),
        ({"k": 1, "n_iter": None}, TypeError, "n_iter: expected an integer, got None"),
        ({"k": 1, "method": "fast"}, ValueError, 'method: expected "auto", "full" or "randomized", got "fast"'),
        ({"k": 1, "seed": -1}, ValueError, "seed: expected an integer from 0 to 18446744073709551615, got -1"),
        ({"k": 1, "seed": 2**64}, ValueError, "seed: expected an integer from 0 to"),
        ({"k": 1, "seed": "a"}, TypeError, "seed: expected an integer, got 'a'"),
        ({"k": 1, "tol": 0.0}, ValueError, r"tol: expected a number in \(0, 1\), got 0"),
        ({"k": 1, "tol": 1.0}, ValueError, r"tol: expected a number in \(0, 1\), got 1"),
        ({"k": 1, "tol": np.nan}, ValueError, r"tol: expected a number in \(0, 1\), got nan"),
        ({"k": 1, "tol": None}, TypeError, "tol: expected a number, got None"),
        ({"k": 1, "memory_limit": -1}, ValueError, "memory_limit: expected at least 0, got -1"),
        ({"k": 1, "memory_limit": 1, "method": "full"}, ValueError, 'expected "randomized" for a matrix beyond'),
        ({}, ValueError, "expected exactly one of k, energy and rel_error, got None, None and None"),
        ({"k": 1, "energy": 0.5}, ValueError, "expected exactly one of k, energy and rel_error, got 1, 0.5 and None"),
        ({"energy": 0.0}, ValueError, r"energy: expected a number in \(0, 1\], got 0"),
        ({"energy": np.nan}, ValueError, r"energy: expected a number in \(0, 1\], got nan"),
        ({"rel_error": 1.0}, ValueError, r"rel_error: expected a number in \[0, 1\), got 1"),
        ({"rel_error": "small"}, TypeError, "rel_error: expected a number, got 'small'"),
    ],
)
def test_bad_options(arguments, error, message):
    with pytest.raises(error, match=message):
        svd(GOOD, **arguments)


def test_factors_of_float64_are_refused():
    with pytest.raises(ValueError, match="w: expected dtype float32, got float64"):
        factorize(np.eye(3), rank=1)


def test_what_the_randomized_method_cannot_promise():
    a = np.random.default_rng(0).standard_normal((300, 200)).astype(np.float32)
    with pytest.raises(ValueError, match=r"rel_error: expected at least 0.00195.*for the randomized method on float32"):
        svd(a, rel_error=1e-4, method="randomized")
    with pytest.raises(ValueError, match="rel_error: expected at least"):
        svd(a, energy=1, method="randomized")
    assert svd(a, rel_error=1e-4)[1].shape == (200,)
    with pytest.raises(ValueError, match='n_iter: expected "auto" with energy or rel_error, got 2'):
        svd(a, energy=0.9, n_iter=2)
