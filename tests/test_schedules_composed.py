"""Schedules one after the other and together: against torch's, by formula, saved and restored."""

import json
import math
import re

import numpy as np
import pytest
from petrain.optim import lr_scheduler
from reference import schedules as reference
from schedule_cases import STEPS, make_optimizer, rates, run

pytestmark = pytest.mark.once


def sequential(optimizer, last_epoch=-1):
    parts = [
        lr_scheduler.LinearLR(optimizer, 0.1, total_iters=20),
        lr_scheduler.CosineAnnealingLR(optimizer, 100),
        lr_scheduler.ConstantLR(optimizer, 0.05, 1000),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, [20, 120], last_epoch)


def chained(optimizer):
    return lr_scheduler.ChainedScheduler(
        [
            lr_scheduler.ConstantLR(optimizer, 0.1, 20),
            lr_scheduler.ExponentialLR(optimizer, 0.99),
            lr_scheduler.StepLR(optimizer, 50, 0.5),
        ]
    )


@pytest.mark.parametrize("compose", [sequential, chained])
def test_composed_schedules_are_equal_to_torch(compose):
    torch = pytest.importorskip("torch")
    params = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))]
    theirs = torch.optim.AdamW([{"params": params[:1]}, {"params": params[1:], "lr": 0.03}], lr=0.1)
    s = torch.optim.lr_scheduler
    if compose is sequential:
        parts = [s.LinearLR(theirs, 0.1, total_iters=20), s.CosineAnnealingLR(theirs, 100)]
        their_schedule = s.SequentialLR(theirs, [*parts, s.ConstantLR(theirs, 0.05, 1000)], [20, 120])
    else:
        parts = [s.ConstantLR(theirs, 0.1, 20), s.ExponentialLR(theirs, 0.99), s.StepLR(theirs, 50, 0.5)]
        their_schedule = s.ChainedScheduler(parts)
    ours = make_optimizer()
    schedule = compose(ours)
    theirs.step()
    for _ in range(STEPS):
        np.testing.assert_allclose(rates(ours), [g["lr"] for g in theirs.param_groups], rtol=1e-10, atol=1e-13)
        schedule.step()
        their_schedule.step()


@pytest.mark.parametrize("compose", [sequential, chained])
def test_restored_compositions_go_on_exactly(compose):
    schedule = compose(make_optimizer())
    run(schedule, 60)
    saved = json.loads(json.dumps(schedule.state_dict()))
    restored = compose(make_optimizer())
    restored.load_state_dict(saved)
    assert run(restored, 100) == run(schedule, 100)


def test_sequences_by_formula():
    got = run(sequential(make_optimizer()), 150)
    for t in range(151):
        if t < 20:
            want = reference.LinearLR(t, 0.03, 0.1, total_iters=20)
        elif t < 120:
            want = reference.CosineAnnealingLR(t - 20, 0.03, 100)
        else:
            want = 0.03 * 0.05
        assert got[t][1] == pytest.approx(want, rel=1e-13, abs=1e-16)
    assert run(sequential(make_optimizer(), last_epoch=59), 90) == got[60:]


def test_chains_of_sequences_and_a_plateau():
    def make_chain():
        optimizer = make_optimizer()
        plateau = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
        return lr_scheduler.ChainedScheduler([sequential(optimizer), plateau])

    chain, plain = make_chain(), run(sequential(make_optimizer()), 100)
    for t in range(1, 61):  # each 20th figure is not better
        chain.step(1000 / t if t % 20 else math.inf)
        np.testing.assert_allclose(rates(chain.optimizer), np.array(plain[t]) * 0.5 ** (t // 20), rtol=1e-12)
    restored = make_chain()
    restored.load_state_dict(json.loads(json.dumps(chain.state_dict())))
    for t in range(61, 101):
        for each in (chain, restored):
            each.step(1000 / t if t % 20 else math.inf)
        assert rates(chain.optimizer) == rates(restored.optimizer)
    before = chain.state_dict()
    with pytest.raises(TypeError, match="step: expected a figure, got None"):
        chain.step()
    with pytest.raises(TypeError, match=re.escape("step: expected no figure, got 1.0")):
        chained(make_optimizer()).step(1.0)
    assert chain.state_dict() == before
