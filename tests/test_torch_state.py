"""state_dict to and from torch.optim and files; copies and pickles; the average of Schedule-Free AdamW."""

import copy
import io
import pickle

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import (  # noqa: E402
    ALL_CASES,
    CASES,
    MATRIX_CASES,
    SHAPES,
    assert_equal,
    groups,
    parameter,
    set_grads,
    tensors,
)


def some_params(name="AdamW", dtype=torch.float32, *, matrices=False):
    shapes = [(7, 5), (4, 6)] if matrices and name == "Muon" else SHAPES
    return [torch.nn.Parameter(p) for p in tensors(0, shapes, dtype)]


def run(opt, params, first, steps):
    for step in range(first, first + steps):
        set_grads(params, step)
        opt.step()


def copies(params):
    return [torch.nn.Parameter(p.detach().clone()) for p in params]


@pytest.mark.parametrize("to_torch", [True, False])
@pytest.mark.parametrize(("name", "arguments"), CASES + MATRIX_CASES)
def test_a_run_goes_on_in_the_other_library(name, arguments, to_torch):
    modules = (petrain.torch, torch.optim) if to_torch else (torch.optim, petrain.torch)
    first, second = (getattr(module, name) for module in modules)
    params = some_params(name, matrices=True)
    opt = first(params, **arguments)
    run(opt, params, 0, 4)
    theirs = copies(params)
    resumed = second(theirs, **{**arguments, "lr": 7.0})
    resumed.load_state_dict(copy.deepcopy(opt.state_dict()))
    assert resumed.param_groups[0]["lr"] == opt.param_groups[0]["lr"]
    before = copies(params)
    for o, ps in ((opt, params), (resumed, theirs)):
        run(o, ps, 4, 6)
    for p, q, start in zip(params, theirs, before, strict=True):
        if name == "Muon":  # torch iterates in bfloat16
            assert (p - q).norm() < 0.05 * (p - start).norm()
        else:
            torch.testing.assert_close(p, q, rtol=2e-5, atol=4e-6)
        for key, value in opt.state[p].items():
            torch.testing.assert_close(resumed.state[q][key], value, rtol=1e-4, atol=1e-5, check_dtype=False)


OPTIONS = [
    ("AdamW", torch.bfloat16, {"state_dtype": "int8", "rounding": "stochastic", "seed": 5}),
    ("AdamW", torch.bfloat16, {"state_dtype": "bfloat16", "rounding": "kahan"}),
    ("SGD", torch.float16, {"momentum": 0.9, "rounding": "master"}),
    ("SGD", torch.bfloat16, {"rounding": "stochastic", "seed": 5}),
    ("NAdam", torch.float64, {"state_dtype": "int8"}),
]
RESUMED = [(name, torch.float32, arguments) for name, arguments in ALL_CASES] + OPTIONS


def by_file(opt, make):
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    again = make()
    again.load_state_dict(torch.load(file, weights_only=True))
    return again


@pytest.mark.parametrize(("name", "dtype", "arguments"), RESUMED)
def test_a_run_resumes_bit_for_bit(name, dtype, arguments):
    params = some_params(name, dtype)
    opt = getattr(petrain.torch, name)(groups(name, params), **arguments)
    run(opt, params, 0, 4)
    others = copies(params)
    resumed = by_file(opt, lambda: getattr(petrain.torch, name)(groups(name, others), **arguments))
    for o, ps in ((opt, params), (resumed, others)):
        run(o, ps, 4, 4)
    assert_equal(params, others)
    assert any(not torch.equal(p, q) for p, q in zip(params, some_params(name, dtype), strict=True))


def by_deepcopy(params, opt):
    return copy.deepcopy((params, opt))


def by_pickle(params, opt):
    return pickle.loads(pickle.dumps((params, opt)))


@pytest.mark.parametrize("duplicate", [by_deepcopy, by_pickle])
@pytest.mark.parametrize(("name", "dtype", "arguments"), [*OPTIONS, ("Adagrad", torch.float32, {})])
def test_copies_go_on_by_themselves(name, dtype, arguments, duplicate):
    params = some_params(name, dtype)
    opt = getattr(petrain.torch, name)(params, **arguments)
    run(opt, params, 0, 3)
    scheduler = torch.optim.lr_scheduler.StepLR(opt, 1)
    others, other = duplicate(params, opt)
    assert other.state_dict()["param_groups"] == opt.state_dict()["param_groups"]
    at_three = copies(params)
    run(opt, params, 3, 3)
    assert_equal(others, at_three)
    run(other, others, 3, 3)
    assert_equal(params, others)
    scheduler.step()
    assert other.param_groups[0]["lr"] != opt.param_groups[0]["lr"]


def test_a_dict_taken_earlier_keeps_up_as_torchs_does():
    """state_dict() refers to the tensors of the state, in torch too: a copy needs copy.deepcopy."""
    for module in (petrain.torch, torch.optim):
        p = parameter(4)
        opt = module.AdamW([p])
        run(opt, [p], 0, 1)
        given = opt.state_dict()
        run(opt, [p], 1, 1)
        assert torch.equal(given["state"][0]["exp_avg"], opt.state[p]["exp_avg"])
