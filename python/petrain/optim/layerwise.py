"""Rules whose step follows the norm of each tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from petrain._params import Arrays
from petrain.optim.base import Optimizer, hypers_of


class LARS(Optimizer):
    r"""SGD with momentum whose step is as long, for each tensor, as the tensor and its gradient say.

    .. math::
        \tau &= \frac{\kappa \|p\|}{\|g\| + \lambda \|p\| + \epsilon} \quad\text{(1 where a norm is 0)} \\
        v &\leftarrow \mu v + \eta \tau (g + \lambda p) \\
        p &\leftarrow p - v

    Source: You, Gitman, Ginsburg, arXiv 1708.03888.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        momentum: :math:`\mu` in [0, 1).
        weight_decay: :math:`\lambda` ≥ 0, added to the gradient.
        trust_coefficient: :math:`\kappa` > 0.
        eps: :math:`\epsilon` ≥ 0.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = LARS([p], lr=500.0).step([np.array([4.0], np.float32)])
        >>> p
        array([0.5], dtype=float32)
    """

    _name = "lars"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        eps: float = 1e-8,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)


class LAMB(Optimizer):
    r"""Adam whose step is as long, for each tensor, as the tensor's norm.

    .. math::
        u &= \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} + \lambda p \quad\text{with m
            and v as in Adam} \\
        p &\leftarrow p - \eta \frac{\|p\|}{\|u\|} u \quad\text{(factor 1 where a norm is 0)}

    Source: You et al., arXiv 1904.00962.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon` > 0.
        weight_decay: :math:`\lambda` ≥ 0.
        bias_correction: without it, m and v are taken as they are.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = LAMB([p], lr=0.5).step([np.array([4.0], np.float32)])
        >>> p
        array([0.5], dtype=float32)
    """

    _name = "lamb"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 1e-2,
        bias_correction: bool = True,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)
