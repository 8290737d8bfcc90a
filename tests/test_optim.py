"""Update rules: every one against its reference, to the last bit, and what a step promises."""

import numpy as np
import petrain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optim_cases import CASES, RULES, defaults, every_case, floats
from petrain import _core, optim
from reference import optim as reference

SIZES = [*range(68), 16384, 16385, 40000]


def steps_equal(core, expected, params, states):
    for p, want in zip(params, expected.params, strict=True):
        np.testing.assert_array_equal(p, want, strict=True)
    for i, want in enumerate(expected.states):
        got = core.state(i)
        assert list(got) == list(states)
        for name in states:
            np.testing.assert_array_equal(got[name], want[name], strict=True)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_reference_and_settings(rule):
    assert callable(getattr(reference, rule, None)), f"tests/reference/optim.py has no function {rule}"
    settings = reference.SETTINGS.get(rule)
    assert settings, f"tests/reference/optim.py has no SETTINGS for {rule}"
    for name, value in defaults(rule).items():
        assert any(s.get(name, value) != value for s in settings), f"no setting of {rule} differs in {name}"


@every_case
@pytest.mark.parametrize(("param_offset", "grad_offset"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_equal_to_the_reference(rng, rule, hypers, param_offset, grad_offset):
    params = [floats(rng, size, param_offset) for size in SIZES]
    states = RULES[rule]["states"]
    expected = reference.Optimizer(rule, hypers, states, params)
    core = _core.Optimizer([(rule, hypers, params)])
    for _ in range(4):
        grads = [floats(rng, size, grad_offset) for size in SIZES]
        before = [g.copy() for g in grads]
        info = core.step(grads, None)
        expected.step(grads)
        assert info.grad_norm == reference.grad_norm(grads)
        assert not info.skipped
        steps_equal(core, expected, params, states)
        np.testing.assert_equal(grads, before)
    assert [core.steps(i) for i in range(len(SIZES))] == [4] * len(SIZES)


@every_case
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_equal_to_the_reference_for_any_number_of_threads(rng, threads, rule, hypers, count):
    threads(count)
    params = [floats(rng, size) for size in (100003, 1, 32768)]
    states = RULES[rule]["states"]
    expected = reference.Optimizer(rule, hypers, states, params)
    core = _core.Optimizer([(rule, hypers, params)])
    for _ in range(2):
        grads = [floats(rng, p.size) for p in params]
        norm = reference.grad_norm(grads)
        assert core.step(grads, 0.5).grad_norm == norm
        expected.step(grads, reference.clip_scale(norm, 0.5))
    steps_equal(core, expected, params, states)


@every_case
def test_close_to_a_float64_trajectory(rng, rule, hypers):
    start = rng.standard_normal(1000)
    params = [start.astype(np.float32)]
    exact = reference.Optimizer(rule, hypers, RULES[rule]["states"], params, np.float64)
    core = _core.Optimizer([(rule, hypers, params)])
    for _ in range(100):
        grad = [(exact.params[0] + rng.standard_normal(1000)).astype(np.float32)]
        core.step(grad, None)
        exact.step(grad)
    moved = np.abs(exact.params[0] - start).max()
    assert moved > 0.01
    # Lion's steps are all of one size, so each is rounded alike: the error adds up.
    tolerance = 3e-5 if rule == "lion" else 1e-5
    assert np.abs(params[0] - exact.params[0]).max() < tolerance * (1 + moved)


@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=3).map(tuple), min_size=1, max_size=5),
    case=st.sampled_from(CASES),
    max_norm=st.none() | st.floats(1e-3, 1e3),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shapes(shapes, case, max_norm, seed):
    rule, hypers = case
    rng = np.random.default_rng(seed)
    params = [floats(rng, int(np.prod(shape))).reshape(shape) for shape in shapes]
    expected = reference.Optimizer(rule, hypers, RULES[rule]["states"], params)
    core = _core.Optimizer([(rule, hypers, params)])
    for _ in range(2):
        grads = [floats(rng, p.size).reshape(p.shape) for p in params]
        norm = core.step(grads, max_norm).grad_norm
        assert norm == reference.grad_norm(grads)
        expected.step(grads, 1.0 if max_norm is None else reference.clip_scale(norm, max_norm))
    steps_equal(core, expected, params, RULES[rule]["states"])


@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 4.999, 5.0, 5.001, 1e6, np.inf, None])
def test_clipping(max_norm):
    p = [np.zeros(1, np.float32), np.zeros((1, 1), np.float32)]
    grads = [np.array([3], np.float32), np.array([[4]], np.float32)]
    info = optim.SGD(p, lr=1.0).step(grads, max_norm=max_norm)
    assert info.grad_norm == 5.0
    scale = np.float32(1 if max_norm is None or max_norm >= 5 else max_norm / (5 + 1e-6))
    assert (p[0][0], p[1][0, 0]) == (-3 * scale, -4 * scale)


@pytest.mark.parametrize("max_norm", [0, -1.0, np.nan, -np.inf])
def test_bad_max_norm(max_norm):
    p = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="max_norm must be greater than 0, got "):
        optim.SGD([p]).step([np.ones(2, np.float32)], max_norm=max_norm)
    assert (p == 1).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [(0, 0), (1, 16384), (1, 39999), (2, 3)])
def test_a_step_that_is_not_finite_changes_nothing(rng, rule, value, where):
    params = [floats(rng, size) for size in (10, 40000, 4)]
    core = _core.Optimizer([(rule, {}, params)])
    core.step([floats(rng, p.size) for p in params], None)
    before = [p.copy() for p in params]
    states = [{name: array.copy() for name, array in core.state(i).items()} for i in range(3)]
    grads = [floats(rng, p.size) for p in params]
    grads[where[0]][where[1]] = value
    info = core.step(grads, 1.0)
    assert info.skipped
    assert not np.isfinite(info.grad_norm)
    np.testing.assert_equal(params, before)
    np.testing.assert_equal([core.state(i) for i in range(3)], states)
    assert [core.steps(i) for i in range(3)] == [1, 1, 1]


def test_gradients_near_the_limit_of_float32_are_finite():
    p = np.zeros(4, np.float32)
    grad = np.full(4, 3e38, np.float32)
    info = optim.SGD([p], lr=1.0).step([grad], max_norm=1.0)
    assert not info.skipped
    np.testing.assert_allclose(p, -0.5, rtol=1e-6)


@every_case
def test_without_the_check_a_step_is_the_same(rng, rule, hypers):
    params = [floats(rng, 300).reshape(30, 10), floats(rng, 20000)]
    copies = [p.copy() for p in params]
    checked, unchecked = (_core.Optimizer([(rule, hypers, own)]) for own in (params, copies))
    for _ in range(3):
        grads = [floats(rng, p.size).reshape(p.shape) for p in params]
        assert not checked.step(grads, None, 2.0, 0.5).skipped
        info = unchecked.step(grads, None, 2.0, 0.5, check_finite=False)
        assert not info.skipped
        assert np.isnan(info.grad_norm)
    for p, q in zip(params, copies, strict=True):
        np.testing.assert_array_equal(p, q)


def test_without_the_check_nan_goes_through_and_there_is_no_norm_to_clip_by():
    p = np.ones(40, np.float32)
    opt = optim.AdamW([p])
    g = np.ones(40, np.float32)
    with pytest.raises(ValueError, match="max_norm needs the norm, which is not taken with check_finite = false"):
        opt.step([g], max_norm=1.0, check_finite=False)
    np.testing.assert_array_equal(p, 1)
    g[7] = np.nan
    assert not opt.step([g], check_finite=False).skipped
    assert np.isnan(p[7])
    assert np.isfinite(np.delete(p, 7)).all()


def test_matrix_rules_are_checked_all_the_same():
    p = np.ones((4, 6), np.float32)
    opt = optim.Muon([p])
    g = np.ones((4, 6), np.float32)
    g[1, 2] = np.inf
    assert opt.step([g], check_finite=False).skipped
    np.testing.assert_array_equal(p, 1)
    g[1, 2] = 1
    assert not opt.step([g], check_finite=False).skipped
    assert (p != 1).any()


@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_that_share_memory_are_all_read_before_one_is_zeroed(threads):
    petrain.set_num_threads(threads)
    size = 200_000
    memory = np.ones(size + 10, np.float32)
    p, q, r = (np.zeros(size, np.float32) for _ in range(3))
    optim.SGD([p, q, r], lr=1.0).step([memory[:size], memory[10:], memory[:size]], zero_grads=True)
    for own in (p, q, r):
        np.testing.assert_array_equal(own, -1)
    assert not memory.any()
    matrices = [np.zeros((4, 6), np.float32) for _ in range(2)]
    grad = np.ones((4, 6), np.float32)
    optim.Muon(matrices).step([grad, grad], zero_grads=True)
    np.testing.assert_array_equal(*matrices)
    assert matrices[0].any()
    assert not grad.any()


def test_a_nan_is_not_clipped_to_a_number():
    p = np.zeros(2, np.float32)
    optim.SGD([p], lr=1.0).step([np.array([np.nan, 5], np.float32)], max_value=2.0, check_finite=False)
    np.testing.assert_array_equal(p, [np.nan, -2])
