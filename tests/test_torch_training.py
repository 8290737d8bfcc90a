"""Networks train: every rule lowers a loss, and those of torch reach torch's."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import BOTH, MATRICES_ALONE, NATIVE, SHARED, groups  # noqa: E402

RATES = {"Adadelta": 1.0, "LARS": 10.0, "SGD": 0.1, "Momentum": 0.1, "Adagrad": 0.1, "Adafactor": 0.1, "Muon": 0.02}
MORE = {"GaLore": {"rank": 1, "scale": 1.0, "update_proj_gap": 20}, "APOLLO": {"rank": 1}}


@pytest.mark.parametrize("name", NATIVE)
def test_a_network_trains(name):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 4, generator=generator)
    y = x.sum(dim=1, keepdim=True) + x[:, :1] * x[:, 1:2]
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    params = groups(name, list(model.parameters()))
    opt = getattr(petrain.torch, name)(params, lr=RATES.get(name, 0.01), **MORE.get(name, {}))
    losses = []
    for _ in range(200):
        opt.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("name", SHARED)
def test_a_network_reaches_the_same_loss(name):
    """Matrices alone where the rule takes no others. torch iterates Muon in bfloat16, which is worth 1%."""
    losses = []
    x, y = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 64, 4)).astype(np.float32))
    for module in BOTH:
        torch.manual_seed(0)
        bias = name not in MATRICES_ALONE
        model = torch.nn.Sequential(torch.nn.Linear(4, 16, bias), torch.nn.Tanh(), torch.nn.Linear(16, 4, bias))
        opt = getattr(module, name)(model.parameters())
        for _ in range(100):
            opt.zero_grad()
            loss = torch.nn.functional.mse_loss(model(x), y)
            loss.backward()
            opt.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=0.01 if name == "Muon" else 1e-4)
