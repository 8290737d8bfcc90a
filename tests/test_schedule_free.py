"""Schedule-Free AdamW: what its two points are, and going from one to the other."""

import numpy as np
import pytest
from optim_cases import DTYPES
from petrain import optim
from petrain._bfloat16 import to_bfloat16

HYPERS = {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1, "warmup_steps": 4, "r": 1.0}
KINDS = [(dtype, "nearest") for dtype in DTYPES] + [
    (dtype, rounding) for dtype in ("float16", "bfloat16") for rounding in ("stochastic", "kahan", "master")
]


def train(dtype, rounding, steps, rng):
    params = [rng.standard_normal(shape).astype(DTYPES[dtype]) for shape in ((3, 70), (), (0,), (300,))]
    opt = optim.ScheduleFreeAdamW(params, **HYPERS, rounding=rounding)
    for _ in range(steps):
        opt.step([rng.standard_normal(p.shape).astype(np.float32) for p in params])
    return params, opt


def test_the_average_is_that_of_the_paper(rng):
    """Algorithm 1 of arXiv 2405.15682 as it stands: three points, and the gradient at y."""
    beta1, beta2 = HYPERS["betas"]
    y = rng.standard_normal(50)
    z, x, v = y.copy(), y.copy(), np.zeros(50)
    p = y.copy()
    opt = optim.ScheduleFreeAdamW([p], **HYPERS)
    weights = largest = 0.0
    for t in range(1, 31):
        y = (1 - beta1) * z + beta1 * x
        np.testing.assert_allclose(p, y, rtol=1e-12, atol=1e-12)
        g = y + rng.standard_normal(50)
        opt.step([g])
        v = beta2 * v + (1 - beta2) * g * g
        step = HYPERS["lr"] * min(1, t / 4) * np.sqrt(1 - beta2**t)
        z = z - step * (g / (np.sqrt(v) + 1e-6) + 0.1 * y)
        largest = max(largest, step)
        weight = t * largest**2
        weights += weight
        x = (1 - weight / weights) * x + weight / weights * z
        opt.eval()
        np.testing.assert_allclose(p, x, rtol=1e-12, atol=1e-12)
        opt.train()


@pytest.mark.parametrize(("dtype", "rounding"), KINDS)
def test_there_and_back(rng, dtype, rounding):
    params, opt = train(dtype, rounding, 3, rng)
    y, state = [p.copy() for p in params], opt.state_dict()
    opt.eval()
    average = [p.copy() for p in params]
    assert (average[0] != y[0]).any()
    opt.eval()  # a second time changes nothing
    np.testing.assert_equal(params, average)
    for z, p, q in zip((s["z"] for s in state["state"]), average, y, strict=True):
        wide = q.astype(np.float64)
        tolerance = {"float64": 1e-14, "float32": 1e-6, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
        np.testing.assert_allclose(p.astype(np.float64), wide + (1 - 1 / 0.8) * (z - wide), tolerance, tolerance)
    opt.train()
    opt.train()
    np.testing.assert_equal(params, y)
    np.testing.assert_equal(opt.state_dict(), state)


@pytest.mark.parametrize("rounding", ["kahan", "master"])
def test_the_average_of_what_is_kept_beside_the_parameter(rng, rounding):
    half, opt = train("bfloat16", rounding, 200, rng)
    state = opt.state_dict()["state"][0]
    kept = state["master"] if rounding == "master" else half[0].astype("f4") + state["compensation"].astype("f4")
    opt.eval()
    np.testing.assert_array_equal(half[0], (kept + np.float32(1 - 1 / 0.8) * (state["z"] - kept)).astype(half[0].dtype))


def test_what_belongs_to_the_other_point_is_refused(rng, tmp_path):
    params, opt = train("float32", "nearest", 2, rng)
    saved = tmp_path / "y.safetensors"
    optim.save_checkpoint(saved, opt, params)
    opt.step([np.ones_like(p) for p in params])
    state = opt.state_dict()
    opt.eval()
    before = [p.copy() for p in params]
    unwritten = tmp_path / "average.safetensors"
    for refused in (
        lambda: opt.step([np.ones_like(p) for p in params]),
        opt.state_dict,
        lambda: opt.load_state_dict(state),
        lambda: optim.save_checkpoint(unwritten, opt, params),
        lambda: optim.load_checkpoint(saved, opt, params),
    ):
        with pytest.raises(RuntimeError, match=r"the parameters hold the average: call train\(\) before"):
            refused()
    np.testing.assert_equal(params, before)
    assert not unwritten.exists()
    opt.train()
    opt.load_state_dict(state)
    assert not opt.step([np.ones_like(p) for p in params]).skipped


@pytest.mark.parametrize("rule", ["adamw", "sgd"])
def test_a_group_of_another_rule_stays_as_it_is(rule):
    p, q = np.ones(3, np.float32), np.ones(3, np.float32)
    opt = optim.ScheduleFreeAdamW([{"params": [p]}, {"params": [q], "rule": rule}], lr=0.1)
    for _ in range(3):
        opt.step([p * 0.5, q * 0.5])
    y, before = p.copy(), q.copy()
    opt.eval()
    assert (p != y).all()
    assert (q == before).all()
    opt.train()
    assert (p == y).all()
    assert (q == before).all()


def without_ml_dtypes(core):
    """The core as it is where NumPy has no bfloat16: its arrays show the bits."""

    class Bits:
        def __getattr__(self, name):
            return getattr(core, name)

        def param(self, i):
            return core.param(i).view(np.uint16)

        def state(self, i):
            return {k: a.view(np.uint16) if a.dtype.itemsize == 2 else a for k, a in core.state(i).items()}

    return Bits()


@pytest.mark.parametrize("rounding", ["nearest", "kahan", "master"])
def test_bfloat16_without_ml_dtypes(rounding):
    params, opt = train("bfloat16", rounding, 5, np.random.default_rng(0))
    others, other = train("bfloat16", rounding, 5, np.random.default_rng(0))
    other._core = without_ml_dtypes(other._core)
    opt.eval()
    other.eval()
    np.testing.assert_equal(others, params)
    opt.train()
    other.train()
    np.testing.assert_equal(others, params)


def test_nan_stays_nan_in_bfloat16():
    values = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0x7F800000, 0x3F808000], np.uint32).view(np.float32)
    bits = to_bfloat16(values, np.dtype(np.uint16))
    assert [hex(b) for b in bits] == ["0x7fff", "0xffff", "0x7fc0", "0x7f80", "0x3f80"]


def test_before_the_first_step_and_after_a_group_has_been_added():
    p, q = np.ones(3, np.float32), np.full(4, 2, np.float32)
    opt = optim.ScheduleFreeAdamW([p], lr=0.1)
    opt.eval()
    opt.add_param_group({"params": [q], "betas": (0.5, 0.9)})
    opt.train()
    assert (p == 1).all()
    assert (q == 2).all()
    opt.step([p * 0.5, q * 0.5])
    opt.eval()
    opt.train()
    assert (p < 1).all()
    assert (q < 2).all()


def test_a_rate_of_zero_at_the_start_has_no_weight():
    p = np.ones(3)
    opt = optim.ScheduleFreeAdamW([p], lr=0.1)
    opt.param_groups[0]["lr"] = 0.0
    for _ in range(3):
        opt.step([np.ones(3)])
    assert opt.state_dict()["memory"] == [{"lr_max": 0.0, "weight_sum": 0.0}]
    np.testing.assert_array_equal(p, 1)
    opt.param_groups[0]["lr"] = 0.1
    opt.step([np.ones(3)])  # the first that counts: x is z
    opt.eval()
    np.testing.assert_allclose(p, opt._core.state(0)["z"], rtol=1e-12)


@pytest.mark.parametrize("betas", [(0.0, 0.9), (1.0, 0.9)])
def test_the_average_does_not_follow_from_z_alone(betas):
    with pytest.raises(ValueError, match=rf"beta1 must be in \(0, 1\), got {betas[0]:g}"):
        optim.ScheduleFreeAdamW([np.ones(3)], betas=betas)


def test_it_needs_no_schedule(rng):
    """On a noisy quadratic with a constant rate the average is closer to the goal than AdamW, and than y."""
    goal = rng.standard_normal(200)

    def distance(make):
        p = np.zeros(200)
        opt = make([p])
        for _ in range(2000):
            opt.step([p - goal + rng.standard_normal(200)])
        rough = np.linalg.norm(p - goal)
        if isinstance(opt, optim.ScheduleFreeAdamW):
            opt.eval()
        return np.linalg.norm(p - goal), rough

    average, y = distance(lambda p: optim.ScheduleFreeAdamW(p, lr=0.05))
    adamw, _ = distance(lambda p: optim.AdamW(p, lr=0.05, weight_decay=0.0))
    assert average < 0.5 * adamw
    assert average < y
