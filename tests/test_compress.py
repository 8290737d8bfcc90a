"""Models in another form: what changes and what does not."""

import numpy as np
import petrain
import pytest
from petrain import compress, nn, prune, quant, sparse


def trained():
    """A model whose weights have decaying spectra, as trained ones have."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 9), nn.ReLU(), nn.Linear(9, 4))
    for name, array in model.parameters().items():
        if name.endswith("weight"):
            u, s, vt = np.linalg.svd(rng.normal(size=array.shape), full_matrices=False)
            array[...] = (u * (s * 0.6 ** np.arange(len(s)))) @ vt
    return model


def test_a_copy_is_a_copy():
    model = trained()
    before = {name: array.copy() for name, array in model.parameters().items()}
    small = compress.low_rank(model, {0: 3})
    for array in small.parameters().values():
        array[...] = 7
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, before[name])


def test_int8_is_close_and_biases_are_still_trained():
    model = trained()
    small = compress.int8(model)
    x = np.random.default_rng(1).normal(size=(50, 12)).astype(np.float32)
    assert np.linalg.norm(small(x) - model(x)) / np.linalg.norm(model(x)) < 0.03
    assert sorted(small.parameters()) == ["0.bias", "2.bias", "4.bias"]
    y = small.forward(x, training=True)
    loss, gradient = nn.cross_entropy(y, np.arange(50) % 4)
    small.backward(gradient)
    opt = petrain.optim.SGD(small.parameters(), lr=0.1)
    opt.step(small.gradients())
    assert nn.cross_entropy(small(x), np.arange(50) % 4)[0] < loss


def forms(model):
    """Every form of a weight in one model."""
    w = [layer.weight.dense() for layer in model.layers[::2]]
    q = quant.quantize(w[0], bits=4, scheme="asymmetric")
    (a, b), _ = quant.lqer(w[0], q, rank=2)
    residual = nn.ResidualWeight(*map(nn.QuantWeight, (q, a, b)))
    factors = compress.int8(compress.low_rank(model, {2: 4})).layers[2].weight
    last = nn.QuantWeight(quant.quantize(w[2], granularity="tensor"))
    layers = list(model.layers)
    for i, weight in zip((0, 2, 4), (residual, factors, last), strict=True):
        layers[i] = nn.Linear.from_weight(weight, layers[i].bias)
    return nn.Sequential(*layers)


def test_what_is_compressed_is_trained_in_float32_and_comes_back_in_its_forms():
    small = forms(trained())
    tuned = compress.dequantize(small)
    assert sorted(tuned.parameters()) == sorted(tuned.tensors())
    assert tuned.layers[2].weight.rank == 4
    for before, after in zip(small.layers[::2], tuned.layers[::2], strict=True):
        np.testing.assert_allclose(after.weight.dense(), before.weight.dense(), atol=1e-6)
    again = compress.quantize_like(tuned, small)
    for before, after in zip(small.layers[::2], again.layers[::2], strict=True):
        assert after.weight.graph == before.weight.graph
        w = before.weight.dense()
        assert np.linalg.norm(after.weight.dense() - w) <= 0.02 * np.linalg.norm(w)
    np.testing.assert_array_equal(again.layers[4].weight.dense(), small.layers[4].weight.dense())


def sparse_models(w):
    mask = prune.n_m(prune.magnitude(w), 1, 4, group=16)
    for bits in (32, 8):
        weight = nn.SparseWeight(sparse.compress(w, mask, n=1, m=4, bits=bits))
        yield nn.Sequential(nn.Linear.from_weight(weight))
        blocks = np.where(np.arange(64) // 8 % 4 == 1, w, 0).astype(np.float32)
        weight = nn.SparseWeight(sparse.compress(blocks, block=(16, 8), bits=bits, force=True))
        yield nn.Sequential(nn.Linear.from_weight(weight))


def test_sparse_weights_keep_their_positions(rng):
    for small in sparse_models(rng.standard_normal((32, 64), np.float32)):
        before = small.layers[0].weight
        tuned = compress.dequantize(small)
        assert list(tuned.parameters()) == ["0.weight.values"]
        np.testing.assert_array_equal(tuned.layers[0].weight.dense(), before.dense())
        again = compress.quantize_like(tuned, small)
        assert again.layers[0].weight.graph == before.graph
        np.testing.assert_allclose(again.layers[0].weight.dense(), before.dense(), atol=1e-6)
        tuned.parameters()["0.weight.values"][...] += 1
        moved = compress.quantize_like(tuned, small).layers[0].weight
        assert moved.nbytes == before.nbytes
        assert (np.abs(moved.dense() - before.dense())[before.dense() != 0] > 0.9).all()
        copy = compress.low_rank(small, {})
        if copy.parameters():
            copy.parameters()["0.weight.values"][...] = 7
            assert not (before.dense() == 7).any()


def test_a_model_comes_back_in_the_forms_of_another_only_where_it_is_alike():
    model, small = trained(), forms(trained())
    with pytest.raises(ValueError, match="expected the same kind of weight as one of format 'low_rank', got 'float32'"):
        compress.quantize_like(model, small)
    with pytest.raises(ValueError, match="model: expected the layers of"):
        compress.quantize_like(nn.Sequential(*model.layers[:3]), small)
    with pytest.raises(ValueError, match=r"model: expected a weight of shape \(10, 12\), got \(10, 13\)"):
        compress.quantize_like(nn.Sequential(nn.Linear(13, 10), *model.layers[1:]), small)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: compress.low_rank(m, {1: 2}), r"expected indices of linear layers, got \[1\]"),
        (lambda m: compress.low_rank(m, {9: 2}), r"expected indices of linear layers, got \[9\]"),
        (lambda m: compress.low_rank(m, {0: 0}), "rank"),
        (lambda m: compress.low_rank(m, {0: 11}), "rank"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call(trained())
