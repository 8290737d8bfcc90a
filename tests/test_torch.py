"""With PyTorch: its tensors are updated in place, and its optimizers take the same path."""

import numpy as np
import petrain
import pytest
from petrain import optim

torch = pytest.importorskip("torch", reason="needs torch")

# petrain's class and arguments, torch's class and arguments.
PAIRS = [
    (optim.SGD, torch.optim.SGD, {"lr": 0.05}),
    (optim.SGD, torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    (optim.SGD, torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    (optim.Adagrad, torch.optim.Adagrad, {"lr": 0.05, "lr_decay": 0.1, "weight_decay": 0.01, "eps": 1e-8}),
    (optim.Adam, torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.01}),
    (optim.AdamW, torch.optim.AdamW, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    (optim.Adam, torch.optim.Adam, {}),
    (optim.AdamW, torch.optim.AdamW, {}),
]


@pytest.mark.parametrize(("cls", "torch_cls", "arguments"), PAIRS)
@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_the_same_trajectory(rng, cls, torch_cls, arguments, max_norm):
    shapes = [(7, 5), (5,), (3, 2, 2)]
    start = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    ours = [p.copy() for p in start]
    theirs = [torch.nn.Parameter(torch.tensor(p)) for p in start]
    opt, torch_opt = cls(ours, **arguments), torch_cls(theirs, **arguments)
    for _ in range(50):
        grads = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        for p, grad in zip(theirs, grads, strict=True):
            p.grad = torch.tensor(grad)
        info = opt.step(grads, max_norm=max_norm)
        if max_norm is not None:
            norm = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
            assert info.grad_norm == pytest.approx(float(norm), rel=1e-5)
        torch_opt.step()
        for p, want in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p, want.detach().numpy(), rtol=2e-5, atol=2e-6)
    assert all(np.abs(p - q).max() > 0.005 for p, q in zip(ours, start, strict=True))


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
