"""Model files: what is written is what is read, and what lies is refused."""

import json

import numpy as np
import petrain
import pytest
from petrain import nn, prune, quant, sparse
from petrain.files import load_tensors, save_tensors

GRAPH = {"version": 1, "layers": [{"type": "linear", "bias": True, "weight": {"format": "float32"}}]}
TENSORS = {"0.weight": np.ones((3, 2), np.float32), "0.bias": np.zeros(3, np.float32)}


INT4 = {
    "format": "quantized",
    "bits": 4,
    "scheme": "symmetric",
    "granularity": "channel",
    "axis": 0,
    "shape": [3, 2],
}


def quantized(model, **options):
    layers = [
        nn.Linear.from_weight(nn.QuantWeight(quant.quantize(layer.weight.dense(), **options)), layer.bias)
        if isinstance(layer, nn.Linear)
        else layer
        for layer in model.layers
    ]
    return nn.Sequential(*layers)


def with_residual(model):
    w = model.layers[0].weight.dense()
    q = quant.quantize(w, bits=4)
    (a, b), _ = quant.lqer(w, q, rank=2)
    weight = nn.ResidualWeight(*map(nn.QuantWeight, (q, a, b)))
    return nn.Sequential(nn.Linear.from_weight(weight, model.layers[0].bias), *model.layers[1:])


def sparse_in(model, bits, **pattern):
    w = model.layers[0].weight.dense()
    if "block" in pattern:
        w[:, 4:16] = 0
    else:
        w *= prune.n_m(prune.magnitude(w), 1, 4, group=16)
    weight = nn.SparseWeight(sparse.compress(w, bits=bits, **pattern))
    return nn.Sequential(nn.Linear.from_weight(weight, model.layers[0].bias), *model.layers[1:])


def models():
    nn.manual_seed(0)
    dense = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 12, bias=False), nn.ReLU(), nn.Linear(12, 3))
    low_rank = petrain.compress.low_rank(dense, {0: 4, 2: 3})
    return {
        "dense": dense,
        "low_rank": low_rank,
        "int8": petrain.compress.int8(dense),
        "low_rank_int8": petrain.compress.int8(low_rank),
        "int4": quantized(dense, bits=4, scheme="asymmetric"),
        "int8_one_scale": quantized(dense, granularity="tensor"),
        "residual": with_residual(dense),
        "sparse": sparse_in(dense, 32, n=1, m=4),
        "sparse_int8": sparse_in(dense, 8, n=1, m=4),
        "blocks": sparse_in(dense, 32, block=(16, 4)),
    }


@pytest.mark.parametrize("name", models())
def test_round_trip(name, tmp_path):
    model = models()[name]
    petrain.save(model, tmp_path / "m.safetensors")
    loaded = petrain.load(str(tmp_path / "m.safetensors"))
    assert sorted(loaded.tensors()) == sorted(model.tensors())
    for key, array in model.tensors().items():
        np.testing.assert_array_equal(loaded.tensors()[key], array)
    x = np.random.default_rng(1).normal(size=(5, 20)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
    petrain.save(loaded, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()


def train(model):
    x, labels = np.random.default_rng(1).normal(size=(30, 20)).astype(np.float32), np.arange(30) % 3
    opt = petrain.optim.AdamW(model.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        loss, gradient = nn.cross_entropy(model.forward(x, training=True), labels)
        model.backward(gradient)
        opt.step(model.gradients())
        losses.append(loss)
    assert losses[-1] < losses[0] / 4


def test_a_loaded_model_is_trained_on(tmp_path):
    petrain.save(models()["low_rank"], tmp_path / "m.safetensors")
    model = petrain.load(tmp_path / "m.safetensors")
    train(model)


@pytest.mark.parametrize("name", models())
def test_outputs_and_gradients_are_those_of_the_weights_that_are_stood_for(name):
    model = models()[name]
    dense = nn.Sequential(
        *(
            nn.Linear.from_weight(nn.DenseWeight(layer.weight.dense()), layer.bias)
            if isinstance(layer, nn.Linear)
            else layer
            for layer in model.layers
        )
    )
    x = np.random.default_rng(0).standard_normal((6, 20), np.float32)
    exact = dense(x)
    assert np.linalg.norm(model(x) - exact) <= 0.02 * np.linalg.norm(exact)
    first = nn.Sequential(model.layers[0])
    alone = nn.Sequential(dense.layers[0])
    g = np.random.default_rng(2).standard_normal((6, 16), np.float32)
    for both in (first, alone):
        both.forward(x, training=True)
    np.testing.assert_allclose(
        first.backward(g, input_gradient=True), alone.backward(g, input_gradient=True), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda q: nn.QuantWeight(np.ones((2, 3))), TypeError, r"values: expected a petrain.quant.QuantTensor, got nd"),
        (
            lambda q: nn.QuantWeight(q(2, 3)),
            TypeError,
            r"expected a petrain.quant.QuantTensor, got QuantW",
        ),
        (
            lambda q: nn.SparseWeight(q(2, 3).values),
            TypeError,
            r"a petrain.sparse.SparseTensor, got QuantTensor",
        ),
        (lambda q: nn.QuantWeight(quant.quantize(np.ones((2, 3), np.float32), axis=1)), ValueError, "along axis 0"),
        (
            lambda q: nn.ResidualWeight(q(4, 6), q(4, 2), q(2, 5)),
            ValueError,
            r"b \(rank, 6\), got \(4, 2\) and \(2, 5\)",
        ),
        (
            lambda q: nn.ResidualWeight(q(4, 6), q(4, 2), q(3, 6)),
            ValueError,
            r"expected a \(out, rank\) and b \(rank, in",
        ),
        (
            lambda q: nn.ResidualWeight(q(4, 6), q(4, 2), nn.DenseWeight(np.ones((2, 6), np.float32))),
            TypeError,
            "incompatible constructor arguments",
        ),
    ],
)
def test_weights_that_do_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call(lambda n, k: nn.QuantWeight(quant.quantize(np.ones((n, k), np.float32))))


def test_what_is_not_stored_stays_zero_while_the_rest_is_trained():
    model = models()["sparse"]
    weight = model.layers[0].weight
    before = weight.dense()
    train(model)
    np.testing.assert_array_equal(weight.dense() != 0, before != 0)
    assert (weight.dense() != before).sum() == weight.values.values.size


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.LowRankWeight(None, nn.DenseWeight(np.ones((2, 2), np.float32))),
        lambda: nn.Linear.from_weight(None),
        lambda: nn.Sequential(None),
        lambda: petrain.compress.save({"a": None}, "nowhere"),
    ],
)
def test_none_is_refused(call):
    with pytest.raises((TypeError, ValueError), match=r"none|None"):
        call()


def test_what_is_trained_is_used_once():
    weight = nn.DenseWeight(np.eye(3, dtype=np.float32))
    for layers in (
        [nn.Linear.from_weight(weight), nn.Linear.from_weight(weight)],
        [nn.Linear.from_weight(nn.LowRankWeight(weight, weight))],
    ):
        with pytest.raises(ValueError, match="expected what is trained to be used once, got"):
            nn.Sequential(*layers)
    nn.Sequential(nn.Linear.from_weight(weight))


def test_a_model_that_could_not_be_read_again_is_not_written(tmp_path):
    def eye():
        return nn.DenseWeight(np.eye(2, dtype=np.float32))

    weight = eye()
    for _ in range(15):
        weight = nn.LowRankWeight(eye(), weight)
    with pytest.raises(ValueError, match="nested deeper than 16"):
        petrain.save(nn.Sequential(nn.Linear.from_weight(weight)), tmp_path / "m")
    with pytest.raises(ValueError, match="nested deeper than 16"):
        petrain.compress.save({"w": weight}, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_other_readers_can_open_it(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    model = models()["low_rank_int8"]
    petrain.save(model, tmp_path / "m.safetensors")
    tensors = safetensors.load_file(tmp_path / "m.safetensors")
    assert tensors["0.weight.a.values"].dtype == np.int8
    for name, array in model.tensors().items():
        np.testing.assert_array_equal(tensors[name], array)


def changed(**changes):
    return {**GRAPH["layers"][0], **changes}


def nested(depth):
    weight = {"format": "float32"}
    for _ in range(depth):
        weight = {"format": "low_rank", "a": weight, "b": {"format": "float32"}}
    return weight


HOSTILE = [
    ([], {}, "the model: expected an object, got array"),
    ({"layers": []}, {}, 'expected the key "version"'),
    ({"version": 2, "layers": []}, {}, 'expected model version 1, got "2"'),
    ({"version": "1", "layers": []}, {}, "expected model version 1"),
    ({"version": 1}, {}, 'expected the key "layers"'),
    ({"version": 1, "layers": []}, {}, "expected a list of 1 to 100000 layers, got array of 0"),
    ({"version": 1, "layers": {"type": "relu"}}, {}, "got object of 1"),
    ({"version": 1, "layers": [7]}, {}, "layer 0: expected an object, got number"),
    ({"version": 1, "layers": [{"type": 7}]}, {}, 'expected text for "type", got number'),
    ({"version": 1, "layers": [{"type": "conv"}]}, {}, 'expected type linear or relu, got "conv"'),
    ({"version": 1, "layers": [{"type": "relu"}]}, {}, 'the tensor "0.bias" belongs to no layer'),
    (changed(weight={}), {}, 'expected the key "format"'),
    (changed(weight={"format": "int3"}), {}, 'float32, int8, quantized, low_rank, residual or sparse, got "int3"'),
    (changed(weight={"format": "quantized"}), {}, 'format: expected the key "bits"'),
    (changed(weight={"format": "int8"}), {}, 'expected a tensor named "0.weight.values"'),
    (changed(weight=INT4), {}, 'expected a tensor named "0.weight.values"'),
    (
        changed(weight={"format": "residual", "base": {"format": "float32"}}),
        {"0.weight": None, "0.weight.base": TENSORS["0.weight"]},
        "0.weight.base: expected format int8 or quantized",
    ),
    (changed(weight={"format": "low_rank", "a": {}}), {}, "0.weight.a: expected the key"),
    (changed(weight=nested(15)), {}, "nested deeper than 16"),
    (changed(bias="yes"), {}, 'expected true or false for "bias"'),
    (changed(bias=False), {}, 'the tensor "0.bias" belongs to no layer'),
    (None, {"0.bias": np.zeros(2, np.float32)}, r"bias: expected shape \(3,\), got \(2,\)"),
    (None, {"0.bias": np.zeros(3, np.float64)}, "bias: expected dtype float32, got float64"),
    (None, {"0.bias": np.zeros(0, np.float32)}, r"bias: expected shape \(3,\), got \(0,\)"),
    (None, {"0.weight": np.zeros(3, np.float32)}, r"weight: expected 2 dimensions \(out, in\), got shape \(3,\)"),
    (None, {"0.weight": np.zeros((3, 2), np.int8)}, "weight: expected dtype float32, got int8"),
    (None, {"0.weight": np.zeros((3, 0), np.float32)}, r"weight is empty: shape \(3, 0\)"),
    (None, {"0.weight": None}, 'expected a tensor named "0.weight"'),
    (None, {"extra": np.zeros(1, np.float32)}, 'the tensor "extra" belongs to no layer'),
]


@pytest.mark.parametrize(("graph", "tensors", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_files_that_lie(graph, tensors, message, tmp_path):
    if graph is None or "bias" in graph:
        graph = {"version": 1, "layers": [graph or GRAPH["layers"][0]]}
    arrays = {name: array for name, array in {**TENSORS, **tensors}.items() if array is not None}
    save_tensors(tmp_path / "m.safetensors", arrays, {"petrain.model": json.dumps(graph)})
    with pytest.raises(petrain.Error, match=message):
        petrain.load(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a petrain model"),
        ("{", "not a petrain model"),
        ("[" * 100_000, "nested deeper"),
        ("{}\0", "zero byte"),
    ],
)
def test_descriptions_that_are_not_json(text, message, tmp_path):
    save_tensors(tmp_path / "m.safetensors", TENSORS, {"petrain.model": text})
    with pytest.raises(petrain.Error, match=message):
        petrain.load(tmp_path / "m.safetensors")


def test_layers_that_do_not_fit_are_refused(tmp_path):
    layers = GRAPH["layers"] * 2
    tensors = {**TENSORS, "1.weight": TENSORS["0.weight"], "1.bias": TENSORS["0.bias"]}
    save_tensors(tmp_path / "m.safetensors", tensors, {"petrain.model": json.dumps({"version": 1, "layers": layers})})
    with pytest.raises(petrain.Error, match=r"expected an input of shape \(rows, 2\), got \(1, 3\)"):
        petrain.load(tmp_path / "m.safetensors")


def test_a_file_without_a_model(tmp_path):
    save_tensors(tmp_path / "m.safetensors", TENSORS)
    with pytest.raises(petrain.Error, match=r'no "petrain.model" in its metadata'):
        petrain.load(tmp_path / "m.safetensors")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        petrain.load(tmp_path / "nowhere")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        petrain.save(models()["dense"], tmp_path / "nowhere" / "m.safetensors")


def test_every_tensor_is_named_after_its_layer(tmp_path):
    petrain.save(models()["dense"], tmp_path / "m.safetensors")
    tensors, metadata = load_tensors(tmp_path / "m.safetensors")
    assert sorted(tensors) == ["0.bias", "0.weight", "2.weight", "4.bias", "4.weight"]
    assert [layer["type"] for layer in json.loads(metadata["petrain.model"])["layers"]] == [
        "linear",
        "relu",
        "linear",
        "relu",
        "linear",
    ]
