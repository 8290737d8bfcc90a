"""Update rules on parameters and gradients of every float dtype, to the last bit: a rule computes in float64 for
float64 parameters, else in float32, and a parameter of 16 bits is rounded once, to the nearest even."""

import itertools

import numpy as np
import pytest
from optim_cases import CASES, DTYPES, HALVES, RULES, computed_in, defaults, every_case
from petrain import _core
from reference import optim as reference

SHAPES = [(), (0,), (1,), (63,), (64,), (65,), (255,), (256,), (257,), (5, 3), (0, 4), (16385,)]
PAIRS = list(itertools.product(DTYPES, DTYPES))
every_pair = pytest.mark.parametrize(("dtype", "grad_dtype"), PAIRS, ids=["-".join(pair) for pair in PAIRS])


def numbers(rng, shape, dtype):
    """Of many magnitudes, some zeros, and in 16 bits some subnormals; float64 ones have all their bits."""
    array = np.asarray(rng.standard_normal(shape) * 10 ** rng.uniform(-6, 1, shape))
    array[rng.random(shape) < 0.05] = 0
    return array.astype(DTYPES[dtype])


def reference_of(rule, hypers, params, dtype):
    return reference.Optimizer(rule, hypers, RULES[rule]["states"], params, computed_in(dtype), DTYPES[dtype])


@every_pair
@every_case
def test_equal_to_the_reference(rng, rule, hypers, dtype, grad_dtype):
    params = [numbers(rng, shape, dtype) for shape in SHAPES]
    expected = reference_of(rule, hypers, params, dtype)
    core = _core.Optimizer([(rule, hypers, params)])
    for _ in range(3):
        grads = [numbers(rng, shape, grad_dtype) for shape in SHAPES]
        before = [g.copy() for g in grads]
        assert core.step(grads, None).grad_norm == reference.grad_norm(grads)
        expected.step(grads)
        for p, want in zip(params, expected.params, strict=True):
            np.testing.assert_array_equal(p, want, strict=True)
        for i, want in enumerate(expected.states):
            for name, array in core.state(i).items():
                np.testing.assert_array_equal(array, want[name], strict=True)
        np.testing.assert_equal(grads, before)


@every_case
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_model_of_all_dtypes_at_once(rng, threads, rule, hypers, count):
    """Unscaled, clipped by norm and then by value, for any number of threads."""
    threads(count)
    shapes = [(40000,), (7, 9), (16384,), (300,)] * 4
    params = [numbers(rng, shape, dtype) for shape, (dtype, _) in zip(shapes, PAIRS, strict=True)]
    expected = [reference_of(rule, hypers, [p], dtype) for p, (dtype, _) in zip(params, PAIRS, strict=True)]
    core = _core.Optimizer([(rule, hypers, params)])
    for _ in range(2):
        grads = [numbers(rng, shape, dtype) for shape, (_, dtype) in zip(shapes, PAIRS, strict=True)]
        info = core.step(grads, 0.5, 8.0, 0.01)
        norm = reference.grad_norm(grads) / 8
        assert info.grad_norm == norm
        for one, grad in zip(expected, grads, strict=True):
            one.step([grad], reference.clip_scale(norm, 0.5) / 8, 0.01)
    for p, one in zip(params, expected, strict=True):
        np.testing.assert_array_equal(p, one.params[0], strict=True)


STATES = [None, "float32", "bfloat16", "int8"]
ROUNDINGS = {"float32": ["nearest"], "float64": ["nearest"]}


@pytest.mark.parametrize("state_dtype", STATES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_without_a_gradient_nothing_moves(rng, rule, dtype, state_dtype):
    """Without weight decay, and whatever the neighbours in a group of 64 do."""
    hypers = {**defaults(rule), "lr": 0.1}
    if "weight_decay" in hypers:
        hypers["weight_decay"] = 0.0
    moving = np.arange(300) % 100 == 50
    for rounding in ROUNDINGS.get(dtype, ["nearest", "stochastic", "kahan", "master"]):
        p = np.asarray(rng.standard_normal(300) + 2).astype(DTYPES[dtype])
        start = p.copy()
        core = _core.Optimizer([(rule, hypers, [p], state_dtype, rounding)])
        for _ in range(40):
            core.step([np.where(moving, rng.uniform(1, 100, 300), 0).astype(np.float32)])
        np.testing.assert_array_equal(p[~moving], start[~moving])
        if dtype not in HALVES:  # where some steps are lost to rounding
            assert (p[moving] != start[moving]).all()
        for name, array in core.state(0).items():
            if name not in ("z", "exp_inf", "master") and not name.endswith("_scale"):
                assert (array[~moving] == 0).all(), name


OVERFLOWS = {
    "a float64 gradient": ([np.array([0, 1e100, 0])], {}),
    "a gradient times the inverse scale": ([np.array([0, 1e30, 0], np.float32)], {"grad_scale": 1e-20}),
    "the inverse scale": ([np.zeros(3, np.float32)], {"grad_scale": 1e-60}),
}


@pytest.mark.parametrize(("grads", "options"), OVERFLOWS.values(), ids=OVERFLOWS)
@pytest.mark.parametrize("rule", RULES)
def test_what_overflows_in_float32_changes_nothing(rule, grads, options):
    p, wide = np.ones(3, np.float32), np.ones(3)
    core = _core.Optimizer([(rule, {}, [p])])
    assert core.step(grads, **options).skipped
    np.testing.assert_array_equal(p, 1)
    assert all((array == 0).all() for array in core.state(0).values())
    assert core.steps(0) == 0
    assert not _core.Optimizer([(rule, {}, [wide])]).step(grads, **options).skipped
    assert np.isfinite(wide).all()


def test_clipping_brings_large_float64_gradients_in_range():
    p = np.ones(3, np.float32)
    assert not _core.Optimizer([("sgd", {"lr": 1.0}, [p])]).step([np.array([0, 3e30, 4e30])], 5.0).skipped
    np.testing.assert_allclose(p, [1, -2, -3], rtol=1e-6)


def test_every_rule_is_in_the_cases():
    assert {rule for rule, _ in CASES} == set(RULES)
