"""Files of sparse weights: what is saved is loaded to the byte, and a file that lies is refused."""

import json

import numpy as np
import petrain
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from petrain import prune, sparse

W = np.random.default_rng(3).standard_normal((32, 48), np.float32)


def weights():
    forms = {}
    for bits, group in ((32, 1), (32, 8), (32, 16), (8, 16)):
        for n, m in ((2, 4), (3, 8), (1, 3)):
            mask = prune.n_m(prune.magnitude(W), n, m, group=group)
            forms[f"{n}:{m} {group} {bits}"] = sparse.compress(W, mask, n=n, m=m, group=group, bits=bits, force=True)
        for columns, sparsity in ((1, 0.5), (4, 0.9), (8, 1.0)):
            mask = prune.blocks(prune.magnitude(W), (group, columns), sparsity)
            block = (group, columns)
            forms[f"{block} {sparsity} {bits}"] = sparse.compress(W, mask, block=block, bits=bits, force=True)
    return forms


def test_all_forms_in_one_file(tmp_path):
    saved = weights() | {"é": sparse.compress(W, block=(16, 8), force=True)}
    sparse.save(tmp_path / "w", saved)
    loaded = sparse.load(tmp_path / "w")
    assert sorted(loaded) == sorted(saved)
    for name, w in saved.items():
        assert repr(loaded[name]) == repr(w)
        for part in ("values", "scale", "positions", "columns", "starts"):
            np.testing.assert_array_equal(getattr(loaded[name], part), getattr(w, part))
    sparse.save(tmp_path / "again", dict(reversed(loaded.items())))
    assert (tmp_path / "w").read_bytes() == (tmp_path / "again").read_bytes()
    sizes = safetensors.numpy.load_file(tmp_path / "w")
    assert sum(array.nbytes for array in sizes.values()) == sum(w.nbytes for w in saved.values())


def test_what_cannot_be_saved(tmp_path):
    w = sparse.compress(W, block=(16, 8), force=True)
    with pytest.raises(TypeError, match="weight 'w': expected a SparseTensor, got ndarray"):
        sparse.save(tmp_path / "w", {"w": W})
    with pytest.raises(TypeError, match="weight name: expected text, got int"):
        sparse.save(tmp_path / "w", {1: w})
    w.values[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="values: expected finite values, got nan"):
        sparse.save(tmp_path / "w", {"w": w})
    assert not list(tmp_path.iterdir())


N_M = {"shape": [16, 8], "group": 16, "n": 2, "m": 4}
N_M_TENSORS = {"w.values": np.ones((1, 4, 16), np.float32), "w.positions": np.array([0b11100100], np.uint8)}
BLOCKS = {"shape": [32, 8], "group": 16, "columns": 2}
BLOCK_TENSORS = {
    "w.values": np.ones((3, 2, 16), np.int8),
    "w.scale": np.ones(32, np.float32),
    "w.columns": np.array([0, 3, 1], np.int32),
    "w.starts": np.array([0, 2, 3], np.int32),
}


def write(path, form, tensors, version=1):
    description = json.dumps({"version": version, "weights": {"w": form}})
    safetensors.numpy.save_file(tensors, path, {"petrain.sparse": description})


def test_files_of_others_are_read(tmp_path):
    write(tmp_path / "n", N_M, N_M_TENSORS)
    assert sparse.load(tmp_path / "n")["w"].n_m == (2, 4)
    write(tmp_path / "b", BLOCKS, BLOCK_TENSORS)
    assert sparse.load(tmp_path / "b")["w"].block == (16, 2)


@pytest.mark.parametrize(
    ("form", "tensors", "message"),
    [
        (N_M, {"w.positions": np.array([0b11100101], np.uint8)}, "positions: expected 2 to 3 at 1, got 1"),
        (N_M, {"w.positions": np.array([0b11100100, 0], np.uint8)}, r"positions: expected shape \(1,\)"),
        (N_M, {"w.positions": np.array([-28], np.int8)}, "positions: expected dtype uint8"),
        (N_M | {"m": 5, "shape": [16, 10]}, {"w.positions": np.array([0, 0], np.uint8)}, "expected 1 to 4 at 1, got 0"),
        (
            N_M | {"m": 5, "shape": [16, 10]},
            {"w.positions": np.array([0b00001000, 0b10010], np.uint8)},
            "positions: expected 0 in the bits after the last one, got 1",
        ),
        (N_M | {"m": 0}, {}, "m: expected at least 2, got 0"),
        (N_M | {"m": -4}, {}, "n, m: expected 1 <= n < m <= 16, got 2 and -4"),
        (N_M | {"n": 2**62}, {}, "n, m: expected 1 <= n < m <= 16"),
        (N_M | {"group": 0}, {}, "group: expected 1, 2, 4, 8 or 16 outputs, got 0"),
        (N_M | {"group": 2**62}, {}, "group: expected 1, 2, 4, 8 or 16 outputs"),
        (N_M | {"shape": [16, 16]}, {}, r"values: expected shape \(1, 8, 16\), got \(1, 4, 16\)"),
        (N_M | {"shape": [2**62, 4]}, {}, "w"),
        (N_M | {"shape": [2**40, 4]}, {}, "values: expected shape"),
        (N_M | {"shape": [-16, 8]}, {}, "shape: expected two integers"),
        (N_M | {"shape": [16]}, {}, "shape: expected two integers"),
        (N_M | {"shape": [0, 8]}, {}, "not empty"),
        ({"shape": [16, 8], "group": 16}, {}, 'expected the key "n"'),
        (N_M, {"w.values": np.full((1, 4, 16), np.inf, np.float32)}, "values: expected finite values"),
        (N_M, {"w.values": np.ones((1, 4, 16), np.int8)}, 'expected a tensor named "w.scale"'),
        (N_M, {"w.values": np.ones((1, 4, 16), np.float16)}, "values: expected dtype float32 or int8, got float16"),
        (N_M, {"w.values": np.ones(64, np.float32)}, r"values: expected shape \(1, 4, 16\)"),
        (N_M, {"other": np.ones(1, np.float32)}, 'the tensor "other" belongs to no weight'),
        (BLOCKS, {"w.columns": np.array([3, 0, 1], np.int32)}, "columns: expected 4 to 3 at 1, got 0"),
        (BLOCKS, {"w.columns": np.array([0, 0, 1], np.int32)}, "columns: expected 1 to 3 at 1, got 0"),
        (BLOCKS, {"w.columns": np.array([0, 4, 1], np.int32)}, "columns: expected 1 to 3 at 1, got 4"),
        (BLOCKS, {"w.columns": np.array([-1, 3, 1], np.int32)}, "columns: expected 0 to 3 at 0, got -1"),
        (BLOCKS, {"w.columns": np.array([0, 3], np.int32)}, r"columns: expected shape \(3,\)"),
        (BLOCKS, {"w.starts": np.array([0, 4, 3], np.int32)}, "starts: expected 0 to 3 at 1, got 4"),
        (BLOCKS, {"w.starts": np.array([0, -1, 3], np.int32)}, "starts: expected 0 to 3 at 1, got -1"),
        (BLOCKS, {"w.starts": np.array([1, 2, 3], np.int32)}, "starts: expected 0 first and 3 last, got 1 and 3"),
        (BLOCKS, {"w.starts": np.array([0, 2, 2], np.int32)}, "starts: expected 0 first and 3 last, got 0 and 2"),
        (BLOCKS, {"w.starts": np.array([0, 3], np.int32)}, r"starts: expected shape \(3,\)"),
        (BLOCKS, {"w.values": np.full((3, 2, 16), -128, np.int8)}, "values: expected -127 to 127, got -128"),
        (BLOCKS, {"w.scale": np.zeros(32, np.float32)}, "scale: expected positive, finite values, got 0"),
        (BLOCKS, {"w.scale": np.full(32, np.nan, np.float32)}, "scale: expected positive, finite values, got"),
        (BLOCKS, {"w.scale": np.ones(16, np.float32)}, r"scale: expected shape \(32,\)"),
        (BLOCKS | {"columns": 0}, {}, "block: expected 1 to 64 inputs, got 0"),
        (BLOCKS | {"columns": 2**62}, {}, "block: expected 1 to 64 inputs"),
        (BLOCKS | {"group": 8}, {}, "group: expected 16 outputs with 8 bits, got 8"),
    ],
)
def test_files_that_lie(tmp_path, form, tensors, message):
    write(tmp_path / "w", form, (BLOCK_TENSORS if "columns" in form else N_M_TENSORS) | tensors)
    with pytest.raises(petrain.Error, match="not a file of sparse weights: .*" + message):
        sparse.load(tmp_path / "w")


def test_files_of_something_else(tmp_path):
    safetensors.numpy.save_file({"w": W}, tmp_path / "w")
    with pytest.raises(petrain.Error, match="not a file of sparse weights: it has no"):
        sparse.load(tmp_path / "w")
    write(tmp_path / "w", N_M, N_M_TENSORS, version=2)
    with pytest.raises(petrain.Error, match="expected description version 1, got"):
        sparse.load(tmp_path / "w")
    with pytest.raises(OSError, match="none"):
        sparse.load(tmp_path / "none")


@pytest.fixture(scope="module")
def seed_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("seeds") / "w"
    write(path, BLOCKS, BLOCK_TENSORS)
    return path


@given(st.data())
def test_any_byte_may_lie(seed_file, data):
    """What is read of a damaged file is a correct weight, or it is refused; the layer runs on what was read."""
    content = bytearray(seed_file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path = seed_file.with_name("damaged")
    path.write_bytes(content)
    try:
        loaded = sparse.load(path)
    except petrain.Error:
        return
    for w in loaded.values():
        if w.shape[0] * w.shape[1] <= 1 << 20:
            assert w.dense().shape == w.shape
