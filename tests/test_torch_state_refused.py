"""States that do not fit are refused, and nothing is changed then; hooks; Schedule-Free AdamW's two modes."""

import copy

import pytest
from petrain import optim

pytestmark = pytest.mark.once

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import assert_equal, assert_same, parameter, set_grads  # noqa: E402


def trained(name="AdamW", **arguments):
    params = [parameter(3, 4), parameter(4, seed=1)]
    opt = getattr(petrain.torch, name)(params, **arguments)
    for step in range(3):
        set_grads(params, step)
        opt.step()
    return params, opt


def spoil(*path, **update):
    def change(given):
        for key in path:
            given = given[key]
        given.update(update)

    return change


def drop(*path):
    def change(given):
        for key in path[:-1]:
            given = given[key]
        del given[path[-1]]

    return change


REFUSED = [
    (lambda given: given["param_groups"].append(given["param_groups"][0]), "expected 1 parameter groups, got 2"),
    (lambda given: given["param_groups"][0]["params"].pop(), "expected 2 parameters in group 0, got 1"),
    (spoil("param_groups", 0, lr=-1.0), "lr must be at least 0, got -1"),
    (spoil("param_groups", 0, betas=(0.9, 1.0)), "beta2 must be in"),
    (spoil("param_groups", 0, capturable=True), "capturable=True is not supported"),
    (drop("state", 1, "exp_avg"), "state of parameter 1: expected 'exp_avg', got"),
    (drop("state", 1, "step"), "state of parameter 1: expected 'step', got"),
    (spoil("state", 1, exp_avg=torch.zeros(5)), r"expected exp_avg of shape \(4,\), got \(5,\)"),
    (spoil("state", 1, step=torch.tensor(-1.0)), "expected a step of at least 0, got -1"),
    (spoil("state", 1, step=10**400), "state of parameter 1: expected a step of at least 0, got inf"),
    (spoil("param_groups", 0, lr=10**400), "lr must be finite, got an integer of 1329 bits"),
    (spoil("param_groups", 0, betas=(0.5, 0.6, 0.7)), "betas: expected two numbers, got"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_states_that_do_not_fit(change, message):
    params, opt = trained()
    _, other = trained(lr=0.5)
    given = copy.deepcopy(other.state_dict())
    change(given)
    before, values = copy.deepcopy(opt.state_dict()), [p.detach().clone() for p in params]
    with pytest.raises(ValueError, match=message):
        opt.load_state_dict(given)
    assert_equal(params, values)
    assert opt.state_dict()["param_groups"] == before["param_groups"]
    for i, states in before["state"].items():
        for name, value in states.items():
            assert torch.equal(opt.state[params[i]][name], value)
    set_grads(params, 9)
    opt.step()
    assert opt.state[params[0]]["step"].item() == 4


def test_the_state_of_another_rule():
    _, lion = trained("Lion")
    _, opt = trained("AdamW")
    with pytest.raises(ValueError, match="state of parameter 0: expected 'exp_avg_sq', got"):
        opt.load_state_dict(lion.state_dict())


def test_hooks_of_state_dicts():
    calls = []
    _, opt = trained()
    opt.register_state_dict_pre_hook(lambda o: calls.append("before"))
    opt.register_state_dict_post_hook(lambda o, given: calls.append("after"))
    opt.register_load_state_dict_pre_hook(lambda o, given: {**given, "param_groups": groups_of(given)})
    opt.register_load_state_dict_post_hook(lambda o: calls.append(o.param_groups[0]["lr"]))

    def groups_of(given):
        return [{**group, "lr": 0.25} for group in given["param_groups"]]

    opt.load_state_dict(opt.state_dict())
    assert calls == ["before", "after", 0.25]


def test_betas_of_ademamix():
    _, opt = trained("AdEMAMix")
    given = copy.deepcopy(opt.state_dict())
    given["param_groups"][0]["betas"] = (0.9, 0.999)
    with pytest.raises(ValueError, match=r"betas: expected three numbers, got \(0.9, 0.999\)"):
        opt.load_state_dict(given)
    opt.param_groups[0]["betas"] = (0.9, 0.999)
    with pytest.raises(ValueError, match=r"betas: expected three numbers, got \(0.9, 0.999\)"):
        opt.step()


# Schedule-Free AdamW


def test_the_average_and_back():
    params, opt = trained("ScheduleFreeAdamW", lr=0.1)
    y = [p.detach().clone() for p in params]
    z = [opt.state[p]["z"].clone() for p in params]
    saved = copy.deepcopy(opt.state_dict())
    opt.eval()
    opt.eval()
    assert_same(params, [a + (1 - 1 / 0.9) * (b - a) for a, b in zip(y, z, strict=True)])
    average = [p.detach().clone() for p in params]
    for refused in (opt.step, opt.state_dict, lambda: copy.deepcopy(opt), lambda: opt.load_state_dict(saved)):
        with pytest.raises(RuntimeError, match=r"the parameters hold the average: call train\(\) first"):
            refused()
    assert_equal(params, average)
    opt.train()
    opt.train()
    assert_equal(params, y)
    set_grads(params, 5)
    opt.step()
    assert not torch.equal(params[0], y[0])


@pytest.mark.parametrize("rule", ["adamw", "sgd"])
def test_the_average_and_a_group_of_another_rule(rule):
    params = [parameter(3, 4), parameter(4, seed=1)]
    groups = [{"params": params[:1]}, {"params": params[1:], "rule": rule}]
    opt = petrain.torch.ScheduleFreeAdamW(groups, lr=0.1)
    for step in range(3):
        set_grads(params, step)
        opt.step()
    y = [p.detach().clone() for p in params]
    opt.eval()
    assert not torch.equal(params[0], y[0])
    assert torch.equal(params[1], y[1])
    opt.train()
    assert_equal(params, y)


@pytest.mark.parametrize("rounding", ["nearest", "kahan", "master"])
def test_the_average_is_that_of_petrain_optim(rounding):
    generator = torch.Generator().manual_seed(0)
    p = torch.nn.Parameter(torch.randn(1000, generator=generator).bfloat16())
    q = p.detach().clone()
    opt = petrain.torch.ScheduleFreeAdamW([p], lr=0.01, rounding=rounding)
    native = optim.ScheduleFreeAdamW([q], lr=0.01, rounding=rounding)
    for _ in range(20):
        p.grad = torch.randn(1000, generator=generator).bfloat16()
        opt.step()
        native.step([p.grad])
    opt.eval()
    native.eval()
    assert torch.equal(p, q)
    opt.train()
    native.train()
    assert torch.equal(p, q)
