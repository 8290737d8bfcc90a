"""What all schedules share: the count of steps, writing the optimizer, saving and restoring."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from petrain.optim.base import Optimizer, ParamGroup
from petrain.optim.lr_scheduler._checks import whole


class LRScheduler:
    """What all schedules share. Use one of the subclasses.

    The names and arguments are those of torch.optim.lr_scheduler. Making a schedule sets the learning rates of its
    first step; ``step()``, once after each update (or epoch), those of the next.

    A learning rate is a function of the step number and of the base alone, where torch multiplies the rate of the
    step before: so rounding errors do not add up, the rate may pass through 0, and a restored schedule goes on
    exactly. The functions use no arithmetic that differs between machines.

    It follows that a schedule writes over what others have written. To combine schedules use :class:`SequentialLR` and
    :class:`ChainedScheduler`; where the rate of a group was changed from outside, :meth:`step` says so. Change
    ``base_lrs`` instead.

    Args:
        optimizer: a :class:`petrain.optim.Optimizer`.
        last_epoch: the schedule begins at step ``last_epoch + 1``; -1 is the beginning.

    Attributes:
        base_lrs: for each group, the learning rate that the schedule starts from: the group's own, as it was before
            any schedule changed it.
        last_epoch: the number of the step that the learning rates are for, from 0.
    """

    optimizer: Optimizer
    base_lrs: list[float]
    last_epoch: int
    _saved: ClassVar[tuple[str, ...]] = ()  # arguments that a state_dict must agree in

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = require_optimizer(optimizer)
        self.base_lrs = [initial_lr(group) for group in optimizer.param_groups]
        self._apply(whole("last_epoch", last_epoch, -1) + 1)

    def _lr(self, epoch: int, base_lr: float, group: int) -> float:
        """The learning rate of one group at a step."""
        raise NotImplementedError

    def _values(self, epoch: int, base_lr: float, group: int) -> dict[str, Any]:
        """All hyperparameters of one group that the schedule sets, "lr" among them."""
        return {"lr": self._lr(epoch, base_lr, group)}

    def _memory(self) -> dict[str, Any]:
        """What the schedule knows beside the step number, for those that watch the training."""
        return {}

    def _set_memory(self, memory: Mapping[str, Any]) -> None:
        """Take over what _memory gave; ValueError, and nothing changed, where it is not that."""
        if memory != {}:
            raise ValueError(f"state_dict: expected memory {{}}, got {memory!r}")

    def step(self) -> None:
        """Set the learning rates of the next step.

        Raises:
            ValueError: a learning rate was changed from outside, or the schedule gives one that is negative or not
                finite. Nothing was changed.
        """
        self._check_unchanged()
        self._apply(self.last_epoch + 1)

    def get_last_lr(self) -> list[float]:
        """The learning rates of the groups, as this schedule has set them."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, in numbers, text and lists alone (JSON can hold it)."""
        return {
            **self._description(),
            "last_epoch": self.last_epoch,
            "base_lrs": list(self.base_lrs),
            "memory": self._memory(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave, and set the learning rates again as they were.

        Raises:
            ValueError: it belongs to a schedule of another kind or with other arguments, or to another number of
                groups. Nothing was changed.
            TypeError: it is no dict.
        """
        check_description(state, self.state_dict(), self._description())
        base_lrs = check_rates("base_lrs", state["base_lrs"], len(self.optimizer.param_groups))
        epoch = whole("state_dict: last_epoch", state["last_epoch"], 0)
        before, memory = self.base_lrs, self._memory()
        self._set_memory(state["memory"])
        self.base_lrs = base_lrs
        try:
            self._apply(epoch)
        except Exception:
            self.base_lrs = before
            self._set_memory(memory)
            raise

    def _description(self) -> dict[str, Any]:
        return {"schedule": type(self).__name__, **{name: getattr(self, name) for name in self._saved}}

    def _check_unchanged(self) -> None:
        # strict=False: a group that was added since then has the rate that it was given
        for i, (group, lr) in enumerate(zip(self.optimizer.param_groups, self._last_lr, strict=False)):
            if group["lr"] != lr:
                raise ValueError(
                    f"expected the lr of group {i} as the schedule has set it, {lr}, got {group['lr']}: to change it, "
                    "change base_lrs; to combine schedules, use ChainedScheduler or SequentialLR"
                )

    def _apply(self, epoch: int) -> None:
        """Set what the groups have at a step; all of them or, where a value is not usable, none."""
        groups = self.optimizer.param_groups
        for group in groups[len(self.base_lrs) :]:
            self.base_lrs.append(initial_lr(group))
        values = [self._values(epoch, base_lr, i) for i, base_lr in enumerate(self.base_lrs)]
        for i, value in enumerate(values):
            if not (math.isfinite(value["lr"]) and value["lr"] >= 0):
                raise ValueError(
                    f"{type(self).__name__}: expected a finite lr of at least 0 for group {i} at step {epoch}, "
                    f"got {value['lr']}"
                )
        for group, value in zip(groups, values, strict=True):
            initial = initial_lr(group)
            group.update(value)
            group.initial_lr = initial
        self.last_epoch = epoch
        self._last_lr = [value["lr"] for value in values]

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._description().items() if name != "schedule")
        return f"{type(self).__name__}({arguments})"


def initial_lr(group: ParamGroup) -> float:
    """The learning rate of a group before any schedule changed it."""
    return float(group["lr"]) if group.initial_lr is None else group.initial_lr


def require_optimizer(optimizer: Any) -> Optimizer:
    """TypeError unless it is one of petrain's."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer: expected a petrain.optim.Optimizer, got {type(optimizer).__name__}")
    return optimizer


def check_description(state: Any, own: Mapping[str, Any], description: Mapping[str, Any]) -> None:
    """ValueError, or TypeError where ``state`` is no dict, unless it has the keys of ``own`` and agrees with the
    description."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state_dict: expected a dict, got {type(state).__name__}")
    if sorted(map(str, state)) != sorted(own):
        raise ValueError(f"state_dict: expected keys {sorted(own)}, got {sorted(map(str, state))}")
    for name, value in description.items():
        if state[name] != value:
            raise ValueError(f"state_dict: expected {name} {value!r}, got {state[name]!r}")


def check_rates(name: str, values: Any, count: int) -> list[float]:
    """``count`` learning rates."""
    if not isinstance(values, (list, tuple)) or len(values) != count:
        raise ValueError(f"state_dict: expected {name} to be a list of {count} numbers, got {values!r}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value >= 0):
            raise ValueError(f"state_dict: expected {name} to be finite numbers of at least 0, got {values!r}")
    return [float(value) for value in values]
