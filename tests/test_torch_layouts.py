"""Parameters and gradients that are not contiguous are updated all the same, and nothing around them."""

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import BOTH, assert_same  # noqa: E402


def conv_weight():
    return torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(1)).to(memory_format=torch.channels_last)


LAYOUTS = {
    "0-d": lambda: torch.tensor(2.0),
    "empty": lambda: torch.ones(0, 3),
    "channels_last": conv_weight,
    "transposed": lambda: torch.randn(4, 6, generator=torch.Generator().manual_seed(1)).t(),
    "every second": lambda: torch.randn(8, 6, generator=torch.Generator().manual_seed(1))[::2, ::3],
    "an offset": lambda: torch.arange(20.0)[3:11],
    "one row": lambda: torch.ones(5, 1).t(),
    "strides of an axis of one": lambda: torch.ones(3).as_strided((3, 1), (1, 7)),
}


@pytest.mark.parametrize("of_gradient", ["as autograd does", "contiguous", "transposed"])
@pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_layouts(make, of_gradient):
    courses, storages = [], []
    for module in BOTH:
        p = torch.nn.Parameter(make())
        whole = torch.empty(0).set_(p.untyped_storage())
        around = whole.clone()
        opt = module.AdamW([p], lr=0.1)
        for step in range(5):
            factor = torch.randn(p.shape, generator=torch.Generator().manual_seed(step))
            if of_gradient == "as autograd does":
                opt.zero_grad()
                (p * factor).sum().backward()
            elif of_gradient == "contiguous":
                p.grad = factor
            else:
                axes = tuple(range(p.dim()))[::-1]
                p.grad = factor.permute(axes).contiguous().permute(axes)
            opt.step(**({"zero_grads": True} if module is petrain.torch else {}))
        if module is petrain.torch:
            assert not p.grad.any()
        if p.numel():
            assert opt.state[p]["exp_avg"].shape == p.shape
            assert not torch.equal(whole, around)
        courses.append([p])
        storages.append(whole)  # what lies between the elements is left alone
    assert_same(*courses)
    assert_same([storages[0]], [storages[1]])


def test_the_state_of_a_permuted_parameter_is_laid_out_like_it():
    p = torch.nn.Parameter(conv_weight())
    opt = petrain.torch.AdamW([p])
    p.square().sum().backward()
    assert p.grad.stride() == p.stride()
    opt.step()
    assert opt.state[p]["exp_avg"].stride() == p.stride()
    torch.testing.assert_close(opt.state[p]["exp_avg"], 0.1 * p.grad)
    assert not opt._attachment.copies
