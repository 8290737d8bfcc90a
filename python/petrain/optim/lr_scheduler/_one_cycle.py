"""One cycle up and down, of the learning rate and, the other way, of the momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from petrain.optim.base import Optimizer
from petrain.optim.lr_scheduler._base import LRScheduler, require_optimizer
from petrain.optim.lr_scheduler._checks import PerGroup, choice, number, positive, whole
from petrain.optim.lr_scheduler._numbers import half_cosine

Pair: TypeAlias = tuple[float, float]


class OneCycleLR(LRScheduler):
    r"""From ``max_lr / div_factor`` up to ``max_lr``, then down to ``max_lr / div_factor / final_div_factor``,
    while the momentum (or beta1) goes from ``max_momentum`` down to ``base_momentum`` and back.

    The optimizer's own learning rate is not used. Stepping beyond ``total_steps`` is refused; at that very step,
    after the last update, the rate is the last one. Source: Smith, Topin, arXiv 1708.07120.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        max_lr: > 0; one, or one for each group.
        total_steps: ≥ 2; None: ``epochs * steps_per_epoch``.
        epochs, steps_per_epoch: ≥ 1 each.
        pct_start: the share of the steps that lead up, in [0, 1].
        anneal_strategy: "cos" or "linear".
        cycle_momentum: every group must then have a hyperparameter "momentum" or "betas".
        base_momentum, max_momentum: in [0, 1); one, or one for each group.
        div_factor, final_div_factor: > 0.
        three_phase: down to the initial rate as fast as it went up, then on to the last.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import AdamW
        >>> opt = AdamW([np.zeros(1, np.float32)])
        >>> schedule = OneCycleLR(opt, max_lr=0.1, total_steps=11, pct_start=0.5, anneal_strategy="linear")
        >>> for _ in range(4):
        ...     print(round(opt.param_groups[0]["lr"], 4), round(opt.param_groups[0]["betas"][0], 4))
        ...     schedule.step()
        0.004 0.95
        0.0253 0.9278
        0.0467 0.9056
        0.068 0.8833
    """

    _saved = (
        "total_steps",
        "pct_start",
        "anneal_strategy",
        "cycle_momentum",
        "div_factor",
        "final_div_factor",
        "three_phase",
    )

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        groups = require_optimizer(optimizer).param_groups
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("expected total_steps, or epochs and steps_per_epoch, got neither")
            total_steps = whole("epochs", epochs, 1) * whole("steps_per_epoch", steps_per_epoch, 1)
        self.total_steps = whole("total_steps", total_steps, 2)
        self.pct_start = number("pct_start", pct_start, 0, 1)
        self.anneal_strategy = choice("anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.cycle_momentum = bool(cycle_momentum)
        self.div_factor = positive("div_factor", div_factor)
        self.final_div_factor = positive("final_div_factor", final_div_factor)
        self.three_phase = bool(three_phase)
        self.max_lr = PerGroup("max_lr", max_lr, len(groups), positive)
        self.base_momentum = PerGroup("base_momentum", base_momentum, len(groups), _momentum)
        self.max_momentum = PerGroup("max_momentum", max_momentum, len(groups), _momentum)
        for i in range(len(groups)):
            self._check_group(optimizer, i)
        super().__init__(optimizer, last_epoch)

    def _check_group(self, optimizer: Optimizer, index: int) -> None:
        group = optimizer.param_groups[index]
        if self.cycle_momentum and "momentum" not in group and "betas" not in group:
            raise ValueError(
                f"cycle_momentum: expected every group to have momentum or betas, got group {index} ({group.rule}) "
                "with neither"
            )

    def _phases(self, group: int) -> list[tuple[float, Pair, Pair]]:
        """The last step of each phase, and learning rate and momentum at its ends."""
        lr, momentum = self.max_lr[group], self.max_momentum[group]
        first = (lr / self.div_factor, momentum)
        peak = (lr, self.base_momentum[group])
        last = (lr / self.div_factor / self.final_div_factor, momentum)
        up = self.pct_start * self.total_steps - 1
        if self.three_phase:
            down = 2 * self.pct_start * self.total_steps - 2
            return [(up, first, peak), (down, peak, first), (self.total_steps - 1, first, last)]
        return [(up, first, peak), (self.total_steps - 1, peak, last)]

    def _values(self, epoch: int, base_lr: float, group: int) -> dict[str, Any]:
        if epoch > self.total_steps:
            raise ValueError(f"expected at most total_steps, {self.total_steps}, got step {epoch}")
        self._check_group(self.optimizer, group)
        lr, momentum = self._at(epoch, group)
        return {"lr": lr, **(self._momentum_of(group, momentum) if self.cycle_momentum else {})}

    def _at(self, epoch: int, group: int) -> tuple[float, float]:
        """Learning rate and momentum."""
        begin = 0.0
        phases = self._phases(group)
        index = 0
        while index < len(phases) - 1 and epoch > phases[index][0]:
            begin = phases[index][0]
            index += 1
        end, first, last = phases[index]
        share = min((epoch - begin) / (end - begin), 1.0) if end > begin else 1.0
        return self._between(first[0], last[0], share), self._between(first[1], last[1], share)

    def _momentum_of(self, group: int, momentum: float) -> dict[str, Any]:
        own = self.optimizer.param_groups[group]
        return {"betas": (momentum, *own["betas"][1:])} if "betas" in own else {"momentum": momentum}

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return start * (1 - share) + end * share
        return half_cosine(start, end, share)

    def _description(self) -> dict[str, Any]:
        per_group = {name: getattr(self, name).saved() for name in ("max_lr", "base_momentum", "max_momentum")}
        return {**super()._description(), **per_group}


def _momentum(name: str, value: Any) -> float:
    result = number(name, value, 0, 1)
    if result == 1:
        raise ValueError(f"{name}: expected a number in [0, 1), got {value}")
    return result
