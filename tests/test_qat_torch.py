"""petrain.torch.FakeQuantize against torch's own learnable fake quantization, and against petrain.quant.LSQ."""

import copy

import numpy as np
import petrain
import pytest
from petrain.quant import LSQ

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from petrain.torch import FakeQuantize  # noqa: E402


def numbers(*shape):
    """Half of them beyond the range of 4 bits with scales around 1. torch rounds before it asks what is inside: of
    those that are beyond the last integer, none is nearer to it than to the next."""
    x = 6 * torch.randn(*shape, generator=torch.Generator().manual_seed(5))
    return torch.where((x.abs() > 6.9) & (x.abs() < 7.7), torch.full_like(x, 9.0), x)


def with_gradients(function, x, scale, gradient):
    x, scale = x.clone().requires_grad_(), scale.clone().requires_grad_()
    y = function(x, scale)
    y.backward(gradient)
    return y.detach(), x.grad, scale.grad


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_against_torch(axis):
    x, g = numbers(40, 30), torch.randn(40, 30)
    channels = () if axis is None else (x.shape[axis],)
    scale = torch.full(channels, 1.01)
    layout = {"granularity": "tensor"} if axis is None else {"granularity": "channel", "axis": axis}
    fake = FakeQuantize(x, 4, **layout)
    assert fake.scale.shape == scale.shape

    def ours(x, scale):
        fake.scale.data.copy_(scale)
        return fake(x)

    def theirs(x, scale):
        zero, factor = torch.zeros_like(scale), 1 / np.sqrt(x.numel() / scale.numel() * 7)
        if axis is None:
            return torch._fake_quantize_learnable_per_tensor_affine(x, scale, zero, -7, 7, factor)
        return torch._fake_quantize_learnable_per_channel_affine(x, scale, zero, axis, -7, 7, factor)

    y, of_x, _ = with_gradients(ours, x, scale, g)
    want_y, want_of_x, want_of_scale = with_gradients(theirs, x, scale.reshape(channels or (1,)), g)
    torch.testing.assert_close(y, want_y)
    torch.testing.assert_close(of_x, want_of_x)
    torch.testing.assert_close(fake.scale.grad, want_of_scale.reshape(channels), rtol=1e-4, atol=1e-4)


def test_against_an_expression_of_torch():
    """Per group: LSQ as its authors write it, with gradients of a rounding that is passed through."""
    x, g = 6 * torch.randn(20, 64), torch.randn(20, 64)
    fake = FakeQuantize(x, 4, "group", group_size=32)

    def theirs(x, scale):
        grown = scale * (1 / np.sqrt(32 * 7))
        scale = (scale - grown).detach() + grown
        u = (x.reshape(20, 2, 32) / scale[..., None]).clamp(-7, 7)
        return (((u.round() - u).detach() + u) * scale[..., None]).reshape(20, 64)

    x_own = x.clone().requires_grad_()
    y = fake(x_own)
    y.backward(g)
    want_y, want_of_x, want_of_scale = with_gradients(theirs, x, fake.scale.detach(), g)
    torch.testing.assert_close(y.detach(), want_y)
    torch.testing.assert_close(x_own.grad, want_of_x)
    torch.testing.assert_close(fake.scale.grad, want_of_scale, rtol=1e-4, atol=1e-5)


def test_equal_to_lsq():
    w = numbers(6, 50)
    fake, lsq = FakeQuantize(w, 4), LSQ(w.numpy(), 4)
    x = w.clone().requires_grad_()
    y = fake(x)
    g = torch.randn(6, 50)
    y.backward(g)
    np.testing.assert_array_equal(fake.scale.detach(), lsq.scale)
    np.testing.assert_array_equal(y.detach(), lsq.forward(w.numpy()))
    np.testing.assert_array_equal(x.grad, lsq.backward(w.numpy(), g.numpy()))
    np.testing.assert_array_equal(fake.scale.grad, lsq.scale_gradient)
    np.testing.assert_array_equal(fake.to_quantized(w).dequantize(), y.detach())


def test_layouts_and_neighbours_in_the_graph():
    """Transposed inputs and gradients, and a tensor that is used twice."""
    w = torch.randn(5, 8).requires_grad_()
    fake = FakeQuantize(w.T, 8)
    (fake(w.T) + fake(w.T)).T.sum().backward()
    twice, scale = w.grad.clone(), fake.scale.grad.clone()
    w.grad, fake.scale.grad = None, None
    fake(w.T.contiguous()).sum().backward()
    torch.testing.assert_close(twice, 2 * w.grad)
    torch.testing.assert_close(scale, 2 * fake.scale.grad)


def test_training_and_state_dict():
    torch.manual_seed(0)
    x = torch.randn(256, 16)
    y = torch.tanh(x[:, :4]).sum(dim=1, keepdim=True)
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    fakes = []
    for layer in (model[0], model[2]):
        fakes.append(FakeQuantize(layer.weight, 4))
        torch.nn.utils.parametrize.register_parametrization(layer, "weight", fakes[-1])
    opt = petrain.torch.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    first = None
    for _ in range(200):
        loss = torch.nn.functional.mse_loss(model(x), y)
        first = first or loss.item()
        loss.backward()
        opt.step(zero_grads=True)
    assert loss.item() < 0.1 * first
    again = copy.deepcopy(model)
    fakes[0].scale.data.fill_(-1)
    assert torch.isfinite(model(x)).all()
    model.load_state_dict(again.state_dict())
    torch.testing.assert_close(model(x), again(x), rtol=0, atol=0)


def test_refused():
    with pytest.raises(ValueError, match="x: expected dtype float32, got float64"):
        FakeQuantize(torch.ones(3, 3, dtype=torch.float64))
    fake = FakeQuantize(torch.ones(3, 3))
    with pytest.raises(ValueError, match=r"x: expected finite values, got nan at index \(0, 1\)"):
        fake(torch.tensor([[1.0, torch.nan, 0.0]] * 3))
    with pytest.raises(ValueError, match=r"scale: expected shape \(2,\), got \(3,\)"):
        fake(torch.ones(2, 3))
