"""From scores to masks, and masks that hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import overload

import numpy as np
import numpy.typing as npt

from petrain import _core
from petrain._numbers import integer
from petrain._params import Array, Arrays, in_order, split
from petrain.prune._checks import floats, kept_of, mask_bytes

Mask = npt.NDArray[np.bool_]


def _greatest(scores: Array, pool: int, keep: int) -> Mask:
    return _core.keep_greatest(scores, max(pool, 1), keep).view(np.bool_)


@overload
def unstructured(scores: Mapping[str, Array], sparsity: float) -> dict[str, Mask]: ...
@overload
def unstructured(scores: list[Array], sparsity: float) -> list[Mask]: ...
@overload
def unstructured(scores: Array, sparsity: float) -> Mask: ...
def unstructured(scores: Array, sparsity: float) -> Mask | list[Mask] | dict[str, Mask]:
    """Prune the weights of the least scores, wherever they are.

    Args:
        scores: float32, of any shape; or a list or a dict of them, which are then compared with each other, so that
            some layers lose more than others.
        sparsity: the part that goes, from 0 to 1, rounded half to even to a count of weights.

    Returns:
        The mask of each array of scores, as they were given.

    Raises:
        ValueError: not float32, a score is NaN or infinite, or the sparsity is out of range.

    Example:
        >>> a, b = np.array([1, 2, 3], np.float32), np.array([[4, 5, 6]], np.float32)
        >>> unstructured(a, 1 / 3)
        array([False,  True,  True])
        >>> unstructured([a, b], 0.5)
        [array([False, False, False]), array([[ True,  True,  True]])]
    """
    if hasattr(scores, "__dlpack__"):
        array = floats("scores", scores)
        return _greatest(array, array.size, kept_of(array.size, sparsity))
    names, arrays = split(scores)
    seen = [floats("scores", array) for array in arrays]
    joined = np.concatenate([np.zeros(0, np.float32), *(array.reshape(-1) for array in seen)])
    mask = _greatest(joined, joined.size, kept_of(joined.size, sparsity))
    parts = []
    for array in seen:
        parts.append(mask[: array.size].reshape(array.shape))
        mask = mask[array.size :]
    return parts if names is None else dict(zip(names, parts, strict=True))


def rows(scores: Array, sparsity: float) -> Mask:
    """Prune the same number of weights of each row (each output).

    Args:
        scores: float32 ``(N, K)``.
        sparsity: the part of each row that goes, from 0 to 1, rounded half to even to a count of weights.

    Raises:
        ValueError: dtype or shape is not as said, a score is NaN or infinite, or the sparsity is out of range.

    Example:
        >>> rows(np.array([[1, 2], [8, 4]], np.float32), 0.5)
        array([[False,  True],
               [ True, False]])
    """
    array = floats("scores", scores, ndim=2)
    return _greatest(array, array.shape[1], kept_of(array.shape[1], sparsity))


def n_m(scores: Array, n: int, m: int, *, group: int = 1) -> Mask:
    """Keep n of every m neighbours along the last axis: 2:4 and 4:8 are what processors and kernels know.

    Source: Mishra et al., arXiv 2104.08378.

    Args:
        scores: float32, the last axis a multiple of ``m``.
        n: how many stay, from 0 to ``m``.
        m: neighbours, at least 1.
        group: so many outputs, neighbours along the first axis, keep the same, by their mean scores: what
            :mod:`petrain.sparse` runs fast. The scores are then a matrix, and ``group`` divides the outputs.

    Raises:
        ValueError: dtype or shape is not as said, a score is NaN or infinite, or a number is out of range.

    Example:
        >>> n_m(np.array([1, 4, 3, 2, 0, 0, 0, 0], np.float32), 2, 4)
        array([False,  True,  True, False,  True,  True, False, False])
        >>> n_m(np.array([[3, 2], [0, 2]], np.float32), 1, 2, group=2)
        array([[False,  True],
               [False,  True]])
    """
    array, m = floats("scores", scores), integer("m", m, 1)
    n, group = integer("n", n, 0, m), integer("group", group, 1)
    if group > 1:
        means = _core.block_means(floats("scores", scores, ndim=2), group, 1)
        return n_m(means, n, m).repeat(group, axis=0)
    if array.ndim == 0 or array.shape[-1] % m:
        raise ValueError(f"scores: expected a last axis that is a multiple of {m}, got shape {array.shape}")
    return _greatest(array, m, n)


def blocks(scores: Array, shape: tuple[int, int], sparsity: float) -> Mask:
    """Prune whole blocks, those of the least mean score.

    Args:
        scores: float32 ``(N, K)``.
        shape: rows and columns of a block, which divide N and K.
        sparsity: the part of the blocks that goes, from 0 to 1, rounded half to even to a count of blocks.

    Raises:
        ValueError: dtype or shape is not as said, a score is NaN or infinite, or a number is out of range.

    Example:
        >>> blocks(np.array([[1, 1, 0, 9], [1, 1, 0, 0]], np.float32), (2, 2), 0.5)
        array([[False, False,  True,  True],
               [False, False,  True,  True]])
    """
    height, width = (integer("shape", side, 1) for side in shape)
    means = _core.block_means(floats("scores", scores, ndim=2), height, width)
    mask = _greatest(means, means.size, kept_of(means.size, sparsity))
    return mask.repeat(height, axis=0).repeat(width, axis=1)


def channels(scores: Array, sparsity: float) -> Mask:
    """Choose whole outputs, those of the least mean score, for :func:`cut_channels`.

    Args:
        scores: float32 ``(N, ...)``, the outputs along the first axis.
        sparsity: the part of the outputs that goes, from 0 to 1, rounded half to even to a count of outputs.

    Returns:
        The outputs that stay, bool ``(N,)``.

    Raises:
        ValueError: dtype or shape is not as said, a score is NaN or infinite, or the sparsity is out of range.

    Example:
        >>> channels(np.array([[1, 2], [0, 1], [9, 0]], np.float32), 1 / 3)
        array([ True, False,  True])
    """
    array = floats("scores", scores)
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"scores: expected shape (outputs, ...), not empty, got {array.shape}")
    means = _core.block_means(np.ascontiguousarray(array).reshape(len(array), -1), 1, array[0].size)
    return _greatest(means.reshape(-1), len(array), kept_of(len(array), sparsity))


class Masks:
    """Weights and their masks, which hold after any number of steps.

    An optimizer's step moves pruned weights too, by momentum and by what is left of their gradients; :meth:`apply`
    puts them back to exactly zero, in place. So does ``eval()`` of a schedule-free optimizer, whose average is not
    masked: apply the masks after it as well. Its ``train()`` brings back the weights as they were masked.

    Args:
        params: the weights, of any dtype, as a list or a dict.
        masks: one for each, bool of its shape; a dict by the same names where ``params`` is one.

    Raises:
        ValueError: masks do not fit the weights.
        TypeError: a mask is no NumPy array of bool, or ``params`` is neither a list nor a dict.

    Example:
        >>> import petrain
        >>> w = np.array([3, 1, 2], np.float32)
        >>> masks = Masks([w], [unstructured(abs(w), 1 / 3)])
        >>> opt = petrain.optim.SGD([w], lr=1.0)
        >>> for _ in range(2):
        ...     info = opt.step([np.ones(3, np.float32)])
        ...     masks.apply()
        >>> w, masks.sparsity
        (array([1., 0., 0.], dtype=float32), 0.3333333333333333)
    """

    def __init__(self, params: Arrays, masks: list[Mask] | Mapping[str, Mask]) -> None:
        names, self._params = split(params)
        self._masks = [mask_bytes("masks", mask).copy() for mask in in_order(masks, names, "masks")]
        if len(self._masks) != len(self._params):
            raise ValueError(f"masks: expected {len(self._params)}, got {len(self._masks)}")
        for param, mask in zip(self._params, self._masks, strict=True):
            if tuple(param.shape) != mask.shape:
                raise ValueError(f"masks: expected shape {tuple(param.shape)}, got {mask.shape}")

    def apply(self) -> None:
        """Set to zero, in place, what the masks prune.

        Raises:
            ValueError: a weight cannot be written in place, or two share memory. Nothing was written.
        """
        _core.apply_masks(self._params, self._masks)

    @property
    def sparsity(self) -> float:
        """The part of all weights that is pruned."""
        count = sum(mask.size for mask in self._masks)
        return sum(mask.size - int(np.count_nonzero(mask)) for mask in self._masks) / count if count else 0.0
