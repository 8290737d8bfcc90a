"""Groups, hyperparameters that change, schedulers: petrain.torch as torch.optim."""

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import BOTH, assert_same, parameter, set_grads  # noqa: E402


def test_groups_that_come_later():
    courses = []
    for module in BOTH:
        params = [parameter(4, seed=i) for i in range(4)]
        opt = module.AdamW([{"params": params[:1], "lr": 0.1}, {"params": params[1], "weight_decay": 0.5}], lr=0.01)
        for step in range(20):
            set_grads(params, step)
            if step == 7:
                opt.add_param_group({"params": params[2:], "betas": (0.5, 0.9), "amsgrad": True})
            opt.step()
        courses.append(params)
        assert [group["lr"] for group in opt.param_groups] == [0.1, 0.01, 0.01]
        assert [opt.state[p]["step"].item() for p in params] == [20, 20, 13, 13]
    assert_same(*courses)


def test_a_group_that_is_refused_is_not_added():
    p, q = parameter(2), parameter(2)
    opt = petrain.torch.AdamW([p])
    refused = [
        ({"params": [q], "lr": -1.0}, "lr must be at least 0"),
        ({"params": [q, q]}, "more than once"),
        ({"params": [p]}, "more than one parameter group"),
        ({"params": [torch.nn.Parameter(torch.ones(2, device="meta"))]}, "in CPU memory, got one on meta"),
        ({"params": [q], "state_dtype": "int4"}, 'got "int4"'),
        ({"params": [q], "capturable": True}, "capturable=True is not supported"),
    ]
    for group, message in refused:
        with pytest.raises(ValueError, match=message):
            opt.add_param_group(group)
        assert len(opt.param_groups) == 1
    p.grad = torch.ones(2)
    opt.step()


def test_named_parameters():
    model = torch.nn.Linear(2, 2)
    opt = petrain.torch.AdamW(model.named_parameters())
    assert opt.param_groups[0]["param_names"] == ["weight", "bias"]
    model(torch.ones(1, 2)).sum().backward()
    opt.step()
    assert opt.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_hyperparameters_that_change():
    courses = []
    for module in BOTH:
        p = parameter(5)
        opt = module.AdamW([p], lr=torch.tensor(0.1), betas=(torch.tensor(0.9), torch.tensor(0.99)))
        group = opt.param_groups[0]
        for step in range(12):
            set_grads([p], step)
            if step == 3:
                group["lr"].fill_(0.02)
            if step == 5:
                group["lr"] = 0.0
            if step == 6:
                group.update(lr=0.03, betas=(0.5, 0.6))
            if step == 8:
                group["weight_decay"], group["maximize"] = 0.3, True
            opt.step()
        courses.append([p])
    assert_same(*courses)


def test_a_hyperparameter_out_of_range_stops_the_step():
    p = parameter(5)
    opt = petrain.torch.SGD([p], lr=0.1)
    set_grads([p], 0)
    opt.step()
    before = p.detach().clone()
    opt.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr must be at least 0, got -1"):
        opt.step()
    assert torch.equal(p, before)
    opt.param_groups[0]["lr"] = 0.0
    opt.step()
    assert torch.equal(p, before)


def test_a_form_of_the_rule_that_changes():
    """SGD keeps a momentum buffer from the first step that has momentum on."""
    courses = []
    for module in BOTH:
        p = parameter(5)
        opt = module.SGD([p], lr=0.1)
        for step in range(12):
            set_grads([p], step)
            opt.param_groups[0]["momentum"] = 0.9 if step in (3, 4, 5, 9, 10) else 0.0
            opt.step()
        courses.append([p])
    assert_same(*courses)


SCHEDULERS = {
    "StepLR": lambda opt: torch.optim.lr_scheduler.StepLR(opt, step_size=3, gamma=0.5),
    "CosineAnnealingLR": lambda opt: torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=20),
    "OneCycleLR": lambda opt: torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=0.1, total_steps=25),
    "warm-up from 0": lambda opt: torch.optim.lr_scheduler.LambdaLR(opt, lambda step: min(step / 5, 1.0)),
    "ReduceLROnPlateau": lambda opt: torch.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=1),
}


@pytest.mark.parametrize("schedule", SCHEDULERS.values(), ids=SCHEDULERS.keys())
@pytest.mark.parametrize(("name", "arguments"), [("SGD", {"momentum": 0.9}), ("AdamW", {})])
def test_schedulers(name, arguments, schedule):
    courses = []
    for module in BOTH:
        p = parameter(6)
        opt = getattr(module, name)([p], lr=0.05, **arguments)
        scheduler = schedule(opt)
        rates = set()
        for step in range(20):
            set_grads([p], step)
            opt.step()
            rates.add(opt.param_groups[0]["lr"])
            if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                scheduler.step(1.0)
            else:
                scheduler.step()
        assert len(rates) > 3
        courses.append([p])
    assert_same(*courses)
