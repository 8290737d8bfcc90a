"""Rules near Adam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from petrain._params import Arrays
from petrain.optim.base import Optimizer, hypers_of


class Adamax(Optimizer):
    r"""Adamax: Adam with the greatest magnitude in the place of the root mean square; as torch.optim.Adamax.

    .. math::
        g &\leftarrow g + \lambda p \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        u &\leftarrow \max(\beta_2 u, |g| + \epsilon) \\
        p &\leftarrow p - \frac{\eta}{1 - \beta_1^t} \frac{m}{u}

    Source: Kingma, Ba, arXiv 1412.6980.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon` > 0.
        weight_decay: :math:`\lambda` ≥ 0, added to the gradient.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = Adamax([p], lr=0.5).step([np.array([4.0], np.float32)])
        >>> p
        array([0.5], dtype=float32)
    """

    _name = "adamax"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)


class NAdam(Optimizer):
    r"""Adam with Nesterov momentum, as torch.optim.NAdam.

    .. math::
        \mu_t &= \beta_1 (1 - \tfrac12 0.96^{t \psi}) \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        p &\leftarrow p - \eta\, \Big(\frac{(1 - \mu_t)\, g}{1 - \prod_{i \le t} \mu_i} + \frac{\mu_{t+1}\,
            m}{1 - \prod_{i \le t+1} \mu_i}\Big) \Big/ \big(\sqrt{v / (1 - \beta_2^t)} + \epsilon\big)

    Source: Dozat, Incorporating Nesterov Momentum into Adam, ICLR workshop 2016.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon` > 0.
        weight_decay: :math:`\lambda` ≥ 0.
        momentum_decay: :math:`\psi` ≥ 0.
        decoupled_weight_decay: :math:`p \leftarrow (1 - \eta\lambda) p` instead of :math:`g + \lambda p`.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = NAdam([p], lr=0.5).step([np.array([4.0], np.float32)])
        >>> p
        array([0.4717741], dtype=float32)
    """

    _name = "nadam"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)


class RAdam(Optimizer):
    r"""Adam that waits until its second moment can be trusted, as torch.optim.RAdam.

    .. math::
        \rho_\infty &= 2 / (1 - \beta_2) - 1, \quad \rho_t = \rho_\infty - 2 t \beta_2^t / (1 - \beta_2^t) \\
        \hat m &= m / (1 - \beta_1^t) \quad\text{with m and v as in Adam} \\
        p &\leftarrow p - \eta \hat m\, r_t \sqrt{1 - \beta_2^t} / (\sqrt{v} + \epsilon) \quad\text{if } \rho_t
            > 5,\ \text{else}\ p - \eta \hat m \\
        r_t &= \sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2)\rho_t}}

    Source: Liu et al., arXiv 1908.03265.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon` > 0.
        weight_decay: :math:`\lambda` ≥ 0.
        decoupled_weight_decay: :math:`p \leftarrow (1 - \eta\lambda) p` instead of :math:`g + \lambda p`.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = RAdam([p], lr=0.125).step([np.array([4.0], np.float32)])
        >>> p
        array([0.5], dtype=float32)
    """

    _name = "radam"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)
