"""When torch is imported, without it, with an older one; what keeps an optimizer alive."""

import gc
import subprocess
import sys
import weakref

import pytest

pytestmark = pytest.mark.once

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import parameter  # noqa: E402


def refer_from_a_hook(p, opt):
    p.register_hook(lambda grad: opt and None)


def refer_from_an_attribute(p, opt):
    p.opt = opt


@pytest.mark.parametrize("refer", [refer_from_a_hook, refer_from_an_attribute])
def test_a_cycle_of_a_parameter_and_its_optimizer_is_collected(refer):
    """As one of torch.optim is; what a hook after the accumulation refers to, torch never lets go of."""

    def make():
        p = parameter(3)
        opt = petrain.torch.AdamW([p])
        refer(p, opt)
        p.sum().backward()
        opt.step()
        assert opt._attachment is not None
        return [weakref.ref(p), weakref.ref(opt), weakref.ref(opt._attachment)]

    alive = make()
    gc.collect()
    assert [ref() for ref in alive] == [None] * 3


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_petrain_does_not_import_torch():
    done = run("import sys, petrain; assert 'torch' not in sys.modules and 'petrain.torch' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_without_torch():
    done = run("import sys; sys.modules['torch'] = None; import petrain.torch")
    assert "ImportError: petrain.torch needs PyTorch: pip install torch" in done.stderr


def test_a_torch_without_the_c_exchange():
    """As before version 2.10: slower, the same."""
    done = run(
        "import torch; del torch.Tensor.__dlpack_c_exchange_api__\n"
        "import petrain.torch\n"
        "p = torch.nn.Parameter(torch.ones(3, 2, 2, 2).to(memory_format=torch.channels_last))\n"
        "opt = petrain.torch.SGD([p], lr=0.5, momentum=0.9)\n"
        "for _ in range(3):\n"
        "    p.grad = torch.ones(3, 2, 2, 2)\n"
        "    opt.step()\n"
        "print(p.sum().item(), opt.last_step)"
    )
    want = 24 * (1 - 0.5 * (1 + 1.9 + 2.71))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[0]) == pytest.approx(want, rel=1e-6)
