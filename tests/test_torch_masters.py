"""rounding="master": the float32 copy follows what users write to the parameter between two steps."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import parameter, set_grads  # noqa: E402

HALVES = (torch.bfloat16, torch.float16)


def trained(p, steps=3, cls=petrain.torch.AdamW):
    opt = cls([p], lr=0.01, rounding="master")
    for step in range(steps):
        set_grads([p], step)
        opt.step()
    return opt


def layouts(dtype):
    """Contiguous, permuted, and with gaps."""
    return [
        parameter(6, 8, dtype=dtype),
        torch.nn.Parameter(parameter(8, 6, dtype=dtype).detach().t()),
        torch.nn.Parameter(parameter(6, 16, dtype=dtype).detach()[:, ::2]),
    ]


@pytest.mark.parametrize("dtype", HALVES)
def test_what_is_written_to_the_parameter_counts(dtype):
    for p in layouts(dtype):
        opt = trained(p)
        kept = opt.state[p]["master"][0].clone()
        with torch.no_grad():
            p[1:] = 1.0
        p.grad = torch.zeros_like(p)
        opt.param_groups[0]["lr"] = 0.0
        opt.step()
        assert (p[1:] == 1).all()
        assert (opt.state[p]["master"][1:] == 1).all()
        assert torch.equal(opt.state[p]["master"][0], kept)  # and loses no bits where nothing was written


def test_a_model_that_is_loaded_counts():
    model = torch.nn.Linear(8, 4).bfloat16()
    saved = {name: torch.full_like(value, 0.5) for name, value in model.state_dict().items()}
    opt = petrain.torch.SGD(model.parameters(), lr=0.25, rounding="master")
    for _ in range(2):
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        opt.step()
        model.load_state_dict(saved)
    opt.step()
    for p in model.parameters():
        assert (p == 0.25).all()


def test_data_that_is_replaced_counts():
    p = parameter(5, dtype=torch.bfloat16)
    opt = trained(p, cls=petrain.torch.SGD)
    p.data = torch.full((5,), 3.0).bfloat16()
    p.grad = torch.ones_like(p)
    opt.param_groups[0]["lr"] = 1.0
    opt.step()
    assert (p == 2).all()


@pytest.mark.parametrize("dtype", HALVES)
def test_no_bits_are_lost_where_nothing_is_written(dtype):
    """The version of a tensor may change without its numbers; so may the optimizer that keeps the copy."""
    start = torch.randn(4096, generator=torch.Generator().manual_seed(0)) * torch.logspace(-9, 1, 4096)
    ps = [torch.nn.Parameter(start.to(dtype)) for _ in range(3)]
    opts = [petrain.torch.AdamW([p], lr=1e-3, rounding="master") for p in ps]
    for step in range(30):
        for p in ps:
            set_grads([p], step)
        with torch.no_grad():
            ps[1].add_(0)
        opts[2].load_state_dict(copy.deepcopy(opts[2].state_dict()))
        for opt in opts:
            opt.step()
        masters = [opt.state[p]["master"] for opt, p in zip(opts, ps, strict=True)]
        assert torch.equal(masters[0], masters[1])
        assert torch.equal(masters[0], masters[2])
    assert (masters[0] != ps[0]).any()


def test_optimizer_first_or_model_first():
    """A run goes on in either order of loading."""
    p = parameter(300, dtype=torch.bfloat16)
    opt = trained(p, steps=9)
    model, state = p.detach().clone(), copy.deepcopy(opt.state_dict())
    set_grads([p], 9)
    opt.step()
    for optimizer_first in (True, False):
        q = parameter(300, seed=5, dtype=torch.bfloat16)
        other = trained(q, steps=2)
        if optimizer_first:
            other.load_state_dict(copy.deepcopy(state))
        with torch.no_grad():
            q.copy_(model)
        if not optimizer_first:
            other.load_state_dict(copy.deepcopy(state))
        set_grads([q], 9)
        other.step()
        assert torch.equal(p, q)
        assert torch.equal(opt.state[p]["master"], other.state[q]["master"])


def test_parameters_of_inference_mode():
    with torch.inference_mode():
        p = torch.ones(5).bfloat16()
        opt = petrain.torch.SGD([p], lr=1.0, rounding="master")
        for _ in range(2):
            p.grad = torch.ones_like(p)
            opt.step()
            p.fill_(4.0)
        opt.step()
        assert (p == 3).all()
