"""Optimizer states from and to torch's layout, and the codes behind states in fewer bits."""

import re

import numpy as np
import pytest
from optim_cases import spoil
from petrain import _core, optim
from petrain.optim import exchange
from petrain.optim.exchange import _torch, _values

pytestmark = pytest.mark.once

# The classes that torch has too, with arguments that both take; the second of each group differs.
SHARED = [
    ("SGD", {"lr": 0.1, "weight_decay": 0.2}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.2}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.3, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.4}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.5}),
    ("RMSprop", {"lr": 0.1, "centered": True}),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.5}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.6), "eps": 1e-3, "weight_decay": 0.2}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("AdamW", {"lr": 0.1, "betas": (0.5, 0.6), "eps": 1e-3, "weight_decay": 0.2}),
    ("AdamW", {"lr": 0.1, "amsgrad": True}),
    ("Adamax", {"lr": 0.1, "betas": (0.5, 0.6), "weight_decay": 0.2}),
    ("NAdam", {"lr": 0.1, "betas": (0.5, 0.6), "momentum_decay": 0.01, "weight_decay": 0.2}),
    ("NAdam", {"lr": 0.1, "decoupled_weight_decay": True, "weight_decay": 0.2}),
    ("RAdam", {"lr": 0.1, "betas": (0.5, 0.6), "weight_decay": 0.2}),
    ("RAdam", {"lr": 0.1, "decoupled_weight_decay": True, "weight_decay": 0.2}),
    ("Adafactor", {"lr": 0.1, "beta2_decay": -0.7, "eps": (1e-10, 1e-2), "d": 2.0, "weight_decay": 0.1}),
    ("Muon", {"lr": 0.1, "momentum": 0.8, "nesterov": False, "ns_steps": 4, "adjust_lr_fn": "match_rms_adamw"}),
]
every_shared = pytest.mark.parametrize(("name", "arguments"), SHARED)


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def make(name, arguments, params, **more):
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.05}]
    return getattr(optim, name)(groups, **arguments, **more)


def some_params(rng, name="AdamW"):
    if name == "Muon":
        return [floats(rng, 7, 5), floats(rng, 3, 8), floats(rng, 4, 4)]
    return [floats(rng, 7, 5), floats(rng, 3), floats(rng, 2, 2, 2)]


def run(optimizer, params, rng, steps):
    for _ in range(steps):
        optimizer.step([floats(rng, *p.shape).astype(p.dtype) for p in params])


def test_every_rule_of_torch_is_tested(rng):
    made = [make(name, arguments, some_params(rng, name)) for name, arguments in SHARED]
    assert {group.rule for opt in made for group in opt.param_groups} == set(_torch._GROUPS)


@every_shared
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back(rng, name, arguments, dtype):
    params = [p.astype(dtype) for p in some_params(rng, name)]
    first = make(name, arguments, params)
    run(first, params, rng, 3)
    given = exchange.to_torch_state_dict(first)
    second = make(name, {**arguments, "lr": 7.0}, params)
    exchange.from_torch_state_dict(second, given)
    want, got = first.state_dict(), second.state_dict()
    if name in ("SGD", "Muon"):  # torch does not count its steps
        assert set(got["steps"]) <= {0, 1}
        want["steps"] = got["steps"]
    for now, before in zip(got["memory"], want["memory"], strict=True):  # of which torch keeps 24 bits
        assert now == pytest.approx(before, rel=1e-7)
        before.update(now)
    np.testing.assert_equal(got, want)
    np.testing.assert_equal(exchange.to_torch_state_dict(second), given)


def to_tensors(values):
    import torch

    return torch.from_numpy(np.array(values))


@every_shared
def test_equal_to_torch_both_ways(rng, name, arguments):
    torch = pytest.importorskip("torch")
    start = some_params(rng, name)
    theirs_params = [torch.nn.Parameter(torch.from_numpy(p.copy())) for p in start]
    groups = [{"params": theirs_params[:2]}, {"params": theirs_params[2:], "lr": 0.05}]
    theirs = getattr(torch.optim, name)(groups, **arguments)

    def step(optimizer, params, grads):
        for p, g in zip(params, grads, strict=True):
            p.grad = torch.from_numpy(g.copy())
        optimizer.step()

    for _ in range(3):
        step(theirs, theirs_params, [floats(rng, *p.shape) for p in start])
    saved = theirs.state_dict()

    params = [p.detach().numpy().copy() for p in theirs_params]
    ours = make(name, {**arguments, "lr": 7.0}, params)
    exchange.from_torch_state_dict(ours, saved)
    exported = exchange.to_torch_state_dict(ours, to_tensors)
    assert sorted(exported["param_groups"][0]) == sorted(saved["param_groups"][0])
    for got, want in zip(exported["param_groups"], saved["param_groups"], strict=True):
        assert got == want
    assert sorted(exported["state"]) == sorted(saved["state"])
    for i, states in saved["state"].items():
        assert sorted(exported["state"][i]) == sorted(states)
        for key, value in states.items():
            torch.testing.assert_close(exported["state"][i][key], value, rtol=0, atol=0)

    copies = [torch.nn.Parameter(torch.from_numpy(p.copy())) for p in params]
    groups = [{"params": copies[:2]}, {"params": copies[2:]}]
    resumed = getattr(torch.optim, name)(groups, lr=7.0, **{k: v for k, v in arguments.items() if k != "lr"})
    resumed.load_state_dict(exported)
    for _ in range(5):
        grads = [floats(rng, *p.shape) for p in start]
        step(theirs, theirs_params, grads)
        step(resumed, copies, grads)
        ours.step(grads)
    for a, b, c in zip(theirs_params, copies, params, strict=True):
        assert torch.equal(a, b)
        error = 0.05 if name == "Muon" else 2e-5  # torch's Muon iterates in bfloat16
        np.testing.assert_allclose(c, a.detach().numpy(), rtol=error, atol=error / 10)


def test_torch_parameters_in_bfloat16(rng):
    torch = pytest.importorskip("torch")
    theirs_param = torch.nn.Parameter(torch.from_numpy(floats(rng, 40)).bfloat16())
    theirs = torch.optim.AdamW([theirs_param])
    theirs_param.grad = torch.ones_like(theirs_param)
    theirs.step()
    ours = optim.AdamW([theirs_param.detach().clone()])
    exchange.from_torch_state_dict(ours, theirs.state_dict())
    want = theirs.state_dict()["state"][0]["exp_avg"].float().numpy()
    np.testing.assert_array_equal(ours.state_dict()["state"][0]["exp_avg"], want)


def test_names_go_along(rng):
    opt = optim.SGD({"w": floats(rng, 3), "b": floats(rng, 2)}, momentum=0.9)
    assert exchange.to_torch_state_dict(opt)["param_groups"][0]["param_names"] == ["w", "b"]


def test_parameters_that_have_made_no_step(rng):
    params = some_params(rng)
    given = exchange.to_torch_state_dict(make("NAdam", {}, params))
    assert given["state"] == {}
    opt = make("NAdam", {}, params)
    run(opt, params, rng, 2)
    exchange.from_torch_state_dict(opt, given)
    np.testing.assert_equal(opt.state_dict(), make("NAdam", {}, params).state_dict())


def test_adagrad_has_its_sums_before_the_first_step(rng):
    torch = pytest.importorskip("torch")
    params = some_params(rng)
    opt = make("Adagrad", {"initial_accumulator_value": 0.4}, params)
    given = exchange.to_torch_state_dict(opt, to_tensors)
    theirs_params = [torch.nn.Parameter(torch.from_numpy(p.copy())) for p in params]
    theirs = torch.optim.Adagrad([{"params": theirs_params[:2]}, {"params": theirs_params[2:]}])
    theirs.load_state_dict(given)
    for p in theirs_params:
        p.grad = torch.ones_like(p)
    theirs.step()
    opt.step([np.ones_like(p) for p in params])
    for p, q in zip(params, theirs_params, strict=True):
        np.testing.assert_allclose(p, q.detach().numpy(), rtol=1e-6)
    anew = make("Adagrad", {}, params, state_dtype="bfloat16")
    run(anew, params, rng, 2)
    exchange.from_torch_state_dict(anew, {**given, "state": {}})
    for states in anew.state_dict()["state"]:
        assert (states["sum"].astype(np.float32) == np.float32(0.400390625)).all()  # 0.4 in 8 bits


# ---- states in fewer bits ----


@pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop", "Lion"])
def test_states_are_read_as_the_rules_read_them(rng, name, dtype):
    """One step from the states in fewer bits and one from what they were read as change the parameters alike."""
    p = [rng.standard_normal(1000).astype(np.float32), rng.standard_normal(70).astype(np.float32)]
    low = getattr(optim, name)(p, state_dtype=dtype)
    run(low, p, rng, 3)
    values = _values.read(low)
    assert all(v.dtype == np.float32 for each in values for v in each.values())
    copies = [x.copy() for x in p]
    full = getattr(optim, name)(copies)
    state = low.state_dict()
    _values.replace(full, full.state_dict()["groups"], state["steps"], values)
    grads = [floats(rng, *x.shape) for x in p]
    low.step(grads)
    full.step(grads)
    np.testing.assert_equal(copies, p)


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_codes_there_and_back(rng, kind):
    values = rng.standard_normal(999).astype(np.float32) * 10 ** rng.uniform(-6, 6, 999).astype(np.float32)
    values[::5] = 0
    if kind == "uint8":
        values = values**2
    codes, scales = _values.encode(values, kind)
    assert (codes.dtype, codes.shape, scales.shape) == (kind, (999,), (16,))
    back = _values.decode(codes, scales)
    np.testing.assert_array_equal(back[values == 0], 0)
    scale = np.repeat(scales, 64)[:999]
    least = {"int8": 2.0**-12, "uint8": 1.1 * 2.0**-20}[kind]
    assert (np.abs(back - values) <= np.abs(values) / 31 + scale * least).all()
    if kind == "uint8":
        assert (back[values > 0] > 0).all()
    again, same = _values.encode(back, kind)
    np.testing.assert_array_equal(same, np.where(scales > 0, np.maximum.reduceat(np.abs(back), range(0, 999, 64)), 0))
    assert np.abs(again.astype(int) - codes).max() <= 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_an_optimizer_keeps_its_state_dtype(rng, dtype):
    params = some_params(rng)
    full, low = optim.AdamW(params), optim.AdamW(params, state_dtype=dtype)
    run(full, params, rng, 3)
    exchange.from_torch_state_dict(low, exchange.to_torch_state_dict(full))
    error = {"float32": 0, "bfloat16": 2.0**-8, "int8": 0.05}[dtype]
    for got, want in zip(_values.read(low), _values.read(full), strict=True):
        for name, value in want.items():
            np.testing.assert_allclose(got[name], value, rtol=error, atol=error * np.abs(value).max() / 50)


def test_a_master_copy_stays(rng):
    p = [rng.standard_normal(100).astype(np.float16)]
    opt = optim.AdamW(p, rounding="master")
    before = opt.state_dict()["state"][0]["master"]
    given = exchange.to_torch_state_dict(optim.AdamW([p[0].astype(np.float32)]))
    exchange.from_torch_state_dict(opt, given)
    np.testing.assert_array_equal(opt.state_dict()["state"][0]["master"], before)


# ---- what is refused ----


BAD = [
    (spoil("state", ...), "expected state to be a mapping, got None"),
    (spoil("param_groups", 3), "expected param_groups to be a sequence, got 3"),
    (spoil("param_groups", 0, "params", ...), 'expected every group to be a dict with a list "params"'),
    (spoil("param_groups", 0, "params", [0]), "expected groups of [2, 1] parameters, got [1, 1]"),
    (spoil("param_groups", 1, "lr", ...), "expected lr in group 1, got ["),
    (spoil("param_groups", 1, "lr", "fast"), "expected lr of group 1 to be a number, got 'fast'"),
    (spoil("param_groups", 1, "lr", -1.0), "group 1: lr must be at least 0, got -1"),
    (spoil("param_groups", 1, "betas", (0.9, 1.0)), "group 1: beta2 must be in [0, 1), got 1"),
    (spoil("param_groups", 1, "betas", 0.9), "expected betas of group 1 to be 2 numbers, got 0.9"),
    (spoil("param_groups", 1, "amsgrad", True), "expected amsgrad False of group 1, got True"),
    (spoil("param_groups", 1, "decoupled_weight_decay", True), "expected the rule adam in group 1, got adamw"),
    (spoil("state", 9, {}), "expected states of the parameters [0, 1, 2], got one of 9"),
    (spoil("state", 1, "exp_avg", ...), "expected states ['exp_avg', 'exp_avg_sq', 'step'] of parameter 1, got"),
    (spoil("state", 1, "max_exp_avg_sq", 0), "expected states ['exp_avg', 'exp_avg_sq', 'step'] of parameter 1, got"),
    (spoil("state", 1, "exp_avg", np.zeros(4, np.float32)), "expected shape (3,) of exp_avg of parameter 1, got (4,)"),
    (
        spoil("state", 1, "exp_avg", np.zeros(3, int)),
        "expected exp_avg of parameter 1 to be of a float dtype, got int64",
    ),
    (spoil("state", 1, "exp_avg", np.full(3, np.nan, np.float32)), "expected exp_avg of parameter 1 to be finite"),
    (spoil("state", 1, "step", -1.0), "expected step of parameter 1 to be a whole number of at least 0, got -1"),
    (spoil("state", 1, "step", 1.5), "expected step of parameter 1 to be a whole number of at least 0, got 1.5"),
    (spoil("state", 1, "step", np.ones(2)), "expected step of parameter 1 to be a number, got"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_what_does_not_fit_is_refused(rng, change, message):
    params = some_params(rng)
    other = make("Adam", {"lr": 0.7}, params)
    run(other, params, rng, 5)
    given = exchange.to_torch_state_dict(other)
    change(given)
    opt = make("Adam", {}, params)
    run(opt, params, rng, 2)
    before = opt.state_dict()
    with pytest.raises(ValueError, match=re.escape("state_dict: ") + ".*" + re.escape(message)):
        exchange.from_torch_state_dict(opt, given)
    np.testing.assert_equal(opt.state_dict(), before)
    with pytest.raises(TypeError, match="state_dict: expected a dict, got int"):
        exchange.from_torch_state_dict(opt, 3)


@pytest.mark.parametrize(
    ("name", "arguments", "given", "message"),
    [
        ("SGD", {}, {"momentum": 0.9}, "expected no momentum in group 0, got 0.9"),
        ("SGD", {"momentum": 0.9}, {"momentum": 0}, "expected a momentum in group 0, got 0"),
        ("RMSprop", {}, {"centered": True}, "expected centered False of group 0, got True"),
        ("AdamW", {}, {"decoupled_weight_decay": False}, "expected the rule adamw in group 0, got adam"),
    ],
)
def test_another_form_of_the_rule(rng, name, arguments, given, message):
    params = some_params(rng)
    state = exchange.to_torch_state_dict(make(name, arguments, params))
    state["param_groups"][0].update(given)
    with pytest.raises(ValueError, match=re.escape(message)):
        exchange.from_torch_state_dict(make(name, arguments, params), state)


@pytest.mark.parametrize("rule", sorted(set(_core.rules()) - {"sgd"}))
def test_rules_that_torch_has_not(rng, rule):
    if rule in _torch._GROUPS or "galore" in rule or "apollo" in rule:
        return

    class Any(optim.Optimizer):
        _name = rule

    opt = Any([np.ones((4, 4), np.float32)], {})
    with pytest.raises(ValueError, match=f"group 0: expected a rule that torch has too .*, got {rule}"):
        exchange.to_torch_state_dict(opt)


def test_without_bias_correction(rng):
    opt = optim.AdamW(some_params(rng), bias_correction=False)
    with pytest.raises(ValueError, match=r"group 0: expected bias_correction 1, as in torch's adamw, got 0\.0"):
        exchange.to_torch_state_dict(opt)
