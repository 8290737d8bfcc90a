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
        params: arrays, a list or a dict by name; only their shapes are used.
        dtype: how the sums are kept.

            ========== ================= ============================================
            dtype      bytes per element error of a sum of 1,024 gradients, to float32
            ========== ================= ============================================
            "float32"  4
            "bfloat16" 3.25              5e-5 of its norm (in bfloat16 alone: up to 0.6)
            "int8"     2.0625            1e-3 of its norm
            ========== ================= ============================================

            In bfloat16 alone, a sum soon no longer sees what is added: it stalls. So what rounding cuts is kept beside
            the sum and added back the next time (error feedback): 10 bits for "bfloat16"; 8 bits for "int8", of which
            64 neighbours share a float32 scale. What is smaller than that is rounded stochastically, right on average.
            The bits do not depend on the number of threads, and a sum of zeros is zero.

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

    def __init__(self, params: Arrays, dtype: str = "float32") -> None:
        self._names, arrays = split(params)
        self._core = _core.GradAccumulator([list(_shape(array)) for array in arrays], dtype)

    def add(self, grads: Arrays, weight: float = 1.0) -> None:
        """Add ``weight * grads``; ``weight`` is positive: a number of samples or tokens.

        The gradients may be of any float dtype, float32, float64, float16 or bfloat16.

        Raises:
            ValueError: a shape or dtype differs, a gradient or its product with the weight is NaN, infinite or more
                than float32 holds, or the weight is not in [1e-30, 1e30]. Nothing was added then.
        """
        if not self._core.add(in_order(grads, self._names, "grads"), weight):
            raise ValueError("a gradient is NaN, infinite or more than float32 holds; the micro-batch was not added")

    def reset(self) -> None:
        """Forget what was added."""
        self._core.reset()

    def mean(self) -> list[np.ndarray]:
        """The weighted mean as new float32 arrays, in the order of the parameters."""
        return self._core.mean()

    @property
    def nbytes(self) -> int:
        """Bytes of all sums."""
        return self._core.nbytes

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
