"""Tensors that users replace or write to between two steps."""

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import BOTH, assert_same, parameter, set_grads  # noqa: E402


def replace_data(opt, p):
    p.data = p.detach().clone() * 2


def replace_dtype(opt, p):
    p.data = p.detach().double()
    opt.state[p].update(exp_avg=opt.state[p]["exp_avg"].double(), exp_avg_sq=opt.state[p]["exp_avg_sq"].double())


def replace_shape(opt, p):
    p.data = torch.ones(7)
    opt.state.clear()


def share_memory(opt, p):
    p.data.share_memory_()


def share_state(opt, p):
    for value in opt.state[p].values():
        value.share_memory_()


def zero_state_in_place(opt, p):
    for name in ("exp_avg", "exp_avg_sq", "step"):
        opt.state[p][name].zero_()


def replace_state_tensor(opt, p):
    opt.state[p]["exp_avg"] = torch.full_like(p, 3.0)


def replace_state_data(opt, p):
    opt.state[p]["exp_avg"].data = torch.full_like(p, 3.0)


def replace_state_of_a_parameter(opt, p):
    opt.state[p] = {name: value.clone() * 2 for name, value in opt.state[p].items()}


def forget_state_of_a_parameter(opt, p):
    del opt.state[p]


def forget_state(opt, p):
    opt.state.clear()


def replace_state(opt, p):
    opt.state = type(opt.state)(dict, {k: {n: t.clone() for n, t in v.items()} for k, v in opt.state.items()})


def add_to_the_state(opt, p):
    opt.state[p]["note"] = "mine"
    opt.state["note"] = "mine"


def reorder_the_state(opt, p):
    opt.state[p] = opt.state.pop(p)


def drop_the_parameter(opt, p):
    opt.param_groups[0]["params"] = [q for q in opt.param_groups[0]["params"] if q is not p]


def swap_parameters(opt, p):
    opt.param_groups[0]["params"].reverse()


def write_to_the_parameter(opt, p):
    with torch.no_grad():
        p.mul_(0.5)


CHANGES = [value for name, value in globals().items() if name.split("_")[0] in (
    "replace", "share", "zero", "forget", "add", "reorder", "drop", "swap", "write")]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("which", [0, 2])
def test_tensors_that_change(change, which):
    courses = []
    for module in BOTH:
        params = [parameter(5, seed=i) for i in range(3)]
        opt = module.AdamW(params, lr=0.05)
        for step in range(8):
            set_grads(params, step)
            if step == 4:
                change(opt, params[which])
                set_grads(params, step)
            opt.step()
            assert all(p.grad is not None for p in params)
        courses.append((params, opt))
    (ours, opt), (theirs, their_opt) = courses
    assert_same(ours, theirs)
    for p, q in zip(ours, theirs, strict=True):
        assert [opt.state[p][name].item() for name in ("step",)] == [their_opt.state[q]["step"].item()]
        torch.testing.assert_close(opt.state[p]["exp_avg"], their_opt.state[q]["exp_avg"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_dtype_that_changes_takes_the_state_along(dtype):
    """Where torch raises an error until the state is converted by hand, which is done here for the other one."""
    courses = []
    for by_hand in (False, True):
        p = parameter(5)
        opt = petrain.torch.AdamW([p], lr=0.05)
        for step in range(6):
            if step == 3:
                p.data = p.detach().to(dtype)
                if by_hand and dtype is torch.float64:
                    opt.state[p].update({name: opt.state[p][name].double() for name in ("exp_avg", "exp_avg_sq")})
            set_grads([p], step)
            opt.step()
        assert p.dtype is dtype
        kept = torch.float64 if dtype is torch.float64 else torch.float32
        assert opt.state[p]["exp_avg"].dtype is kept
        assert opt.state[p]["step"].item() == 6
        courses.append(p)
    assert torch.equal(*courses)
