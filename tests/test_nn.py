"""Layers against float64 references, gradients against finite differences, and what they refuse."""

import numpy as np
import petrain
import pytest
from petrain import nn
from reference import nn as reference


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def mlp(seed=0, factors=False):
    nn.manual_seed(seed)
    middle = nn.Linear(7, 6)
    if factors:
        weight = nn.LowRankWeight(nn.DenseWeight(normal(6, 3)), nn.DenseWeight(normal(3, 7)))
        middle = nn.Linear.from_weight(weight, normal(6))
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), middle, nn.ReLU(), nn.Linear(6, 4, bias=False))


@pytest.mark.parametrize(
    ("rows", "features", "outputs"), [(1, 1, 1), (3, 5, 2), (17, 33, 65), (130, 300, 70), (0, 4, 3)]
)
def test_linear(rows, features, outputs):
    x, dy = normal(rows, features), normal(rows, outputs, seed=1)
    model = nn.Sequential(nn.Linear(features, outputs, seed=3))
    model.parameters()["0.bias"][:] = normal(outputs, seed=2)
    weight, bias = (model.parameters()[name].astype(np.float64) for name in ("0.weight", "0.bias"))
    y = model.forward(x, training=True)
    dx = model.backward(dy, input_gradient=True)
    dw, db, dx_expected = reference.linear_backward(x.astype(np.float64), weight, dy.astype(np.float64))
    gradients = model.gradients()
    for got, expected in (
        (y, reference.linear(x, weight, bias)),
        (gradients["0.weight"], dw),
        (gradients["0.bias"], db),
        (dx, dx_expected),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("factors", [False, True])
def test_gradients_against_finite_differences(factors):
    x, labels = normal(9, 5), np.arange(9) % 4
    model = mlp(factors=factors)
    loss, gradient = nn.cross_entropy(model.forward(x, training=True), labels)
    dx = model.backward(gradient, input_gradient=True)
    arrays = {**model.parameters(), "x": x}
    gradients = {**{name: array.copy() for name, array in model.gradients().items()}, "x": dx}
    assert sorted(arrays) == sorted(gradients)
    for name, array in arrays.items():
        direction = np.random.default_rng(7).normal(size=array.shape)
        start = array.copy()
        ends = []
        for step in (1e-3, -1e-3):
            array[...] = start + step * direction
            ends.append(nn.cross_entropy(model(x), labels)[0])
        array[...] = start
        assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(float((direction * gradients[name]).sum()), abs=2e-3)
    assert nn.cross_entropy(model(x), labels)[0] == loss


@pytest.mark.parametrize("classes", [1, 2, 10, 16, 17, 1000])
@pytest.mark.parametrize("size", [1e-3, 1.0, 50.0])
def test_cross_entropy(classes, size):
    logits = normal(13, classes) * np.float32(size)
    labels = np.arange(13) % classes
    loss, gradient = nn.cross_entropy(logits, labels)
    expected_loss, expected_gradient = reference.cross_entropy(logits, labels)
    assert loss == pytest.approx(expected_loss, rel=2e-6, abs=1e-7)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6, atol=1e-8)


def test_cross_entropy_at_extreme_logits():
    logits = np.array([[3e38, -3e38], [-3e38, 3e38], [-88.5, 0]], np.float32)
    loss, gradient = nn.cross_entropy(logits, np.array([0, 1, 1]))
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, np.zeros((3, 2), np.float32))
    assert np.isnan(nn.cross_entropy(np.array([[np.nan, 0]], np.float32), np.array([0]))[0])


def test_relu_keeps_zero_and_nan():
    model = nn.Sequential(nn.ReLU())
    x = np.array([[-1, -0.0, 0, 2, np.nan, np.inf, -np.inf]], np.float32)
    np.testing.assert_array_equal(model(x), reference.relu(x))
    model.forward(x, training=True)
    gradient = model.backward(np.ones_like(x), input_gradient=True)
    np.testing.assert_array_equal(gradient, np.array([[0, 0, 0, 1, 0, 1, 0]], np.float32))


def test_one_sample_and_a_batch_give_the_same_bits():
    x, model = normal(50, 5), mlp()
    batch = model(x)
    for row in range(50):
        np.testing.assert_array_equal(model(x[row]), batch[row])


def test_the_same_bits_for_any_thread_count():
    threads = petrain.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            petrain.set_num_threads(count)
            model = nn.Sequential(nn.Linear(300, 520, seed=1), nn.ReLU(), nn.Linear(520, 40, seed=2))
            y = model.forward(normal(200, 300), training=True)
            model.backward(nn.cross_entropy(y, np.arange(200) % 40)[1])
            results.append([y, *model.gradients().values()])
    finally:
        petrain.set_num_threads(threads)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_factors_stand_for_their_product():
    a, b = normal(6, 2), normal(2, 5)
    weight = nn.LowRankWeight(nn.DenseWeight(a), nn.DenseWeight(b))
    assert (weight.rank, weight.shape, weight.nbytes, weight.format) == (2, (6, 5), 4 * 22, "low_rank")
    np.testing.assert_allclose(weight.dense(), a @ b, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"expected a \(out, rank\) and b \(rank, in\), got \(6, 2\) and \(3, 5\)"):
        nn.LowRankWeight(nn.DenseWeight(a), nn.DenseWeight(normal(3, 5)))


@pytest.mark.parametrize("name", ["he_uniform", "he_normal", "xavier_uniform", "xavier_normal"])
def test_init_has_the_right_spread(name):
    weight = np.empty((300, 500), np.float32)
    getattr(nn.init, name)(weight, seed=1)
    variance = 2 / 500 if name.startswith("he") else 2 / 800
    assert weight.std() == pytest.approx(variance**0.5, rel=0.01)
    assert weight.mean() == pytest.approx(0, abs=3e-4)
    if name.endswith("uniform"):
        assert abs(weight).max() <= np.float32((3 * variance) ** 0.5)
    again = np.empty_like(weight)
    getattr(nn.init, name)(again, seed=1)
    np.testing.assert_array_equal(weight, again)
    getattr(nn.init, name)(again, seed=2)
    assert (weight != again).mean() > 0.99


def test_layers_differ_and_manual_seed_repeats_them():
    nn.manual_seed(5)
    first, second = nn.Linear(4, 4).weight.dense(), nn.Linear(4, 4).weight.dense()
    nn.manual_seed(5)
    np.testing.assert_array_equal(nn.Linear(4, 4).weight.dense(), first)
    assert (first != second).all()


def test_arrays_outlive_the_model():
    model = mlp()
    weight = model.parameters()["0.weight"]
    expected = weight.copy()
    del model
    np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(normal(2, 4)), r"expected an input of shape \(rows, 5\), got \(2, 4\)"),
        (lambda m: m(normal(2, 5).astype(np.float64)), "expected dtype float32, got float64"),
        (lambda m: m(normal(5, 2).T), "expected a C-contiguous array"),
        (lambda m: m(normal(2, 2, 5)), r"expected an input of shape \(rows, 5\)"),
        (lambda m: m.backward(normal(2, 4)), "needs a forward pass with training"),
        (lambda m: m.gradients(), "no gradients yet"),
        (lambda m: nn.cross_entropy(normal(2, 4), np.array([0, 4])), "label 1: expected 0 to 3, got 4"),
        (lambda m: nn.cross_entropy(normal(2, 4), np.array([0, -1])), "label 1: expected 0 to 3, got -1"),
        (lambda m: nn.cross_entropy(normal(2, 4), np.array([0])), "expected 2 labels, got 1"),
        (lambda m: nn.cross_entropy(normal(2, 4), np.array([0.0, 1.0])), "labels: expected integers, got float64"),
        (lambda m: nn.cross_entropy(normal(0, 4), np.array([], int)), "not empty"),
        (lambda m: nn.Sequential(), "at least one layer"),
        (lambda m: nn.Linear(0, 3), "at least 1 feature in and out, got 0 and 3"),
        (lambda m: nn.Linear(3, 3, init="he"), 'expected one of .*, got "he"'),
        (
            lambda m: nn.Linear.from_weight(nn.DenseWeight(normal(3, 2)), normal(2)),
            r"bias: expected shape \(3,\), got \(2,\)",
        ),
        (lambda m: nn.DenseWeight(normal(3)), r"expected shape \(out, in\), got \(3,\)"),
        (lambda m: nn.init.he_normal(normal(3), seed=0), "at least 2 dimensions"),
        (lambda m: nn.init.uniform(normal(3), 1, 0, seed=0), "expected finite low <= high, got 1 and 0"),
        (lambda m: nn.init.normal(normal(3), 0, -1, seed=0), "deviation >= 0, got 0 and -1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call(mlp())


def test_a_gradient_of_the_wrong_shape_is_refused():
    model = mlp()
    model.forward(normal(2, 5), training=True)
    with pytest.raises(ValueError, match=r"gradient of the output: expected shape \(2, 4\), got \(2, 3\)"):
        model.backward(normal(2, 3))
    model.backward(normal(2, 4))


def test_against_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model, x, labels = mlp(), normal(11, 5), np.arange(11) % 4
    loss, gradient = nn.cross_entropy(model.forward(x, training=True), labels)
    model.backward(gradient)
    twin = torch.nn.Sequential(
        torch.nn.Linear(5, 7),
        torch.nn.ReLU(),
        torch.nn.Linear(7, 6),
        torch.nn.ReLU(),
        torch.nn.Linear(6, 4, bias=False),
    )
    twin.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in model.parameters().items()})
    twin_loss = torch.nn.functional.cross_entropy(twin(torch.from_numpy(x)), torch.from_numpy(labels))
    twin_loss.backward()
    assert loss == pytest.approx(twin_loss.item(), rel=1e-5)
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(model.gradients()[name], parameter.grad.numpy(), rtol=1e-4, atol=1e-6)
