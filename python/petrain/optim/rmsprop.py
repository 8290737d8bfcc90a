"""RMSprop in its four forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from petrain._params import Arrays
from petrain.optim.base import Optimizer, hypers_of


class RMSprop(Optimizer):
    r"""RMSprop, in the form of torch.optim.RMSprop.

    .. math::
        g &\leftarrow g + \lambda p \\
        s &\leftarrow \alpha s + (1 - \alpha) g^2 \\
        d &= g / (\sqrt{s} + \epsilon) \quad\text{or, centered,}\quad g / (\sqrt{s - a^2} + \epsilon),\; a
            \leftarrow \alpha a + (1 - \alpha) g \\
        p &\leftarrow p - \eta d \quad\text{or, with momentum,}\quad b \leftarrow \mu b + d,\; p \leftarrow p -
            \eta b

    Source: Hinton, Neural Networks for Machine Learning, lecture 6e, 2012; centered: Graves, arXiv 1308.0850.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        alpha: :math:`\alpha` in [0, 1).
        eps: :math:`\epsilon` > 0.
        weight_decay: :math:`\lambda` ≥ 0, added to the gradient.
        momentum: :math:`\mu` ≥ 0.
        centered: divide by the deviation instead of the root mean square.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = RMSprop([p], lr=0.05).step([np.array([4.0], np.float32)])
        >>> p
        array([0.5], dtype=float32)
    """

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)

    def _rule(self, hypers: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Each form keeps other states, so each is a rule of its own to the core."""
        centered = "_centered" if hypers.pop("centered") else ""
        if hypers["momentum"] != 0:
            return f"rmsprop{centered}_momentum", hypers
        del hypers["momentum"]
        return f"rmsprop{centered}", hypers
