"""A schedule that watches a figure of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from petrain.optim.base import Optimizer
from petrain.optim.lr_scheduler._base import LRScheduler, check_rates, require_optimizer
from petrain.optim.lr_scheduler._checks import PerGroup, choice, number, whole


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the learning rate with a factor when a figure has not improved for a while.

    ``step(metrics)`` takes the figure, such as the loss on held-out data. NaN is no improvement.

    Args:
        optimizer: see :class:`LRScheduler`.
        mode: "min" or "max": which way is better.
        factor: in [0, 1).
        patience: so many steps without an improvement are allowed.
        threshold: what counts as an improvement: ``best * (1 ∓ threshold)`` with threshold_mode "rel", ``best ∓
            threshold`` with "abs".
        threshold_mode: "rel" or "abs".
        cooldown: so many steps after a reduction are not counted.
        min_lr: no reduction leads below; one, or one for each group.
        eps: a reduction by no more than this is left out.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> schedule = ReduceLROnPlateau(SGD([np.zeros(1, np.float32)], lr=1.0), factor=0.5, patience=1)
        >>> for loss in (3.0, 2.0, 2.0, 2.0):
        ...     schedule.step(loss)
        >>> schedule.get_last_lr()
        [0.5]
    """

    _saved = ("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "eps")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        groups = len(require_optimizer(optimizer).param_groups)
        self.mode = choice("mode", mode, ("min", "max"))
        self.factor = number("factor", factor, 0, 1)
        if self.factor == 1:
            raise ValueError(f"factor: expected a number in [0, 1), got {factor}")
        self.patience = whole("patience", patience, 0)
        self.threshold = number("threshold", threshold, 0)
        self.threshold_mode = choice("threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = whole("cooldown", cooldown, 0)
        self.min_lr = PerGroup("min_lr", min_lr, groups, number, 0)
        self.eps = number("eps", eps, 0)
        self.best: float | None = None
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self._factors: list[float] = []  # of each group, so far
        super().__init__(optimizer)

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Take the figure of the epoch that has ended and set the learning rates of the next.

        Raises:
            ValueError: a learning rate was changed from outside. Nothing was changed.
        """
        self._check_unchanged()
        self._observe(float(metrics), self._last_lr)
        self._apply(self.last_epoch + 1)

    def _observe(self, metric: float | None, lrs: Sequence[float]) -> None:
        if metric is None:
            raise TypeError("step: expected a figure for ReduceLROnPlateau, got none")
        if self._is_better(metric):
            self.best = metric
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for i, lr in enumerate(lrs):
                reduced = max(lr * self.factor, self.min_lr[i])
                if lr - reduced > self.eps:
                    self._factors[i] *= reduced / lr
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def _is_better(self, metric: float) -> bool:
        if self.best is None:
            return metric == metric  # NaN is not
        sign = 1 if self.mode == "max" else -1
        margin = sign * self.threshold
        if self.threshold_mode == "rel":
            return sign * metric > sign * (self.best * (1 + margin))
        return sign * metric > sign * (self.best + margin)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        while group >= len(self._factors):
            self._factors.append(1.0)
        # What is given back is never below min_lr by a rounding error.
        return min(base_lr, max(base_lr * self._factors[group], float(self.min_lr[group])))

    def _memory(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "num_bad_epochs": self.num_bad_epochs,
            "cooldown_counter": self.cooldown_counter,
            "factors": list(self._factors),
        }

    def _set_memory(self, memory: Mapping[str, Any]) -> None:
        own = self._memory()
        if not isinstance(memory, Mapping) or sorted(map(str, memory)) != sorted(own):
            raise ValueError(f"state_dict: expected memory with the keys {sorted(own)}, got {memory!r}")
        if not (memory["best"] is None or isinstance(memory["best"], (int, float))):
            raise ValueError(f"state_dict: expected best to be a number or None, got {memory['best']!r}")
        bad, cooldown = (
            whole(f"state_dict: {name}", memory[name], 0) for name in ("num_bad_epochs", "cooldown_counter")
        )
        factors = check_rates("factors", memory["factors"], len(self.optimizer.param_groups))
        self.best = memory["best"]
        self.num_bad_epochs, self.cooldown_counter, self._factors = bad, cooldown, factors

    def _description(self) -> dict[str, Any]:
        return {**super()._description(), "min_lr": self.min_lr.saved()}
