"""Gradient descent with and without momentum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from petrain._params import Arrays
from petrain.optim.base import Optimizer, hypers_of


class SGD(Optimizer):
    r"""Stochastic gradient descent with momentum, in the form of torch.optim.SGD.

    .. math::
        g &\leftarrow g + \lambda p \\
        v &\leftarrow \mu v + (1 - \tau) g \quad\text{(the first v is g)} \\
        p &\leftarrow p - \eta v \quad\text{or, with Nesterov,}\quad p - \eta (g + \mu v)

    Without momentum there is no state. Source: Sutskever et al., ICML 2013.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        momentum: :math:`\mu` ≥ 0.
        dampening: :math:`\tau` ≥ 0.
        weight_decay: :math:`\lambda` ≥ 0.
        nesterov: look ahead; needs momentum and no dampening.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0, 2.0], np.float32)
        >>> opt = SGD([p], lr=0.5, momentum=0.9)
        >>> info = opt.step([np.array([1.0, 1.0], np.float32)])
        >>> p
        array([0.5, 1.5], dtype=float32)
    """

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)

    def _rule(self, hypers: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if hypers["nesterov"] and (hypers["momentum"] <= 0 or hypers["dampening"] != 0):
            raise ValueError(
                "nesterov needs momentum > 0 and dampening = 0, "
                f"got momentum {hypers['momentum']} and dampening {hypers['dampening']}"
            )
        if hypers["momentum"] != 0:
            return "sgd_momentum", hypers
        return "sgd", {key: value for key, value in hypers.items() if key not in ("momentum", "dampening", "nesterov")}


class Momentum(Optimizer):
    r"""Momentum in the averaging form: the step does not grow with the momentum, as it does in :class:`SGD`.

    .. math::
        g &\leftarrow g + \lambda p \\
        v &\leftarrow \alpha v + (1 - \alpha) g \\
        p &\leftarrow p - \eta v

    Source: Polyak, USSR Computational Mathematics and Mathematical Physics 4, 1964.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        momentum: :math:`\alpha` in [0, 1).
        weight_decay: :math:`\lambda` ≥ 0, added to the gradient.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = Momentum([p], lr=0.5, momentum=0.75).step([np.array([4.0], np.float32)])
        >>> p
        array([0.5], dtype=float32)
    """

    _name = "momentum"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)
