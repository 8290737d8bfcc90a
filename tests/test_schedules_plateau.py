"""ReduceLROnPlateau: against torch's, by hand, saved and restored."""

import json

import numpy as np
import pytest
from petrain.optim import lr_scheduler
from schedule_cases import STEPS, make_optimizer, rates

pytestmark = pytest.mark.once


PLATEAUS = [
    {},
    {"mode": "max", "factor": 0.5, "patience": 3},
    {"threshold": 0.05, "threshold_mode": "abs", "patience": 2, "cooldown": 4, "factor": 0.3},
    {"mode": "max", "threshold": 0.01, "threshold_mode": "abs", "patience": 0, "factor": 0.9, "eps": 1e-4},
    {"patience": 0, "min_lr": [0.001, 0.01], "factor": 0.6},
    {"patience": 1, "factor": 0.0, "min_lr": 0.005},
]


def figures(rng):
    """A loss that falls, stalls and is NaN at times."""
    loss = np.maximum(2.0 * 0.98 ** np.arange(STEPS), 0.5) + 0.05 * rng.standard_normal(STEPS)
    loss[[50, 51, 200]] = np.nan
    return loss.tolist()


@pytest.mark.parametrize("arguments", PLATEAUS)
def test_plateau_is_equal_to_torch(rng, arguments):
    torch = pytest.importorskip("torch")
    params = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))]
    theirs = torch.optim.AdamW([{"params": params[:1]}, {"params": params[1:], "lr": 0.03}], lr=0.1)
    their_schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **arguments)
    ours = make_optimizer()
    schedule = lr_scheduler.ReduceLROnPlateau(ours, **arguments)
    for loss in figures(rng):
        schedule.step(loss)
        their_schedule.step(loss)
        np.testing.assert_allclose(rates(ours), [g["lr"] for g in theirs.param_groups], rtol=1e-12)
    assert ours.param_groups[0]["lr"] < 0.1


@pytest.mark.parametrize("arguments", PLATEAUS)
def test_a_restored_plateau_goes_on_exactly(rng, arguments):
    losses = figures(rng)
    schedule = lr_scheduler.ReduceLROnPlateau(make_optimizer(), **arguments)
    for loss in losses[:123]:
        schedule.step(loss)
    restored = lr_scheduler.ReduceLROnPlateau(make_optimizer(), **arguments)
    restored.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    assert rates(restored.optimizer) == rates(schedule.optimizer)
    for loss in losses[123:]:
        schedule.step(loss)
        restored.step(loss)
        assert rates(restored.optimizer) == rates(schedule.optimizer)


def test_plateau_by_hand():
    schedule = lr_scheduler.ReduceLROnPlateau(make_optimizer(), factor=0.5, patience=1, cooldown=1, min_lr=0.02)
    seen = []
    for loss in (5, 4, 4, 4, 4, 4, 4, 4):  # better, better, bad, bad: reduce, cooldown, bad, bad: reduce, cooldown
        schedule.step(loss)
        seen.append(rates(schedule.optimizer))
    assert seen[2:] == [[0.1, 0.03], [0.05, 0.02], [0.05, 0.02], [0.05, 0.02], [0.025, 0.02], [0.025, 0.02]]
