"""Adapted layers against float64 with the whole weight made, on every kind of base."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import petrain
import pytest
from petrain import _core, lora, lowrank, optim, quant
from petrain.quant import HessianObserver, quantize
from reference import lora as reference

BASES = {
    "float32": lambda w: w,
    "float16": lambda w: w.astype(np.float16),
    "bfloat16": lambda w: w.astype(ml_dtypes.bfloat16),
    "bfloat16 without ml_dtypes": lambda w: w.astype(ml_dtypes.bfloat16).view(np.uint16),
    "int8": quantize,
    "int8 asymmetric per tensor": lambda w: quantize(w, scheme="asymmetric", granularity="tensor"),
    "int4 in groups": lambda w: quantize(w, bits=4, granularity="group", group_size=32),
}


def normal(*shape, seed=0, scale=1.0):
    return (np.random.default_rng([seed, *shape]).standard_normal(shape) * scale).astype(np.float32)


def dense(base):
    if isinstance(base, quant.QuantTensor):
        return base.dequantize().astype(np.float64)
    return (base.view(ml_dtypes.bfloat16) if base.dtype == np.uint16 else base).astype(np.float64)


def bits(base):
    return (base.packed if isinstance(base, quant.QuantTensor) else base).tobytes()


def moved(layer, seed=3):
    """The layer, as if it had been trained."""
    for name, array in layer.parameters().items():
        array += normal(*array.shape, seed=seed, scale=0.3 if name != "lora_magnitude_vector" else 0.1)
    return layer


def parts(layer):
    wide = {name: array.astype(np.float64) for name, array in layer.parameters().items()}
    origin = None if layer.origin is None else tuple(part.astype(np.float64) for part in layer.origin)
    return wide["lora_A"], wide["lora_B"], layer.scaling, wide.get("lora_magnitude_vector"), origin


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}, {"init": "pissa", "use_dora": True}])
@pytest.mark.parametrize("kind", BASES)
def test_forward_and_backward(kind, options):
    base, bias, x, dy = BASES[kind](normal(40, 64)), normal(40), normal(9, 64), normal(9, 40)
    layer = moved(lora.Linear(base, bias, rank=4, alpha=6, **options))
    before = bits(base)
    exact = dense(base)
    y = layer.forward(x, training=True)
    whole = reference.weight(exact, *parts(layer))
    np.testing.assert_allclose(y, x @ whole.T + bias, rtol=1e-5, atol=2e-4)
    np.testing.assert_array_equal(layer(x), y)
    dx = layer.backward(dy)
    expected = reference.backward(dy.astype(np.float64), x, exact, *parts(layer))
    gradients = layer.gradients()
    assert list(gradients) == list(layer.parameters())
    for got, right in zip((dx, *gradients.values()), expected, strict=False):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(layer.merged_weight("float32"), whole, rtol=1e-5, atol=2e-5)
    assert bits(base) == before


def test_scaling():
    w = normal(6, 8)
    assert lora.Linear(w, rank=4).scaling == 1
    assert lora.Linear(w, rank=4, alpha=8).scaling == 2
    assert lora.Linear(w, rank=4, alpha=8, use_rslora=True).scaling == 4


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("use_dora", [False, True])
def test_it_begins_as_what_the_base_gives(kind, use_dora):
    base, x = BASES[kind](normal(40, 64)), normal(9, 64)
    expected = x @ dense(base).T
    largest = np.abs(expected).max()
    zero = lora.Linear(base, rank=4, use_dora=use_dora, seed=5)
    assert not zero.lora_B.any()
    assert 0.9 / 8 < np.abs(zero.lora_A).max() <= 1 / 8
    assert (zero.lora_A != lora.Linear(base, rank=4).lora_A).all()
    if isinstance(base, quant.QuantTensor):
        np.testing.assert_array_equal(zero(x), quant.linear(x, base, weight_only=True))
    pissa = lora.Linear(base, rank=4, use_dora=use_dora, alpha=3, init="pissa")
    for layer in (zero, pissa):
        assert np.abs(layer(x) - expected).max() < 1e-6 * largest
    best = np.linalg.svd(dense(base), compute_uv=False)
    np.testing.assert_allclose(
        np.linalg.norm(pissa.scaling * pissa.lora_B @ pissa.lora_A), np.sqrt((best[:4] ** 2).sum()), rtol=1e-4
    )
    np.testing.assert_allclose(pissa.merged_weight("float32"), dense(base), atol=2e-6)


def test_the_residual_of_a_quantized_base():
    w, inputs = normal(48, 64), normal(200, 64) * np.linspace(0.01, 3, 64, dtype=np.float32)
    q = quantize(w, bits=4)
    hessian = HessianObserver(64)
    hessian.observe(inputs)
    plain = np.linalg.norm(q.dequantize() - w)
    for factors in (lowrank.factorize(w - q.dequantize(), rank=8), quant.lqer(w, q, 8)[0]):
        layer = lora.Linear(q, init=factors, alpha=32)
        assert layer.rank == 8
        assert layer.scaling == 4
        assert np.linalg.norm(layer.merged_weight() - w) < 0.85 * plain
    outputs = inputs @ w.T
    layers = layer, lora.Linear(q, init=quant.lqer(w, q, 8, hessian)[0])
    unweighted, weighted = (np.linalg.norm(one(inputs) - outputs) for one in layers)
    assert weighted < 0.9 * unweighted


def test_loftq_has_products_of_its_own():
    """The bits do not come from NumPy's BLAS."""
    w = normal(24, 40)
    q, (a, b) = lora.loftq(w, 5, bits=4, iterations=1)
    np.testing.assert_array_equal(q.values, quantize(w, bits=4).values)
    again = quantize(w - _core.low_rank_product(a, b), bits=4)
    second, factors = lora.loftq(w, 5, bits=4, iterations=2)
    assert second.values.tobytes() in (q.values.tobytes(), again.values.tobytes())
    nearer = second.dequantize() + factors[0].astype(np.float64) @ factors[1]
    assert np.linalg.norm(w - nearer) <= np.linalg.norm(w - (q.dequantize() + a.astype(np.float64) @ b))


@pytest.mark.parametrize("bits_", [4, 8])
def test_loftq_comes_nearer_than_quantizing_first(bits_):
    w = normal(48, 64)
    errors = []
    for iterations in (1, 5):
        q, factors = lora.loftq(w, 8, bits=bits_, granularity="group", group_size=32, iterations=iterations)
        assert (q.bits, q.granularity) == (bits_, "group")
        errors.append(np.linalg.norm(lora.Linear(q, init=factors).merged_weight() - w))
    assert errors[1] < errors[0] < np.linalg.norm(quantize(w, bits_, "symmetric", "group", 0, 32).dequantize() - w)


@pytest.mark.parametrize("kind", BASES)
def test_merging_a_thousand_times_changes_nothing(kind):
    base, x = BASES[kind](normal(24, 32)), normal(3, 32)
    layer = moved(lora.Linear(base, normal(24), rank=4, use_dora=True))
    before, unmerged = bits(base), layer(x)
    merged = layer.merge().tobytes()
    outputs = layer(x)
    assert layer.is_merged
    np.testing.assert_allclose(outputs, unmerged, atol=0.15 if "16" in kind else 1e-4)
    for _ in range(1000):
        layer.unmerge()
        assert layer.merge().tobytes() == merged
    np.testing.assert_array_equal(layer(x), outputs)
    layer.unmerge()
    assert bits(base) == before
    np.testing.assert_array_equal(layer(x), unmerged)


def test_a_merged_weight_is_rounded_once():
    base = normal(30, 40).astype(ml_dtypes.bfloat16)
    layer = moved(lora.Linear(base, rank=4))
    whole = layer.merged_weight("float32")
    assert layer.merge().dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(layer.merge(), whole.astype(ml_dtypes.bfloat16))
    np.testing.assert_array_equal(layer.merged_weight("float16"), whole.astype(np.float16))


def task(kind, **options):
    """A layer, inputs, and targets of the base with another low-rank update."""
    base = BASES[kind](normal(24, 32))
    x = normal(64, 32)
    target = (x @ (dense(base) + normal(24, 2, seed=7) @ normal(2, 32, seed=8)).T).astype(np.float32)
    return lora.Linear(base, rank=4, **options), x, target


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"init": "pissa"}, {"use_rslora": True}])
@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int4 in groups"])
def test_training_lowers_the_loss_and_leaves_the_base(kind, options):
    layer, x, target = task(kind, **options)
    before = bits(layer.base)
    opt = optim.AdamW(lora.parameter_groups({"layer": layer}, lr=0.02, ratio=4), weight_decay=0.0)
    losses = []
    for _ in range(400):
        error = layer.forward(x, training=True) - target
        losses.append(float((error**2).mean()))
        assert layer.backward(2 * error / error.size, input_gradient=False) is None
        assert not opt.step(lora.gradients({"layer": layer})).skipped
    # With PiSSA the rank must hold what is subtracted too: 6 here, of which it has 4.
    assert losses[-1] < (0.1 if "init" in options else 0.03) * losses[0]
    assert bits(layer.base) == before


def test_loraplus_groups():
    layers = {"a": lora.Linear(normal(4, 6), rank=2, use_dora=True), "b": lora.Linear(normal(3, 6), rank=1)}
    first, second, third = lora.parameter_groups(layers, lr=1e-3, ratio=8)
    assert list(first["params"]) == ["a.lora_A", "b.lora_A"]
    assert list(second["params"]) == ["a.lora_B", "b.lora_B"]
    assert (first["lr"], second["lr"]) == (1e-3, 8e-3)
    assert third == {
        "params": {"a.lora_magnitude_vector": layers["a"].lora_magnitude_vector},
        "lr": 8e-3,
        "weight_decay": 0.0,
    }
    assert set(lora.parameters(layers)) == {name for group in (first, second, third) for name in group["params"]}
    layer = layers["b"]
    opt = optim.SGD(lora.parameter_groups({"b": layer}, lr=0.5, ratio=4))
    before = {name: array.copy() for name, array in layer.parameters().items()}
    opt.step({"b.lora_A": np.ones_like(layer.lora_A), "b.lora_B": np.ones_like(layer.lora_B)})
    np.testing.assert_array_equal(layer.lora_A, before["lora_A"] - np.float32(0.5))
    np.testing.assert_array_equal(layer.lora_B, before["lora_B"] - np.float32(2))


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
def test_any_number_of_leading_dimensions_and_of_threads(kind, threads):
    base, x, dy = BASES[kind](normal(300, 64)), normal(2, 5, 64), normal(2, 5, 300)
    layer = moved(lora.Linear(base, normal(300), rank=4, use_dora=True))
    results = []
    for count, shape in ((1, (2, 5)), (2, (2, 5)), (3, (10,))):
        threads(count)
        y = layer.forward(x.reshape(*shape, 64), training=True)
        dx = layer.backward(dy.reshape(*shape, 300))
        results.append([y.reshape(10, 300), dx.reshape(10, 64), *layer.gradients().values(), layer.merged_weight()])
        assert y.shape == (*shape, 300)
        assert dx.shape == (*shape, 64)
    for result in results[1:]:
        for one, more in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(one, more)
    np.testing.assert_array_equal(layer(x[0, 1]), results[0][0][1])


def test_a_row_of_zeros_has_no_direction():
    w = normal(3, 4)
    w[1] = 0
    layer = lora.Linear(w, rank=2, use_dora=True)
    y = layer.forward(normal(5, 4), training=True)
    assert not y[:, 1].any()
    layer.backward(normal(5, 3))
    assert all(np.isfinite(gradient).all() for gradient in layer.gradients().values())
    assert not layer.merged_weight()[1].any()


def test_micro_batches_accumulate_to_the_whole_batch():
    layer, x, target = task("bfloat16", use_dora=True)
    groups = lora.parameter_groups({"layer": moved(layer)}, lr=0.01)
    opt = optim.SGD(groups)
    acc = petrain.GradAccumulator({name: array for group in groups for name, array in group["params"].items()})
    for part in (slice(0, 16), slice(16, 64)):
        error = layer.forward(x[part], training=True) - target[part]
        layer.backward(2 * error / error.size, input_gradient=False)
        acc.add(lora.gradients({"layer": layer}), weight=len(error))
    before = {name: array.copy() for name, array in layer.parameters().items()}
    error = layer.forward(x, training=True) - target
    layer.backward(2 * error / error.size)
    opt.step(acc)
    for group in groups:
        for name, array in group["params"].items():
            part = name.removeprefix("layer.")
            moved_by = (before[part] - array) / group["lr"]
            np.testing.assert_allclose(moved_by, layer.gradients()[part], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: lora.Linear(normal(3), rank=1),
            ValueError,
            r"base: expected a matrix \(out, in\).*, got shape \(3,\)",
        ),
        (
            lambda: lora.Linear(normal(3, 4).astype(np.float64), rank=1),
            ValueError,
            "base: expected dtype float32, float16",
        ),
        (lambda: lora.Linear(normal(3, 4).T, rank=1), ValueError, "base: expected a C-contiguous array"),
        (lambda: lora.Linear(quantize(normal(3, 4), axis=1), rank=1), ValueError, "axis 0"),
        (lambda: lora.Linear([[1.0]], rank=1), ValueError, r"base: expected a matrix .*, got shape \(\)"),
        (
            lambda: lora.Linear(normal(3, 4), normal(4), rank=1),
            ValueError,
            r"bias: expected float32 \(3,\), got float32 \(4,\)",
        ),
        (lambda: lora.Linear(normal(3, 4)), TypeError, "rank: expected an integer, got None"),
        (lambda: lora.Linear(normal(3, 4), rank=0), ValueError, "rank: expected an integer from 1"),
        (
            lambda: lora.Linear(normal(3, 4), rank=4, init="pissa"),
            ValueError,
            "rank: expected an integer from 1 to 3, got 4",
        ),
        (
            lambda: lora.Linear(normal(3, 4), rank=1, alpha=0),
            ValueError,
            "alpha: expected a finite number above 0, got 0",
        ),
        (lambda: lora.Linear(normal(3, 4), rank=1, alpha="8"), TypeError, "alpha: expected a number, got '8'"),
        (
            lambda: lora.Linear(normal(3, 4), rank=1, init="olora"),
            ValueError,
            'init: expected "zero", "pissa" or factors',
        ),
        (lambda: lora.Linear(normal(3, 4), init=normal(3, 4)), TypeError, "init: expected .*, got ndarray"),
        (
            lambda: lora.Linear(normal(3, 4), init=(normal(3, 1), normal(2, 4))),
            ValueError,
            r"init: expected shapes \(3, rank\)",
        ),
        (lambda: lora.Linear(normal(3, 4), rank=2, init=(normal(3, 1), normal(1, 4))), ValueError, "rank: expected 1"),
        (
            lambda: lora.Linear.from_parts(normal(3, 4), normal(2, 4), normal(2, 3), alpha=1),
            ValueError,
            r"lora_B: expected float32 \(3, 2\)",
        ),
        (
            lambda: lora.Linear(normal(3, 4), rank=1).backward(normal(1, 3)),
            ValueError,
            "backward: expected a forward pass",
        ),
        (lambda: lora.Linear(normal(3, 4), rank=1).gradients(), ValueError, "gradients: expected a backward pass"),
        (
            lambda: lora.Linear(normal(3, 4), rank=1)(normal(2, 3)),
            ValueError,
            r"x: expected shape \(…, 4\), got \(2, 3\)",
        ),
        (lambda: lora.loftq(normal(3, 4), 1, iterations=0), ValueError, "iterations: expected an integer from 1"),
        (lambda: lora.loftq(normal(3), 1), ValueError, r"w: expected float32 \(out, in\)"),
        (lambda: lora.parameter_groups({}, 1e-3), ValueError, "layers: expected at least one, got none"),
        (lambda: lora.parameter_groups({"a": 1}, 1e-3), TypeError, "layers: expected adapted layers by name, got int"),
        (
            lambda: lora.parameter_groups({"a": lora.Linear(normal(3, 4), rank=1)}, 1e-3, 0.5),
            ValueError,
            "ratio: expected",
        ),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_gradient_of_another_shape_is_refused():
    for use_dora in (False, True):
        layer = lora.Linear(normal(3, 4), rank=1, use_dora=use_dora)
        layer.forward(normal(2, 4), training=True)
        with pytest.raises(ValueError, match=r"gradient: expected .*\(.*3\), got .*\(3, 2\)"):
            layer.backward(normal(3, 2))


def test_a_merged_layer_does_not_train():
    layer = lora.Linear(normal(3, 4), rank=1)
    layer.merge()
    with pytest.raises(ValueError, match="forward: expected an unmerged layer for training"):
        layer.forward(normal(2, 4), training=True)
