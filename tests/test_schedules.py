"""Schedules: every one against its formula and against torch's, saved and restored, and to the last bit."""

import hashlib
import json
import math
import re

import numpy as np
import pytest
from petrain import optim
from petrain.optim import lr_scheduler
from petrain.optim.lr_scheduler import _numbers
from reference import schedules as reference
from schedule_cases import CASES, STEPS, every_case, make, make_optimizer, rates, run

pytestmark = pytest.mark.once


def test_every_schedule_is_tested():
    watching_or_composed = {"LRScheduler", "ReduceLROnPlateau", "SequentialLR", "ChainedScheduler"}
    assert set(lr_scheduler.__all__) - watching_or_composed == {name for name, *_ in CASES}


@every_case
def test_equal_to_its_formula(name, arguments, in_torch):
    optimizer = make_optimizer()
    got = run(make(name, arguments, optimizer), STEPS)
    for t, of_groups in enumerate(got):
        for lr, base in zip(of_groups, (0.1, 0.03), strict=True):
            want = getattr(reference, name)(t, base, **arguments)
            want = want[0] if name == "OneCycleLR" else want
            assert lr == pytest.approx(want, rel=1e-13, abs=1e-16)


@every_case
def test_equal_to_torch(name, arguments, in_torch):
    if not in_torch:
        pytest.skip("torch has no such schedule")
    torch = pytest.importorskip("torch")
    params = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))]
    theirs = torch.optim.AdamW([{"params": params[:1]}, {"params": params[1:], "lr": 0.03}], lr=0.1)
    their_schedule = getattr(torch.optim.lr_scheduler, name)(theirs, **arguments)
    ours = make_optimizer()
    schedule = make(name, arguments, ours)
    theirs.step()
    for _ in range(STEPS + 1):
        # torch's recursive forms are wrong by some 1e-13 after hundreds of steps
        np.testing.assert_allclose(rates(ours), [g["lr"] for g in theirs.param_groups], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(
            [g["betas"] for g in ours.param_groups], [g["betas"] for g in theirs.param_groups], rtol=1e-12
        )
        schedule.step()
        their_schedule.step()


@every_case
@pytest.mark.parametrize("at", [0, 1, 137])
def test_a_restored_schedule_goes_on_exactly(name, arguments, in_torch, at):
    schedule = make(name, arguments, make_optimizer())
    run(schedule, at)
    saved = json.loads(json.dumps(schedule.state_dict()))
    optimizer_state = schedule.optimizer.state_dict()
    rest = run(schedule, STEPS - at)
    for load_optimizer_first in (True, False):
        fresh = make_optimizer()
        if load_optimizer_first:
            fresh.load_state_dict(optimizer_state)
        restored = make(name, arguments, fresh)
        restored.load_state_dict(saved)
        if not load_optimizer_first:
            fresh.load_state_dict(optimizer_state)
        assert run(restored, STEPS - at) == rest
        assert restored.state_dict() == schedule.state_dict()
    begun = make(name, arguments, make_optimizer(), last_epoch=at - 1)
    assert run(begun, STEPS - at) == rest


@pytest.mark.parametrize(("cls", "hypers"), [(optim.SGD, {"momentum": 0.5}), (optim.AdamW, {})])
def test_one_cycle_moves_the_momentum(cls, hypers):
    arguments = {"max_lr": 0.5, "total_steps": 50, "base_momentum": 0.6, "max_momentum": 0.9}
    optimizer = make_optimizer(cls, **hypers)
    schedule = make("OneCycleLR", arguments, optimizer)
    seen = []
    for t in range(50):
        group = optimizer.param_groups[1]
        seen.append(group["betas"][0] if "betas" in group else group["momentum"])
        assert seen[-1] == pytest.approx(reference.OneCycleLR(t, 0, **arguments)[1], rel=1e-12)
        schedule.step()
    assert (seen[0], min(seen)) == (0.9, pytest.approx(0.6, abs=1e-3))
    assert rates(optimizer) == [0.5 / 25 / 1e4] * 2  # after the last update
    with pytest.raises(ValueError, match="expected at most total_steps, 50, got step 51"):
        schedule.step()
    assert schedule.last_epoch == 50


def test_one_cycle_per_group():
    optimizer = make_optimizer()
    schedule = lr_scheduler.OneCycleLR(
        optimizer, [0.5, 0.25], epochs=5, steps_per_epoch=4, base_momentum=[0.1, 0.2], max_momentum=[0.3, 0.4]
    )
    assert schedule.total_steps == 20
    assert rates(optimizer) == [0.02, 0.01]
    assert [g["betas"] for g in optimizer.param_groups] == [(0.3, 0.999), (0.4, 0.999)]
    still = make_optimizer(optim.SGD)
    lr_scheduler.OneCycleLR(still, 0.5, 20, cycle_momentum=False)
    assert rates(still) == [0.02, 0.02]
    with pytest.raises(ValueError, match=re.escape("to have momentum or betas, got group 0 (sgd) with neither")):
        lr_scheduler.OneCycleLR(still, 0.25, 20)


def test_cosines_and_powers_are_right_to_the_last_places(rng):
    for x in [*rng.uniform(-10, 10, 2000), *np.linspace(0, 2, 401)]:
        assert _numbers.cos_pi(x) == pytest.approx(math.cos(math.pi * math.fmod(x, 2)), abs=1e-15)
    for base in (0.0, 0.3, 0.999, 1.0, 2.5):
        for exponent in (0, 1, 2, 17, 300, 0.5, 0.9, 2.25):
            assert _numbers.power(base, exponent) == pytest.approx(base**exponent, rel=1e-13)


def test_every_schedule_has_the_same_bits_on_every_machine():
    digest = hashlib.sha256()
    for name, arguments, _ in CASES:
        if name != "LambdaLR":
            digest.update(np.array(run(make(name, arguments, make_optimizer()), STEPS)).tobytes())
    assert digest.hexdigest()[:16] == "1ecd2f63c544b567"
