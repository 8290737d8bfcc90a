"""Files of quantized arrays: what is saved is loaded to the byte, and a file that lies is refused."""

import json
import struct

import numpy as np
import petrain
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from petrain import files, quant

FORMATS = [
    (bits, scheme, *rest)
    for bits in (8, 4)
    for scheme in ("symmetric", "asymmetric")
    for rest in (("tensor", 0, None), ("channel", 0, None), ("channel", -1, None), ("group", 0, 32), ("group", 1, 64))
]
W = np.random.default_rng(3).standard_normal((64, 96), np.float32)


def equal(a, b):
    parts = [(a.packed, b.packed), (a.scale, b.scale)]
    if a.zero_point is not None:
        parts.append((a.zero_point, b.zero_point))
    return repr(a) == repr(b) and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in parts)


def test_all_formats_in_one_file(tmp_path):
    arrays = {str(form): quant.quantize(W, *form) for form in FORMATS} | {"é": quant.quantize(W[:1, :3].copy(), 4)}
    quant.save(tmp_path / "q", arrays)
    loaded = quant.load(tmp_path / "q")
    assert sorted(loaded) == sorted(arrays)
    assert all(equal(loaded[name], arrays[name]) for name in arrays)
    quant.save(tmp_path / "again", dict(reversed(loaded.items())))
    assert (tmp_path / "q").read_bytes() == (tmp_path / "again").read_bytes()


def test_one_array(tmp_path):
    q = quant.quantize(W, 4, "asymmetric", "group", 0, 32)
    q.save(str(tmp_path / "q"))
    assert equal(quant.QuantTensor.load(tmp_path / "q"), q)
    quant.save(tmp_path / "q", {"a": q, "b": q})
    with pytest.raises(petrain.Error, match="expected a file of one quantized array, got 2"):
        quant.QuantTensor.load(tmp_path / "q")
    quant.save(tmp_path / "q", {})
    assert quant.load(tmp_path / "q") == {}


def test_others_read_the_tensors(tmp_path):
    q = quant.quantize(W, 4, "asymmetric")
    quant.save(tmp_path / "q", {"w": q})
    tensors = safetensors.numpy.load_file(tmp_path / "q")
    assert sorted(tensors) == ["w.scale", "w.values", "w.zero_point"]
    low, high = tensors["w.values"] & 15, tensors["w.values"] >> 4
    integers = ((np.stack([low, high], 1).ravel().astype(np.int32) ^ 8) - 8).reshape(W.shape)
    numbers = (integers - tensors["w.zero_point"][:, None]) * tensors["w.scale"][:, None]
    assert np.array_equal(numbers.astype(np.float32), q.dequantize())


def test_what_cannot_be_saved(tmp_path):
    q = quant.quantize(W)
    with pytest.raises(TypeError, match="array 'w': expected a QuantTensor, got ndarray"):
        quant.save(tmp_path / "q", {"w": W})
    with pytest.raises(TypeError, match="array name: expected text, got int"):
        quant.save(tmp_path / "q", {1: q})
    with pytest.raises(ValueError, match="array name: expected text that UTF-8 can hold, got"):
        quant.save(tmp_path / "q", {"\ud800": q})
    with pytest.raises(OSError, match="q"):
        quant.save(tmp_path / "none" / "q", {"w": q})
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="none"):
        quant.load(tmp_path / "none")


FORM = {"bits": 8, "scheme": "symmetric", "granularity": "channel", "axis": 0, "shape": [2, 3]}
TENSORS = {"w.values": np.zeros((2, 3), np.int8), "w.scale": np.ones(2, np.float32)}


def description(**changes):
    form = {key: value for key, value in (FORM | changes).items() if value is not None}
    return json.dumps({"version": 1, "arrays": {"w": form}})


def without(name):
    return {key: array for key, array in TENSORS.items() if key != name}


HOSTILE = {
    "no description": (None, TENSORS, 'it has no "petrain.quant" in its metadata'),
    "no JSON": ("{", TENSORS, "parse error"),
    "a zero byte": ('{"version":1}\0', TENSORS, "holds a zero byte"),
    "deep": ("[" * 20 + "]" * 20, TENSORS, "nested deeper than 8"),
    "a list": ("[]", TENSORS, "the description: expected an object, got array"),
    "no version": ("{}", TENSORS, 'the description: expected the key "version"'),
    "of the future": ('{"version":2}', TENSORS, 'expected description version 1, got "2"'),
    "no arrays": ('{"version":1}', TENSORS, 'expected the key "arrays"'),
    "arrays in a list": ('{"version":1,"arrays":[]}', TENSORS, "arrays: expected an object, got array"),
    "an array that is text": ('{"version":1,"arrays":{"w":"x"}}', TENSORS, "format: expected an object, got string"),
    "a tensor too many": ('{"version":1,"arrays":{}}', TENSORS, 'the tensor "w.scale" belongs to no array'),
    "a zero point too many": (
        description(),
        TENSORS | {"w.zero_point": np.zeros(2, np.int8)},
        'the tensor "w.zero_point" belongs to no array',
    ),
    "no values": (description(), without("w.values"), 'array "w": expected a tensor named "w.values"'),
    "no scale": (description(), without("w.scale"), 'array "w": expected a tensor named "w.scale"'),
    "no zero point": (description(scheme="asymmetric"), TENSORS, 'expected a tensor named "w.zero_point"'),
    "no bits": (description(bits=None), TENSORS, 'array "w": format: expected the key "bits"'),
    "bits of text": (description(bits="8"), TENSORS, "format: bits: expected an integer below 2^63, got"),
    "broken bits": (description(bits=8.5), TENSORS, 'bits: expected an integer below 2^63, got "8.5"'),
    "three bits": (description(bits=3), TENSORS, "bits: expected 8 or 4, got 3"),
    "too many bits": (description(bits=2**32 + 8), TENSORS, "bits: expected an integer from 0 to 255, got 4294967304"),
    "other bits": (description(bits=4), TENSORS, "values: expected dtype uint8, got int8"),
    "unknown scheme": (description(scheme="x"), TENSORS, 'scheme: expected "symmetric" or "asymmetric", got "x"'),
    "scheme of a number": (description(scheme=1), TENSORS, 'format: expected text for "scheme", got number'),
    "unknown granularity": (description(granularity="row"), TENSORS, 'granularity: expected "tensor", "channel" or'),
    "other granularity": (description(granularity="tensor"), TENSORS, "scale: expected shape (), got (2,)"),
    "no axis": (description(axis=None), TENSORS, 'format: expected the key "axis"'),
    "negative axis": (description(axis=-1), TENSORS, "axis: expected an integer from 0 to 255, got -1"),
    "axis beyond": (description(axis=2), TENSORS, "axis: expected -2 to 1 for shape (2, 3), got 2"),
    "no group size": (description(granularity="group"), TENSORS, 'format: expected the key "group_size"'),
    "other group size": (description(granularity="group", group_size=3), TENSORS, "expected 32, 64 or 128, got 3"),
    "group that does not divide": (description(granularity="group", group_size=32), TENSORS, "a divisor of the 3 elem"),
    "no shape": (description(shape=None), TENSORS, 'format: expected the key "shape"'),
    "shape of text": (description(shape="2"), TENSORS, "shape: expected an array of at most 32 integers, got string"),
    "long shape": (description(shape=[1] * 33), TENSORS, "at most 32 integers, got array of 33"),
    "shape of lists": (description(shape=[[2]]), TENSORS, 'shape: expected an integer below 2^63, got "[2]"'),
    "shape above int64": (description(shape=[2**63]), TENSORS, "shape: expected an integer below 2^63"),
    "negative extent": (description(shape=[-2, 3]), TENSORS, "shape (-2, 3) has a negative extent"),
    "empty shape": (description(shape=[]), TENSORS, "values: expected at least one dimension for scales per channel"),
    "empty shape of one scale": (
        description(shape=[], granularity="tensor"),
        TENSORS | {"w.scale": np.array(1, np.float32)},
        "values: expected shape (), got (2, 3)",
    ),
    "other shape": (description(shape=[3, 2]), TENSORS, "values: expected shape (3, 2), got (2, 3)"),
    "product turns over": (description(bits=4, shape=[2**32, 2**32]), TENSORS, "has too many elements"),
    "shape without data": (
        description(bits=4, shape=[2, 2**50]),
        TENSORS | {"w.values": np.zeros(3, np.uint8)},
        "values: expected shape (1125899906842624,), got (3,)",
    ),
    "-128": (description(), TENSORS | {"w.values": np.full((2, 3), -128, np.int8)}, "values: expected -127 to 127"),
    "scale of zero": (
        description(),
        TENSORS | {"w.scale": np.zeros(2, np.float32)},
        "scale: expected positive, finite",
    ),
    "name that steers a terminal": (
        '{"version":1,"arrays":{"\\u001b[2J":{}}}',
        TENSORS,
        r'array "\u001b[2J": format: expected the key "bits"',
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_files_that_lie(case, tmp_path):
    text, tensors, message = HOSTILE[case]
    files.save_tensors(tmp_path / "q", tensors, {} if text is None else {"petrain.quant": text})
    with pytest.raises(petrain.Error) as caught:
        quant.load(tmp_path / "q")
    assert str(caught.value).startswith("not a file of quantized arrays: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_description_that_others_are_spoiled_from_is_right(tmp_path):
    files.save_tensors(tmp_path / "q", TENSORS, {"petrain.quant": description()})
    assert quant.load(tmp_path / "q")["w"].shape == (2, 3)


def load_or_refuse(path):
    """What was loaded, which must be correct: the constructor takes the parts again."""
    try:
        arrays = quant.load(path)
    except petrain.Error:
        return
    for q in arrays.values():
        form = (q.bits, q.scheme, q.granularity, q.axis, q.group_size)
        assert equal(quant.QuantTensor(q.values, q.scale, q.zero_point, *form), q)
        assert q.dequantize().shape == q.shape


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quant")


@pytest.fixture(scope="module")
def correct(folder):
    """Files of a few arrays each."""
    arrays = {
        "a": quant.quantize(W[:1, :5].copy(), 4),
        "b": quant.quantize(W[:2, :64].copy(), 8, "asymmetric", "group", 0, 32),
        "c": quant.quantize(W[:3, :3].copy(), 4, "asymmetric", "tensor"),
    }
    quant.save(folder / "correct", arrays)
    return (folder / "correct").read_bytes()


@given(st.data())
def test_flipped_bytes(folder, correct, data):
    spoiled = bytearray(correct)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoiled) - 1))
        spoiled[at] = data.draw(st.integers(0, 255))
    (folder / "spoiled").write_bytes(spoiled[: data.draw(st.sampled_from([len(spoiled), len(spoiled) - 1]))])
    load_or_refuse(folder / "spoiled")


ANY = st.one_of(st.none(), st.booleans(), st.integers(-3, 130), st.floats(), st.text(max_size=3))
VALUES = {
    "bits": st.sampled_from([4, 8]) | ANY,
    "scheme": st.sampled_from(["symmetric", "asymmetric"]) | ANY,
    "granularity": st.sampled_from(["tensor", "channel", "group"]) | ANY,
    "axis": st.integers(-1, 3) | ANY,
    "group_size": st.sampled_from([32, 64]) | ANY,
    "shape": st.lists(st.sampled_from([0, 1, 2, 3, 5, 64, 2**31, 2**62, -1]) | ANY, max_size=4) | ANY,
}


@given(st.data())
def test_other_descriptions(folder, correct, data):
    (length,) = struct.unpack("<Q", correct[:8])
    header = json.loads(correct[8 : 8 + length])
    graph = json.loads(header["__metadata__"]["petrain.quant"])
    for name in data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=2)):
        key = data.draw(st.sampled_from(sorted(VALUES)))
        graph["arrays"][name][key] = data.draw(VALUES[key])
    header["__metadata__"]["petrain.quant"] = json.dumps(graph)
    text = json.dumps(header).encode()
    (folder / "spoiled").write_bytes(struct.pack("<Q", len(text)) + text + correct[8 + length :])
    load_or_refuse(folder / "spoiled")
