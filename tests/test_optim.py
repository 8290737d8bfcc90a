"""Update rules: every one against its reference, to the last bit; then the Python classes around them."""

import pickle
import re

import numpy as np
import petrain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optim_cases import CASES, RULES, defaults, every_case, floats, spoil
from petrain import _core, optim
from petrain._params import in_order
from reference import optim as reference

MATRIX_CLASSES = {optim.Adafactor, optim.Muon, optim.GaLore, optim.APOLLO}  # tests/test_optim_matrix.py
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


# ---- the Python classes ----

# A class, its arguments, and the rule with the hyperparameters that must come of it.
BETAS = {"lr": 0.1, "betas": (0.5, 0.6), "eps": 1e-3, "weight_decay": 0.2}
SPLIT = {"lr": 0.1, "beta1": 0.5, "beta2": 0.6, "eps": 1e-3, "weight_decay": 0.2}
RMS = {"lr": 0.1, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.2}


def same(cls, rule, arguments):
    """A class whose arguments are the rule's hyperparameters."""
    return cls, arguments, rule, arguments


CLASSES = [
    same(optim.SGD, "sgd", {"lr": 0.1, "weight_decay": 0.2, "maximize": True}),
    same(optim.SGD, "sgd_momentum", {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.2}),
    same(optim.SGD, "sgd_momentum", {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    same(optim.Momentum, "momentum", {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.2}),
    same(optim.Adagrad, "adagrad", {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.3, "eps": 1e-3}),
    same(optim.Adadelta, "adadelta", {"lr": 0.1, "rho": 0.5, "weight_decay": 0.3, "eps": 1e-3}),
    (optim.RMSprop, {**RMS, "centered": False}, "rmsprop", RMS),
    (optim.RMSprop, {**RMS, "centered": True}, "rmsprop_centered", RMS),
    (optim.RMSprop, {**RMS, "momentum": 0.5}, "rmsprop_momentum", {**RMS, "momentum": 0.5}),
    (optim.RMSprop, {**RMS, "momentum": 0.5, "centered": True}, "rmsprop_centered_momentum", {**RMS, "momentum": 0.5}),
    (optim.Adam, {**BETAS, "bias_correction": False}, "adam", {**SPLIT, "bias_correction": 0}),
    (optim.Adam, {**BETAS, "amsgrad": True}, "adam_amsgrad", SPLIT),
    (optim.AdamW, BETAS, "adamw", SPLIT),
    (optim.AdamW, {**BETAS, "amsgrad": True, "maximize": True}, "adamw_amsgrad", {**SPLIT, "maximize": 1}),
    (optim.Adamax, BETAS, "adamax", SPLIT),
    (optim.NAdam, {**BETAS, "momentum_decay": 0.1}, "nadam", {**SPLIT, "momentum_decay": 0.1}),
    (optim.NAdam, {**BETAS, "decoupled_weight_decay": True}, "nadam", {**SPLIT, "decoupled_weight_decay": 1}),
    (optim.RAdam, {**BETAS, "decoupled_weight_decay": True}, "radam", {**SPLIT, "decoupled_weight_decay": 1}),
    (
        optim.Lion,
        {"lr": 0.1, "betas": (0.5, 0.6), "weight_decay": 0.2},
        "lion",
        {"lr": 0.1, "beta1": 0.5, "beta2": 0.6, "weight_decay": 0.2},
    ),
    (
        optim.AdEMAMix,
        {**BETAS, "betas": (0.5, 0.6, 0.7), "alpha": 3.0, "t_alpha": 2, "t_beta3": 2},
        "ademamix",
        {**SPLIT, "beta3": 0.7, "alpha": 3.0, "t_alpha": 2, "t_beta3": 2},
    ),
    (
        optim.ScheduleFreeAdamW,
        {**BETAS, "warmup_steps": 2, "r": 1.0, "weight_lr_power": 1.0},
        "schedule_free_adamw",
        {**SPLIT, "warmup_steps": 2, "r": 1.0, "weight_lr_power": 1.0},
    ),
    same(optim.LARS, "lars", {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.2, "trust_coefficient": 0.5, "eps": 0.1}),
    (optim.LAMB, {**BETAS, "bias_correction": False}, "lamb", {**SPLIT, "bias_correction": 0}),
]
every_class = pytest.mark.parametrize(("cls", "arguments", "rule", "hypers"), CLASSES)


def test_every_class_and_rule_is_tested():
    classes = {getattr(optim, name) for name in optim.__all__}
    classes = {c for c in classes if isinstance(c, type) and issubclass(c, optim.Optimizer)} - {optim.Optimizer}
    assert classes == {cls for cls, *_ in CLASSES} | MATRIX_CLASSES
    assert {rule for _, _, rule, _ in CLASSES} == set(RULES)


@every_class
def test_a_class_is_its_rule(rng, cls, arguments, rule, hypers):
    params = [floats(rng, 50), floats(rng, 20).reshape(4, 5)]
    expected = reference.Optimizer(rule, {**defaults(rule), **hypers}, RULES[rule]["states"], params)
    opt = cls(params, **arguments)
    for _ in range(3):
        grads = [floats(rng, 50), floats(rng, 20).reshape(4, 5)]
        opt.step(grads)
        expected.step(grads)
    np.testing.assert_equal(params, expected.params)


@every_class
def test_class_defaults_are_the_rule_defaults(cls, arguments, rule, hypers):
    opt = cls([np.ones(1, np.float32)])
    group = dict(opt.param_groups[0])
    group.update({f"beta{i}": beta for i, beta in enumerate(group.pop("betas", ()), 1)})
    assert group == defaults(opt.param_groups[0].rule)


BAD_HYPERS = [
    ({"lr": 0}, ValueError, "lr must be greater than 0, got 0"),
    ({"lr": -1}, ValueError, "lr must be greater than 0, got -1"),
    ({"lr": np.nan}, ValueError, "lr must be finite, got nan"),
    ({"lr": np.inf}, ValueError, "lr must be finite, got inf"),
    ({"lr": "0.1"}, TypeError, "lr: expected a number, got str"),
    ({"lr": None}, TypeError, "lr: expected a number, got NoneType"),
    ({"betas": (1.0, 0.9)}, ValueError, "beta1 must be in [0, 1), got 1"),
    ({"betas": (0.9, -0.1)}, ValueError, "beta2 must be in [0, 1), got -0.1"),
    ({"betas": 0.9}, ValueError, "betas: expected two numbers, got 0.9"),
    ({"betas": (0.9,)}, ValueError, "betas: expected two numbers, got (0.9,)"),
    ({"betas": (0.9, "x")}, TypeError, "betas: expected two numbers, got (0.9, 'x')"),
    ({"lr": 10**400}, ValueError, "lr must be finite, got an integer of 1329 bits"),
    ({"betas": (0.9, 10**400)}, ValueError, "beta2 must be finite, got an integer of 1329 bits"),
    ({"eps": 0}, ValueError, "eps must be greater than 0, got 0"),
    ({"eps": 1e-50}, ValueError, "eps must be at least 2^-126 (float32 takes less for 0), got 1e-50"),
    ({"weight_decay": -0.1}, ValueError, "weight_decay must be at least 0, got -0.1"),
]


@pytest.mark.parametrize(("hypers", "error", "message"), BAD_HYPERS)
def test_bad_hyperparameters(hypers, error, message):
    p = [np.ones(1, np.float32)]
    with pytest.raises(error, match=re.escape(message)):
        optim.AdamW(p, **hypers)
    with pytest.raises(error, match=re.escape(message)):
        optim.AdamW([{"params": p, **hypers}])
    opt = optim.AdamW(p)
    before = dict(opt.param_groups[0])
    ((name, value),) = hypers.items()
    if name == "lr" and value in (0, -1):  # 0 may be set, as schedules do
        value, message = -1, "lr must be at least 0, got -1"
    with pytest.raises(error, match=re.escape(message)):
        opt.param_groups[0][name] = value
    assert dict(opt.param_groups[0]) == before


def test_as_many_betas_as_the_rule_has():
    p = [np.ones(1, np.float32)]
    opt = optim.AdEMAMix(p)
    saved = opt.state_dict()
    saved["groups"][0]["betas"] = (0.5, 0.6)
    expected = r"betas: expected three numbers, got \(0\.5, 0\.6\)"
    for refused in (
        lambda: optim.AdEMAMix(p, betas=(0.5, 0.6)),
        lambda: optim.AdamW([{"params": p, "rule": "ademamix", "betas": (0.5, 0.6)}]),
        lambda: opt.param_groups[0].update(betas=(0.5, 0.6)),
        lambda: opt.load_state_dict(saved),
    ):
        with pytest.raises(ValueError, match=expected):
            refused()
    assert opt.param_groups[0]["betas"] == (0.9, 0.999, 0.9999)
    with pytest.raises(ValueError, match=r"betas: expected two numbers, got \(0\.5, 0\.6, 0\.7\)"):
        optim.AdamW(p, betas=(0.5, 0.6, 0.7))


@pytest.mark.parametrize("hypers", [{"momentum": 0}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_needs_momentum_without_dampening(hypers):
    with pytest.raises(ValueError, match="nesterov needs momentum > 0 and dampening = 0, got"):
        optim.SGD([np.ones(1, np.float32)], nesterov=True, **hypers)


def test_param_groups(rng):
    p = [floats(rng, 5), floats(rng, 6), floats(rng, 7)]
    start = [x.copy() for x in p]
    groups = [{"params": p[:2], "weight_decay": 0.0}, {"params": [p[2]], "lr": 0.5, "betas": (0.8, 0.9)}]
    opt = optim.AdamW(groups, lr=0.1, weight_decay=0.3)
    got = [(g["lr"], g["betas"], g["weight_decay"]) for g in opt.param_groups]
    assert got == [(0.1, (0.9, 0.999), 0.0), (0.5, (0.8, 0.9), 0.3)]
    assert set(opt.param_groups[0]) == {"lr", "betas", "eps", "weight_decay", "bias_correction", "maximize"}
    grads = [floats(rng, x.size) for x in p]
    opt.step(grads)
    first = reference.Optimizer(
        "adamw", {**defaults("adamw"), "lr": 0.1, "weight_decay": 0.0}, RULES["adamw"]["states"], start[:2]
    )
    first.step(grads[:2])
    np.testing.assert_equal(p[:2], first.params)
    opt.param_groups[1]["lr"] = 0.25
    assert (opt.param_groups[0]["lr"], opt.param_groups[1]["lr"]) == (0.1, 0.25)
    with pytest.raises(ValueError, match='adamw has no hyperparameter "lrr"; it has: lr, beta1'):
        opt.param_groups[1]["lrr"] = 0.25
    with pytest.raises(KeyError):
        opt.param_groups[1]["beta1"]
    with pytest.raises(TypeError, match="cannot be removed"):
        del opt.param_groups[1]["lr"]


def test_names_are_looked_up_once():
    """Not once for each gradient: 10,000 of them took seconds."""

    class Names(list):
        reads = 0

        def __iter__(self):
            self.reads += 1
            return super().__iter__()

    names = Names("abcdefgh")
    assert in_order({name: name.upper() for name in reversed(names)}, names, "grads") == list("ABCDEFGH")
    assert names.reads < len(names)


def test_a_schedule_takes_effect_at_the_next_step():
    p = np.zeros(1, np.float32)
    opt = optim.SGD([p], lr=1.0)
    for lr, expected in ((1.0, -1.0), (0.5, -1.5), (0.25, -1.75)):
        opt.param_groups[0]["lr"] = lr
        opt.step([np.ones(1, np.float32)])
        assert p[0] == expected


def test_groups_of_one_class_may_follow_different_rules():
    p = [np.zeros(1, np.float32), np.zeros(1, np.float32)]
    opt = optim.SGD([{"params": [p[0]], "momentum": 0.5}, {"params": [p[1]]}], lr=1.0)
    for _ in range(2):
        opt.step([np.ones(1, np.float32)] * 2)
    assert (p[0][0], p[1][0]) == (-2.5, -2.0)


@pytest.mark.parametrize("groups", [[{"lr": 0.1}], [{"params": [np.ones(1, np.float32)]}, 3]], ids=["no params", "3"])
def test_bad_groups(groups):
    with pytest.raises(ValueError, match='each group must be a dict with the key "params"'):
        optim.AdamW(groups)


def test_unknown_hyperparameter_in_a_group():
    with pytest.raises(ValueError, match='adamw has no hyperparameter "momentum"'):
        optim.AdamW([{"params": [np.ones(1, np.float32)], "momentum": 0.1}])


def test_dicts_match_by_name():
    p = {"w": np.zeros(2, np.float32), "b": np.zeros(1, np.float32)}
    opt = optim.SGD(p, lr=1.0)
    opt.step({"b": np.full(1, 2, np.float32), "w": np.full(2, 3, np.float32)})
    assert (p["w"].tolist(), p["b"].tolist()) == ([-3, -3], [-2])
    for grads, message in (
        ({"w": np.ones(2, np.float32)}, "missing ['b'], unknown []"),
        ({"w": np.ones(2, np.float32), "c": np.ones(1, np.float32)}, "missing ['b'], unknown ['c']"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            opt.step(grads)
    assert p["b"].tolist() == [-2]
    with pytest.raises(TypeError, match="the parameters were given as a list, so expected a list, got a dict"):
        optim.SGD(list(p.values())).step({"w": np.ones(2, np.float32), "b": np.ones(1, np.float32)})
    with pytest.raises(ValueError, match="each parameter name may be given once"):
        optim.SGD([{"params": {"w": p["w"]}}, {"params": {"w": p["b"]}}])


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


# ---- state_dict ----


def make(cls, arguments, params):
    """Two groups, by name."""
    return cls([{"params": {"w": params[0]}}, {"params": {"b": params[1]}, "lr": 0.05}], **arguments)


@every_class
def test_a_resumed_run_is_the_same_to_the_last_bit(rng, cls, arguments, rule, hypers):
    params = [floats(rng, 40).reshape(5, 8), floats(rng, 8)]
    grads = [[floats(rng, 40).reshape(5, 8), floats(rng, 8)] for _ in range(6)]
    opt = make(cls, arguments, params)
    for g in grads[:3]:
        opt.step(g)
    opt.param_groups[0]["lr"] = 0.07
    saved = pickle.loads(pickle.dumps(opt.state_dict()))
    copies = [p.copy() for p in params]
    resumed = make(cls, arguments, copies)
    resumed.load_state_dict(saved)
    np.testing.assert_equal(resumed.state_dict(), opt.state_dict())
    for g in grads[3:]:
        opt.step(g)
        resumed.step(g)
    np.testing.assert_equal(copies, params)
    np.testing.assert_equal(resumed.state_dict(), opt.state_dict())
    assert resumed.state_dict()["steps"] == [6, 6]


def test_a_state_dict_is_a_copy(rng):
    p = [floats(rng, 4)]
    opt = optim.Adam(p)
    opt.step([floats(rng, 4)])
    saved = opt.state_dict()
    kept = saved["state"][0]["exp_avg"].copy()
    opt.step([floats(rng, 4)])
    np.testing.assert_array_equal(saved["state"][0]["exp_avg"], kept)


BAD_STATES = {
    "no version": spoil("version", ...),
    "another version": spoil("version", 99),
    "no groups": spoil("groups", ...),
    "no steps": spoil("steps", ...),
    "no state": spoil("state", ...),
    "no names": spoil("names", ...),
    "groups of another type": spoil("groups", 3),
    "state of another type": spoil("state", 0, None),
    "another rule": spoil("groups", 0, "rule", "adamw"),
    "no rule": spoil("groups", 1, "rule", ...),
    "other names": spoil("names", ["w", "c"]),
    "too few steps": spoil("steps", [1]),
    "a negative step": spoil("steps", 1, -1),
    "a step that is no integer": spoil("steps", 1, 1.5),
    "a step that is too large": spoil("steps", 1, 2**63),
    "too few states": spoil("state", 1, ...),
    "a missing array": spoil("state", 1, "exp_avg", ...),
    "an unknown array": spoil("state", 1, "extra", np.zeros(3, np.float32)),
    "another shape": spoil("state", 1, "exp_avg", np.zeros(4, np.float32)),
    "another dtype": spoil("state", 1, "exp_avg", np.zeros(3)),
    "a hyperparameter out of range": spoil("groups", 1, "lr", -1.0),
    "a hyperparameter that is no number": spoil("groups", 1, "lr", "fast"),
    "an unknown hyperparameter": spoil("groups", 1, "momentum", 0.5),
    "a missing hyperparameter": spoil("groups", 1, "lr", ...),
    "betas of which one is bad": spoil("groups", 1, "betas", (0.5, 2.0)),
    "betas of another rule": spoil("groups", 1, "betas", (0.5, 0.6, 0.7)),
    "a step that no float can hold": spoil("steps", 1, 10**400),
    "a hyperparameter that no float can hold": spoil("groups", 1, "lr", 10**400),
    "a beta that no float can hold": spoil("groups", 1, "betas", (0.5, 10**400)),
}


@pytest.mark.parametrize("spoil", BAD_STATES.values(), ids=BAD_STATES.keys())
def test_load_state_dict_refuses_what_does_not_fit(rng, spoil):
    params = [floats(rng, 6).reshape(2, 3), floats(rng, 3)]
    opt = make(optim.Adam, {}, params)
    opt.step([floats(rng, 6).reshape(2, 3), floats(rng, 3)])
    saved = opt.state_dict()
    saved["groups"][0]["lr"], saved["steps"][0] = 0.77, 5
    saved["state"][0]["exp_avg"][:] = 9
    spoil(saved)
    before = opt.state_dict()
    with pytest.raises(ValueError, match=r"^state_dict: "):
        opt.load_state_dict(saved)
    np.testing.assert_equal(opt.state_dict(), before)


def test_load_state_dict_refuses_what_is_no_dict():
    opt = optim.Adam([np.ones(1, np.float32)])
    with pytest.raises(TypeError, match="state_dict: expected a dict, got list"):
        opt.load_state_dict([])


def test_repr_names_the_class_and_its_hyperparameters():
    assert repr(optim.SGD([np.ones(1, np.float32)], lr=0.5)) == (
        "SGD([ParamGroup(sgd, {'lr': 0.5, 'maximize': 0.0, 'weight_decay': 0.0})])"
    )
    assert repr(petrain.optim.SGD([np.ones(1, np.float32)]).step([np.zeros(1, np.float32)])) == (
        "StepInfo(grad_norm=0.0, skipped=False)"
    )


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
