"""What the inputs of a layer say about which errors of its weights matter."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from petrain import _core
from petrain._params import Array


class HessianObserver:
    r"""Adds up :math:`H = \sum x x^T` and the mean of a layer's inputs, from any number of samples in the same memory.

    H is, up to a factor, the second derivative of the squared error of the layer's outputs by a row of its weights. It
    is added up in float64 by chunks of 256 rows, in the order in which rows come and whatever the pieces: the same rows
    give the same bytes on every instruction set, for any number of threads. One observer is for one thread at a time;
    several are put together by :meth:`merge`.

    Args:
        in_features: K, the layer's inputs. It takes ``8 K²`` bytes; what uses it takes as much again for a moment,
            :func:`lqer` twice and :func:`gptq` three times as much.

    Raises:
        ValueError: ``in_features`` is not from 1 to 2**20.

    Example:
        >>> import numpy as np
        >>> observer = HessianObserver(2)
        >>> observer.observe(np.array([[1.0, 2.0], [3.0, 0.0]], np.float32))
        >>> observer.observe(np.array([2.0, 1.0], np.float32))
        >>> observer.hessian
        array([[14.,  4.],
               [ 4.,  5.]])
        >>> observer.mean, observer.count
        (array([2., 1.]), 3)
    """

    def __init__(self, in_features: int) -> None:
        self._core = _core.HessianObserver(in_features)

    def observe(self, x: Array) -> None:
        """Add rows of inputs, which are read in place.

        Args:
            x: float32, ``(..., K)``.

        Raises:
            ValueError: dtype or shape is not as said, or a value is NaN or infinite. Nothing was added.
        """
        self._core.observe(x)

    def merge(self, other: HessianObserver) -> None:
        """Add all that another observer has seen, perhaps in another process.

        The sums are of float64: what is merged in another order may end in other last bits.

        Raises:
            TypeError: it is no HessianObserver.
            ValueError: it is of another number of inputs. Nothing was added.
        """
        self._core.merge(core_of(other, "other"))

    @property
    def in_features(self) -> int:
        """K."""
        return self._core.in_features

    @property
    def count(self) -> int:
        """The rows that were seen."""
        return self._core.count

    @property
    def hessian(self) -> np.ndarray:
        """H as a new float64 array ``(K, K)``: the sum, not the mean."""
        return self._core.hessian()

    @property
    def mean(self) -> np.ndarray:
        """The mean of the rows as a new float64 array ``(K,)``; zeros where none was seen."""
        return self._core.mean()

    def state_dict(self) -> dict[str, Any]:
        """All it holds, as NumPy arrays and one integer, "count"."""
        hessian, total, pending, count = self._core.state()
        return {"hessian": hessian, "sum": total, "pending": pending, "count": count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave; the next rows then give the same bytes as without a break.

        Raises:
            ValueError: the parts do not fit each other or this observer. It is as it was.
            KeyError: one is missing.
            TypeError: ``state`` is no dict, or a part of it no array or, of "count", no integer.
        """
        core = _from_state(state)
        if core.in_features != self.in_features:
            raise ValueError(f"state: expected {self.in_features} input features, got {core.in_features}")
        self._core = core

    def __getstate__(self) -> dict[str, Any]:
        return self.state_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._core = _from_state(state)

    def __repr__(self) -> str:
        return f"HessianObserver(in_features={self.in_features}, count={self.count})"


def core_of(hessian: HessianObserver, what: str = "hessian") -> _core.HessianObserver:
    """What the core works with; TypeError where it is something else."""
    if not isinstance(hessian, HessianObserver):
        raise TypeError(f"{what}: expected a HessianObserver, got {type(hessian).__name__}")
    return hessian._core


def _from_state(state: dict[str, Any]) -> _core.HessianObserver:
    count = operator.index(state["count"])
    return _core.HessianObserver.from_state(state["hessian"], state["sum"], state["pending"], count)
