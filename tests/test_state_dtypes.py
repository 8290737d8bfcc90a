"""States in 16 and 8 bits: what they weigh, that zero stays zero, that training does not notice."""

import numpy as np
import pytest
from petrain import nn, optim

STATES = [None, "float32", "bfloat16", "int8"]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("dtype", "most"), [("float32", 8), ("bfloat16", 4), ("int8", 2.13)])
def test_bytes_of_adamw(dtype, most):
    params = [normal(1000, 64), normal(64)]
    opt = optim.AdamW(params, state_dtype=dtype)
    assert opt.state_bytes <= most * sum(p.size for p in params)
    names = {"exp_avg", "exp_avg_sq"} | ({"exp_avg_scale", "exp_avg_sq_scale"} if dtype == "int8" else set())
    assert set(opt.state_dict()["state"][0]) == names


@pytest.mark.parametrize("dtype", STATES)
@pytest.mark.parametrize("size", [1, 63, 64, 65, 255, 256, 257, 16384, 40001])
def test_zero_gradients_never_drift(dtype, size):
    start = normal(size)
    p = start.copy()
    opt = optim.AdamW([p], lr=0.1, weight_decay=0.0, state_dtype=dtype)
    grad = np.zeros(size, np.float32)
    grad[size // 2] = 1.0  # a neighbour that moves
    for _ in range(300):
        opt.step([grad])
    still = np.arange(size) != size // 2
    np.testing.assert_array_equal(p[still], start[still])
    assert p[size // 2] < start[size // 2] - 1


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_the_same_bits_for_any_thread_count(dtype, threads):
    results = []
    for count in (1, 2, 3):
        threads(count)
        params = [normal(100003), normal(7), normal(300, 300)]
        opt = optim.AdamW(params, lr=0.01, state_dtype=dtype)
        for step in range(3):
            opt.step([normal(*p.shape, seed=step) for p in params])
        results.append([*params, *(a for state in opt.state_dict()["state"] for a in state.values())])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_moments_follow_gradients_that_change(dtype):
    """Decay is slower than a code's step: rounding to the nearest would never see it."""
    p = np.zeros(4096, np.float32)
    opt = optim.AdamW([p], lr=1e-6, betas=(0.9, 0.999), state_dtype=dtype)
    large = np.abs(normal(4096)) + 0.5
    for _ in range(200):
        opt.step([large])
    reference = 0.001 * large**2 * sum(0.999**k for k in range(200))
    for _ in range(2000):  # half of the entries fall silent
        grad = large.copy()
        grad[::2] *= 0.01
        opt.step([grad])
    reference = reference * 0.999**2000 + 0.001 * grad.astype(np.float64) ** 2 * sum(0.999**k for k in range(2000))
    state = opt.state_dict()["state"][0]
    v = state["exp_avg_sq"].astype(np.float64)
    if dtype == "int8":  # codes.hpp: the upper bits of x + 2^-16, above those of 2^-16
        first = np.uint32(0x37800000)
        values = ((np.arange(256, dtype=np.uint32) << 19) + first).view(np.float32).astype(np.float64) - 2.0**-16
        v = values[state["exp_avg_sq"]] / values[255] * np.repeat(state["exp_avg_sq_scale"], 64)
    ratio = np.sqrt(v / reference)
    assert np.median(ratio[::2]) == pytest.approx(1, abs=0.05)
    assert np.median(ratio[1::2]) == pytest.approx(1, abs=0.05)


def accuracy_and_loss(seed, dtype):
    digits = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed").load_digits()
    x, labels = (digits.data / 16).astype(np.float32), digits.target
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = order[:1300], order[1300:]
    nn.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.AdamW(model.parameters(), lr=3e-3, state_dtype=dtype, seed=seed)
    rng = np.random.default_rng(seed)
    for _ in range(15):
        for batch in np.array_split(rng.permutation(train), 20):
            _, gradient = nn.cross_entropy(model.forward(x[batch], training=True), labels[batch])
            model.backward(gradient)
            opt.step(model.gradients())
    return (model(x[test]).argmax(1) == labels[test]).mean(), nn.cross_entropy(model(x[train]), labels[train])[0]


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_training_does_not_notice(dtype):
    full = np.array([accuracy_and_loss(seed, None) for seed in range(5)])
    low = np.array([accuracy_and_loss(seed, dtype) for seed in range(5)])
    noise = full.std(axis=0, ddof=1)
    difference = low.mean(axis=0) - full.mean(axis=0)
    assert abs(difference[0]) < max(2 * noise[0], 0.006), (full, low)
    assert abs(difference[1]) < max(2 * noise[1], 0.1 * full[:, 1].mean()), (full, low)


@pytest.mark.parametrize("dtype", STATES)
@pytest.mark.parametrize("param", [np.float32, np.float64, np.float16])
def test_resume_is_bit_identical(dtype, param):
    params = [normal(1000).astype(param), normal(3, 5).astype(param)]
    opt = optim.AdamW(params, lr=0.01, state_dtype=dtype)
    grads = [[normal(*p.shape, seed=10 * s) for p in params] for s in range(6)]
    for g in grads[:3]:
        opt.step(g)
    saved, copies = opt.state_dict(), [p.copy() for p in params]
    for g in grads[3:]:
        opt.step(g)
    again = optim.AdamW(copies, lr=0.5, state_dtype=dtype)
    again.load_state_dict(saved)
    for g in grads[3:]:
        again.step(g)
    for a, b in zip(params, copies, strict=True):
        np.testing.assert_array_equal(a, b)


def test_bad_state_dtype():
    with pytest.raises(ValueError, match='state_dtype: expected one of float32, bfloat16, int8, got "int4"'):
        optim.AdamW([normal(3)], state_dtype="int4")
    with pytest.raises(ValueError, match="state_dtype of group 0 'float32', got 'int8'"):
        optim.AdamW([normal(3)], state_dtype="float32").load_state_dict(
            optim.AdamW([normal(3)], state_dtype="int8").state_dict()
        )


@pytest.mark.parametrize("param", [np.float32, np.float64])
def test_a_huge_gradient_makes_no_nan_of_its_neighbours(param):
    p = np.ones(64, param)
    opt = optim.AdamW([p], state_dtype="int8")
    for value in (1e19, 1e20, 1, 1):
        grad = np.ones(64, np.float32)
        grad[5] = value
        assert not opt.step([grad]).skipped
        assert np.isfinite(p).all()
