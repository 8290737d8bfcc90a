"""Schedules that multiply the base learning rate with a factor."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from petrain.optim.base import Optimizer
from petrain.optim.lr_scheduler._base import LRScheduler, require_optimizer
from petrain.optim.lr_scheduler._checks import PerGroup, number, positive, whole
from petrain.optim.lr_scheduler._numbers import power

Factor: TypeAlias = Callable[[int], float]


class ConstantLR(LRScheduler):
    r"""The base times a constant, for the first steps: :math:`\eta_t = f \eta` for :math:`t < T`, then
    :math:`\eta`.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        factor: :math:`f`, in [0, 1].
        total_iters: :math:`T` ≥ 0.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> schedule = ConstantLR(SGD([np.zeros(1, np.float32)], lr=0.1), factor=0.5, total_iters=2)
        >>> for _ in range(3):
        ...     print(schedule.get_last_lr())
        ...     schedule.step()
        [0.05]
        [0.05]
        [0.1]
    """

    _saved = ("factor", "total_iters")

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        self.factor = number("factor", factor, 0, 1)
        self.total_iters = whole("total_iters", total_iters, 0)
        super().__init__(optimizer, last_epoch)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        return base_lr * self.factor if epoch < self.total_iters else base_lr


class StepLR(LRScheduler):
    r"""Times :math:`\gamma` every few steps: :math:`\eta_t = \eta\, \gamma^{\lfloor t / T \rfloor}`.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        step_size: :math:`T` ≥ 1.
        gamma: :math:`\gamma` ≥ 0.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> schedule = StepLR(SGD([np.zeros(1, np.float32)], lr=0.1), step_size=2, gamma=0.5)
        >>> for _ in range(4):
        ...     schedule.step()
        >>> schedule.get_last_lr()
        [0.025]
    """

    _saved = ("step_size", "gamma")

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = whole("step_size", step_size, 1)
        self.gamma = number("gamma", gamma, 0)
        super().__init__(optimizer, last_epoch)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        return base_lr * power(self.gamma, epoch // self.step_size)


class MultiStepLR(LRScheduler):
    r"""Times :math:`\gamma` at each of some steps; a step that is given twice counts twice.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        milestones: steps ≥ 0, in any order.
        gamma: :math:`\gamma` ≥ 0.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> schedule = MultiStepLR(SGD([np.zeros(1, np.float32)], lr=0.1), milestones=[1, 3], gamma=0.5)
        >>> for _ in range(3):
        ...     schedule.step()
        >>> schedule.get_last_lr()
        [0.025]
    """

    _saved = ("milestones", "gamma")

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = sorted(whole("milestones", step, 0) for step in milestones)
        self.gamma = number("gamma", gamma, 0)
        super().__init__(optimizer, last_epoch)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        return base_lr * power(self.gamma, bisect_right(self.milestones, epoch))


class ExponentialLR(LRScheduler):
    r"""Times :math:`\gamma` at every step: :math:`\eta_t = \eta\, \gamma^t`.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        gamma: :math:`\gamma` ≥ 0.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> schedule = ExponentialLR(SGD([np.zeros(1, np.float32)], lr=1.0), gamma=0.5)
        >>> schedule.step()
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.25]
    """

    _saved = ("gamma",)

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number("gamma", gamma, 0)
        super().__init__(optimizer, last_epoch)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        return base_lr * power(self.gamma, epoch)


class LinearLR(LRScheduler):
    r"""From one factor of the base to another in a straight line, then constant: a warm-up, or a decay.

    .. math:: \eta_t = \eta \left(f_0 + (f_1 - f_0) \frac{\min(t, T)}{T}\right)

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        start_factor: :math:`f_0`, in [0, 1].
        end_factor: :math:`f_1`, in [0, 1].
        total_iters: :math:`T` ≥ 1.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> schedule = LinearLR(SGD([np.zeros(1, np.float32)], lr=1.0), start_factor=0.0, total_iters=4)
        >>> schedule.get_last_lr()
        [0.0]
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.25]
    """

    _saved = ("start_factor", "end_factor", "total_iters")

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = number("start_factor", start_factor, 0, 1)
        self.end_factor = number("end_factor", end_factor, 0, 1)
        self.total_iters = whole("total_iters", total_iters, 1)
        super().__init__(optimizer, last_epoch)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        if epoch >= self.total_iters:
            return base_lr * self.end_factor
        return base_lr * (self.start_factor + (self.end_factor - self.start_factor) * epoch / self.total_iters)


class PolynomialLR(LRScheduler):
    r"""Down to 0 along a power: :math:`\eta_t = \eta\, (1 - \min(t, T) / T)^p`.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        total_iters: :math:`T` ≥ 1.
        power: :math:`p` > 0.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> schedule = PolynomialLR(SGD([np.zeros(1, np.float32)], lr=1.0), total_iters=4, power=2)
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.5625]
    """

    _saved = ("total_iters", "power")

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters = whole("total_iters", total_iters, 1)
        self.power = positive("power", power)
        super().__init__(optimizer, last_epoch)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        return base_lr * power(1 - min(epoch, self.total_iters) / self.total_iters, self.power)


class InverseSquareRootLR(LRScheduler):
    r"""A straight warm-up to the base, then down with the root of the step number.

    .. math:: \eta_t = \eta \begin{cases} f_0 + (1 - f_0)\, t / W & t < W \\ \sqrt{S / (t - W + S)} & t \ge W
        \end{cases}

    Source: Vaswani et al., arXiv 1706.03762, section 5.3, where S = W; S as in transformers.get_inverse_sqrt_schedule.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        warmup_steps: :math:`W` ≥ 0.
        timescale: :math:`S` ≥ 1; None: W, or 10,000 without a warm-up.
        start_factor: :math:`f_0`, in [0, 1].

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> schedule = InverseSquareRootLR(SGD([np.zeros(1, np.float32)], lr=1.0), warmup_steps=4)
        >>> for _ in range(16):
        ...     schedule.step()
        >>> schedule.get_last_lr()
        [0.5]
    """

    _saved = ("warmup_steps", "timescale", "start_factor")

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        timescale: int | None = None,
        start_factor: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.warmup_steps = whole("warmup_steps", warmup_steps, 0)
        self.timescale = whole("timescale", (self.warmup_steps or 10_000) if timescale is None else timescale, 1)
        self.start_factor = number("start_factor", start_factor, 0, 1)
        super().__init__(optimizer, last_epoch)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        if epoch < self.warmup_steps:
            return base_lr * (self.start_factor + (1 - self.start_factor) * epoch / self.warmup_steps)
        return base_lr * math.sqrt(self.timescale / (epoch - self.warmup_steps + self.timescale))


class LambdaLR(LRScheduler):
    r"""The base times what a function of the step number gives: :math:`\eta_t = \eta\, f(t)`.

    The function is not part of the state_dict: give the same one to a schedule that is to be restored.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        lr_lambda: :math:`f`, or a list of such functions, one for each group.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> schedule = LambdaLR(SGD([np.zeros(1, np.float32)], lr=1.0), lambda t: 1 / (1 + t))
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.5]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1) -> None:
        groups = len(require_optimizer(optimizer).param_groups)
        self.lr_lambda = PerGroup("lr_lambda", lr_lambda, groups, _function)
        super().__init__(optimizer, last_epoch)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        return base_lr * float(self.lr_lambda[group](epoch))


def _function(name: str, value: object) -> Factor:
    if not callable(value):
        raise TypeError(f"{name}: expected a function, got {type(value).__name__}")
    return value
