"""The rules of petrain.optim as torch optimizers. Signature and documentation of each class are those of its twin in
torch.optim, or of its native class; see ``Optimizer.__init_subclass__``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from petrain import optim
from petrain.torch._optimizer import Optimizer


class SGD(Optimizer, native=optim.SGD, counts=False):
    pass


class Momentum(Optimizer, native=optim.Momentum):
    pass


class RMSprop(Optimizer, native=optim.RMSprop):
    pass


class Adadelta(Optimizer, native=optim.Adadelta):
    pass


class Adamax(Optimizer, native=optim.Adamax):
    pass


class AdamW(Optimizer, native=optim.AdamW):
    pass


class NAdam(Optimizer, native=optim.NAdam):
    pass


class RAdam(Optimizer, native=optim.RAdam):
    pass


class Lion(Optimizer, native=optim.Lion):
    pass


class LAMB(Optimizer, native=optim.LAMB):
    pass


class LARS(Optimizer, native=optim.LARS):
    pass


class AdEMAMix(Optimizer, native=optim.AdEMAMix):
    pass


class Adam(Optimizer, native=optim.Adam):
    @classmethod
    def _handled(cls) -> tuple[str, ...]:
        return ("decoupled_weight_decay",)

    @classmethod
    def _rule_of(cls, group: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
        return AdamW._rule_of(group) if group["decoupled_weight_decay"] else super()._rule_of(group)


class Adagrad(Optimizer, native=optim.Adagrad):
    _starts_at_once = True

    @classmethod
    def _handled(cls) -> tuple[str, ...]:
        return ("initial_accumulator_value",)


class ScheduleFreeAdamW(Optimizer, native=optim.ScheduleFreeAdamW):
    _kept: list[tuple[torch.Tensor, torch.Tensor]] | None = None  # y, while the parameters hold x
