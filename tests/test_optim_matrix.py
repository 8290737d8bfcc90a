"""Rules that see a tensor as a matrix: every one against its reference."""

import numpy as np
import pytest
from petrain import _core
from reference import optim_matrix as reference

MATRIX = {name: facts for name, facts in _core.rules().items() if facts["matrix"]}
every_rule = pytest.mark.parametrize("rule", MATRIX)


def small(rule):
    """A rank that small matrices have."""
    return {"rank": 3} if "rank" in MATRIX[rule]["hypers"] else {}


def cases():
    for rule in MATRIX:
        for i, setting in enumerate([small(rule), *reference.settings(rule)]):
            yield pytest.param(rule, {**MATRIX[rule]["hypers"], **setting}, id=f"{rule}-{i}")


def matrix(rng, m, n):
    """Singular values far from each other, so that the vectors are determined to the last digits."""
    k = min(m, n)
    u, v = np.linalg.qr(rng.standard_normal((m, k)))[0], np.linalg.qr(rng.standard_normal((n, k)))[0]
    return (u * 3.0 * 0.6 ** np.arange(k)) @ v.T


def shapes_of(rule):
    if rule.startswith("adafactor"):
        return [(), (7,), (1, 1), (12, 20), (3, 4, 5), (2, 1, 3, 3), (70, 3000)]
    return [(12, 20), (20, 12), (8, 8), (1, 30), (4, 1)]


def gradient(rng, shape):
    x = matrix(rng, *shape) if len(shape) == 2 and max(shape) < 100 else rng.standard_normal(shape)
    return np.asarray(x, np.float32)


@every_rule
def test_every_rule_has_a_reference_and_settings(rule):
    assert callable(reference.find(rule)), f"tests/reference/optim_matrix.py has no {rule}"
    for name, value in MATRIX[rule]["hypers"].items():
        if rule in reference.SETTINGS or name in reference.PROJECTED:
            differs = any(s.get(name, value) != value for s in reference.settings(rule))
            assert differs, f"no setting of {rule} differs in {name}"


@pytest.mark.parametrize(("rule", "hypers"), [*cases()])
def test_close_to_the_reference(rng, rule, hypers):
    shapes = [s for s in shapes_of(rule) if min(s, default=1) >= hypers.get("rank", 1)]
    params = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    expected = [p.astype(np.float64) for p in params]
    states = [{name: np.zeros(()) for name in MATRIX[rule]["states"]} for _ in params]
    for state, p in zip(states, expected, strict=True):
        if "rank" in hypers:
            low = list(p.shape)
            low[0 if reference.projects_left(p.shape, hypers) else 1] = int(hypers["rank"])
            first = np.full(low, hypers.get("initial_accumulator_value", 0.0))
            state.update({name: first for name in MATRIX[rule]["states"] if name != "projector"})
        state["update_norm"] = 0.0
    core = _core.Optimizer([(rule, hypers, params)], 7)
    update = reference.find(rule)
    for t in range(1, 8):
        grads = [gradient(rng, shape) for shape in shapes]
        before = [g.copy() for g in grads]
        assert not core.step(grads).skipped
        np.testing.assert_equal(grads, before)
        sign = -1.0 if hypers["maximize"] else 1.0
        for i, g in enumerate(grads):
            states[i].update({k: v for k, v in core.memory(i).items() if k == "projection_seed"})
            moved = expected[i]
            expected[i] = update(moved, sign * g.astype(np.float64), states[i], hypers, t)
            scale = np.abs(expected[i] - moved).max()
            np.testing.assert_allclose(params[i], expected[i], rtol=3e-7, atol=2e-4 * scale)
    for i, state in enumerate(states):
        assert core.steps(i) == 7
        for name, got in core.state(i).items():
            want = state[name]
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5 * np.abs(want).max())
        for name, got in core.memory(i).items():
            assert got == pytest.approx(state[name], rel=1e-4)
