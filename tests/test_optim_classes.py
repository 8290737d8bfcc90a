"""The Python classes around the update rules: arguments, groups, state dicts."""

import pickle
import re

import numpy as np
import petrain
import pytest
from optim_cases import RULES, defaults, floats, spoil
from petrain import optim
from petrain._params import in_order
from reference import optim as reference

MATRIX_CLASSES = {optim.Adafactor, optim.Muon, optim.GaLore, optim.APOLLO}  # tests/test_optim_matrix.py

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
