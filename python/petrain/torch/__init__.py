"""Every update rule as a ``torch.optim.Optimizer``: change ``torch.optim`` to ``petrain.torch`` and train on.

A class here takes the arguments, with the defaults, of the class of the same name in torch.optim, and keeps its
``param_groups``, ``state`` and ``state_dict``. See :class:`Optimizer` for what all of them have beyond that.
:class:`FakeQuantize` is a module for quantization-aware training.

>>> import torch, petrain.torch
>>> model = torch.nn.Linear(4, 1)
>>> opt = petrain.torch.AdamW(model.parameters(), lr=0.1)
>>> model(torch.ones(8, 4)).square().mean().backward()
>>> opt.step(max_norm=1.0, zero_grads=True)
>>> opt.last_step.skipped
False
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("petrain.torch needs PyTorch: pip install torch") from error

from petrain.torch._fake_quantize import FakeQuantize
from petrain.torch._optimizer import Optimizer
from petrain.torch._rules import (
    APOLLO,
    LAMB,
    LARS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AdEMAMix,
    GaLore,
    Lion,
    Momentum,
    Muon,
    NAdam,
    RAdam,
    RMSprop,
    ScheduleFreeAdamW,
)

__all__ = [
    "APOLLO",
    "LAMB",
    "LARS",
    "SGD",
    "AdEMAMix",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "FakeQuantize",
    "GaLore",
    "Lion",
    "Momentum",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "ScheduleFreeAdamW",
]
