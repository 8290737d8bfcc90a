"""Schedule-Free AdamW."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from petrain._core import StepInfo
from petrain._params import Arrays
from petrain.accumulate import GradAccumulator
from petrain.optim.base import Optimizer, hypers_of


class ScheduleFreeAdamW(Optimizer):
    r"""AdamW that averages in the place of a schedule: no number of steps need be known.

    .. math::
        d &= g / (\sqrt{v} + \epsilon) + \lambda y, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
            \gamma_t = \eta \min(1, t / w) \sqrt{1 - \beta_2^t} \\
        c &= \omega_t / \textstyle\sum_{i \le t} \omega_i, \quad \omega_t = t^r \max_{i \le t} \gamma_i^{\,k} \\
        y &\leftarrow y + c\,(z - y) + \gamma_t (\beta_1 (1 - c) - 1)\, d, \quad z \leftarrow z - \gamma_t d

    Source: Defazio et al., arXiv 2405.15682.

    Args:
        params, maximize, state_dtype, rounding, seed: see :class:`Optimizer`.
        lr: :math:`\eta` > 0, higher than with a schedule.
        betas: :math:`\beta_1` in (0, 1), :math:`\beta_2` in [0, 1).
        eps: :math:`\epsilon` > 0.
        weight_decay: :math:`\lambda` ≥ 0, decoupled from the gradient.
        warmup_steps: :math:`w` ≥ 0.
        r, weight_lr_power: :math:`r, k` ≥ 0, of the weights of the average.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> opt = ScheduleFreeAdamW([p], lr=0.5)
        >>> for _ in range(3):
        ...     info = opt.step([p - 0.25])
        >>> opt.eval()  # p is now the average, to be evaluated or saved
        >>> opt.train()  # and now again where gradients are taken
    """

    _name = "schedule_free_adamw"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        rounding: str = "nearest",
        seed: int = 0,
    ) -> None:
        super().__init__(params, hypers_of(locals()), seed=seed)
        self._kept: list[np.ndarray] | None = None  # y, while the parameters hold x

    def eval(self) -> None:
        """Put the average x = y + (1 - 1 / beta1) (z - y) into the parameters. :meth:`train` brings y, of which a copy
        is kept, back bit for bit; until then there is no step and no state_dict, since they belong to y."""
        if self._kept is not None:
            return
        self._kept = []
        for i in range(len(self._core.shapes())):
            array = self._core.param(i)
            self._kept.append(array.copy())
            if self._core.steps(i) > 0:
                state = self._core.state(i)
                z = state["z"]
                y = state["master"] if "master" in state else array.astype(z.dtype)
                if "compensation" in state:
                    y = y + state["compensation"].astype(z.dtype)
                weight = z.dtype.type(1 - 1 / self.param_groups[self._core.group_of(i)]["betas"][0])
                array[...] = (y + weight * (z - y)).astype(array.dtype)

    def train(self) -> None:
        """Undo :meth:`eval`."""
        for i, y in enumerate(self._kept or []):
            self._core.param(i)[...] = y
        self._kept = None

    def step(self, grads: Arrays | GradAccumulator, **options: Any) -> StepInfo:
        """As :meth:`Optimizer.step`, in training mode."""
        self._expect_training("step()")
        return super().step(grads, **options)

    def state_dict(self) -> dict[str, Any]:
        """As :meth:`Optimizer.state_dict`, in training mode: the parameters to save beside it are y."""
        self._expect_training("state_dict()")
        return super().state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As :meth:`Optimizer.load_state_dict`, in training mode."""
        self._expect_training("load_state_dict()")
        super().load_state_dict(state)

    def _expect_training(self, what: str) -> None:
        if self._kept is not None:
            raise RuntimeError(f"the parameters hold the average: call train() before {what}")
