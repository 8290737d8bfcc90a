"""With PyTorch: Adafactor and Muon against torch.optim's, over 30 steps."""

import numpy as np
import pytest
from petrain import optim

torch = pytest.importorskip("torch", reason="needs torch")
STEPS = 30


@pytest.fixture(autouse=True)
def one_thread():
    """The matrices are small: torch's threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trajectories(ours_of, theirs_of, shapes, rng):
    """Both, step by step, on the same gradients."""
    start = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    ours, theirs = [p.copy() for p in start], [torch.nn.Parameter(torch.tensor(p)) for p in start]
    opt, torch_opt = ours_of(ours), theirs_of(theirs)
    for _ in range(STEPS):
        grads = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        for p, grad in zip(theirs, grads, strict=True):
            p.grad = torch.tensor(grad)
        opt.step(grads)
        torch_opt.step()
        yield ours, [p.detach().numpy() for p in theirs], start


@pytest.mark.parametrize(
    "arguments",
    [{}, {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-6, 0.01), "d": 1.5, "weight_decay": 0.1}, {"maximize": True}],
)
def test_adafactor_is_torchs(rng, arguments):
    shapes = [(7, 5), (5,), (3, 4, 2), (), (40, 300), (1, 6)]
    makers = (lambda p: optim.Adafactor(p, **arguments)), (lambda p: torch.optim.Adafactor(p, **arguments))
    for ours, theirs, _ in trajectories(*makers, shapes, rng):
        for p, want in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p, want, rtol=2e-5, atol=2e-6)


MUON = [
    {},
    {"lr": 0.02, "weight_decay": 0.3, "momentum": 0.8, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"},
    {"lr": 0.02, "ns_coefficients": (2.0, -1.5, 0.5), "ns_steps": 7, "eps": 1e-3},
]
SHAPES = [(16, 24), (24, 16), (20, 20), (1, 8), (64, 300)]


@pytest.mark.parametrize("arguments", MUON)
def test_muon_is_torchs_with_its_iteration_in_float32(rng, arguments, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    makers = (lambda p: optim.Muon(p, **arguments)), (lambda p: torch.optim.Muon(p, **arguments))
    for ours, theirs, _ in trajectories(*makers, SHAPES, rng):
        for p, want in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("arguments", MUON)
def test_muon_is_torchs_to_bfloat16(rng, arguments):
    """What 30 steps move differs by the rounding of torch's iteration, a few percent."""
    makers = (lambda p: optim.Muon(p, **arguments)), (lambda p: torch.optim.Muon(p, **arguments))
    for step, (ours, theirs, start) in enumerate(trajectories(*makers, SHAPES, rng)):
        if step < STEPS - 1:
            continue
        for p, want, first in zip(ours, theirs, start, strict=True):
            assert np.linalg.norm(p - want) < 0.05 * np.linalg.norm(want - first)
