"""petrain.optim and petrain.GradAccumulator use tensors of PyTorch in place; petrain.torch has files of its own."""

import petrain
import pytest
from petrain import optim

torch = pytest.importorskip("torch", reason="needs torch")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("grad_dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_every_dtype(dtype, grad_dtype):
    p = torch.full((3, 5), 2.0, dtype=dtype)
    optim.SGD([p], lr=0.5).step([torch.arange(15, dtype=grad_dtype).reshape(3, 5)])
    assert torch.equal(p, 2 - 0.5 * torch.arange(15, dtype=dtype).reshape(3, 5))


def test_a_module_trains_in_place():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    params = list(model.parameters())
    assert all(p.requires_grad for p in params)
    addresses = [p.data_ptr() for p in params]
    opt = optim.AdamW(params, lr=0.02)
    x = torch.randn(64, 4)
    y = x.sum(dim=1, keepdim=True)
    losses = []
    for _ in range(100):
        loss = torch.nn.functional.mse_loss(model(x), y)
        grads = torch.autograd.grad(loss, params)
        opt.step(grads)
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
    assert [p.data_ptr() for p in params] == addresses


def test_accumulation_of_tensors():
    p = torch.zeros(3, requires_grad=True)
    acc = petrain.GradAccumulator([p])
    acc.add([torch.ones(3)], weight=3)
    acc.add([torch.full((3,), 5.0)], weight=1)
    optim.SGD([p], lr=1.0).step(acc)
    assert p.tolist() == [-2, -2, -2]


def test_named_parameters():
    model = torch.nn.Linear(2, 2)
    params = dict(model.named_parameters())
    before = {name: p.detach().clone() for name, p in params.items()}
    optim.SGD(params, lr=1.0).step({name: torch.ones_like(p) for name, p in reversed(params.items())})
    for name, p in params.items():
        assert torch.equal(p, before[name] - 1)


REFUSED = {
    "complex": (lambda: torch.ones(4, 6, dtype=torch.complex64), "got torch.complex64"),
    "transposed": (lambda: torch.ones(6, 4).t(), "expected a C-contiguous array, got"),
    "every second row": (lambda: torch.ones(8, 6)[::2], "expected a C-contiguous array, got"),
    "expanded": (lambda: torch.ones(6).expand(4, 6), "expected a C-contiguous array, got"),
    "elsewhere": (lambda: torch.ones(4, 6, device="meta"), ""),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_tensors_that_cannot_be_used_in_place(make, message):
    p = torch.ones(4, 6)
    opt = optim.SGD([p])
    errors = (ValueError, TypeError, BufferError, RuntimeError) if not message else ValueError
    with pytest.raises(errors, match=f"gradient 0: .*{message}" if message else None):
        opt.step([make()])
    with pytest.raises(errors, match=f"parameter 0: .*{message}" if message else None):
        optim.SGD([make()])
    assert torch.equal(p, torch.ones(4, 6))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (0, 3), (1, 5), (5, 1)])
def test_shapes_with_no_or_one_element_in_a_row(shape):
    p = torch.ones(shape)
    optim.SGD([p], lr=1.0).step([torch.full(shape, 3.0)])
    assert torch.equal(p, torch.full(shape, -2.0))


def test_a_view_with_an_offset():
    memory = torch.ones(10)
    optim.SGD([memory[3:7]], lr=1.0).step([torch.arange(20.0)[10:14]])
    assert memory.tolist() == [1, 1, 1, -9, -10, -11, -12, 1, 1, 1]
