"""Lion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from petrain._params import Arrays
from petrain.optim.base import Optimizer, hypers_of


class Lion(Optimizer):
    r"""Lion: a step of one size in the direction of the sign of an average of the gradients.

    .. math::
        p &\leftarrow (1 - \eta\lambda)\, p - \eta\, \mathrm{sign}(\beta_1 m + (1 - \beta_1) g) \\
        m &\leftarrow \beta_2 m + (1 - \beta_2) g

    Source: Chen et al., arXiv 2302.06675. A rate 3 to 10 times lower than that of AdamW and a decay as much
        higher suit it.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        weight_decay: :math:`\lambda` ≥ 0, decoupled from the gradient.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = Lion([p], lr=0.5).step([np.array([4.0], np.float32)])
        >>> p
        array([0.5], dtype=float32)
    """

    _name = "lion"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)
