"""Every schedule with arguments, and what tests of schedules share."""

import numpy as np
import pytest
from petrain import optim
from petrain.optim import lr_scheduler

STEPS = 400


def decay(t):
    return 1 / (1 + 0.01 * t)


# The schedule, its arguments, and whether torch has it.
CASES = [
    ("ConstantLR", {}, True),
    ("ConstantLR", {"factor": 0.25, "total_iters": 70}, True),
    ("ConstantLR", {"factor": 0.0, "total_iters": 3}, False),
    ("StepLR", {"step_size": 30}, True),
    ("StepLR", {"step_size": 1, "gamma": 0.99}, True),
    ("MultiStepLR", {"milestones": [150, 10, 10, 60], "gamma": 0.5}, True),
    ("ExponentialLR", {"gamma": 0.98}, True),
    ("ExponentialLR", {"gamma": 1.01}, True),
    ("LinearLR", {}, True),
    ("LinearLR", {"start_factor": 0.01, "end_factor": 0.7, "total_iters": 200}, True),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 37}, True),
    ("LinearLR", {"start_factor": 0.0, "total_iters": 37}, False),
    ("PolynomialLR", {"total_iters": 300}, True),
    ("PolynomialLR", {"total_iters": 300, "power": 0.9}, True),
    ("PolynomialLR", {"total_iters": 77, "power": 3}, True),
    ("LambdaLR", {"lr_lambda": decay}, True),
    ("CosineAnnealingLR", {"T_max": 390}, True),
    ("CosineAnnealingLR", {"T_max": 33, "eta_min": 0.001}, True),
    ("CosineAnnealingWarmRestarts", {"T_0": 50}, True),
    ("CosineAnnealingWarmRestarts", {"T_0": 7, "T_mult": 2, "eta_min": 0.002}, True),
    ("InverseSquareRootLR", {"warmup_steps": 40}, False),
    ("InverseSquareRootLR", {"warmup_steps": 0}, False),
    ("InverseSquareRootLR", {"warmup_steps": 20, "timescale": 5, "start_factor": 0.1}, False),
    ("WarmupCosineLR", {"warmup_steps": 50, "total_steps": 350}, False),
    (
        "WarmupCosineLR",
        {"warmup_steps": 0, "total_steps": 300, "start_factor": 0.2, "end_factor": 0.1, "num_cycles": 3},
        False,
    ),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": STEPS + 1}, True),
    (
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": STEPS + 1, "anneal_strategy": "linear", "three_phase": True, "pct_start": 0.4},
        True,
    ),
    (
        "OneCycleLR",
        {
            "max_lr": 2.0,
            "total_steps": STEPS + 7,
            "pct_start": 0.0,
            "base_momentum": 0.5,
            "max_momentum": 0.99,
            "div_factor": 3,
            "final_div_factor": 7,
        },
        True,
    ),
]
every_case = pytest.mark.parametrize(("name", "arguments", "in_torch"), CASES)


def make_optimizer(cls=optim.AdamW, **hypers):
    """Two groups of different learning rates."""
    groups = [{"params": [np.zeros(2, np.float32)]}, {"params": [np.zeros(1, np.float32)], "lr": 0.03}]
    return cls(groups, lr=0.1, **hypers)


def make(name, arguments, optimizer, **more):
    return getattr(lr_scheduler, name)(optimizer, **arguments, **more)


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def run(schedule, steps):
    """The rates of this step and of those that follow."""
    result = [rates(schedule.optimizer)]
    for _ in range(steps):
        schedule.step()
        result.append(rates(schedule.optimizer))
        assert schedule.get_last_lr() == result[-1]
    return result
