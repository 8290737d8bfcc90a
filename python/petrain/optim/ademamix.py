"""AdEMAMix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from petrain._params import Arrays
from petrain.optim.base import Optimizer, hypers_of


class AdEMAMix(Optimizer):
    r"""Adam with a second, slow average of the gradients beside the fast one.

    .. math::
        m_1 &\leftarrow \beta_1 m_1 + (1 - \beta_1) g, \quad m_2 \leftarrow \beta_3 m_2 + (1 - \beta_3) g,
            \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        p &\leftarrow p - \eta \Big(\frac{m_1 / (1 - \beta_1^t) + \alpha m_2}{\sqrt{v / (1 - \beta_2^t)} +
            \epsilon} + \lambda p\Big)

    Source: Pagliardini, Ablin, Grangier, arXiv 2409.03137.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        betas: :math:`\beta_1, \beta_2, \beta_3`, each in [0, 1).
        alpha: :math:`\alpha` ≥ 0, the weight of the slow average.
        t_alpha, t_beta3: steps in which alpha grows from 0 and the half-life of the slow average from that of the
            fast one; 0: both are there at once. The paper takes the length of the run.
        eps: :math:`\epsilon` > 0.
        weight_decay: :math:`\lambda` ≥ 0, decoupled from the gradient.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = AdEMAMix([p], lr=0.5, alpha=0.0).step([np.array([4.0], np.float32)])
        >>> p
        array([0.5], dtype=float32)
    """

    _name = "ademamix"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
        alpha: float = 5.0,
        t_alpha: int = 0,
        t_beta3: int = 0,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)
