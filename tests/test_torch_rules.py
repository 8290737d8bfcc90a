"""The rules of petrain.torch have the arguments of torch.optim, and take its steps."""

import inspect

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import (  # noqa: E402
    CASES,
    MATRIX_CASES,
    NATIVE,
    NATIVE_CASES,
    SHARED,
    default_dtype,
    set_grads,
    trajectory,
)

WITHOUT = {"Optimizer", "SparseAdam", "LBFGS", "Rprop", "ASGD"}  # petrain has none of these


def test_every_rule_has_a_class():
    assert set(NATIVE) <= set(petrain.torch.__all__)
    for name in NATIVE:
        assert issubclass(getattr(petrain.torch, name), torch.optim.Optimizer), name
    assert {name for name, _ in CASES + MATRIX_CASES} == set(SHARED)
    assert {name for name, _ in NATIVE_CASES} == set(NATIVE) - set(SHARED)
    known = {name for name, cls in vars(torch.optim).items() if isinstance(cls, type) and hasattr(cls, "step")}
    assert known - WITHOUT == set(SHARED)


@pytest.mark.parametrize("name", SHARED)
def test_the_arguments_of_torch(name):
    theirs = list(inspect.signature(getattr(torch.optim, name)).parameters.values())
    ours = list(inspect.signature(getattr(petrain.torch, name)).parameters.values())
    for their, our in zip(theirs, ours[: len(theirs)], strict=True):
        assert (our.name, our.kind, our.default) == (their.name, their.kind, their.default)
    assert {"state_dtype", "rounding", "seed"} <= {p.name for p in ours[len(theirs) :]}
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in ours[len(theirs) :])
    p = torch.nn.Parameter(torch.zeros(2, 2))
    defaults = getattr(petrain.torch, name)([p]).defaults
    for key, value in getattr(torch.optim, name)([p]).defaults.items():
        assert defaults[key] == value, key
    assert not getattr(petrain.torch, name)._fixed, "arguments of torch's that petrain does not have"


# Both compute in the parameter's type, each in its own order: a few rounding errors in each of 50 steps, which reach
# 1e-5 of the movement in float32. Of NAdam, torch keeps the product of the momenta in the default dtype whatever the
# parameter's is, so that has to be float64 too.
@pytest.mark.parametrize(("dtype", "rtol", "atol"), [(torch.float32, 2e-5, 4e-6), (torch.float64, 1e-11, 1e-12)])
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_the_trajectory_of_torch(name, arguments, dtype, rtol, atol):
    with default_dtype(dtype):
        ours = trajectory(getattr(petrain.torch, name), arguments, dtype)
        theirs = trajectory(getattr(torch.optim, name), arguments, dtype)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=rtol, atol=atol)
    for first, last in zip(ours[0], ours[-1], strict=True):
        assert (first - last).abs().max() > 1e-3


def test_nadam_in_float64_is_nearer_to_float64_than_torch():
    """The product of the momenta, in float64 here and in float32 there, is what differs."""
    arguments = {"lr": 0.02, "momentum_decay": 0.05}
    with default_dtype(torch.float64):
        exact = trajectory(torch.optim.NAdam, arguments, torch.float64)[-1]
    ours, theirs = (trajectory(m.NAdam, arguments, torch.float64)[-1] for m in (petrain.torch, torch.optim))
    errors = [max((p - q).abs().max().item() for p, q in zip(c, exact, strict=True)) for c in (ours, theirs)]
    assert errors[0] < 1e-12
    assert errors[1] > 1e-11


def by_hand(arguments, steps):
    """RAdam for one number in 40 digits, from the paper, with decoupled decay."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(40):
        lr, decay, eps = (mpmath.mpf(arguments[key]) for key in ("lr", "weight_decay", "eps"))
        beta1, beta2 = map(mpmath.mpf, arguments["betas"])
        p, m, v, longest = mpmath.mpf(1), mpmath.mpf(0), mpmath.mpf(0), 2 / (1 - beta2) - 1
        for t in range(1, steps + 1):
            g = mpmath.mpf(t % 5 - 1)
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
            p *= 1 - lr * decay
            length = longest - 2 * t * beta2**t / (1 - beta2**t)
            step = lr * m / (1 - beta1**t)
            if length > 5:
                rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
                step *= mpmath.sqrt(rectified * (1 - beta2**t)) / (mpmath.sqrt(v) + eps)
            p -= step
        return float(p)


@pytest.mark.parametrize("betas", [(0.8, 0.95), (0.8, 0.5)])
def test_radam_is_that_of_the_paper(betas):
    """With decoupled decay, which torch's formula puts before the step; rectified from the sixth step on, or never."""
    arguments = {"lr": 0.02, "betas": betas, "eps": 1e-6, "weight_decay": 0.1}
    p = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
    opt = petrain.torch.RAdam([p], decoupled_weight_decay=True, **arguments)
    for t in range(1, 51):
        p.grad = torch.tensor(float(t % 5 - 1), dtype=torch.float64)
        opt.step()
    assert p.item() == pytest.approx(by_hand(arguments, 50), rel=1e-13)


# torch keeps its states in bfloat16 too and rounds after every operation, petrain in float32: they drift apart. What
# can be asked is that petrain stays as near to the course in float64 as torch does. A tenth is left for luck.
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_bfloat16_is_no_further_from_float64_than_torch(name, arguments):
    shapes = [(40, 30), (100,)]
    exact = trajectory(getattr(torch.optim, name), arguments, torch.float64, shapes=shapes)[-1]
    errors = []
    for module in (petrain.torch, torch.optim):
        last = trajectory(getattr(module, name), arguments, torch.bfloat16, shapes=shapes)[-1]
        assert all(p.dtype is torch.bfloat16 for p in last)
        errors.append(sum((p.double() - q).abs().sum().item() for p, q in zip(last, exact, strict=True)))
    assert errors[0] < 1.1 * errors[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_sum_of_adagrad_is_there_before_the_first_step(dtype):
    p, q = (torch.nn.Parameter(torch.ones(3, dtype=dtype)) for _ in range(2))
    opt = petrain.torch.Adagrad([p], initial_accumulator_value=0.1)
    assert torch.equal(opt.state[p]["sum"], torch.full((3,), 0.1, dtype=dtype))
    assert opt.state[p]["step"].item() == 0
    opt.add_param_group({"params": [q], "initial_accumulator_value": 0.7})
    set_grads([q], 0)
    opt.step()
    torch.testing.assert_close(opt.state[q]["sum"], 0.7 + q.grad**2)
    assert torch.equal(opt.state[p]["sum"], torch.full((3,), 0.1, dtype=dtype))
    with pytest.raises(ValueError, match="initial_accumulator_value must be at least 0, got -1"):
        petrain.torch.Adagrad([p], initial_accumulator_value=-1)
