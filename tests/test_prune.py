"""Scores, masks, schedules and cut channels against tests/reference/prune.py, and what they refuse."""

import numpy as np
import petrain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from petrain import nn, prune
from reference import prune as reference


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def coarse(*shape, seed=0):
    """Scores of few values, so that many are equal, of both signs and with zeros of both."""
    values = np.array([-3, -1e-45, -0.0, 0.0, 1e-45, 1, 2, 3e38], np.float32)
    return np.random.default_rng(seed).choice(values, size=shape)


@pytest.mark.parametrize("make", [normal, coarse])
@pytest.mark.parametrize("shape", [(1,), (7,), (33,), (5, 40), (3, 4, 5), (64, 70)])
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_unstructured(make, shape, sparsity):
    scores = make(*shape)
    mask = prune.unstructured(scores, sparsity)
    keep = scores.size - round(scores.size * sparsity)
    assert mask.dtype == bool
    assert mask.sum() == keep
    np.testing.assert_array_equal(mask, reference.keep_greatest(scores, scores.size, keep))


@given(st.integers(1, 200), st.integers(0, 200), st.integers(0, 2**32 - 1), st.booleans())
def test_rows_of_any_length(k, keep, seed, ties):
    scores, keep = (coarse if ties else normal)(3, k, seed=seed), min(keep, k)
    mask = prune.rows(scores, 1 - keep / k)
    np.testing.assert_array_equal(mask, reference.keep_greatest(scores, k, keep))


@pytest.mark.parametrize("make", [normal, coarse])
@pytest.mark.parametrize(("n", "m"), [(2, 4), (4, 8), (1, 4), (0, 2), (3, 3), (1, 1), (20, 40)])
def test_n_m(make, n, m):
    for shape in [(m,), (5, 3 * m), (2, 3, 40 * m)]:
        scores = make(*shape)
        mask = prune.n_m(scores, n, m)
        np.testing.assert_array_equal(mask, reference.keep_greatest(scores, m, n))
        assert (mask.reshape(-1, m).sum(axis=1) == n).all()


@pytest.mark.parametrize("make", [normal, lambda *shape: np.abs(coarse(*shape)) % 4])
@pytest.mark.parametrize("block", [(1, 1), (4, 4), (1, 8), (2, 3), (12, 24)])
@pytest.mark.parametrize("sparsity", [0.25, 0.7])
def test_blocks(make, block, sparsity):
    scores = make(12, 24)
    count = scores.size // (block[0] * block[1])
    expected = reference.blocks(scores, *block, count - round(count * sparsity))
    np.testing.assert_array_equal(prune.blocks(scores, block, sparsity), expected)


def test_layers_compete():
    scores = {"a": normal(4, 5), "b": normal(3, 7, 2, seed=1) * 10, "c": normal(6, seed=2)}
    masks = prune.unstructured(scores, 0.6)
    joined = np.concatenate([array.reshape(-1) for array in scores.values()])
    expected = reference.keep_greatest(joined, joined.size, joined.size - round(joined.size * 0.6))
    np.testing.assert_array_equal(np.concatenate([masks[name].reshape(-1) for name in scores]), expected)
    assert {name: mask.shape for name, mask in masks.items()} == {name: s.shape for name, s in scores.items()}
    assert masks["b"].mean() > masks["a"].mean()
    assert prune.unstructured([], 0.5) == []


def test_of_equal_scores_the_earlier_is_kept():
    for size in (8, 5000, 100_000):
        mask = prune.unstructured(np.ones(size, np.float32), 0.75)
        np.testing.assert_array_equal(mask, np.arange(size) < size // 4)


def test_large_arrays_against_a_stable_sort(threads):
    scores = np.abs(normal(300, 1000)).round(2)
    order = np.argsort(-scores.reshape(-1), kind="stable")
    expected = np.zeros(scores.size, bool)
    expected[order[: scores.size - round(scores.size * 0.37)]] = True
    for count in (1, 2, 3):
        threads(count)
        np.testing.assert_array_equal(prune.unstructured(scores, 0.37).reshape(-1), expected)


def test_wanda():
    w, x = normal(6, 20), normal(500, 20, seed=1) * np.exp(normal(20, seed=2))
    norms = prune.ColumnNorms(20)
    for piece in np.array_split(x, [3, 7, 200]):
        norms.observe(piece)
    np.testing.assert_allclose(norms.norms, np.linalg.norm(np.float64(x), axis=0), rtol=1e-12)
    whole = prune.ColumnNorms(20)
    whole.observe(x)
    assert whole.norms.tobytes() == norms.norms.tobytes()
    assert whole.count == 500
    products = np.abs(w) * np.linalg.norm(np.float64(x), axis=0)
    np.testing.assert_array_equal(
        prune.rows(prune.wanda(w, norms), 0.5), reference.keep_greatest(products.astype(np.float32), 20, 10)
    )
    empty = prune.ColumnNorms(20)
    empty.observe(np.zeros((2, 20), np.float32))
    assert not prune.wanda(w, empty).any()


def test_wanda_of_large_numbers_is_finite():
    norms = prune.ColumnNorms(3)
    norms.observe(np.full((4, 3), 3e38, np.float32))
    np.testing.assert_allclose(prune.wanda(np.full((2, 3), 3e38, np.float32), norms), 3e38, rtol=1e-6)


def test_wanda_is_better_than_magnitude_where_inputs_differ(rng):
    x = rng.standard_normal((2000, 64), np.float32) * np.exp(2 * rng.standard_normal(64)).astype(np.float32)
    w, norms = rng.standard_normal((32, 64), np.float32), prune.ColumnNorms(64)
    norms.observe(x)
    errors = [
        np.linalg.norm(x @ (w * ~prune.rows(scores, 0.5)).T) for scores in (prune.wanda(w, norms), prune.magnitude(w))
    ]
    assert errors[0] < 0.5 * errors[1]


def test_movement():
    params = {"a": normal(3, 4), "b": normal(5, seed=1)}
    movement, expected = prune.Movement(params), {name: np.zeros_like(array) for name, array in params.items()}
    for step in range(5):
        gradients = {name: normal(*array.shape, seed=10 + step) for name, array in params.items()}
        movement.add(gradients)
        for name, array in params.items():
            expected[name] -= array * gradients[name]
            array -= 0.1 * gradients[name]
    for name in params:
        np.testing.assert_array_equal(movement.scores[name], expected[name])
    before = {name: array.copy() for name, array in movement.scores.items()}
    with pytest.raises(ValueError, match="gradients: expected finite values"):
        movement.add({"a": np.zeros((3, 4), np.float32), "b": np.full(5, np.inf, np.float32)})
    for name in params:
        np.testing.assert_array_equal(movement.scores[name], before[name])


def test_the_schedule():
    values = [prune.cubic_sparsity(step, 10, 110, 0.9, 0.2) for step in range(130)]
    assert values[:11] == [0.2] * 11
    assert values[110:] == [0.9] * 20
    assert values == sorted(values)
    for step in (11, 50, 109):
        assert values[step] == pytest.approx(0.9 - 0.7 * (1 - (step - 10) / 100) ** 3, rel=1e-14)


@pytest.mark.parametrize("rule", ["SGD", "AdamW"])
def test_masks_survive_steps(rule):
    params = {"w": normal(40, 30), "b": normal(40, seed=1)}
    masks = {"w": prune.n_m(prune.magnitude(params["w"][:, :28].copy()), 2, 4), "b": np.ones(40, bool)}
    masks["w"] = np.concatenate([masks["w"], np.zeros((40, 2), bool)], axis=1)
    held = prune.Masks(params, {"b": masks["b"], "w": masks["w"]})
    held.apply()
    opt = getattr(petrain.optim, rule)(params, lr=0.1)
    free = {name: array.copy() for name, array in params.items()}
    other = getattr(petrain.optim, rule)(free, lr=0.1)
    for step in range(20):
        gradients = {name: normal(*array.shape, seed=step) for name, array in params.items()}
        opt.step(gradients)
        held.apply()
        other.step(gradients)
        assert not params["w"][~masks["w"]].any()
        assert not np.signbit(params["w"][~masks["w"]]).any()
    np.testing.assert_array_equal(params["w"][masks["w"]], free["w"][masks["w"]])
    np.testing.assert_array_equal(params["b"], free["b"])
    assert held.sparsity == (~masks["w"]).sum() / 1240


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8"])
def test_masks_of_any_dtype(dtype, threads):
    mask = prune.unstructured(normal(70_000), 0.3)
    for count in (1, 2):
        threads(count)
        array = np.full(70_000, -3, dtype)
        array[5] = -7
        prune.Masks([array], [mask]).apply()
        expected = np.where(mask, np.full(70_000, -3, dtype), 0).astype(dtype)
        expected[5] = -7 if mask[5] else 0
        assert array.tobytes() == expected.tobytes()


def test_masks_write_all_or_nothing():
    arrays = [np.ones(4, np.float32), np.ones(4, np.float32)]
    arrays[1].setflags(write=False)
    held = prune.Masks(arrays, [np.zeros(4, bool)] * 2)
    with pytest.raises(ValueError, match="write"):
        held.apply()
    assert arrays[0].all()


def test_masks_on_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    w = torch.nn.Linear(8, 4).weight.detach().to(torch.bfloat16)
    mask = prune.n_m(prune.magnitude(w.float()), 2, 4)
    prune.Masks([w], [mask]).apply()
    np.testing.assert_array_equal(w.float().numpy() != 0, mask)


def test_channels():
    scores = np.abs(normal(9, 4, 3, 3))
    means = scores.reshape(9, -1).mean(axis=1)
    keep = prune.channels(scores, 1 / 3)
    np.testing.assert_array_equal(keep, reference.keep_greatest(means, 9, 6))


def test_a_cut_model_computes_what_zeros_would():
    nn.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 10, bias=False), nn.ReLU(), nn.Linear(10, 3))
    keep = {0: prune.channels(prune.magnitude(normal(20, 6)), 0.5), 2: prune.channels(normal(10, 20, seed=1), 0.3)}
    small = prune.cut_model(model, keep)
    assert repr(small) == ("Sequential(Linear(6, 10), ReLU(), Linear(10, 7, bias=False), ReLU(), Linear(7, 3))")
    x, before = normal(50, 6), model(normal(50, 6))
    params = model.parameters()
    np.testing.assert_array_equal(model(x), before)
    params["0.weight"][~keep[0]] = 0
    params["0.bias"][~keep[0]] = 0
    params["2.weight"][~keep[2]] = 0
    np.testing.assert_allclose(small(x), model(x), rtol=1e-5, atol=1e-6)
    loss, gradient = nn.cross_entropy(small.forward(x, training=True), np.arange(50) % 3)
    small.backward(gradient)
    assert loss > 0
    assert small.gradients()["0.weight"].shape == (10, 6)


def test_cut_convolutions():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    functional = torch.nn.functional
    w, bias, second, dense = normal(8, 3, 3, 3), normal(8), normal(5, 8, 3, 3, seed=1), normal(4, 5 * 16, seed=2)
    keep, last = prune.channels(prune.magnitude(w), 0.4), prune.channels(prune.magnitude(second), 0.4)
    w1, b1, w2 = prune.cut_channels(w, bias, second, keep)
    w2, none, w3 = prune.cut_channels(w2, None, dense, last)
    assert none is None
    assert (w1.shape, w2.shape, w3.shape) == ((5, 3, 3, 3), (3, 5, 3, 3), (4, 48))

    def run(*arrays):
        a, b, c, d = (torch.from_numpy(array) for array in arrays)
        y = functional.relu(functional.conv2d(torch.from_numpy(normal(2, 3, 8, 8, seed=5)), a, b))
        return (functional.relu(functional.conv2d(y, c)).flatten(1) @ d.T).numpy()

    w[~keep] = 0
    bias[~keep] = 0
    second[~last] = 0
    np.testing.assert_allclose(run(w1, b1, w2, w3), run(w, bias, second, dense), rtol=1e-4, atol=1e-4)


X = normal(4, 8)
MASK = np.ones((4, 8), bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prune.magnitude(X.astype(np.float64)), "w: expected float32, got float64"),
        (lambda: prune.magnitude(np.full(2, np.nan, np.float32)), "w: expected finite values, got nan"),
        (lambda: prune.unstructured(np.full(50, np.inf, np.float32), 0.5), "scores: expected finite values, got inf"),
        (lambda: prune.unstructured(X, 1.5), "sparsity: expected a number from 0 to 1, got 1.5"),
        (lambda: prune.unstructured(X, float("nan")), "sparsity: expected a number from 0 to 1, got nan"),
        (lambda: prune.rows(X[0], 0.5), r"scores: expected float32 of 2 dimensions, got float32 \(8,\)"),
        (lambda: prune.n_m(X, 2, 3), "scores: expected a last axis that is a multiple of 3"),
        (lambda: prune.n_m(X, 5, 4), "n: expected an integer from 0 to 4, got 5"),
        (lambda: prune.n_m(X, 0, 0), "m: expected an integer from 1"),
        (lambda: prune.blocks(X, (3, 2), 0.5), r"scores: expected a matrix that blocks of \(3, 2\) fill"),
        (lambda: prune.blocks(X, (0, 2), 0.5), "shape: expected an integer from 1"),
        (lambda: prune.channels(X[:0], 0.5), r"scores: expected shape \(outputs, ...\), not empty, got \(0, 8\)"),
        (lambda: prune.ColumnNorms(0), "columns: expected at least 1, got 0"),
        (lambda: prune.ColumnNorms(3).observe(X), r"x: expected shape \(…, 3\), got \(4, 8\)"),
        (lambda: prune.wanda(X, prune.ColumnNorms(8)), "norms: expected one that has seen rows, got none"),
        (lambda: prune.Movement([X]).add([X, X]), "gradients: expected 1, got 2"),
        (lambda: prune.Movement([X]).add([X[:2]]), r"gradients: expected shape \(4, 8\), got \(2, 8\)"),
        (lambda: prune.Masks([X], []), "masks: expected 1, got 0"),
        (lambda: prune.Masks([X], [MASK[:2]]), r"masks: expected shape \(4, 8\), got \(2, 8\)"),
        (lambda: prune.cubic_sparsity(1, 5, 5, 0.5), "end: expected an integer from 6"),
        (lambda: prune.cubic_sparsity(1, 0, 5, 0.5, 0.6), "initial: expected at most final, 0.5, got 0.6"),
        (lambda: prune.cut_channels(X, None, normal(2, 4), MASK[:, 0] & False), "keep: expected at least one output"),
        (lambda: prune.cut_channels(X, None, normal(2, 4), MASK[0]), "keep: expected one for each output"),
        (lambda: prune.cut_channels(X, None, normal(2, 5), MASK[:, 0]), "following: expected a multiple of 4 inputs"),
        (lambda: prune.cut_channels(X, X[0], normal(2, 4), MASK[:, 0]), r"bias: expected shape \(4,\), got \(8,\)"),
        (lambda: prune.cut_model(nn.Sequential(nn.Linear(2, 3)), {0: MASK[0, :3]}), "expected a linear layer after"),
        (lambda: prune.cut_model(nn.Sequential(nn.ReLU()), {0: MASK[0]}), "expected the index of a linear layer"),
        (lambda: prune.cut_model(nn.Sequential(nn.ReLU()), {7: MASK[0]}), "expected the index of a linear layer"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prune.Masks([X], [X]), "masks: expected a NumPy array of bool, got float32"),
        (lambda: prune.Masks([X], [[True]]), "masks: expected a NumPy array of bool, got list"),
        (lambda: prune.n_m(X, 2.0, 4), "n: expected an integer, got 2.0"),
        (lambda: prune.unstructured(X, "half"), "sparsity: expected a number, got 'half'"),
        (lambda: prune.wanda(X, X), "norms: expected ColumnNorms, got ndarray"),
        (lambda: prune.unstructured(5, 0.5), "expected a list or a dict of arrays, got int"),
    ],
)
def test_wrong_types(call, message):
    with pytest.raises(TypeError, match=message):
        call()
