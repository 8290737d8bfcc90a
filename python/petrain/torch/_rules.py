"""The rules of petrain.optim as torch optimizers. Signature and documentation of each class are those of its twin in
torch.optim, or of its native class; see ``Optimizer.__init_subclass__``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from petrain import optim
from petrain.torch._optimizer import Optimizer


class SGD(Optimizer, native=optim.SGD):
    pass


class Momentum(Optimizer, native=optim.Momentum):
    pass


class RMSprop(Optimizer, native=optim.RMSprop):
    pass


class Adadelta(Optimizer, native=optim.Adadelta):
    pass


class Adam(Optimizer, native=optim.Adam, handles=("decoupled_weight_decay",)):
    pass


class AdamW(Optimizer, native=optim.AdamW):
    def _setup(self, arguments: dict[str, Any]) -> None:
        super()._setup({**arguments, "decoupled_weight_decay": True})  # torch's groups say so too


class Adamax(Optimizer, native=optim.Adamax):
    pass


class NAdam(Optimizer, native=optim.NAdam):
    pass


class RAdam(Optimizer, native=optim.RAdam):
    pass


class AdEMAMix(Optimizer, native=optim.AdEMAMix):
    pass


class Lion(Optimizer, native=optim.Lion):
    pass


class LAMB(Optimizer, native=optim.LAMB):
    pass


class LARS(Optimizer, native=optim.LARS):
    pass


class Adafactor(Optimizer, native=optim.Adafactor):
    pass


class Muon(Optimizer, native=optim.Muon):
    pass


class GaLore(Optimizer, native=optim.GaLore):
    pass


class APOLLO(Optimizer, native=optim.APOLLO):
    pass


class Adagrad(Optimizer, native=optim.Adagrad):
    _starts_at_once = True


class ScheduleFreeAdamW(Optimizer, native=optim.ScheduleFreeAdamW):
    _kept: list[tuple[torch.Tensor, torch.Tensor]] | None = None  # y, while the parameters hold x

    @torch.no_grad()
    def eval(self) -> None:
        """Put the average x = y + (1 - 1 / beta1) (z - y) into the parameters. :meth:`train` brings y back, bit for
        bit; until then a step is refused, and so is saving or loading. Parameters of another rule stay as they are."""
        if self._kept is not None:
            return
        self._kept = []
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state.get(p) or {}
                if "z" not in state or state["step"] == 0:
                    continue
                self._kept.append((p, p.detach().clone()))
                z = state["z"]
                y = state["master"] if "master" in state else p.to(z.dtype)
                if "compensation" in state:
                    y = y + state["compensation"].to(z.dtype)
                weight = 1 - 1 / float(group["betas"][0])
                p.copy_(y + weight * (z - y))

    @torch.no_grad()
    def train(self) -> None:
        """Undo :meth:`eval`."""
        for p, y in self._kept or []:
            p.copy_(y)
        self._kept = None

    def _must_train(self) -> None:
        if self._kept is not None:
            raise RuntimeError("the parameters hold the average: call train() first")

    def step(self, closure: Any = None, **options: Any) -> Any:
        """As :meth:`Optimizer.step`, in training mode."""
        self._must_train()
        return super().step(closure, **options)

    def state_dict(self) -> dict[str, Any]:
        """As that of every optimizer, in training mode."""
        self._must_train()
        return super().state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As :meth:`Optimizer.load_state_dict`, in training mode."""
        self._must_train()
        super().load_state_dict(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        self._must_train()
        return super().__getstate__()
