"""Learning rates that change from step to step, in the style of torch.optim.lr_scheduler.

>>> import numpy as np
>>> from petrain.optim import AdamW, lr_scheduler
>>> w, g = np.zeros(3, np.float32), np.ones(3, np.float32)
>>> opt = AdamW([w], lr=0.1)
>>> schedule = lr_scheduler.WarmupCosineLR(opt, warmup_steps=10, total_steps=100)
>>> for _ in range(100):
...     info = opt.step([g])
...     schedule.step()
>>> schedule.get_last_lr()
[0.0]
"""

from petrain.optim.lr_scheduler._base import LRScheduler
from petrain.optim.lr_scheduler._compose import ChainedScheduler, SequentialLR
from petrain.optim.lr_scheduler._cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts, WarmupCosineLR
from petrain.optim.lr_scheduler._factors import (
    ConstantLR,
    ExponentialLR,
    InverseSquareRootLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from petrain.optim.lr_scheduler._one_cycle import OneCycleLR
from petrain.optim.lr_scheduler._plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "InverseSquareRootLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "WarmupCosineLR",
]
