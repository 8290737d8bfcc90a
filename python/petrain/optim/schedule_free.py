"""Schedule-Free AdamW."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from petrain._bfloat16 import from_bfloat16, is_bfloat16, to_bfloat16
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
        is kept, back bit for bit; until then there is no step and no state, to save or to load: they belong to y.
        Parameters of another rule stay as they are."""
        if self._kept is not None:
            return
        self._kept = []
        for i in range(len(self._core.shapes())):
            array = self._core.param(i)
            self._kept.append(array.copy())
            state = self._core.state(i)
            if "z" not in state or self._core.steps(i) == 0:
                continue
            z = state["z"]
            y = state["master"] if "master" in state else _read(array, z.dtype)
            if "compensation" in state:
                y = y + _read(state["compensation"], z.dtype)
            weight = z.dtype.type(1 - 1 / self.param_groups[self._core.group_of(i)]["betas"][0])
            x = y + weight * (z - y)
            array[...] = to_bfloat16(x, array.dtype) if is_bfloat16(array) else x.astype(array.dtype)

    def train(self) -> None:
        """Undo :meth:`eval`."""
        for i, y in enumerate(self._kept or []):
            self._core.param(i)[...] = y
        self._kept = None

    def step(self, grads: Arrays | GradAccumulator, **options: Any) -> StepInfo:
        """As :meth:`Optimizer.step`, in training mode."""
        self._expect_training("step()")
        return super().step(grads, **options)

    def _live_state(self) -> dict[str, Any]:
        # All that saves or loads begins here, before it writes anything: state dicts, checkpoints, exchange.
        self._expect_training("the state is saved or loaded")
        return super()._live_state()

    def _expect_training(self, what: str) -> None:
        if self._kept is not None:
            raise RuntimeError(f"the parameters hold the average: call train() before {what}")


def _read(array: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    return (from_bfloat16(array) if is_bfloat16(array) else array).astype(dtype)
