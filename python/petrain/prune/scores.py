"""What a weight is worth."""

from __future__ import annotations

import numpy as np

from petrain import _core
from petrain._params import Array, Arrays, Floats, in_order, split
from petrain.prune._checks import finite, floats


def magnitude(w: Array) -> Floats:
    """The weights' magnitudes.

    Args:
        w: float32, of any shape.

    Returns:
        Scores of w's shape.

    Raises:
        ValueError: not float32, or a value is NaN or infinite.

    Example:
        >>> magnitude(np.array([1.5, -2], np.float32))
        array([1.5, 2. ], dtype=float32)
    """
    return np.abs(finite("w", floats("w", w)))


class ColumnNorms:
    """Adds up the squares of each of a layer's inputs, from any number of samples in the same memory.

    In float64 and in the order in which rows come, whatever the pieces: the same bytes for any number of threads. One
    observer is for one thread at a time.

    Args:
        in_features: K, the layer's inputs.

    Raises:
        ValueError: ``in_features`` is below 1.

    Example:
        >>> norms = ColumnNorms(2)
        >>> norms.observe(np.array([[3, 1], [4, 0]], np.float32))
        >>> norms.norms, norms.count
        (array([5., 1.]), 2)
    """

    def __init__(self, in_features: int) -> None:
        self._core = _core.ColumnSquares(in_features)

    def observe(self, x: Array) -> None:
        """Add rows of inputs, float32 ``(..., K)``, which are read in place.

        Raises:
            ValueError: dtype or shape is not as said, or a value is NaN or infinite. Nothing was added.
        """
        self._core.observe(x)

    @property
    def count(self) -> int:
        """The rows that were seen."""
        return self._core.count

    @property
    def norms(self) -> np.ndarray:
        """The length of each column over all rows, float64 ``(K,)``."""
        norms: np.ndarray = np.sqrt(self._core.sums())
        return norms


def wanda(w: Array, norms: ColumnNorms) -> Floats:
    r"""Magnitudes times how large the inputs are: :math:`|w_{ij}| \cdot \|x_j\|`.

    The authors compare within each output (:func:`rows`, or :func:`n_m`), which they found to be better than within
    the layer. The lengths are divided by the greatest of them, so that scores stay within float32.

    Source: Sun et al., arXiv 2306.11695.

    Args:
        w: float32 ``(N, K)``.
        norms: of the layer's inputs.

    Returns:
        Scores, float32 ``(N, K)``.

    Raises:
        ValueError: dtypes or shapes do not fit, a value is NaN or infinite, or nothing was observed.

    Example:
        >>> norms = ColumnNorms(2)
        >>> norms.observe(np.array([[1, 10]], np.float32))
        >>> wanda(np.array([[5, -1]], np.float32), norms)
        array([[0.5, 1. ]], dtype=float32)
    """
    if not isinstance(norms, ColumnNorms):
        raise TypeError(f"norms: expected ColumnNorms, got {type(norms).__name__}")
    if norms.count == 0:
        raise ValueError("norms: expected one that has seen rows, got none")
    scores, lengths = magnitude(floats("w", w, ndim=2)), norms.norms
    if scores.shape[1] != lengths.size:
        raise ValueError(f"w: expected {lengths.size} inputs for these norms, got {scores.shape[1]}")
    greatest = float(lengths.max())
    return (scores * (lengths / (greatest or 1.0))).astype(np.float32)


class Movement:
    r"""Adds up :math:`-w \cdot g` over the steps of a fine-tuning: weights that move away from zero gain, those that
    move towards it lose, however large they are.

    Source: Sanh, Wolf, Rush, arXiv 2005.07683.

    Args:
        params: the weights, float32, as a list or a dict; they are read in place at each :meth:`add`.

    Raises:
        ValueError: a weight is not float32.
        TypeError: ``params`` is neither a list nor a dict.

    Example:
        >>> w = np.array([2, 2], np.float32)
        >>> movement = Movement([w])
        >>> movement.add([np.array([1, -1], np.float32)])
        >>> movement.scores
        [array([-2.,  2.], dtype=float32)]
    """

    def __init__(self, params: Arrays) -> None:
        self._names, arrays = split(params)
        self._params = [floats("params", array) for array in arrays]
        self._scores = [np.zeros(array.shape, np.float32) for array in self._params]

    def add(self, gradients: Arrays) -> None:
        """Before the step that uses these gradients.

        Raises:
            ValueError: gradients do not fit the weights, or a sum becomes NaN or infinite. Nothing was added.
        """
        given = in_order(gradients, self._names, "gradients")
        if len(given) != len(self._params):
            raise ValueError(f"gradients: expected {len(self._params)}, got {len(given)}")
        sums = []
        for param, gradient, score in zip(self._params, given, self._scores, strict=True):
            seen = floats("gradients", gradient)
            if seen.shape != param.shape:
                raise ValueError(f"gradients: expected shape {param.shape}, got {seen.shape}")
            with np.errstate(over="ignore", invalid="ignore"):
                sums.append(finite("gradients", score - param * seen))
        self._scores = sums

    @property
    def scores(self) -> list[Floats] | dict[str, Floats]:
        """The sums, as the weights were given: a list, or a dict by name."""
        return list(self._scores) if self._names is None else dict(zip(self._names, self._scores, strict=True))
