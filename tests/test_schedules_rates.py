"""Schedules and the rates that an optimizer holds: of 0, changed from outside, of groups that are added."""

import math
import re

import numpy as np
import pytest
from petrain import _core, optim
from petrain.optim import lr_scheduler
from schedule_cases import decay, make_optimizer, rates, run

pytestmark = pytest.mark.once


@pytest.mark.parametrize("rule", _core.rules())
def test_a_step_at_a_rate_of_0_leaves_the_parameters(rng, rule):
    p = rng.standard_normal((10, 10)).astype(np.float32)
    hypers = {"rank": 4} if "rank" in _core.rules()[rule]["hypers"] else {}
    core = _core.Optimizer([(rule, hypers, [p])])
    core.set_hyper(0, "lr", 0.0)
    before = p.copy()
    for _ in range(2):
        core.step([rng.standard_normal((10, 10)).astype(np.float32)])
    np.testing.assert_array_equal(p, before)
    core.set_hyper(0, "lr", 0.1)
    core.step([rng.standard_normal((10, 10)).astype(np.float32)])
    assert np.isfinite(p).all()
    assert (p != before).all()


def test_an_optimizer_is_not_made_with_a_rate_of_0():
    p = np.zeros(1, np.float32)
    with pytest.raises(ValueError, match="lr must be greater than 0, got 0"):
        optim.SGD([p], lr=0.0)
    with pytest.raises(ValueError, match="lr must be greater than 0, got 0"):
        optim.SGD([{"params": [p], "lr": 0.0}], lr=1.0)
    opt = optim.SGD([p], lr=1.0)
    with pytest.raises(ValueError, match="lr must be greater than 0, got 0"):
        opt.add_param_group({"params": [np.zeros(1, np.float32)], "lr": 0.0})
    opt.param_groups[0]["lr"] = 0.0
    saved = opt.state_dict()
    fresh = optim.SGD([p], lr=1.0)
    fresh.load_state_dict(saved)
    assert fresh.param_groups[0]["lr"] == 0
    with pytest.raises(ValueError, match=r"lr must be at least 0, got -0\.1"):
        opt.param_groups[0]["lr"] = -0.1


def test_a_later_schedule_starts_from_the_rate_before_the_first():
    optimizer = make_optimizer()
    run(lr_scheduler.LinearLR(optimizer, 0.0, 0.5, total_iters=4), 6)
    assert lr_scheduler.ConstantLR(optimizer, 1.0, 1).base_lrs == [0.1, 0.03]
    optimizer.param_groups[1]["lr"] = 0.2  # unless it was set by hand since
    assert lr_scheduler.ConstantLR(optimizer, 1.0, 1).base_lrs == [0.1, 0.2]


def test_a_rate_that_was_changed_from_outside_is_not_written_over():
    optimizer = make_optimizer()
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.param_groups[1]["lr"] = 7.0
    with pytest.raises(
        ValueError, match=re.escape("expected the lr of group 1 as the schedule has set it, 0.03, got 7")
    ):
        schedule.step()
    assert (rates(optimizer), schedule.last_epoch) == ([0.1, 7.0], 0)
    optimizer.param_groups[1]["lr"] = 0.03
    schedule.base_lrs[1] = 1.0
    schedule.step()
    assert rates(optimizer) == [0.05, 0.5]


def test_groups_that_are_added_later():
    optimizer = make_optimizer()
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
    of_lists = lr_scheduler.LambdaLR(optimizer, [decay, decay])
    schedule.step()
    optimizer.add_param_group({"params": [np.zeros(3, np.float32)], "lr": 0.8})
    schedule.step()
    assert rates(optimizer) == [0.025, 0.0075, 0.2]
    with pytest.raises(ValueError, match="the schedule has set it"):
        of_lists.step()
    lrs = rates(make_optimizer())
    for group, lr in zip(optimizer.param_groups, [*lrs, 0.8], strict=True):
        group["lr"] = lr
    with pytest.raises(ValueError, match="lr_lambda: expected a value for group 2, got 2 values"):
        of_lists.step()
    assert rates(optimizer) == [0.1, 0.03, 0.8]


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_function_that_gives_no_usable_rate(value):
    optimizer = make_optimizer()
    schedule = lr_scheduler.LambdaLR(optimizer, [lambda t: 1.0, lambda t: 1.0 if t < 2 else value])
    schedule.step()
    with pytest.raises(ValueError, match="LambdaLR: expected a finite lr of at least 0 for group 1 at step 2, got"):
        schedule.step()
    assert (rates(optimizer), schedule.last_epoch) == ([0.1, 0.03], 1)


def test_repr():
    assert repr(lr_scheduler.StepLR(make_optimizer(), 30)) == "StepLR(step_size=30, gamma=0.1)"
