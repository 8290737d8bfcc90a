"""Folders with adapters: written, read, and refused where they lie."""

from __future__ import annotations

import json
import os
import re
import sys

import ml_dtypes
import numpy as np
import petrain
import pytest
from petrain import lora
from petrain.files import load_tensors, save_tensors
from petrain.lora.config import parse_config
from petrain.quant import quantize

pytestmark = pytest.mark.once

W = np.random.default_rng(0).standard_normal((6, 8), np.float32)
X = np.random.default_rng(1).standard_normal((5, 8), np.float32)
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
A, B, M = (f"base_model.model.block.fc.{end}" for end in ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector"))


def trained(base=W, bias=None, seed=3, **options):
    layer = lora.Linear(base, bias, **{"rank": 2, **options})
    rng = np.random.default_rng(seed)
    for array in layer.parameters().values():
        array += rng.standard_normal(array.shape, np.float32) * np.float32(0.2)
    return layer


def config_of(folder):
    return json.loads((folder / CONFIG).read_text())


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}, {"use_dora": True, "alpha": 0.7}])
def test_a_layer_comes_back_to_the_bit(tmp_path, options):
    bias = np.arange(6, dtype=np.float32)
    layer = trained(bias=bias, **options)
    lora.save(tmp_path / "new" / "folder", {"block.fc": layer}, base_model="tiny")
    folder = tmp_path / "new" / "folder"
    assert sorted(os.listdir(folder)) == [CONFIG, WEIGHTS]
    tensors, metadata = load_tensors(folder / WEIGHTS)
    assert metadata == {"format": "pt"}
    assert {name: array.shape for name, array in tensors.items()} == {
        A: (2, 8),
        B: (6, 2),
        **({M: (6,)} if layer.use_dora else {}),
    }
    config = config_of(folder)
    assert config["base_model_name_or_path"] == "tiny"
    assert config["target_modules"] == ["block.fc"]
    again = lora.load(folder, {"block.fc.weight": W, "block.fc.bias": bias, "other.weight": X})
    np.testing.assert_array_equal(again["block.fc"](X), layer(X))
    assert repr(again) == repr({"block.fc": layer})


def test_ranks_and_alphas_may_differ(tmp_path):
    shapes = {"fc": (2, 2), "a.fc": (2, 2), "a.b.fc": (4, 3.5), "a.c": (2, 16)}
    layers = {name: trained(rank=rank, alpha=alpha) for name, (rank, alpha) in shapes.items()}
    lora.save(tmp_path, layers)
    config = config_of(tmp_path)
    assert (config["r"], config["lora_alpha"]) == (2, 2)
    assert config["rank_pattern"] == {r"^a\.b\.fc": 4}
    assert config["alpha_pattern"] == {r"^a\.b\.fc": 3.5, r"^a\.c": 16}
    again = lora.load(tmp_path, {f"{name}.weight": W for name in layers})
    assert {name: (layer.rank, layer.alpha) for name, layer in again.items()} == shapes


@pytest.mark.parametrize("use_rslora", [False, True])
def test_pissa_is_written_for_the_base_as_it_is(tmp_path, use_rslora):
    layer = trained(init="pissa", alpha=5, use_rslora=use_rslora)
    lora.save(tmp_path, {"block.fc": layer})
    again = lora.load(tmp_path, {"block.fc.weight": W})["block.fc"]
    assert (again.rank, again.origin) == (4, None)
    assert again.scaling == pytest.approx(layer.scaling)
    np.testing.assert_allclose(again(X), layer(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bits(tmp_path, dtype):
    layer = trained()
    lora.save(tmp_path, {"block.fc": layer}, dtype=dtype)
    tensors, _ = load_tensors(tmp_path / WEIGHTS)
    number = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16
    np.testing.assert_array_equal(tensors[A], layer.lora_A.astype(number))
    again = lora.load(tmp_path, {"block.fc.weight": W})["block.fc"]
    np.testing.assert_array_equal(again.lora_B, layer.lora_B.astype(number).astype(np.float32))


def test_bfloat16_without_ml_dtypes(tmp_path, monkeypatch):
    lora.save(tmp_path, {"block.fc": trained()}, dtype="bfloat16")
    expected = lora.load(tmp_path, {"block.fc.weight": W})["block.fc"](X)
    monkeypatch.setattr("petrain.lora.files.load_tensors", without_ml_dtypes)
    np.testing.assert_array_equal(lora.load(tmp_path, {"block.fc.weight": W})["block.fc"](X), expected)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ValueError, match='dtype: expected "float32" or "float16" without ml_dtypes, got "bfloat16"'):
        lora.save(tmp_path, {"block.fc": trained()}, dtype="bfloat16")


def without_ml_dtypes(path):
    tensors, metadata = load_tensors(path)
    return {name: array.view(np.uint16) for name, array in tensors.items()}, metadata


def test_quantized_and_16_bit_bases(tmp_path):
    lora.save(tmp_path, {"block.fc": trained()})
    for base in (quantize(W, bits=4), W.astype(ml_dtypes.bfloat16), W.astype(np.float16)):
        layer = lora.load(tmp_path, {"block.fc.weight": base, "block.fc.bias": np.ones(6, ml_dtypes.bfloat16)})
        np.testing.assert_array_equal(layer["block.fc"](X), trained(base, np.ones(6, np.float32))(X))


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    lora.save(tmp_path, {"block.fc": trained()})
    (tmp_path / "README.md").write_text("kept")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("petrain.lora.files.save_tensors", fail)
        with pytest.raises(OSError, match="no space left"):
            lora.save(tmp_path, {"block.fc": trained(alpha=9)})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fail)
        with pytest.raises(OSError, match="no space left"):  # killed between the two files
            lora.save(tmp_path, {"block.fc": trained(alpha=9)})
    with pytest.raises(FileNotFoundError):  # not the old configuration, where the weights may be new
        lora.load(tmp_path, {"block.fc.weight": W})
    lora.save(tmp_path, {"block.fc": trained(alpha=9)})
    assert lora.load(tmp_path, {"block.fc.weight": W})["block.fc"].alpha == 9
    assert sorted(os.listdir(tmp_path)) == ["README.md", CONFIG, WEIGHTS]


@pytest.mark.parametrize(
    ("layers", "options", "error", "message"),
    [
        ({}, {}, ValueError, "layers: expected at least one, got none"),
        ([], {}, TypeError, "layers: expected a dict of adapted layers by name, got list"),
        ({"fc": W}, {}, TypeError, "layer 'fc': expected an adapted layer, got ndarray"),
        ({1: trained()}, {}, TypeError, "layer name: expected text, got int"),
        ({"": trained()}, {}, ValueError, "layer name: expected that of a module"),
        ({"x.lora_A": trained()}, {}, ValueError, "layer name: expected that of a module"),
        ({"a": trained(), "b": trained(use_dora=True)}, {}, ValueError, "use_dora: expected the same of all layers"),
        (
            {"a": trained(), "b": trained(use_rslora=True)},
            {},
            ValueError,
            "use_rslora: expected the same of all layers",
        ),
        ({"a": trained()}, {"dtype": "int8"}, ValueError, 'dtype: expected "float32", "float16" or "bfloat16"'),
        ({"a": trained()}, {"base_model": 3}, TypeError, "base_model: expected text, got int"),
        (
            {"a": trained(rank=1, init=(W[:, :1] * np.float32(1e15), W[:1]))},
            {"dtype": "float16"},
            ValueError,
            "finite in float16, got others",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_before(tmp_path, layers, options, error, message):
    with pytest.raises(error, match=message):
        lora.save(tmp_path / "folder", layers, **options)
    assert not (tmp_path / "folder").exists()


def write(folder, tensors=None, text=None, **fields):
    """An adapter that is right but for what is said; None removes a field or a tensor."""
    lora.save(folder, {"block.fc": trained()})
    if text is None:
        config = {**config_of(folder), **fields}
        text = json.dumps({name: value for name, value in config.items() if value != "none given"}).encode()
    (folder / CONFIG).write_bytes(text)
    stored = {**load_tensors(folder / WEIGHTS)[0], **(tensors or {})}
    save_tensors(folder / WEIGHTS, {name: array for name, array in stored.items() if array is not None})


ZERO_A, ZERO_B = np.zeros((2, 8), np.float32), np.zeros((6, 2), np.float32)
HOSTILE = {
    "not JSON": ({"text": b"{"}, f"{CONFIG}: expected JSON, got"),
    "not UTF-8": ({"text": b'{"r": "\xff"}'}, "expected JSON, got"),
    "deep": ({"text": b"[" * 200_000}, "expected JSON, got"),
    "a list": ({"text": b"[1]"}, r"expected a JSON object, got \[1\]"),
    "a key twice": ({"text": b'{"r": 1, "r": 2}'}, 'expected each key once, got "r" again'),
    "not a number": ({"text": b'{"r": NaN}'}, "expected finite numbers, got NaN"),
    "a huge integer": ({"text": b'{"r": ' + b"9" * 10_000 + b"}"}, "expected JSON, got"),
    "no peft_type": ({"peft_type": "none given"}, 'peft_type: expected "LORA", got null'),
    "another peft_type": ({"peft_type": "IA3"}, 'peft_type: expected "LORA", got "IA3"'),
    "peft_type a list": ({"peft_type": ["LORA"]}, r'peft_type: expected "LORA", got \["LORA"\]'),
    "no rank": ({"r": "none given"}, "expected a field r, got none"),
    "no alpha": ({"lora_alpha": "none given"}, "expected a field lora_alpha, got none"),
    "rank as text": ({"r": "2"}, 'r: expected an integer of 1 or more, got "2"'),
    "rank true": ({"r": True}, "r: expected an integer of 1 or more, got true"),
    "rank 0": ({"r": 0}, "r: expected an integer of 1 or more, got 0"),
    "rank 2.0": ({"r": 2.0}, "r: expected an integer of 1 or more, got 2.0"),
    "another rank": ({"r": 3}, r"module 'block.fc': lora_A: expected shape \(3, in\), got \(2, 8\)"),
    "alpha a list": ({"lora_alpha": [16]}, r"lora_alpha: expected a number above 0, got \[16\]"),
    "alpha negative": ({"lora_alpha": -1}, "lora_alpha: expected a number above 0, got -1"),
    "alpha 1e300": ({"lora_alpha": 1e300}, "lora_alpha: expected a number above 0, got 1e[+]300"),
    "use_dora as text": ({"use_dora": "false"}, 'use_dora: expected true or false, got "false"'),
    "use_rslora a number": ({"use_rslora": 1}, "use_rslora: expected true or false, got 1"),
    "DoRA without magnitudes": (
        {"use_dora": True},
        "expected the tensors lora_A, lora_B, magnitude, got lora_A, lora_B",
    ),
    "biases": ({"bias": "all"}, 'bias: expected "none", got "all"'),
    "transposed": ({"fan_in_fan_out": True}, "fan_in_fan_out: expected false, for weights"),
    "another start": ({"init_lora_weights": "olora"}, 'init_lora_weights: expected one of true, .*, got "olora"'),
    "a start of 1": ({"init_lora_weights": 1}, "init_lora_weights: expected one of true, .*, got 1"),
    "modules to save": ({"modules_to_save": ["head"]}, r'"modules_to_save": expected it to be unused, got \["head"\]'),
    "something new": ({"use_next_idea": True}, '"use_next_idea": expected it to be unused, got true'),
    "pattern a list": ({"rank_pattern": ["fc"]}, r'rank_pattern: expected an object, got \["fc"\]'),
    "pattern of text": ({"rank_pattern": {"fc": "2"}}, 'rank_pattern: expected an integer of 1 or more, got "2"'),
    "pattern not a pattern": ({"rank_pattern": {"[": 2}}, r'rank_pattern: expected a regular expression, got "\["'),
    "pattern of a group": ({"alpha_pattern": {"(a|a)": 2}}, r'alpha_pattern: expected patterns .*, got "\(a|a\)"'),
    "slow pattern": ({"alpha_pattern": {r"a\\*a*a": 2}}, "alpha_pattern: expected patterns of at most one repetition"),
    "long pattern": ({"alpha_pattern": {"a" * 1100: 2}}, "alpha_pattern: expected patterns of at most one repetition"),
    "no A": ({"tensors": {A: None}}, "module 'block.fc': expected the tensors lora_A, lora_B, got lora_B"),
    "no tensors": ({"tensors": {A: None, B: None}}, "expected at least one adapted module, got none"),
    "magnitude without DoRA": ({"tensors": {M: np.ones(6, np.float32)}}, "expected the tensors lora_A, lora_B, got"),
    "B of another rank": (
        {"tensors": {B: ZERO_B[:, :1].copy()}},
        r"lora_B: expected float32 \(6, 2\), got float32 \(6, 1\)",
    ),
    "A of another width": (
        {"tensors": {A: ZERO_A[:, :7].copy()}},
        r"lora_A: expected float32 \(2, 8\), got float32 \(2, 7\)",
    ),
    "A of a convolution": (
        {"tensors": {A: ZERO_A.reshape(2, 8, 1, 1)}},
        r"lora_A: expected shape \(2, in\), got \(2, 8, 1, 1\)",
    ),
    "A empty": ({"tensors": {A: ZERO_A[:0]}}, r"lora_A: expected shape \(2, in\), got \(0, 8\)"),
    "A of integers": ({"tensors": {A: ZERO_A.astype(np.int8)}}, "expected float32, float16 or bfloat16, got int8"),
    "A with NaN": ({"tensors": {A: ZERO_A + np.float32("nan")}}, "expected finite values, got others"),
    "another tensor": (
        {"tensors": {"base_model.model.e.lora_embedding_A": ZERO_A}},
        "expected tensors base_model.model.*got",
    ),
    "no prefix": ({"tensors": {"block.fc.lora_A.weight": ZERO_A}}, "expected tensors base_model.model.*got 'block.fc"),
    "no name": ({"tensors": {"base_model.model.lora_A.weight": ZERO_A}}, "expected tensors base_model.model.*got"),
    "a long name": ({"tensors": {"base_model.model." + "a" * 600 + ".lora_A.weight": ZERO_A}}, "names of at most 512"),
    "not in the model": (
        {"tensors": {A: None, B: None, A.replace("fc", "x"): ZERO_A, B.replace("fc", "x"): ZERO_B}},
        "module 'block.x': expected 'block.x.weight' in the state, got none",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_folder_that_lies_is_refused(tmp_path, case):
    changes, message = HOSTILE[case]
    write(tmp_path, **changes)
    with pytest.raises(petrain.Error, match=message):
        lora.load(tmp_path, {"block.fc.weight": W})


def test_the_folder_of_the_refusals_is_right_otherwise(tmp_path):
    write(tmp_path)
    np.testing.assert_array_equal(lora.load(tmp_path, {"block.fc.weight": W})["block.fc"](X), trained()(X))


def test_patterns_are_read_as_peft_reads_them(tmp_path):
    write(
        tmp_path, r=9, rank_pattern={"other": 3, "f.": 2, "block.fc": 4}, alpha_pattern={"layer.fc": 3, r"b\w+.fc": 8}
    )
    layer = lora.load(tmp_path, {"block.fc.weight": W})["block.fc"]
    assert (layer.rank, layer.alpha) == (2, 8)


def test_patterns_are_compiled_once(monkeypatch):
    text = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "rank_pattern": {f"layer{i}": i + 1 for i in range(50)}}
    config = parse_config(json.dumps(text).encode())
    monkeypatch.setattr(re, "compile", None)
    monkeypatch.setattr(re, "match", None)
    assert [config.rank_of(f"model.layer{i}") for i in (0, 7, 49, 50)] == [1, 8, 50, 2]
    assert config.alpha_of("model.layer0") == 2


def test_a_name_that_does_not_match_itself_is_found_all_the_same():
    text = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "rank_pattern": {"a+b": 3, "b": 4}}
    config = parse_config(json.dumps(text).encode())
    assert (config.rank_of("a+b"), config.rank_of("aab"), config.rank_of("x.b")) == (3, 3, 4)


def test_what_is_no_file_is_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(petrain.Error, match=r"module 'block.fc': base: expected dtype float32.*, got int32"):
        lora.load(tmp_path, {"block.fc.weight": W.astype(np.int32)})
    with pytest.raises(TypeError, match="state: expected a dict of arrays by name, got list"):
        lora.load(tmp_path, [W])
    os.unlink(tmp_path / CONFIG)
    os.mkfifo(tmp_path / CONFIG)
    with pytest.raises(OSError, match="expected a regular file"):
        lora.load(tmp_path, {"block.fc.weight": W})
    os.unlink(tmp_path / CONFIG)
    os.mkdir(tmp_path / CONFIG)
    with pytest.raises(OSError, match=r"regular file|directory"):
        lora.load(tmp_path, {"block.fc.weight": W})
    with pytest.raises(IsADirectoryError, match="expected a file, got a folder"):
        lora.save(tmp_path, {"block.fc": trained()})


ODD = [None, True, False, 0, -1, 1, 2, 1.5, 1e400, 2**70, "", "x", "LORA", [], ["x"], {}, {"x": None}, {"fc": 2}, [[]]]


def test_a_configuration_with_any_odd_value_loads_or_is_refused(tmp_path):
    write(tmp_path)
    config = config_of(tmp_path)
    loaded = 0
    for name in [*config, "lora_bias", "layer_replication", "new"]:
        for odd in ODD:
            (tmp_path / CONFIG).write_text(json.dumps({**config, name: odd}))
            try:
                layer = lora.load(tmp_path, {"block.fc.weight": W})["block.fc"]
            except petrain.Error as error:
                assert "expected" in str(error)  # noqa: PT017
            else:
                assert np.isfinite(layer(X)).all()
                loaded += 1
    assert 100 < loaded < len(ODD) * len(config)


def test_files_with_changed_bytes_load_or_are_refused(tmp_path):
    write(tmp_path)
    rng = np.random.default_rng(0)
    for name in (CONFIG, WEIGHTS):
        right = (tmp_path / name).read_bytes()
        for _ in range(300):
            wrong = bytearray(right)
            for place in rng.integers(len(right), size=rng.integers(1, 4)):
                wrong[place] = rng.integers(256)
            (tmp_path / name).write_bytes(wrong[: rng.integers(len(right) // 2, len(right) + 1)])
            try:
                lora.load(tmp_path, {"block.fc.weight": W})
            except petrain.Error as error:
                assert "expected" in str(error)  # noqa: PT017
        (tmp_path / name).write_bytes(right)
