"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from petrain.optim.base import Optimizer
from petrain.optim.lr_scheduler._base import LRScheduler, require_optimizer
from petrain.optim.lr_scheduler._checks import whole
from petrain.optim.lr_scheduler._plateau import ReduceLROnPlateau


class SequentialLR(LRScheduler):
    """One schedule after another: the next begins, with its own step 0 and the same base, at each milestone.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        schedulers: of the same optimizer; they are not to be stepped by themselves any more. Not
            :class:`ReduceLROnPlateau`.
        milestones: the steps at which the second, the third, … begin, ascending; one less than there are schedules.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> from petrain.optim.lr_scheduler import ExponentialLR, LinearLR
        >>> opt = SGD([np.zeros(1, np.float32)], lr=1.0)
        >>> parts = [LinearLR(opt, 0.5, total_iters=2), ExponentialLR(opt, 0.5)]
        >>> schedule = SequentialLR(opt, parts, milestones=[2])
        >>> lrs = []
        >>> for _ in range(4):
        ...     lrs += schedule.get_last_lr()
        ...     schedule.step()
        >>> lrs
        [0.5, 0.75, 1.0, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self._schedulers = _parts(schedulers, require_optimizer(optimizer))
        for i, part in enumerate(self._schedulers):
            if _watches(part):
                raise ValueError(f"schedulers[{i}]: expected a schedule of the step alone, got {type(part).__name__}")
        self._milestones = [whole("milestones", step, 1) for step in milestones]
        if len(self._milestones) != len(self._schedulers) - 1:
            raise ValueError(f"milestones: expected {len(self._schedulers) - 1} steps, got {len(self._milestones)}")
        if sorted(set(self._milestones)) != self._milestones:
            raise ValueError(f"milestones: expected ascending steps, got {self._milestones}")
        super().__init__(optimizer, last_epoch)

    def _values(self, epoch: int, base_lr: float, group: int) -> dict[str, Any]:
        index = bisect_right(self._milestones, epoch)
        begin = self._milestones[index - 1] if index > 0 else 0
        return self._schedulers[index]._values(epoch - begin, base_lr, group)

    def _description(self) -> dict[str, Any]:
        parts = [part._description() for part in self._schedulers]
        return {**super()._description(), "schedulers": parts, "milestones": list(self._milestones)}


class ChainedScheduler(LRScheduler):
    """Schedules at the same time: each takes as its base what the one before gives.

    With schedules that multiply their base, that is the product of their factors. With :class:`ReduceLROnPlateau`
    among them, :meth:`step` takes the figure.

    Args:
        schedulers: of the same optimizer; they are not to be stepped by themselves any more. Each goes on from the step
            that it is at.
        optimizer: theirs; may be left out.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> from petrain.optim.lr_scheduler import ConstantLR, ExponentialLR
        >>> opt = SGD([np.zeros(1, np.float32)], lr=1.0)
        >>> schedule = ChainedScheduler([ConstantLR(opt, 0.5, total_iters=2), ExponentialLR(opt, 0.5)])
        >>> lrs = []
        >>> for _ in range(4):
        ...     lrs += schedule.get_last_lr()
        ...     schedule.step()
        >>> lrs
        [0.5, 0.25, 0.25, 0.125]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if optimizer is None and schedulers:
            optimizer = getattr(schedulers[0], "optimizer", None)
        self._schedulers = _parts(schedulers, optimizer)
        self._starts = [part.last_epoch for part in self._schedulers]
        super().__init__(self._schedulers[0].optimizer)

    def step(self, metrics: SupportsFloat | None = None) -> None:
        """Set the learning rates of the next step.

        Args:
            metrics: the figure for a :class:`ReduceLROnPlateau` among the schedules.

        Raises:
            ValueError: a learning rate was changed from outside, or a schedule gives one that is not usable.
            TypeError: a figure is needed, or given where none is. Nothing was changed in any case.
        """
        self._check_unchanged()
        if (metrics is not None) != _watches(self):
            raise TypeError(f"step: expected {'a figure' if _watches(self) else 'no figure'}, got {metrics!r}")
        before = self._memory()
        try:
            self._observe(None if metrics is None else float(metrics), self._last_lr)
            self._apply(self.last_epoch + 1)
        except Exception:
            self._set_memory(before)
            raise

    def _observe(self, metric: float | None, lrs: Sequence[float]) -> None:
        for part in self._schedulers:
            if isinstance(part, (ReduceLROnPlateau, ChainedScheduler)):
                part._observe(metric, lrs)

    def _values(self, epoch: int, base_lr: float, group: int) -> dict[str, Any]:
        values: dict[str, Any] = {"lr": base_lr}
        for part, start in zip(self._schedulers, self._starts, strict=True):
            values.update(part._values(start + epoch, values["lr"], group))
        return values

    def _memory(self) -> dict[str, Any]:
        return {"schedulers": [part._memory() for part in self._schedulers]}

    def _set_memory(self, memory: Mapping[str, Any]) -> None:
        given = memory.get("schedulers") if isinstance(memory, Mapping) else None
        if not isinstance(given, (list, tuple)) or len(given) != len(self._schedulers):
            raise ValueError(f"state_dict: expected the memory of {len(self._schedulers)} schedulers, got {memory!r}")
        before = [part._memory() for part in self._schedulers]
        try:
            for part, own in zip(self._schedulers, given, strict=True):
                part._set_memory(own)
        except Exception:
            for part, own in zip(self._schedulers, before, strict=True):
                part._set_memory(own)
            raise

    def _description(self) -> dict[str, Any]:
        parts = [part._description() for part in self._schedulers]
        return {**super()._description(), "schedulers": parts, "starts": list(self._starts)}


def _parts(schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> list[LRScheduler]:
    """At least one, all of the same optimizer."""
    parts = list(schedulers)
    if not parts:
        raise ValueError("schedulers: expected at least one schedule, got none")
    for i, part in enumerate(parts):
        if not isinstance(part, LRScheduler):
            raise TypeError(f"schedulers[{i}]: expected a schedule, got {type(part).__name__}")
        if part.optimizer is not optimizer:
            raise ValueError(f"schedulers[{i}]: expected a schedule of the same optimizer, got one of another")
    return parts


def _watches(schedule: LRScheduler) -> bool:
    """Whether its step needs a figure."""
    if isinstance(schedule, ChainedScheduler):
        return any(map(_watches, schedule._schedulers))
    return isinstance(schedule, ReduceLROnPlateau)
