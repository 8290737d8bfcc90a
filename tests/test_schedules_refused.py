"""Schedules: arguments, compositions and states that are refused, before anything is changed."""

import math
import re

import pytest
from petrain.optim import lr_scheduler
from schedule_cases import CASES, decay, make, make_optimizer, rates

pytestmark = pytest.mark.once

BAD = [
    ("ConstantLR", {"factor": 1.5}, "factor: expected a finite number in [0, 1], got 1.5"),
    ("ConstantLR", {"total_iters": -1}, "total_iters: expected an integer of at least 0, got -1"),
    ("ConstantLR", {"total_iters": 2.5}, "total_iters: expected an integer, got float"),
    ("StepLR", {"step_size": 0}, "step_size: expected an integer of at least 1, got 0"),
    ("StepLR", {"step_size": 3, "gamma": -0.1}, "gamma: expected a finite number of at least 0, got -0.1"),
    ("StepLR", {"step_size": 3, "gamma": math.nan}, "gamma: expected a finite number of at least 0, got nan"),
    ("MultiStepLR", {"milestones": [3, -1]}, "milestones: expected an integer of at least 0, got -1"),
    ("MultiStepLR", {"milestones": ["3"]}, "milestones: expected an integer, got str"),
    ("ExponentialLR", {"gamma": "0.9"}, "gamma: expected a number, got str"),
    ("ExponentialLR", {"gamma": math.inf}, "gamma: expected a finite number of at least 0, got inf"),
    ("LinearLR", {"start_factor": -0.1}, "start_factor: expected a finite number in [0, 1], got -0.1"),
    ("LinearLR", {"end_factor": 2}, "end_factor: expected a finite number in [0, 1], got 2"),
    ("LinearLR", {"total_iters": 0}, "total_iters: expected an integer of at least 1, got 0"),
    ("PolynomialLR", {"power": 0}, "power: expected a number greater than 0, got 0"),
    ("PolynomialLR", {"total_iters": True}, "total_iters: expected an integer, got bool"),
    ("LambdaLR", {"lr_lambda": 3}, "lr_lambda: expected a function, got int"),
    ("LambdaLR", {"lr_lambda": [decay]}, "lr_lambda: expected one value, or 2, one for each group, got 1"),
    ("CosineAnnealingLR", {"T_max": 0}, "T_max: expected an integer of at least 1, got 0"),
    ("CosineAnnealingLR", {"T_max": 5, "eta_min": -1}, "eta_min: expected a finite number of at least 0, got -1"),
    ("CosineAnnealingWarmRestarts", {"T_0": 0}, "T_0: expected an integer of at least 1, got 0"),
    ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 0}, "T_mult: expected an integer of at least 1, got 0"),
    ("InverseSquareRootLR", {"warmup_steps": -1}, "warmup_steps: expected an integer of at least 0, got -1"),
    ("InverseSquareRootLR", {"warmup_steps": 3, "timescale": 0}, "timescale: expected an integer of at least 1, got 0"),
    ("WarmupCosineLR", {"warmup_steps": 5, "total_steps": 5}, "total_steps: expected an integer of at least 6, got 5"),
    (
        "WarmupCosineLR",
        {"warmup_steps": 5, "total_steps": 9, "num_cycles": 0},
        "num_cycles: expected an integer of at least 1, got 0",
    ),
    ("OneCycleLR", {"max_lr": 1.0}, "expected total_steps, or epochs and steps_per_epoch, got neither"),
    ("OneCycleLR", {"max_lr": 0, "total_steps": 9}, "max_lr: expected a number greater than 0, got 0"),
    ("OneCycleLR", {"max_lr": [1.0], "total_steps": 9}, "max_lr: expected one value, or 2, one for each group, got 1"),
    ("OneCycleLR", {"max_lr": 1, "total_steps": 1}, "total_steps: expected an integer of at least 2, got 1"),
    (
        "OneCycleLR",
        {"max_lr": 1, "total_steps": 9, "pct_start": 1.1},
        "pct_start: expected a finite number in [0, 1], got 1.1",
    ),
    (
        "OneCycleLR",
        {"max_lr": 1, "total_steps": 9, "anneal_strategy": "up"},
        "anneal_strategy: expected one of cos, linear, got 'up'",
    ),
    (
        "OneCycleLR",
        {"max_lr": 1, "total_steps": 9, "max_momentum": 1.0},
        "max_momentum: expected a number in [0, 1), got 1.0",
    ),
    ("ReduceLROnPlateau", {"factor": 1.0}, "factor: expected a number in [0, 1), got 1.0"),
    ("ReduceLROnPlateau", {"mode": "least"}, "mode: expected one of min, max, got 'least'"),
    ("ReduceLROnPlateau", {"threshold_mode": "x"}, "threshold_mode: expected one of rel, abs, got 'x'"),
    ("ReduceLROnPlateau", {"patience": -1}, "patience: expected an integer of at least 0, got -1"),
    ("ReduceLROnPlateau", {"min_lr": [0.1] * 3}, "min_lr: expected one value, or 2, one for each group, got 3"),
    ("ReduceLROnPlateau", {"min_lr": -1}, "min_lr: expected a finite number of at least 0, got -1"),
    ("ExponentialLR", {"gamma": 0.5, "last_epoch": -2}, "last_epoch: expected an integer of at least -1, got -2"),
    ("SequentialLR", {"schedulers": [], "milestones": []}, "schedulers: expected at least one schedule, got none"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), BAD)
def test_bad_arguments(name, arguments, message):
    optimizer = make_optimizer()
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        make(name, arguments, optimizer)
    assert rates(optimizer) == [0.1, 0.03]


@pytest.mark.parametrize("name", lr_scheduler.__all__)
def test_an_optimizer_that_is_none(name):
    if name in ("LRScheduler", "ChainedScheduler"):
        return
    arguments = next((a for n, a, _ in CASES if n == name), {})
    if name == "SequentialLR":
        arguments = {"schedulers": [], "milestones": []}
    with pytest.raises(TypeError, match=re.escape("optimizer: expected a petrain.optim.Optimizer, got int")):
        make(name, arguments, 3)


def test_bad_compositions():
    optimizer, other = make_optimizer(), make_optimizer()
    parts = [lr_scheduler.ExponentialLR(optimizer, 0.5), lr_scheduler.ExponentialLR(optimizer, 0.5)]
    stranger = lr_scheduler.ExponentialLR(other, 0.5)
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer)
    for schedulers, milestones, message in (
        (parts, [], "milestones: expected 1 steps, got 0"),
        (parts, [0], "milestones: expected an integer of at least 1, got 0"),
        ([*parts, parts[0]], [5, 5], "milestones: expected ascending steps, got [5, 5]"),
        ([parts[0], stranger], [5], "schedulers[1]: expected a schedule of the same optimizer, got one of another"),
        ([parts[0], 3], [5], "schedulers[1]: expected a schedule, got int"),
        ([parts[0], plateau], [5], "schedulers[1]: expected a schedule of the step alone, got ReduceLROnPlateau"),
    ):
        with pytest.raises((ValueError, TypeError), match=re.escape(message)):
            lr_scheduler.SequentialLR(optimizer, schedulers, milestones)
    with pytest.raises(ValueError, match="expected at least one schedule, got none"):
        lr_scheduler.ChainedScheduler([])
    with pytest.raises(ValueError, match=re.escape("schedulers[1]: expected a schedule of the same optimizer")):
        lr_scheduler.ChainedScheduler([parts[0], stranger])


BAD_STATES = {
    "another schedule": {"schedule": "StepLR"},
    "another factor": {"gamma": 0.25},
    "too few rates": {"base_lrs": [0.1]},
    "a negative rate": {"base_lrs": [0.1, -0.1]},
    "a rate that is not finite": {"base_lrs": [0.1, math.nan]},
    "rates of another type": {"base_lrs": 0.1},
    "a negative step": {"last_epoch": -1},
    "an unknown entry": {"extra": 1},
    "another memory": {"memory": {"best": 1.0}},
}


@pytest.mark.parametrize("change", BAD_STATES.values(), ids=BAD_STATES.keys())
def test_load_state_dict_refuses_what_does_not_fit(change):
    schedule = lr_scheduler.ExponentialLR(make_optimizer(), 0.5)
    schedule.step()
    saved = {**schedule.state_dict(), "last_epoch": 3, "base_lrs": [1.0, 2.0], **change}
    before = schedule.state_dict()
    with pytest.raises(ValueError, match=r"^state_dict: "):
        schedule.load_state_dict(saved)
    assert schedule.state_dict() == before
    assert rates(schedule.optimizer) == [0.05, 0.015]


@pytest.mark.parametrize(
    "memory",
    [{}, 3, None]
    + [
        {"best": 1.0, "num_bad_epochs": 1, "cooldown_counter": 0, "factors": [1.0, 1.0], **change}
        for change in ({"best": "x"}, {"num_bad_epochs": -1}, {"cooldown_counter": -1}, {"factors": [1.0]})
    ],
)
def test_memory_that_does_not_fit(memory):
    optimizer = make_optimizer()
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer)
    chain = lr_scheduler.ChainedScheduler([plateau, lr_scheduler.ReduceLROnPlateau(optimizer)])
    before = chain.state_dict()
    saved = chain.state_dict()
    saved["memory"]["schedulers"][0]["num_bad_epochs"] = 5
    saved["memory"]["schedulers"][1] = memory
    with pytest.raises(ValueError, match=r"^state_dict: "):
        chain.load_state_dict(saved)
    assert chain.state_dict() == before


def test_load_state_dict_refuses_what_is_no_dict():
    with pytest.raises(TypeError, match="state_dict: expected a dict, got list"):
        lr_scheduler.ExponentialLR(make_optimizer(), 0.5).load_state_dict([])
