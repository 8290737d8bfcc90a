"""Adam and its kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from petrain._params import Arrays
from petrain.optim.base import Optimizer, hypers_of


def with_amsgrad(name: str, hypers: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """amsgrad is a rule of its own to the core, since it keeps one more state."""
    amsgrad = hypers.pop("amsgrad")
    return (f"{name}_amsgrad" if amsgrad else name), hypers


class Adam(Optimizer):
    r"""Adam; weight decay is added to the gradient, as in torch.optim.Adam.

    .. math::
        g &\leftarrow g + \lambda p \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        p &\leftarrow p - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Source: Kingma, Ba, arXiv 1412.6980.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon` > 0.
        weight_decay: :math:`\lambda` ≥ 0.
        amsgrad: divide by the greatest :math:`v` so far; Reddi, Kale, Kumar, arXiv 1904.09237.
        bias_correction: without it, m and v are taken as they are.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = Adam([p], lr=0.5).step([np.array([4.0], np.float32)])
        >>> p
        array([0.5], dtype=float32)
    """

    _name = "adam"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        bias_correction: bool = True,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)

    def _rule(self, hypers: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return with_amsgrad(self._name, hypers)


class AdamW(Optimizer):
    r"""Adam with decoupled weight decay, as in torch.optim.AdamW.

    .. math::
        p &\leftarrow (1 - \eta\lambda)\, p \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        p &\leftarrow p - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Source: Loshchilov, Hutter, arXiv 1711.05101.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon` > 0.
        weight_decay: :math:`\lambda` ≥ 0.
        amsgrad: divide by the greatest :math:`v` so far; Reddi, Kale, Kumar, arXiv 1904.09237.
        bias_correction: without it, m and v are taken as they are.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = AdamW([p], lr=0.5, weight_decay=0.1).step([np.array([4.0], np.float32)])
        >>> p
        array([0.45], dtype=float32)
    """

    _name = "adamw"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        bias_correction: bool = True,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)

    def _rule(self, hypers: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return with_amsgrad(self._name, hypers)
