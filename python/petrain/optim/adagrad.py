"""Rules that divide by the gradients so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from petrain._params import Arrays
from petrain.optim.base import Optimizer, hypers_of


class Adagrad(Optimizer):
    r"""Adagrad, in the form of torch.optim.Adagrad.

    .. math::
        g &\leftarrow g + \lambda p \\
        s &\leftarrow s + g^2 \\
        p &\leftarrow p - \frac{\eta}{1 + (t - 1)\,\gamma} \frac{g}{\sqrt{s} + \epsilon}

    Source: Duchi, Hazan, Singer, JMLR 12, 2011.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        lr_decay: :math:`\gamma` ≥ 0.
        weight_decay: :math:`\lambda` ≥ 0.
        initial_accumulator_value: :math:`s` before the first step, ≥ 0. To change it later changes nothing.
        eps: :math:`\epsilon` > 0.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = Adagrad([p], lr=0.5).step([np.array([4.0], np.float32)])
        >>> p
        array([0.5], dtype=float32)
    """

    _name = "adagrad"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)


class Adadelta(Optimizer):
    r"""Adadelta, in the form of torch.optim.Adadelta.

    .. math::
        g &\leftarrow g + \lambda p \\
        s &\leftarrow \rho s + (1 - \rho) g^2 \\
        \Delta &= \frac{\sqrt{u + \epsilon}}{\sqrt{s + \epsilon}}\, g \\
        u &\leftarrow \rho u + (1 - \rho) \Delta^2 \\
        p &\leftarrow p - \eta \Delta

    Source: Zeiler, arXiv 1212.5701.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        rho: :math:`\rho` in [0, 1).
        eps: :math:`\epsilon` > 0.
        weight_decay: :math:`\lambda` ≥ 0, added to the gradient.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = Adadelta([p], lr=100.0).step([np.array([4.0], np.float32)])
        >>> p
        array([0.6837723], dtype=float32)
    """

    _name = "adadelta"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)
