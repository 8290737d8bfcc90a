"""petrain.torch changes parameters and keeps states as petrain.optim does, to the last bit."""

import pytest
from petrain import optim

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import ALL_CASES, assert_equal, groups, tensors  # noqa: E402

NATIVE_FORM = {"foreach", "fused", "decoupled_weight_decay"}  # what the classes of petrain.optim do not have


def native(name, params, arguments):
    """The optimizer of petrain.optim that has the same rule."""
    own = {key: value for key, value in arguments.items() if key not in NATIVE_FORM or name in ("NAdam", "RAdam")}
    if name == "Adam" and arguments.get("decoupled_weight_decay"):
        name = "AdamW"
    return getattr(optim, name)(groups(name, params), **own)


def assert_the_same_bits(name, arguments, dtype, steps=5):
    params = [torch.nn.Parameter(p) for p in tensors(0, dtype=dtype)]
    native_params = [p.detach().clone() for p in params]
    opt = getattr(petrain.torch, name)(groups(name, params), **arguments)
    core = native(name, native_params, arguments)
    for step in range(steps):
        grads = tensors(step + 1, dtype=dtype)
        for p, grad in zip(params, grads, strict=True):
            p.grad = grad
        opt.step(max_norm=1.0, grad_scale=0.5)
        info = core.step(grads, max_norm=1.0, grad_scale=0.5)
        assert opt.last_step.grad_norm == info.grad_norm > 1
    assert_equal(params, native_params)
    assert not all(map(torch.equal, params, tensors(0, dtype=dtype)))
    return opt, core, params


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("name", "arguments"), ALL_CASES)
def test_every_rule(name, arguments, dtype):
    opt, core, params = assert_the_same_bits(name, arguments, dtype)
    for p, states in zip(params, core.state_dict()["state"], strict=True):
        for key, array in states.items():
            shown = opt.state[p][key]
            assert torch.equal(shown, torch.from_numpy(array).reshape(shown.shape)), key
    assert sum(len(states) for states in core.state_dict()["state"]) > 0 or name == "SGD"


OPTIONS = [
    {"state_dtype": "bfloat16"},
    {"state_dtype": "int8"},
    {"rounding": "stochastic", "seed": 7},
    {"rounding": "kahan"},
    {"rounding": "master", "state_dtype": "int8", "seed": 3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", ["SGD", "AdamW", "Adagrad", "Lion", "Muon", "GaLore"])
def test_every_option(name, options):
    arguments = {"GaLore": {"rank": 2}, "SGD": {"momentum": 0.9}}.get(name, {})
    opt, core, params = assert_the_same_bits(name, {"lr": 0.02, **arguments, **options}, torch.bfloat16)
    tensors_kept = {t.data_ptr(): t.nbytes for p in params for t in opt.state[p].values() if t.dim() or not p.dim()}
    assert core.state_bytes <= sum(tensors_kept.values()) < core.state_bytes + 16 * 4
    plain = getattr(petrain.torch, name)(groups(name, params), lr=0.02, **arguments)
    assert type(plain) is type(opt)
