"""Adafactor and Muon against torch.optim's, over 30 steps; matrix rules beside rules for what is no matrix."""

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import MATRIX_CASES, parameter, set_grads, tensors, trajectory  # noqa: E402

STEPS = 30
ADAFACTOR = [arguments for name, arguments in MATRIX_CASES if name == "Adafactor"]
MUON = [arguments for name, arguments in MATRIX_CASES if name == "Muon"]
MATRICES = [(16, 24), (24, 16), (20, 20), (1, 8), (64, 300)]


@pytest.fixture(autouse=True)
def one_thread():
    """The matrices are small: torch's threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def courses(name, arguments, shapes, dtype=torch.float32):
    return (
        trajectory(getattr(module, name), arguments, dtype, STEPS, shapes) for module in (petrain.torch, torch.optim)
    )


@pytest.mark.parametrize("arguments", ADAFACTOR)
def test_adafactor_is_torchs(arguments):
    shapes = [(7, 5), (5,), (3, 4, 2), (), (40, 300), (1, 6)]
    for ours, theirs in zip(*courses("Adafactor", arguments, shapes), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("arguments", ADAFACTOR)
def test_adafactor_in_float64_is_torchs_to_float32(arguments):
    """petrain computes it in float32 whatever the parameter is stored in."""
    arguments = {"eps": (2.0**-23, 1e-3), **arguments}  # None is torch's epsilon of the parameter's dtype
    for ours, theirs in zip(*courses("Adafactor", arguments, [(7, 5), (5,)], torch.float64), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("arguments", MUON)
def test_muon_is_torchs_with_its_iteration_in_float32(arguments, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    for ours, theirs in zip(*courses("Muon", arguments, MATRICES), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("arguments", MUON)
def test_muon_is_torchs_to_bfloat16(arguments):
    """What 30 steps move differs by the rounding of torch's iteration, a few percent."""
    start = tensors(0, MATRICES, torch.bfloat16)
    last = [course[-1] for course in courses("Muon", arguments, MATRICES)]
    for p, want, first in zip(*last, start, strict=True):
        assert (p - want).norm() < 0.05 * (want - first).norm()


@pytest.mark.parametrize(("name", "arguments"), [("Muon", {}), ("GaLore", {"rank": 2}), ("APOLLO", {"rank": 2})])
def test_what_is_no_matrix_goes_into_a_group_with_another_rule(name, arguments):
    weight, bias, alone = parameter(4, 6), parameter(6, seed=1), parameter(6, seed=1)
    cls = getattr(petrain.torch, name)
    with pytest.raises(ValueError, match=r'expected a matrix, got shape \(6,\); put it into a group with the rule "ad'):
        cls([weight, bias], **arguments)
    rest = {"params": [bias], "rule": "adamw", "betas": (0.5, 0.6)}
    opt = cls([{"params": [weight]}, dict(rest)], lr=0.02, maximize=True, **arguments)
    twin = petrain.torch.AdamW([alone], betas=(0.5, 0.6), maximize=True)
    assert opt.param_groups[1]["lr"] == 1e-3
    before = weight.detach().clone()
    for step in range(4):
        set_grads([weight, bias], step)
        alone.grad = bias.grad.clone()
        opt.step()
        twin.step()
    assert torch.equal(bias, alone)
    assert not torch.equal(weight, before)
    opt = cls([{"params": [weight]}, rest], state_dtype="bfloat16", **arguments)
    opt.step()
    assert opt.state[bias]["exp_avg"].dtype is torch.bfloat16


@pytest.mark.parametrize("name", ["GaLore", "APOLLO"])
def test_the_arguments_of_the_wrapped_rule(name):
    cls, p = getattr(petrain.torch, name), parameter(4, 6)
    with pytest.raises(TypeError, match="with this rule has no argument 'momentum'"):
        cls([p], rank=2, momentum=0.5)
    with pytest.raises(ValueError, match="expected rank to be at most 4"):
        cls([p], rank=5)
    with pytest.raises(ValueError, match="base: expected one of"):
        cls([p], rank=2, base="lamb")
    opt = cls([p], rank=2, base="adagrad", initial_accumulator_value=0.25)
    set_grads([p], 0)
    p.grad.zero_()
    opt.step()
    assert torch.equal(opt.state[p]["sum"], torch.full((2, 6), 0.25))
