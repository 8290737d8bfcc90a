"""The rules of petrain.torch with arguments away from their defaults, and the tensors that the tests give them."""

import contextlib

import pytest
from petrain import optim

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402

BOTH = (petrain.torch, torch.optim)
NATIVE = [name for name in optim.__all__ if isinstance(getattr(optim, name), type)]
NATIVE = [name for name in NATIVE if issubclass(getattr(optim, name), optim.Optimizer) and name != "Optimizer"]
SHARED = [name for name in NATIVE if hasattr(torch.optim, name)]
MATRICES_ALONE = ("Muon", "GaLore", "APOLLO")

KIN = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
SETTINGS = {
    "SGD": [
        {"lr": 0.05},
        {"lr": 0.05, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.05, "momentum": 0.9},
        {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
        {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    ],
    "Adagrad": [
        {"lr": 0.05},
        {"lr": 0.05, "lr_decay": 0.1, "weight_decay": 0.01, "eps": 1e-6, "maximize": True},
        {"lr": 0.05, "initial_accumulator_value": 0.5},
    ],
    "Adadelta": [{}, {"lr": 0.5, "rho": 0.7, "eps": 1e-5, "weight_decay": 0.1, "maximize": True}],
    "RMSprop": [
        {},
        {"lr": 0.02, "alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.02, "momentum": 0.7},
        {"lr": 0.02, "eps": 1e-2, "centered": True},
        {"lr": 0.02, "eps": 1e-2, "centered": True, "momentum": 0.7, "alpha": 0.9},
    ],
    "Adam": [
        {"lr": 0.02},
        KIN,
        {**KIN, "amsgrad": True, "maximize": True},
        {**KIN, "decoupled_weight_decay": True},
        {**KIN, "foreach": True},
    ],
    "AdamW": [{"lr": 0.02}, KIN, {**KIN, "amsgrad": True, "maximize": True}, {**KIN, "fused": True}],
    "Adamax": [{"lr": 0.02}, {**KIN, "maximize": True}],
    "NAdam": [
        {"lr": 0.02},
        {**KIN, "momentum_decay": 0.05, "maximize": True},
        {**KIN, "decoupled_weight_decay": True},
    ],
    "RAdam": [
        {"lr": 0.02},
        {**KIN, "maximize": True},
        {**KIN, "decoupled_weight_decay": True},
        {**KIN, "betas": (0.8, 0.5), "decoupled_weight_decay": True},  # never rectified
    ],
}
CASES = [(name, arguments) for name, settings in SETTINGS.items() for arguments in settings]
MATRIX_CASES = [  # of torch's rules that see a matrix
    ("Adafactor", {}),
    ("Adafactor", {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-6, 0.01), "d": 1.5, "weight_decay": 0.1}),
    ("Adafactor", {"maximize": True}),
    ("Muon", {}),
    (
        "Muon",
        {"lr": 0.02, "weight_decay": 0.3, "momentum": 0.8, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"},
    ),
    ("Muon", {"lr": 0.02, "ns_coefficients": (2.0, -1.5, 0.5), "ns_steps": 7, "eps": 1e-3}),
]
NATIVE_CASES = [  # of rules that torch does not have
    ("Momentum", {"momentum": 0.8, "weight_decay": 0.1}),
    ("AdEMAMix", {"betas": (0.8, 0.95, 0.99), "alpha": 2.0, "t_alpha": 3, "t_beta3": 3}),
    ("Lion", {"betas": (0.8, 0.95), "weight_decay": 0.1}),
    ("LAMB", KIN),
    ("LARS", {"momentum": 0.8, "weight_decay": 0.1}),
    ("ScheduleFreeAdamW", {**KIN, "warmup_steps": 3}),
    ("GaLore", {"rank": 2, "update_proj_gap": 3, "betas": (0.8, 0.95)}),
    ("GaLore", {"base": "sgd_momentum", "rank": 3, "momentum": 0.8, "proj_type": "reverse_std"}),
    ("APOLLO", {"rank": 2, "update_proj_gap": 3, "weight_decay": 0.1}),
    ("APOLLO", {"base": "lion", "rank": 1, "scale_type": "tensor", "norm_growth": 0.0}),
]
ALL_CASES = CASES + MATRIX_CASES + NATIVE_CASES
SHAPES = [(7, 5), (5,), (3, 2, 2), ()]


def tensors(seed, shapes=SHAPES, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def groups(name, params):
    """What the rule cannot update goes into a group of its own."""
    if name not in MATRICES_ALONE:
        return params
    matrices, others = ([p for p in params if (p.dim() == 2) == is_matrix] for is_matrix in (True, False))
    return [{"params": matrices}, {"params": others, "rule": "adamw", "lr": 0.02}] if others else matrices


def trajectory(cls, arguments, dtype, steps=50, shapes=SHAPES):
    """The parameters after each step, with gradients that do not depend on them."""
    params = [torch.nn.Parameter(p.to(dtype)) for p in tensors(0, shapes, torch.bfloat16)]
    opt = cls(params, **arguments)
    course = []
    for step in range(steps):
        set_grads(params, step + 1)
        opt.step()
        course.append([p.detach().clone() for p in params])
    return course


def parameter(*shape, seed=0, dtype=torch.float32):
    return torch.nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype))


def set_grads(params, seed):
    """The same numbers for every dtype."""
    for p, grad in zip(params, tensors(seed, [p.shape for p in params], torch.bfloat16), strict=True):
        p.grad = grad.to(p.dtype)


def assert_same(ours, theirs):
    torch.testing.assert_close([p.detach() for p in ours], [p.detach() for p in theirs], rtol=2e-5, atol=4e-6)


def assert_equal(ours, theirs):
    for p, q in zip(ours, theirs, strict=True):
        assert torch.equal(p, q)


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
