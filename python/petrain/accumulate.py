"""Gradient accumulation over micro-batches."""

from __future__ import annotations

import numpy as np

from petrain import _core
from petrain._params import Array, Arrays, in_order, split


class GradAccumulator:
    r"""Sums weighted micro-batch gradients and gives their mean :math:`\sum w_i g_i / \sum w_i`.

    With the number of samples (or tokens) of each micro-batch as its weight, ragged micro-batches give the
    gradient of the full batch. Averaging the micro-batches instead gives short ones too much weight
    (huggingface/transformers#34191).

    Args:
        params: float32 arrays, a list or a dict by name; only their shapes are used.

    Example:
        >>> import numpy as np, petrain
        >>> w = np.zeros(2, np.float32)
        >>> acc = petrain.GradAccumulator([w])
        >>> acc.add([np.array([1, 1], np.float32)], weight=3)
        >>> acc.add([np.array([5, 5], np.float32)], weight=1)
        >>> acc.mean()[0]
        array([2., 2.], dtype=float32)
        >>> info = petrain.optim.SGD([w], lr=1.0).step(acc)
        >>> w, acc.count
        (array([-2., -2.], dtype=float32), 0)
    """

    def __init__(self, params: Arrays) -> None:
        self._names, arrays = split(params)
        self._core = _core.GradAccumulator([list(_shape(array)) for array in arrays])

    def add(self, grads: Arrays, weight: float = 1.0) -> None:
        """Add ``weight * grads``; ``weight`` is positive: a number of samples or tokens.

        Raises:
            ValueError: a shape or dtype differs, a gradient is NaN or infinite, or the weight is not in
                [1e-30, 1e30]. Nothing was added then.
        """
        if not self._core.add(in_order(grads, self._names, "grads"), weight):
            raise ValueError("a gradient is NaN or infinite; the micro-batch was not added")

    def reset(self) -> None:
        """Forget what was added."""
        self._core.reset()

    def mean(self) -> list[np.ndarray]:
        """The weighted mean as new arrays, in the order of the parameters."""
        return self._core.mean()

    @property
    def count(self) -> int:
        """Micro-batches added since the last step or reset."""
        return self._core.count

    @property
    def weight(self) -> float:
        """The sum of their weights."""
        return self._core.weight


def _shape(array: Array) -> tuple[int, ...]:
    if not hasattr(array, "shape"):
        raise TypeError(f"expected an array, got {type(array).__name__}")
    return tuple(array.shape)
