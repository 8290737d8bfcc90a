"""Adafactor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from petrain._params import Arrays
from petrain.optim.base import Optimizer, hypers_of


class Adafactor(Optimizer):
    r"""Adafactor, in the form of torch.optim.Adafactor: of the squares of a matrix it keeps only the mean of each row
    and of each column.

    .. math::
        \beta_t &= 1 - t^{\gamma} \qquad
        \alpha_t = \max(\epsilon_2, \mathrm{RMS}(p)) \min(\eta, 1 / \sqrt{t}) \\
        r &\leftarrow \beta_t r + (1 - \beta_t) \, \mathrm{mean}_j(g_{ij}^2) \qquad
        c \leftarrow \beta_t c + (1 - \beta_t) \, \mathrm{mean}_i(g_{ij}^2) \\
        \hat v_{ij} &= r_i c_j / \max(\mathrm{mean}(r), \epsilon_1) \\
        u &= g / \sqrt{\max(\hat v, \epsilon_1^2)} \\
        p &\leftarrow (1 - \eta\lambda)\, p - \alpha_t \, u / \max(1, \mathrm{RMS}(u) / d)

    A tensor of more than two dimensions is a stack of matrices, one of fewer keeps a mean for every element. With
    momentum the last term becomes :math:`m \leftarrow \mu m + (1 - \mu)(\ldots)`. It computes in float32, whatever
    the parameter's dtype.

    Source: Shazeer, Stern, arXiv 1804.04235.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`; ``state_dtype`` is that of the momentum.
        lr: :math:`\eta` > 0.
        beta2_decay: :math:`\gamma` ≤ 0.
        eps: :math:`\epsilon_1` > 0, or None for :math:`2^{-23}`, and :math:`\epsilon_2` ≥ 0.
        d: root mean square from which on an update is shortened, > 0.
        weight_decay: :math:`\lambda` ≥ 0.
        relative_step: without it, :math:`\min(\eta, 1 / \sqrt{t})` is just :math:`\eta`.
        scale_parameter: without it, the factor :math:`\max(\epsilon_2, \mathrm{RMS}(p))` is 1.
        momentum: :math:`\mu` in [0, 1), the paper's :math:`\beta_1`; 0 keeps no state for it.

    Example:
        >>> import numpy as np
        >>> p = np.ones((256, 512), np.float32)
        >>> opt = Adafactor([p], lr=0.1)
        >>> info = opt.step([np.full((256, 512), 3.0, np.float32)])
        >>> p[0, 0], opt.state_bytes == 4 * (256 + 512)
        (np.float32(0.9), True)
    """

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        relative_step: bool = True,
        scale_parameter: bool = True,
        momentum: float = 0.0,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)

    def _rule(self, hypers: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """eps is two numbers to the core; momentum makes a rule of its own, since it keeps one more state."""
        eps = hypers.pop("eps")
        if not isinstance(eps, Sequence) or len(eps) != 2:
            raise ValueError(f"eps: expected two numbers, got {eps!r}")
        hypers.update(eps1=2.0**-23 if eps[0] is None else eps[0], eps2=eps[1])
        if hypers["momentum"] != 0:
            return "adafactor_momentum", hypers
        del hypers["momentum"]
        return "adafactor", hypers
