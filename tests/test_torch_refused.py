"""What is refused, by what message, and that nothing was changed then."""

import math

import pytest

pytestmark = pytest.mark.once

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import parameter, set_grads  # noqa: E402

REFUSED = {
    "elsewhere": (lambda: torch.ones(3, device="meta"), "parameter 0 of the group: expected a tensor in CPU memory"),
    "sparse": (lambda: torch.eye(3).to_sparse(), "expected a strided tensor, got torch.sparse_coo"),
    "complex": (lambda: torch.ones(3, dtype=torch.complex64), "expected dtype float32, .*, got complex64"),
    "float8": (lambda: torch.ones(3).to(torch.float8_e5m2), "expected dtype float32, .*, got float8_e5m2"),
    "negated": (lambda: torch._neg_view(torch.ones(3)), "got a lazily negated view: use resolve_neg"),
    "integers": (lambda: torch.ones(3, dtype=torch.int64), "expected dtype float32, .*, got int64"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_parameters_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        petrain.torch.AdamW([make()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -0.1}, "lr must be at least 0, got -0.1"),
        ({"lr": math.nan}, "lr must be finite"),
        ({"lr": torch.ones(2)}, "lr: expected a tensor of one element"),
        ({"betas": (1.0, 0.9)}, r"beta1 must be in \[0, 1\), got 1"),
        ({"betas": (0.9,)}, "betas: expected two numbers"),
        ({"eps": 0.0}, "eps must be greater than 0, got 0"),
        ({"weight_decay": -1}, "weight_decay must be at least 0, got -1"),
        ({"capturable": True}, "capturable=True is not supported by petrain.torch.AdamW"),
        ({"differentiable": True}, "differentiable=True is not supported by petrain.torch.AdamW"),
        ({"state_dtype": "float8"}, 'state_dtype: expected one of float32, bfloat16, int8, got "float8"'),
        ({"rounding": "up"}, 'rounding: expected one of nearest, stochastic, kahan, master, got "up"'),
        ({"rounding": "kahan"}, "only parameters of 16 bits can be rounded other than to the nearest"),
    ],
)
def test_arguments_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        petrain.torch.AdamW([parameter(3)], **arguments)


def test_other_arguments_that_are_refused():
    with pytest.raises(RuntimeError, match="cannot be `True` together"):
        petrain.torch.AdamW([parameter(3)], foreach=True, fused=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'momentum'"):
        petrain.torch.AdamW([parameter(3)], momentum=0.9)
    with pytest.raises(ValueError, match="nesterov needs momentum"):
        petrain.torch.SGD([parameter(3)], nesterov=True)
    with pytest.raises(ValueError, match="empty parameter list"):
        petrain.torch.SGD([])
    with pytest.raises(ValueError, match="non-leaf"):
        petrain.torch.SGD([parameter(3) * 2])
    p = parameter(3)
    with pytest.raises(ValueError, match="more than once in a parameter group"):
        petrain.torch.SGD([p, p])


def test_steps_that_are_refused_change_nothing():
    p = parameter(4, 4)
    opt = petrain.torch.AdamW([p])
    p.grad = torch.ones(4, 4)
    before = p.detach().clone()
    for options, message in [
        ({"max_norm": 0.0}, "max_norm must be greater than 0, got 0"),
        ({"max_value": -1.0}, "max_value must be greater than 0, got -1"),
        ({"grad_scale": math.inf}, "grad_scale must be positive and finite, got inf"),
    ]:
        with pytest.raises(ValueError, match=message):
            opt.step(**options)
    p.grad = p.data
    with pytest.raises(ValueError, match="gradient 0 shares memory with parameter 0"):
        opt.step()
    p.grad = torch.eye(4).to_sparse()
    with pytest.raises(RuntimeError, match="parameter 0: expected a strided gradient"):
        opt.step()
    assert torch.equal(p, before)
    assert opt.state[p]["step"].item() == 0


def test_parameters_that_share_memory_are_refused():
    memory = torch.ones(6)
    params = [torch.nn.Parameter(memory[:4]), torch.nn.Parameter(memory[2:])]
    opt = petrain.torch.SGD(params)
    set_grads(params, 0)
    with pytest.raises(ValueError, match="parameters 0 and 1 share memory"):
        opt.step()
    assert torch.equal(memory, torch.ones(6))
    p = torch.nn.Parameter(torch.ones(3).expand(2, 3))
    p.grad = torch.ones(2, 3)
    with pytest.raises(ValueError, match="parameter 0: expected memory of its own for every element"):
        petrain.torch.SGD([p]).step()


def test_parameters_with_gaps_that_share_memory_are_refused():
    """The core sees copies of these, so petrain.torch has to find out."""
    memory = torch.zeros(2, 12)
    columns = [torch.nn.Parameter(memory[:, i::3]) for i in range(3)]  # side by side, not one over the other
    opt = petrain.torch.SGD(columns, lr=1.0)
    for p in columns:
        p.grad = torch.ones(2, 4)
    opt.step()
    assert torch.equal(memory, torch.full((2, 12), -1.0))
    for view in (memory[:, ::3], memory[:, 6:], memory[:, 1::2], memory):
        params = [columns[0], torch.nn.Parameter(view)]
        for p in params:
            p.grad = torch.ones(p.shape)
        with pytest.raises(ValueError, match="parameter 0 and parameter 1 share memory"):
            petrain.torch.SGD(params).step()
    p = torch.nn.Parameter(memory.view(-1).as_strided((3, 3), (1, 2)))  # 2 of one row is 0 of the next but one
    p.grad = torch.ones(3, 3)
    with pytest.raises(ValueError, match="expected memory of its own for every element, got strides"):
        petrain.torch.SGD([p]).step()
    assert torch.equal(memory, torch.full((2, 12), -1.0))
