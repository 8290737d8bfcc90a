"""Schedules that follow a cosine."""

from __future__ import annotations

from petrain.optim.base import Optimizer
from petrain.optim.lr_scheduler._base import LRScheduler
from petrain.optim.lr_scheduler._checks import number, whole
from petrain.optim.lr_scheduler._numbers import half_cosine


class CosineAnnealingLR(LRScheduler):
    r"""Half a cosine down to a least value, and up again the same way if it is stepped on.

    .. math:: \eta_t = \eta_{min} + (\eta - \eta_{min}) \frac{1 + \cos(\pi t / T)}{2}

    Source: Loshchilov, Hutter, arXiv 1608.03983, without the restarts.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        T_max: :math:`T` ≥ 1.
        eta_min: :math:`\eta_{min}` ≥ 0.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> schedule = CosineAnnealingLR(SGD([np.zeros(1, np.float32)], lr=1.0), T_max=4)
        >>> schedule.step()
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.5]
    """

    _saved = ("T_max", "eta_min")

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = whole("T_max", T_max, 1)
        self.eta_min = number("eta_min", eta_min, 0)
        super().__init__(optimizer, last_epoch)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        down = epoch % (2 * self.T_max)
        return half_cosine(base_lr, self.eta_min, min(down, 2 * self.T_max - down) / self.T_max)


class CosineAnnealingWarmRestarts(LRScheduler):
    r"""Half a cosine from the base down to a least value, again and again, each time in more steps.

    .. math:: \eta_t = \eta_{min} + (\eta - \eta_{min}) \frac{1 + \cos(\pi T_{cur} / T_i)}{2}

    where :math:`T_{cur}` counts the steps since the last restart and :math:`T_i = T_0\, T_{mult}^i`.
    Source: Loshchilov, Hutter, arXiv 1608.03983.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        T_0: the steps before the first restart, ≥ 1.
        T_mult: what that is multiplied with at each restart, a whole number ≥ 1.
        eta_min: :math:`\eta_{min}` ≥ 0.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> schedule = CosineAnnealingWarmRestarts(SGD([np.zeros(1, np.float32)], lr=1.0), T_0=2, T_mult=2)
        >>> lrs = []
        >>> for _ in range(5):
        ...     lrs.append(round(schedule.get_last_lr()[0], 3))
        ...     schedule.step()
        >>> lrs
        [1.0, 0.5, 1.0, 0.854, 0.5]
    """

    _saved = ("T_0", "T_mult", "eta_min")

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_0 = whole("T_0", T_0, 1)
        self.T_mult = whole("T_mult", T_mult, 1)
        self.eta_min = number("eta_min", eta_min, 0)
        super().__init__(optimizer, last_epoch)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        length = self.T_0
        if self.T_mult == 1:
            epoch %= length
        while epoch >= length:
            epoch -= length
            length *= self.T_mult
        return half_cosine(base_lr, self.eta_min, epoch / length)


class WarmupCosineLR(LRScheduler):
    r"""A straight warm-up to the base, then half a cosine down, or several, each of which begins at the base.

    .. math:: \eta_t = \eta \begin{cases} f_0 + (1 - f_0)\, t / W & t < W \\
        f_1 + (1 - f_1) \frac{1 + \cos(\pi (c\,s \bmod 1))}{2}, \quad s = \frac{t - W}{T - W} & W \le t < T \\
        f_1 & t \ge T \end{cases}

    Source: Loshchilov, Hutter, arXiv 1608.03983; the form of transformers.get_cosine_schedule_with_warmup and
    get_cosine_with_hard_restarts_schedule_with_warmup.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        warmup_steps: :math:`W` ≥ 0.
        total_steps: :math:`T` > W, warm-up included.
        start_factor: :math:`f_0`, in [0, 1].
        end_factor: :math:`f_1`, in [0, 1].
        num_cycles: :math:`c` ≥ 1.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> schedule = WarmupCosineLR(SGD([np.zeros(1, np.float32)], lr=1.0), warmup_steps=2, total_steps=6)
        >>> lrs = []
        >>> for _ in range(7):
        ...     lrs.append(round(schedule.get_last_lr()[0], 3))
        ...     schedule.step()
        >>> lrs
        [0.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0]
    """

    _saved = ("warmup_steps", "total_steps", "start_factor", "end_factor", "num_cycles")

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        total_steps: int,
        start_factor: float = 0.0,
        end_factor: float = 0.0,
        num_cycles: int = 1,
        last_epoch: int = -1,
    ) -> None:
        self.warmup_steps = whole("warmup_steps", warmup_steps, 0)
        self.total_steps = whole("total_steps", total_steps, self.warmup_steps + 1)
        self.start_factor = number("start_factor", start_factor, 0, 1)
        self.end_factor = number("end_factor", end_factor, 0, 1)
        self.num_cycles = whole("num_cycles", num_cycles, 1)
        super().__init__(optimizer, last_epoch)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        if epoch < self.warmup_steps:
            return base_lr * (self.start_factor + (1 - self.start_factor) * epoch / self.warmup_steps)
        if epoch >= self.total_steps:
            return base_lr * self.end_factor
        length = self.total_steps - self.warmup_steps
        share = (epoch - self.warmup_steps) * self.num_cycles % length / length
        return half_cosine(base_lr, base_lr * self.end_factor, share)
