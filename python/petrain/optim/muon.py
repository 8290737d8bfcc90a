"""Muon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from petrain._params import Arrays
from petrain.optim.base import Optimizer, hypers_of


class Muon(Optimizer):
    r"""Muon, for the matrices of hidden layers, in the form of torch.optim.Muon: the step is the momentum with all
    its singular values taken to about 1.

    .. math::
        m &\leftarrow \mu m + (1 - \mu) g \\
        X &= B / \max(\|B\|_F, \epsilon), \quad B = (1 - \mu) g + \mu m \text{ with Nesterov, else } m \\
        X &\leftarrow a X + (b A + c A^2) X, \quad A = X X^T \qquad\text{(Newton–Schulz, a few times)} \\
        p &\leftarrow (1 - \eta\lambda)\, p - \eta s X

    :math:`s` is :math:`\sqrt{\max(1, m / n)}` for a matrix of m rows and n columns ("original"), or
    :math:`0.2 \sqrt{\max(m, n)}` ("match_rms_adamw"), with which a learning rate and weight decay that suit AdamW
    suit Muon too. It computes in float32, whatever the parameter's dtype, where torch iterates in bfloat16.

    Parameters must be matrices. Biases, gains and embeddings belong into a group with another rule, as below.

    Sources: Jordan et al., https://kellerjordan.github.io/posts/muon/; Liu et al., arXiv 2502.16982.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0.
        weight_decay: :math:`\lambda` ≥ 0.
        momentum: :math:`\mu` in [0, 1).
        nesterov: look ahead.
        ns_coefficients: :math:`a, b, c`; groups show them as ns_a, ns_b and ns_c.
        eps: :math:`\epsilon` > 0.
        ns_steps: how often the iteration is done, at least 1.
        adjust_lr_fn: "original" (also None) or "match_rms_adamw".

    Raises:
        ValueError: a parameter is no matrix.

    Example:
        >>> import numpy as np
        >>> weight, bias = np.zeros((4, 4), np.float32), np.zeros(4, np.float32)
        >>> groups = [{"params": [weight]}, {"params": [bias], "rule": "adamw", "lr": 1e-3}]
        >>> opt = Muon(groups, lr=0.02)
        >>> info = opt.step([np.eye(4, dtype=np.float32), np.ones(4, np.float32)])
        >>> bool(abs(weight + 0.02 * np.eye(4)).max() < 0.01), bias
        (True, array([-0.001, -0.001, -0.001, -0.001], dtype=float32))
    """

    _name = "muon"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)

    def _rule(self, hypers: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        coefficients = hypers.pop("ns_coefficients")
        if not isinstance(coefficients, Sequence) or len(coefficients) != 3:
            raise ValueError(f"ns_coefficients: expected three numbers, got {coefficients!r}")
        hypers.update(zip(("ns_a", "ns_b", "ns_c"), coefficients, strict=True))
        hypers["adjust_lr_fn"] = hypers["adjust_lr_fn"] or "original"
        return self._name, hypers
