"""How parameters of 16 bits take updates that are smaller than their own step. That stochastic rounding gives the same
bits on every instruction set is for tests/cpp/digest.cpp to see."""

import numpy as np
import pytest
from optim_cases import DTYPES, HALVES, RULES, every_case, floats, ulp
from petrain import _core, optim
from reference import optim as reference

every_half = pytest.mark.parametrize("dtype", HALVES)


def sgd(start, update, rounding, seed=0, steps=1):
    """start - steps * update, in start's dtype, one step after the other; the update is exact in float32."""
    p = start.copy()
    opt = optim.SGD([p], lr=1.0, rounding=rounding, seed=seed)
    for _ in range(steps):
        opt.step([np.broadcast_to(np.float32(update), p.shape).copy()])
    return p


@every_half
@pytest.mark.parametrize("start", [1.25, -1.25, 1.9, 3.0e-3, 5e-5, -5e-6])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.75, -0.25])
def test_stochastic_rounding_is_right_on_average(dtype, start, share):
    """Over elements and over seeds: between 8,192 elements of one tensor and between 64 seeds. The least two values of
    start are subnormal in float16."""
    p = np.full(8192, start, DTYPES[dtype])
    step = ulp(p[0], dtype)
    results = np.array([sgd(p, share * step, "stochastic", seed) for seed in range(64)]).astype(np.float64)
    down = (p[0].astype(np.float64) - results) / step  # 0 or 1 each, or for a share below zero 0 or -1
    assert set(np.unique(down)) == {0.0, np.sign(share)}
    noise = np.sqrt(abs(share) * (1 - abs(share)))
    assert abs(down.mean() - share) < 5 * noise / np.sqrt(down.size)
    assert np.abs(down.mean(axis=0) - share).max() < 6 * noise / np.sqrt(64)  # no element is favoured
    assert np.abs(down.mean(axis=1) - share).max() < 5 * noise / np.sqrt(8192)  # and no seed


@every_half
def test_stochastic_rounding_follows_from_the_seed_alone(rng, threads, dtype):
    start = rng.standard_normal(100003).astype(DTYPES[dtype])
    grads = [rng.standard_normal(100003).astype(np.float32) for _ in range(3)]

    def run(seed, count):
        threads(count)
        p, q = start.copy(), start[:70].copy()
        opt = optim.AdamW([p, q], lr=1e-4, rounding="stochastic", seed=seed)
        for g in grads:
            opt.step([g, g[:70]])
        return np.concatenate([p, q]).view(np.uint16)

    first = run(3, 1)
    for count in (1, 2, 3):
        np.testing.assert_array_equal(run(3, count), first)
    assert (run(4, 1) != first).mean() > 0.05
    assert (first[:70] != first[-70:]).any()  # another tensor, other numbers


@every_half
@pytest.mark.parametrize("sign", [1, -1])
def test_a_thousand_small_steps(dtype, sign):
    """Each a tenth of the parameter's own step: only the nearest stalls."""
    start = (sign * (1.25 + np.arange(4096) / 8192)).astype(DTYPES[dtype])
    step = ulp(1.25, dtype)
    exact = start.astype(np.float64) - 1000 * np.float32(step / 10).astype(np.float64)
    np.testing.assert_array_equal(sgd(start, step / 10, "nearest", steps=1000), start)
    for rounding in ("kahan", "master"):
        got = sgd(start, step / 10, rounding, steps=1000)
        assert (np.abs(got.astype(np.float64) - exact) <= 0.51 * ulp(np.maximum(abs(exact), 1e-3), dtype)).all()
    stochastic = sgd(start, step / 10, "stochastic", steps=1000).astype(np.float64)
    deviation = step * np.sqrt(1000 * 0.1 * 0.9)  # of an element, or less below 1, where the steps are finer
    assert abs((stochastic - exact).mean()) < 5 * deviation / np.sqrt(4096)
    assert np.abs(stochastic - exact).max() < 6 * deviation


@every_half
@pytest.mark.parametrize("rule", RULES)
def test_what_is_nearest_stalls_in_and_the_others_do_not(rng, rule, dtype):
    """With every rule, and steps of a hundredth of the parameter's own, as small rates in training are."""
    start = rng.uniform(1, 1.9, 1000).astype(DTYPES[dtype])
    grads = [rng.uniform(0.5, 1.5, 1000).astype(np.float32) for _ in range(20)]

    def run(array, lr, rounding="nearest"):
        core = _core.Optimizer([(rule, {"lr": lr}, [array], None, rounding)])
        for i in range(400):
            core.step([grads[i % 20]])
        return array.astype(np.float64)

    probe = run(start.astype(np.float64), 1e-7)
    travelled = np.abs(probe - start.astype(np.float64)).mean()
    lr = 1e-7 * 4 * ulp(1.5, dtype) / travelled  # so that 400 steps go four of the parameter's own
    exact = run(start.astype(np.float64), lr)
    way = start.astype(np.float64) - exact
    assert 1.5 * ulp(1.5, dtype) < np.median(way) < 6 * ulp(1.5, dtype)
    assert np.abs(run(start.copy(), lr) - start.astype(np.float64)).mean() < 0.2 * way.mean()
    for rounding in ("kahan", "master"):
        assert np.abs(run(start.copy(), lr, rounding) - exact).max() <= 0.6 * ulp(1.5, dtype)
    assert (run(start.copy(), lr, "stochastic") - exact).mean() == pytest.approx(0, abs=0.1 * way.mean())


@every_half
@every_case
def test_master_is_the_float32_run(rng, rule, hypers, dtype):
    start = [floats(rng, size).astype(DTYPES[dtype]) for size in (0, 1, 65, 300, 16385)]
    half, full = [p.copy() for p in start], [p.astype(np.float32) for p in start]
    cores = [_core.Optimizer([(rule, hypers, p, None, r)]) for p, r in ((half, "master"), (full, "nearest"))]
    for _ in range(4):
        grads = [floats(rng, p.size) for p in start]
        for core in cores:
            core.step(grads)
        for i, (p, q) in enumerate(zip(half, full, strict=True)):
            np.testing.assert_array_equal(cores[0].state(i)["master"], q)
            np.testing.assert_array_equal(p, q.astype(DTYPES[dtype]))
            for name, array in cores[1].state(i).items():
                np.testing.assert_array_equal(cores[0].state(i)[name], array)


@every_half
@every_case
def test_kahan_is_its_reference(rng, rule, hypers, dtype):
    """p and what was cut, each in 16 bits, are added up in float32 before a step and cut again after it."""
    sizes, kind = (0, 1, 65, 300, 16385), DTYPES[dtype]
    params = [floats(rng, size).astype(kind) for size in sizes]
    cut = [np.zeros(size, kind) for size in sizes]
    core = _core.Optimizer([(rule, hypers, params, None, "kahan")])
    expected = reference.Optimizer(rule, hypers, RULES[rule]["states"], params)
    for _ in range(4):
        grads = [floats(rng, size) for size in sizes]
        core.step(grads)
        expected.step(grads)
        for i, sum_ in enumerate(expected.params):
            kept = sum_.astype(kind)
            cut[i] = (sum_ - kept.astype(np.float32)).astype(kind)
            np.testing.assert_array_equal(params[i], kept)
            np.testing.assert_array_equal(core.state(i)["compensation"], cut[i])
            expected.params[i] = kept.astype(np.float32) + cut[i].astype(np.float32)


@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "int8"])
def test_lamb_takes_the_moments_of_adam_once(rng, state_dtype):
    """It reads them twice; rounded twice they would differ."""
    states = []
    for rule in ("lamb", "adam"):
        core = _core.Optimizer([(rule, {}, [np.ones(40001, np.float32)], state_dtype)])
        for step in range(20):
            core.step([np.random.default_rng(step).standard_normal(40001).astype(np.float32)])
        states.append(core.state(0))
    for name, array in states[1].items():
        np.testing.assert_array_equal(states[0][name], array)


@pytest.mark.parametrize("rounding", ["stochastic", "kahan", "master"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_only_16_bits_are_rounded_otherwise(dtype, rounding):
    with pytest.raises(ValueError, match=f"parameter 1: only parameters of 16 bits .* got {dtype}"):
        optim.AdamW([np.ones(2, np.float16), np.ones(2, dtype)], rounding=rounding)


def test_bad_rounding():
    with pytest.raises(ValueError, match='rounding: expected one of nearest, stochastic, kahan, master, got "up"'):
        optim.AdamW([np.ones(2, np.float16)], rounding="up")
