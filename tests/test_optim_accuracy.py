"""How far the update rules stray from the same formulas in more bits: one step in units of the last place, and ten
thousand steps."""

import numpy as np
import pytest
from optim_cases import DTYPES, HALVES, RULES, computed_in, defaults, every_case, ulp
from petrain import _core
from reference import optim as reference

# Units in the last place of the type of computation, at the greatest of parameter, step and result. A step is at most
# a dozen operations deep; the deviation that centered RMSprop divides by cancels some of its bits.
MOST_ULPS = {"rmsprop_centered": 16, "rmsprop_centered_momentum": 16}


@pytest.mark.parametrize("magnitude", [1.0, 2.0**-10])
@pytest.mark.parametrize("dtype", DTYPES)
@every_case
def test_one_step_in_units_of_the_last_place(rng, rule, hypers, dtype, magnitude):
    """From the same state, with values of one sign: what cancels says nothing of the rule."""
    states, T = RULES[rule]["states"], computed_in(dtype)  # noqa: N806
    computed = T.__name__
    wide = reference.Optimizer(rule, hypers, states, [rng.uniform(0.5, 1.5, 2000) * magnitude], np.longdouble)
    for _ in range(5):
        wide.step([rng.uniform(0.5, 1.5, 2000)])
    p = wide.params[0].astype(DTYPES[dtype])
    core = _core.Optimizer([(rule, hypers, [p])])
    core.set_steps(0, wide.t)
    wide.params[0] = p.astype(np.longdouble)
    for name, array in core.state(0).items():
        array[...] = wide.states[0][name].astype(T)
        wide.states[0][name] = array.astype(np.longdouble)
    for name in RULES[rule]["memory"]:
        core.set_memory(0, name, wide.states[0][name])
    before, grad = wide.params[0], rng.uniform(0.5, 1.5, 2000).astype(T)
    core.step([grad])
    wide.step([grad])
    after = wide.params[0]
    greatest = np.maximum(np.maximum(np.abs(before), np.abs(after)), np.abs(after - before))
    bound = MOST_ULPS.get(rule, 8) * ulp(greatest, computed)
    if dtype in HALVES:
        bound = bound + 0.5 * ulp(np.maximum(np.abs(after), np.abs(p.astype(T))), dtype)
    assert (np.abs(p.astype(np.longdouble) - after) <= bound).all()
    assert (after != before).all()
    for name, array in core.state(0).items():
        want = wide.states[0][name]
        most = MOST_ULPS.get(rule, 4) if name == "momentum_buffer" else 4
        assert (np.abs(array - want) <= most * ulp(np.abs(want), computed)).all(), name


LONG = {
    "sgd_momentum": {"lr": 0.01},
    "adagrad": {"lr": 0.1},
    "rmsprop": {"lr": 1e-3},
    "adam": {"lr": 1e-3},
    "adamw": {"lr": 1e-3},
    "radam": {"lr": 1e-3},
    "nadam": {"lr": 1e-3},
    "lion": {"lr": 1e-3, "weight_decay": 0.1},
    "ademamix": {"lr": 1e-3, "t_alpha": 5000, "t_beta3": 5000},
    "schedule_free_adamw": {"lr": 1e-2, "warmup_steps": 100},
    "lamb": {"lr": 1e-3},
}


@pytest.mark.parametrize(("rule", "hypers"), LONG.items(), ids=LONG)
def test_ten_thousand_steps_do_not_drift(rng, rule, hypers):
    """Gradients of a noisy quadratic, taken where the float64 run is: what float32 loses adds up in the other run."""
    hypers, size, steps = {**defaults(rule), **hypers}, 64, 10_000
    start, goal = rng.standard_normal(size), rng.standard_normal(size)
    p = start.astype(np.float32)
    exact = reference.Optimizer(rule, hypers, RULES[rule]["states"], [p], np.float64)
    core = _core.Optimizer([(rule, hypers, [p])])
    for _ in range(steps):
        grad = [(exact.params[0] - goal + 0.3 * rng.standard_normal(size)).astype(np.float32)]
        core.step(grad)
        exact.step(grad)
    assert np.abs(exact.params[0] - start).max() > 0.5
    # Roundings of half a unit, up to 1.2e-7 each, add up as a random walk does, to some 2e-5; and 0.999 and 0.001 add
    # up to 1 - 1.3e-8 in float32, so that second moments, and with them steps, are off by some 1e-5 of themselves.
    assert np.abs(p - exact.params[0]).max() < 6e-5


def test_the_series_are_those_of_the_c_library_to_eleven_digits():
    for x in np.linspace(-700, 700, 2001):
        assert reference.exponential(x) == pytest.approx(np.exp(x), rel=1e-8 if abs(x) > 100 else 1e-11)
        assert reference.logarithm(np.exp(x)) == pytest.approx(x, rel=1e-13, abs=1e-14)
    assert (reference.exponential(-1e9), reference.exponential(1e9)) == (0.0, np.inf)
    assert reference.real_power(0.0, 2.0) == 0.0
    assert reference.real_power(0.0, 0.0) == 1.0


@pytest.mark.parametrize("rule", RULES)
def test_a_step_after_very_many(rule):
    """No coefficient leaves its range."""
    hypers = {**defaults(rule), **({"momentum_decay": 1.0} if rule == "nadam" else {})}
    p = np.ones(5, np.float32)
    core = _core.Optimizer([(rule, hypers, [p])])
    core.step([np.full(5, 0.5, np.float32)])
    for steps in (10**5, 10**7, 10**9, 2**53):
        core.set_steps(0, steps)
        core.step([np.full(5, 0.5, np.float32)])
        assert np.isfinite(p).all()
        assert all(np.isfinite(value) for value in core.memory(0).values())
    assert (np.abs(p) < 10).all()
