"""petrain.torch beside torch.optim: the same trajectories, the same state dicts, the same habits."""

import copy
import pickle

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch as pt  # noqa: E402
from petrain import optim  # noqa: E402

SHARED = {
    "SGD": [{"lr": 0.05}, {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}],
    "Adagrad": [{}, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-5}],
    "Adadelta": [{}, {"lr": 0.5, "rho": 0.7, "weight_decay": 0.1}],
    "RMSprop": [{}, {"lr": 0.02, "alpha": 0.8, "momentum": 0.5, "centered": True, "eps": 1e-3}],
    "Adam": [{}, {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.1, "amsgrad": True}],
    "AdamW": [{}, {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.1, "amsgrad": True, "maximize": True}],
    "Adamax": [{}, {"lr": 0.02, "weight_decay": 0.1}],
    "NAdam": [{}, {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}],
    "RAdam": [{}, {"lr": 0.02, "betas": (0.8, 0.9), "weight_decay": 0.1}],
}
every_case = pytest.mark.parametrize(
    ("name", "settings"), [(name, settings) for name, cases in SHARED.items() for settings in cases]
)


def network(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.Tanh(), torch.nn.Linear(30, 5)).to(dtype)


def train(model, opt, steps, scheduler=None, start=0):
    for step in range(start, start + steps):
        generator = torch.Generator().manual_seed(step)
        dtype = next(model.parameters()).dtype
        x, y = (torch.randn(64, n, generator=generator).to(dtype) for n in (20, 5))
        opt.zero_grad()
        ((model(x) - y) ** 2).mean().backward()
        opt.step()
        if scheduler is not None:
            scheduler.step()


def close(a, b, tolerance=1e-5):
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert (p - q).abs().max().item() <= tolerance * (1 + p.abs().max().item())


@every_case
def test_the_same_trajectory(name, settings):
    a, b = network(), network()
    train(a, getattr(torch.optim, name)(a.parameters(), **settings), 50)
    train(b, getattr(pt, name)(b.parameters(), **settings), 50)
    close(a, b, 2e-5)


@every_case
def test_state_dicts_go_both_ways(name, settings):
    a, b = network(), network()
    theirs = getattr(torch.optim, name)(a.parameters(), **settings)
    ours = getattr(pt, name)(b.parameters(), **settings)
    train(a, theirs, 10)
    train(b, ours, 10)
    c, d = copy.deepcopy(a), copy.deepcopy(b)
    of_theirs, of_ours = (
        getattr(pt, name)(c.parameters(), **settings),
        getattr(torch.optim, name)(d.parameters(), **settings),
    )
    of_theirs.load_state_dict(copy.deepcopy(theirs.state_dict()))
    of_ours.load_state_dict(copy.deepcopy(ours.state_dict()))
    for model, opt in ((a, theirs), (b, ours), (c, of_theirs), (d, of_ours)):
        train(model, opt, 10, start=10)
    close(a, c, 2e-5)
    close(b, d, 2e-5)


@pytest.mark.parametrize("name", SHARED)
def test_defaults_are_those_of_torch(name):
    theirs = getattr(torch.optim, name)(network().parameters()).defaults
    ours = getattr(pt, name)(network().parameters()).defaults
    different = {key: (theirs[key], ours[key]) for key in theirs if key in ours and theirs[key] != ours[key]}
    assert not different
    assert set(theirs) - {"decoupled_weight_decay"} <= set(ours)  # of torch's AdamW, where it is always true


def test_element_wise_and_layerwise_rules_are_all_there():
    names = {name for name in optim.__all__ if isinstance(getattr(optim, name), type)}
    assert names - set(dir(pt)) <= {"ParamGroup", "StepInfo", "Adafactor", "Muon", "GaLore", "APOLLO"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(dtype):
    a, b = network(dtype=dtype), network(dtype=dtype)
    train(a, torch.optim.AdamW(a.parameters(), lr=1e-2), 20)
    train(b, pt.AdamW(b.parameters(), lr=1e-2), 20)
    # torch keeps its states in 16 bits too then, petrain in float32
    close(a, b, 1e-9 if dtype == torch.float64 else 5e-2)


def test_schedulers_and_groups():
    a, b = network(), network()
    opts = []
    for module, model in ((torch.optim, a), (pt, b)):
        opt = module.AdamW(model[0].parameters(), lr=1e-2)
        opt.add_param_group({"params": model[2].parameters(), "lr": 1e-3, "weight_decay": 0.0})
        train(model, opt, 20, torch.optim.lr_scheduler.CosineAnnealingLR(opt, 15))
        opts.append(opt)
    close(a, b)
    assert [g["lr"] for g in opts[0].param_groups] == [g["lr"] for g in opts[1].param_groups]


def test_fused_extras():
    a, b = network(), network()
    theirs, ours = torch.optim.AdamW(a.parameters(), lr=1e-2), pt.AdamW(b.parameters(), lr=1e-2)
    x = torch.randn(8, 20)
    for _ in range(5):
        for model in (a, b):
            (100 * model(x) ** 2).mean().backward()
        norm = torch.nn.utils.clip_grad_norm_(a.parameters(), 1.0)
        theirs.step()
        theirs.zero_grad(set_to_none=False)
        ours.step(max_norm=1.0, zero_grads=True)
        assert ours.last_step.grad_norm == pytest.approx(norm.item(), rel=1e-5)
        assert not any(p.grad.any() for p in b.parameters())
    close(a, b)


def test_a_gradient_that_is_not_finite_changes_nothing():
    model = network()
    opt = pt.AdamW(model.parameters())
    train(model, opt, 2)
    before = [p.detach().clone() for p in model.parameters()]
    model[0].weight.grad[3, 4] = float("nan")
    opt.step()
    assert opt.last_step.skipped
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


def test_parameters_without_a_gradient_stay():
    model = network()
    opt = pt.AdamW(model.parameters())
    start = model[2].weight.detach().clone()
    model[0](torch.randn(3, 20)).sum().backward()
    opt.step()
    assert torch.equal(model[2].weight, start)
    assert not opt.state[model[2].weight]


def test_closures_copies_and_pickles():
    model = network()
    opt = pt.AdamW(model.parameters(), lr=1e-2, state_dtype="int8")
    x = torch.randn(8, 20)

    def closure():
        opt.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        return loss

    first = opt.step(closure).item()
    for _ in range(20):
        last = opt.step(closure).item()
    assert last < first
    again = pickle.loads(pickle.dumps(opt))
    assert again.param_groups[0]["lr"] == 1e-2
    assert copy.deepcopy(opt).state_dict()["param_groups"] == opt.state_dict()["param_groups"]
