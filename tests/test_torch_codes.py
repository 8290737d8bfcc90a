"""States in 8-bit codes, from and to states in full."""

import copy
import math

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import BOTH, parameter, set_grads  # noqa: E402


def trained(name="AdamW", **arguments):
    params = [parameter(3, 4), parameter(4, seed=1)]
    opt = getattr(petrain.torch, name)(params, **arguments)
    for step in range(3):
        set_grads(params, step)
        opt.step()
    return params, opt


def test_a_run_of_torch_goes_on_in_8_bits():
    """The options are the optimizer's; the state is rounded to them."""
    courses = []
    for module in BOTH:
        params = [parameter(40, 30), parameter(4, 3, 5, 5, seed=1)]
        params[1].data = params[1].detach().to(memory_format=torch.channels_last)
        opt = torch.optim.AdamW(params, lr=0.01)
        for step in range(10):
            if step == 5 and module is petrain.torch:
                given, opt = opt.state_dict(), petrain.torch.AdamW(params, state_dtype="int8")
                opt.load_state_dict(given)
                assert opt.param_groups[0]["state_dtype"] == "int8"
                assert set(opt.state[params[1]]) == {f"exp_avg{sq}_{what}" for sq in ("", "_sq") for what in (
                    "codes", "scale")} | {"step"}  # fmt: skip
            set_grads(params, step)
            opt.step()
        courses.append(params)
    for p, q, start in zip(*courses, [parameter(40, 30), parameter(4, 3, 5, 5, seed=1)], strict=True):
        assert 1e-5 < (p - q).norm() / (q - start).norm() < 0.02  # 4 bits behind the point, and not 32


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_codes_as_numbers(memory_format):
    """From 8 bits to 32 and back again nothing is lost, whatever the order in memory."""
    p, q, r = (parameter(4, 3, 5, 5) for _ in range(3))
    q.data = q.detach().to(memory_format=memory_format)
    opts = [petrain.torch.AdamW([p], state_dtype="int8"), petrain.torch.AdamW([q]),
            petrain.torch.AdamW([r], state_dtype="int8")]  # fmt: skip
    for step in range(3):
        set_grads([p], step)
        opts[0].step()
    codes = opts[0].state[p]["exp_avg_codes"].clone()
    opts[1].load_state_dict(opts[0].state_dict())
    assert set(opts[1].state[q]) == {"step", "exp_avg", "exp_avg_sq"}
    opts[2].load_state_dict(opts[1].state_dict())
    assert opts[1].state[q]["exp_avg"].abs().max() == opts[0].state[p]["exp_avg_scale"].max()
    assert torch.equal(opts[2].state[r]["exp_avg_codes"], codes)
    given = copy.deepcopy(opts[0].state_dict())
    permuted = parameter(4, 3, 5, 5)
    permuted.data = permuted.detach().to(memory_format=torch.channels_last)
    anew = petrain.torch.AdamW([permuted], state_dtype="int8")
    anew.load_state_dict(given)
    again = petrain.torch.AdamW([parameter(4, 3, 5, 5)])
    again.load_state_dict(anew.state_dict())
    torch.testing.assert_close(
        again.state_dict()["state"][0]["exp_avg"], opts[1].state[q]["exp_avg"], rtol=0.05, atol=1e-3
    )


def test_a_group_that_changes_its_state_dtype():
    params, opt = trained()
    full = copy.deepcopy(params)
    for state_dtype, kept in (("int8", "exp_avg_codes"), ("bfloat16", "exp_avg"), (None, "exp_avg")):
        opt.param_groups[0]["state_dtype"] = state_dtype
        set_grads(params, 3)
        opt.step()
        assert kept in opt.state[params[0]]
        assert len(opt.state[params[0]]) == (5 if state_dtype == "int8" else 3)
    _, twin = (full, petrain.torch.AdamW(full))
    twin.load_state_dict(trained()[1].state_dict())
    for _ in range(3):
        set_grads(full, 3)
        twin.step()
    for p, q in zip(params, full, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-4)  # of 3 steps of 1e-3


def test_codes_that_do_not_fit():
    p = parameter(100)
    opt = petrain.torch.AdamW([p], state_dtype="int8")
    set_grads([p], 0)
    opt.step()
    for change, message in [
        ({"exp_avg_scale": torch.ones(3)}, r"expected scales float32 \(2,\), got torch.float32 \(3,\)"),
        ({"exp_avg_codes": torch.ones(100)}, "expected dense codes of int8 or uint8, got torch.float32"),
    ]:
        given = copy.deepcopy(opt.state_dict())
        given["state"][0].update(change)
        with pytest.raises(ValueError, match=message):
            petrain.torch.AdamW([parameter(100)]).load_state_dict(given)
    given = {"step": torch.ones(()), "exp_avg": torch.full((100,), math.nan), "exp_avg_sq": torch.ones(100)}
    with pytest.raises(ValueError, match="exp_avg: expected finite numbers"):
        opt.load_state_dict({**opt.state_dict(), "state": {0: given}})
