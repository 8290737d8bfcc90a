"""Rules that see a tensor as a matrix: what they promise as all rules do, in every dtype and for any thread count."""

import ml_dtypes
import numpy as np
import petrain
import pytest
from petrain import _core

MATRIX = {name: facts for name, facts in _core.rules().items() if facts["matrix"]}
FEW = ["adafactor", "adafactor_momentum", "muon", "galore_adamw", "apollo_adamw", "apollo_nadam"]
every_rule = pytest.mark.parametrize("rule", MATRIX)
some_rules = pytest.mark.parametrize("rule", FEW)
DTYPES = [np.float64, np.float16, ml_dtypes.bfloat16]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def make(rule, params, state_dtype=None, rounding="nearest", **hypers):
    if "rank" in MATRIX[rule]["hypers"]:
        hypers = {"rank": 3, **hypers}
    return _core.Optimizer([(rule, hypers, params, state_dtype, rounding)], 5)


def everything(core, params):
    """Copies of all that a step may write."""
    states = [{name: array.copy() for name, array in core.state(i).items()} for i in range(len(params))]
    numbers = [(core.steps(i), core.memory(i)) for i in range(len(params))]
    return [p.copy() for p in params], states, numbers


@some_rules
@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "int8"])
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_the_same_bits_for_any_number_of_threads(threads, rule, state_dtype, rounding):
    results = []
    for count in (1, 2, 5):
        threads(count)
        dtype = np.float32 if rounding == "nearest" else ml_dtypes.bfloat16
        params = [normal(m, n, seed=9).astype(dtype) for m, n in ((300, 700), (600, 150), (5, 8))]
        hypers = {"rank": 5, "update_proj_gap": 2} if "rank" in MATRIX[rule]["hypers"] else {}
        core = make(rule, params, state_dtype, rounding, lr=0.01, **hypers)
        for step in range(3):
            core.step([normal(*p.shape, seed=step) for p in params], 1.0)
        results.append(everything(core, params))
    for other in results[1:]:
        np.testing.assert_equal(other, results[0])


@every_rule
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_step_that_is_not_finite_changes_nothing(rule, value, where):
    """The vector follows AdamW, in the same optimizer."""
    params = [normal(4, 6), normal(30, 600), normal(10)]
    hypers = {"rank": 2} if "rank" in MATRIX[rule]["hypers"] else {}
    core = _core.Optimizer([(rule, hypers, params[:2]), ("adamw", {}, params[2:])])
    core.step([normal(*p.shape, seed=1) for p in params])
    before = everything(core, params)
    grads = [normal(*p.shape, seed=2) for p in params]
    grads[where].flat[-1] = value
    info = core.step(grads, 1.0)
    assert info.skipped
    assert not np.isfinite(info.grad_norm)
    np.testing.assert_equal(everything(core, params), before)
    assert not core.step([normal(*p.shape, seed=2) for p in params]).skipped
    assert all((p != q).any() for p, q in zip(params, before[0], strict=True))


@every_rule
def test_gradients_that_float32_cannot_multiply(rule):
    """Beyond a norm of 1e18 a step is skipped; below it, neither squares nor products leave float32."""
    params = [normal(6, 9)]
    core = make(rule, params)
    before = everything(core, params)
    huge = 1e17 * normal(6, 9, seed=1)
    assert core.step([10 * huge]).skipped
    assert core.step([1e20 * huge]).skipped
    assert core.step([1e180 * huge.astype(np.float64)]).skipped
    np.testing.assert_equal(everything(core, params), before)
    assert not core.step([huge]).skipped
    assert not core.step([1e20 * huge], 1.0).skipped
    assert not core.step([1e90 * huge.astype(np.float64)], 1.0).skipped
    assert not core.step([1e-30 * normal(6, 9, seed=2)]).skipped
    for array in [*params, *core.state(0).values()]:
        assert np.isfinite(array).all()


@every_rule
@pytest.mark.parametrize("state_dtype", [None, "int8"])
def test_zero_stays_zero(rule, state_dtype):
    """Without a gradient nothing moves, not even towards the directions of an earlier one that are not there."""
    start = normal(6, 80)
    p = start.copy()
    has_decay = "weight_decay" in MATRIX[rule]["hypers"]
    core = make(rule, [p], state_dtype, lr=1.0, **({"weight_decay": 0.0} if has_decay else {}))
    for _ in range(20):
        assert not core.step([np.zeros((6, 80), np.float32)]).skipped
    np.testing.assert_array_equal(p, start)
    for name, array in core.state(0).items():
        assert name.startswith("exp_inf") or not array.any(), name  # Adamax's greatest is at least eps
    core.step([normal(6, 80, seed=1)])
    assert (p != start).all()


@some_rules
def test_empty_parameters_and_missing_gradients(rule):
    rows = 4 if "rank" in MATRIX[rule]["hypers"] else 0  # no rank is small enough for an empty matrix
    params = [normal(4, 5), normal(rows, 5)]
    core = make(rule, params)
    before = [p.copy() for p in params]
    core.step([None, normal(*params[1].shape, seed=1)], allow_missing=True)
    np.testing.assert_array_equal(params[0], before[0])
    assert (core.steps(0), core.steps(1)) == (0, 1)


@some_rules
@pytest.mark.parametrize("param_dtype", DTYPES)
@pytest.mark.parametrize("grad_dtype", [np.float32, *DTYPES])
def test_any_dtype_is_the_float32_run_rounded(rule, param_dtype, grad_dtype):
    start, grad = normal(20, 70).astype(param_dtype), normal(20, 70, seed=1).astype(grad_dtype)
    stored, plain = start.copy(), start.astype(np.float32)
    make(rule, [stored], lr=0.01).step([grad], 1.0)
    make(rule, [plain], lr=0.01).step([grad.astype(np.float32)], 1.0)
    assert stored.dtype == param_dtype
    assert (stored != start).any()
    step = {2: 1e-2, 8: 1e-6}[stored.itemsize]  # half of the last digit of numbers up to 4, or float32's rounding
    np.testing.assert_allclose(stored.astype(np.float64), plain, rtol=0, atol=step)


@some_rules
def test_float64_parameters_keep_their_digits(rule):
    p = 1 + 1e-12 * normal(5, 8).astype(np.float64)
    start = p.copy()
    hypers = {} if "weight_decay" not in MATRIX[rule]["hypers"] else {"weight_decay": 0.0}
    make(rule, [p], lr=1e-11, **hypers).step([normal(5, 8, seed=1)])
    moved = np.abs(p - start)
    assert (moved > 0).all()
    assert moved.max() < 1e-9


@some_rules
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_rounding_of_16_bit_parameters(rule, dtype):
    """A master copy follows the float32 run to the last bit; compensation and chance follow it on average."""
    start = (1 + 0.1 * np.abs(normal(16, 64))).astype(dtype)
    plain = start.astype(np.float32)
    runs = {rounding: start.copy() for rounding in ("stochastic", "kahan", "master")}
    cores = {rounding: make(rule, [p], None, rounding, lr=4e-3) for rounding, p in runs.items()}
    exact = make(rule, [plain], lr=4e-3)
    for step in range(60):
        grad = [np.abs(normal(16, 64, seed=1)) + 0.01 * normal(16, 64, seed=step)]
        for core in (*cores.values(), exact):
            core.step(grad)
    if not rule.startswith("adafactor"):  # which looks at the parameter: its rounding is seen
        np.testing.assert_array_equal(cores["master"].state(0)["master"], plain)
    moved = float((plain - start.astype(np.float32)).mean())
    assert moved != 0
    for rounding in ("stochastic", "kahan", "master"):
        end = runs[rounding].astype(np.float32)
        if rounding == "kahan":
            end += cores[rounding].state(0)["compensation"].astype(np.float32)
        got = float((end - start.astype(np.float32)).mean())
        assert got == pytest.approx(moved, rel=0.25), rounding


@some_rules
def test_the_whole_step_is_one_scaling_of_the_gradients(rule):
    """grad_scale, max_norm, max_value and zero_grads as for every rule."""
    norm = float(np.linalg.norm(normal(7, 9, seed=1).astype(np.float64)))
    grad = normal(7, 9, seed=1)
    scaled = (grad * np.float32(0.5 / (norm + 1e-6))).astype(np.float32)
    variants = {
        "max_norm": ({"max_norm": 0.5}, grad, scaled),
        "grad_scale": ({"grad_scale": 4.0}, grad, grad / 4),
        "max_value": ({"max_value": 0.25}, grad, np.clip(grad, -0.25, 0.25)),
        "zero_grads": ({"zero_grads": True}, grad, grad),
    }
    for name, (options, given, seen) in variants.items():
        a, b = normal(7, 9), normal(7, 9)
        given = given.copy()
        info = make(rule, [a], lr=0.1).step([given], **options)
        make(rule, [b], lr=0.1).step([seen])
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)
        if name != "grad_scale":
            assert info.grad_norm == pytest.approx(norm, rel=1e-12)
        assert given.any() == (name != "zero_grads")
    up, down = normal(7, 9), normal(7, 9)
    make(rule, [up], lr=0.1, maximize=1).step([grad])
    make(rule, [down], lr=0.1).step([-grad])
    np.testing.assert_array_equal(up, down)


def test_the_norm_is_that_of_all_gradients():
    params = [normal(4, 6), normal(10)]
    core = _core.Optimizer([("muon", {}, params[:1]), ("adamw", {}, params[1:])])
    grads = [normal(4, 6, seed=1), normal(10, seed=2)]
    want = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in grads))
    assert core.step(grads).grad_norm == pytest.approx(want, rel=1e-12)


@some_rules
def test_an_accumulator_is_the_same_as_its_mean(rule):
    a, b = normal(7, 9), normal(7, 9)
    acc = petrain.GradAccumulator([a])
    acc.add([normal(7, 9, seed=1)], weight=1)
    acc.add([normal(7, 9, seed=2)], weight=3)
    mean = acc.mean()
    make(rule, [a]).step_accumulated(acc._core)
    make(rule, [b]).step(mean)
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@some_rules
def test_rows_alone_are_refused(rule):
    p = normal(6, 8)
    core = make(rule, [p])
    with pytest.raises(ValueError, match="gradient 0: a rule that looks at the tensor as a whole needs the whole"):
        core.step([(np.array([1, 2]), normal(2, 8))])
    np.testing.assert_array_equal(p, normal(6, 8))
    assert core.steps(0) == 0


@pytest.mark.parametrize("layerwise", ["lamb", "lars"])
def test_beside_a_rule_that_follows_norms(layerwise):
    params, alone = [normal(6, 9), normal(6, 9), normal(30)], [normal(6, 9), normal(6, 9), normal(30)]
    rules = ["muon", layerwise, layerwise]
    together = _core.Optimizer([(rule, {}, [p]) for rule, p in zip(rules, params, strict=True)])
    apart = [_core.Optimizer([(rule, {}, [p])]) for rule, p in zip(rules, alone, strict=True)]
    for step in range(3):
        grads = [normal(*p.shape, seed=step) for p in params]
        together.step(grads)
        for core, grad in zip(apart, grads, strict=True):
            core.step([grad])
    np.testing.assert_equal(params, alone)


def test_an_elementwise_rule_beside_is_untouched():
    """Its bits are those of an optimizer of its own."""
    params, alone = [normal(10), normal(40, 30), normal(20000)], [normal(10), normal(20000)]
    hypers = {"lr": 0.01}
    groups = [("adamw", hypers, params[:1]), ("galore_lion", {"rank": 2}, params[1:2]), ("adamw", hypers, params[2:])]
    core, other = _core.Optimizer(groups), _core.Optimizer([("adamw", hypers, alone)])
    for step in range(3):
        grads = [normal(*p.shape, seed=step) for p in params]
        core.step(grads)
        other.step([grads[0], grads[2]])
    np.testing.assert_equal([params[0], params[2]], alone)


def test_galore_waits_for_a_gradient_that_is_not_zero_in_float32():
    p = normal(6, 9)
    opt = _core.Optimizer([("galore_sgd", {"rank": 2}, [p])])
    opt.step([np.full((6, 9), 1e-60)])
    assert not opt.state(0)["projector"].any()
    opt.step([normal(6, 9, seed=1)])
    assert opt.state(0)["projector"].any()


def test_muon_rounds_its_momentum_by_other_numbers_than_its_parameter():
    """Rounding errors of both, in units of a step, are not correlated."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    bfloat16 = ml_dtypes.bfloat16
    p = (1 + 0.5 * np.random.default_rng(0).random((200, 200))).astype(bfloat16)
    exact = p.astype(np.float32)
    grad = (1 + 0.5 * np.random.default_rng(1).random((200, 200))).astype(np.float32)
    hypers = {"momentum": 0.5, "nesterov": 0.0, "weight_decay": 0.0, "lr": 1e-3}
    rounded = _core.Optimizer([("muon", hypers, [p], "bfloat16", "stochastic")], 0)
    reference = _core.Optimizer([("muon", hypers, [exact])])
    rounded.step([grad])
    reference.step([grad])
    of_param = p.astype(np.float32) - exact
    of_state = rounded.state(0)["momentum_buffer"].astype(np.float32) - reference.state(0)["momentum_buffer"]
    assert of_state.any()
    assert abs(np.corrcoef(of_param.ravel(), of_state.ravel())[0, 1]) < 0.05
