"""Rules that step a gradient of low rank: GaLore and APOLLO, around any elementwise rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from petrain import _core
from petrain._params import Arrays
from petrain.optim.base import Optimizer, hypers_of


class _Projected(Optimizer):
    _prefix: ClassVar[str]

    def _rule(self, hypers: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        base = hypers.pop("base")
        name = f"{self._prefix}{base}"
        if name not in _core.rules():
            known = [rule.removeprefix(self._prefix) for rule in _core.rules() if rule.startswith(self._prefix)]
            raise ValueError(f"base: expected one of {', '.join(known)}, got {base!r}")
        return name, hypers


class GaLore(_Projected):
    r"""GaLore: another rule on the gradient's projection to its leading singular vectors, whose states are as much
    smaller.

    For a matrix :math:`W` (m, n) with m < n, and the rule's direction :math:`\rho`, which is its step at a learning
    rate of 1 and without weight decay, from a parameter of zeros:

    .. math::
        P &\leftarrow U_{:, 1 \ldots r} \text{ of } G = U S V^T \qquad\text{(every \texttt{update\_proj\_gap} steps)} \\
        R &= P^T G \\
        W &\leftarrow (1 - \eta\lambda)\, W + \eta s \, P \, \rho(R)

    Otherwise the same from the right, with the first columns of :math:`V`. Weight decay is of the full parameter and
    decoupled, whatever the rule does with it. The projector comes from :func:`petrain.lowrank.svd`, randomized beyond
    128 rows or columns; the rule's states stay as they are when it changes. A gradient of zeros has no directions: the
    projector then waits. It computes in float32, whatever the parameter's dtype. With AdamW the states take
    m r + 2 n r numbers instead of 2 m n.

    Parameters must be matrices. What is not belongs into a group with another rule, as below.

    Source: Zhao et al., arXiv 2403.03507.

    Args:
        params, maximize, rounding, seed: see :class:`Optimizer`.
        base: the rule to step the projected gradient with, by name: "adamw", "sgd_momentum", "lion", … It may be any
            that follows neither the parameter nor the norm of a whole tensor.
        rank: r, from 1 to the smaller side of every parameter. Fixed once the optimizer is made.
        update_proj_gap: steps between new projectors, at least 1.
        scale: :math:`s` > 0.
        proj_type: which side of the gradient is projected: "std", the shorter, so that states are smallest;
            "reverse_std", the longer; "left" or "right". Fixed too.
        state_dtype: of the rule's states; the projector is float32.
        hypers: those of the base rule, such as ``lr``, ``betas`` and ``weight_decay``; by default its own.

    Raises:
        ValueError: a parameter is no matrix, or smaller than the rank.

    Example:
        >>> import numpy as np
        >>> weight, bias = np.zeros((64, 128), np.float32), np.zeros(128, np.float32)
        >>> groups = [{"params": [weight]}, {"params": [bias], "rule": "adamw"}]
        >>> opt = GaLore(groups, rank=4, lr=1e-2)
        >>> opt.state_bytes == 4 * (64 * 4 + 2 * 128 * 4) + 4 * 2 * 128
        True
        >>> info = opt.step([np.ones_like(weight), np.ones_like(bias)])
        >>> bool((weight < 0).all())
        True
    """

    _prefix = "galore_"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        base: str = "adamw",
        rank: int = 128,
        update_proj_gap: int = 200,
        scale: float = 0.25,
        proj_type: str = "std",
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
        **hypers: Any,
    ) -> None:
        super().__init__(params, _with_base(locals()), seed=seed)


class APOLLO(_Projected):
    r"""APOLLO: another rule on a random projection of the gradient says how long the step of each channel is to be;
    its direction is that of the gradient itself.

    For a matrix :math:`W` (m, n) with m ≤ n, whose columns are then the channels, and the rule's direction
    :math:`\rho` as in :class:`GaLore`:

    .. math::
        R &= P G, \quad P_{ij} \sim N(0, 1/r) \qquad\text{(drawn anew every \texttt{update\_proj\_gap} steps)} \\
        s_j &= \|\rho(R)_{:, j}\| / \|R_{:, j}\| \qquad\text{or, for all, } \|\rho(R)\|_F / \|R\|_F \\
        \tilde G &= \alpha \, G \, \mathrm{diag}(s), \quad \text{shortened to } \gamma \|\tilde G_{t-1}\|_F
            \text{ where it is longer} \\
        W &\leftarrow (1 - \eta\lambda)\, W - \eta \, \tilde G

    The projection is drawn from a seed at every step and takes no memory: with AdamW the states are 2 n r numbers and
    two. APOLLO-Mini is ``rank=1, scale_type="tensor", scale=128**0.5``. Weight decay is of the full parameter and
    decoupled, whatever the rule does with it. It computes in float32, whatever the parameter's dtype.

    Parameters must be matrices. What is not belongs into a group with another rule, as for :class:`GaLore`.

    Source: Zhu et al., arXiv 2412.05270; the limit is that of Chen et al., Fira, arXiv 2410.01623.

    Args:
        params, maximize, rounding: see :class:`Optimizer`.
        base, update_proj_gap, state_dtype, hypers: see :class:`GaLore`.
        rank: r, from 1 to the smaller side of every parameter. Fixed once the optimizer is made.
        scale: :math:`\alpha` > 0.
        proj_type: as in :class:`GaLore`; the channels are along the side that is not projected.
        scale_type: "channel" or "tensor".
        norm_growth: :math:`\gamma` ≥ 0; 0: without limit.
        seed: of the projections too.

    Raises:
        ValueError: a parameter is no matrix, or smaller than the rank.

    Example:
        >>> import numpy as np
        >>> p = np.zeros((64, 128), np.float32)
        >>> opt = APOLLO([p], rank=1, scale_type="tensor", scale=128**0.5, lr=1e-2)
        >>> opt.state_bytes == 4 * 2 * 128
        True
        >>> info = opt.step([np.ones_like(p)])
        >>> bool((p < 0).all())
        True
    """

    _prefix = "apollo_"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        base: str = "adamw",
        rank: int = 256,
        update_proj_gap: int = 200,
        scale: float = 1.0,
        proj_type: str = "std",
        scale_type: str = "channel",
        norm_growth: float = 1.01,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
        **hypers: Any,
    ) -> None:
        super().__init__(params, _with_base(locals()), seed=seed)


def _with_base(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What a constructor was given, the base rule's hyperparameters beside its own."""
    own = hypers_of(arguments)
    return {**own.pop("hypers"), **own}
