"""The sensitivity report against direct computation."""

import csv

import numpy as np
import pytest
from petrain import quant
from petrain.quant.sensitivity import FORMATS


@pytest.fixture
def case(rng):
    layers = {
        "attention": rng.standard_normal((48, 128), np.float32),
        "head": rng.standard_normal((10, 96), np.float32) ** 3,
    }
    mixes = {name: rng.standard_normal((w.shape[1], w.shape[1]), np.float32) for name, w in layers.items()}
    samples = [
        {name: rng.standard_normal((3, 20, len(mix)), np.float32) @ mix for name, mix in mixes.items()}
        for _ in range(7)
    ]
    return layers, samples


def test_errors_are_those_of_the_outputs(case):
    layers, samples = case
    report = quant.sensitivity(layers, iter(samples))
    found = {(row.layer, row.format): row for row in report.rows}
    assert set(found) == {("attention", name) for name in FORMATS} | {
        ("head", name) for name in ("int8", "int4", "int4 g32")
    }
    for (layer, name), row in found.items():
        w = layers[layer]
        x = np.concatenate([sample[layer].reshape(-1, w.shape[1]) for sample in samples])
        q = quant.quantize(w, **FORMATS[name])
        y = x.astype(np.float64) @ w.T
        error = np.linalg.norm(x @ q.dequantize().T.astype(np.float64) - y) / np.linalg.norm(y)
        assert row.error == pytest.approx(error, rel=1e-5)
        with_int8 = np.linalg.norm(quant.linear(x, q) - y) / np.linalg.norm(y)
        assert row.error_int8_inputs == pytest.approx(with_int8, rel=0.05)  # an estimate
        assert row.nbytes == q.nbytes
    assert [row.error for row in report.rows] == sorted((row.error for row in report.rows), reverse=True)


def test_with_gptq(case):
    layers, samples = case
    nearest = {(row.layer, row.format): row.error for row in quant.sensitivity(layers, samples).rows}
    for row in quant.sensitivity(layers, samples, rounding="gptq").rows:
        assert row.error < nearest[row.layer, row.format]


def test_the_table_and_the_csv(case):
    layers, samples = case
    report = quant.sensitivity(layers, samples)
    lines = str(report).splitlines()
    assert lines[0].split()[:3] == ["layer", "float32", "int8"]
    assert [line.split()[0] for line in lines[1:]] == list(dict.fromkeys(row.layer for row in report.rows))
    head = next(line for line in lines if line.startswith("head"))
    assert head.count(" - ") + head.endswith("-") == 2  # its 96 inputs are no groups of 64 or 128
    assert "3.75 KB" in head
    rows = list(csv.DictReader(report.to_csv().splitlines()))
    assert [(row["layer"], row["format"], float(row["error"]), int(row["nbytes"])) for row in rows] == [
        (row.layer, row.format, row.error, row.nbytes) for row in report.rows
    ]


def test_own_formats(case):
    layers, samples = case
    formats = {"tensor": {"granularity": "tensor"}, "four": {"bits": 4, "scheme": "asymmetric"}}
    report = quant.sensitivity(layers, samples, formats)
    assert {row.format for row in report.rows} == {"tensor", "four"}


def test_no_layers():
    report = quant.sensitivity({}, [{}, {}])
    assert report.rows == ()
    assert str(report).split() == ["layer", "float32", "int8", "int4", "int4", "g128", "int4", "g64", "int4", "g32"]


def test_what_does_not_fit_is_refused(case):
    layers, samples = case
    lacking = [{"head": samples[0]["head"]}]
    more = [{**samples[0], "tail": samples[0]["head"]}]
    nan = [{**samples[0], "head": samples[0]["head"] * np.float32("nan")}]
    for arguments, message in [
        ((layers, lacking), r"samples: expected the inputs of every layer; missing \['attention'\], unknown \[\]"),
        ((layers, more), r"missing \[\], unknown \['tail'\]"),
        ((layers, nan), r"inputs of 'head': x: expected finite values, got nan at index \(0, 0, 0\)"),
        ((layers, []), "layer 'attention': hessian: expected one that has seen rows, got none"),
        (({"head": layers["head"][0]}, samples), r"layer 'head': expected float32 \(outputs, inputs\), got"),
    ]:
        with pytest.raises(ValueError, match=message):
            quant.sensitivity(*arguments)
    with pytest.raises(ValueError, match='rounding: expected "nearest" or "gptq", got \'up\''):
        quant.sensitivity(layers, samples, rounding="up")


def test_what_does_not_fit_is_refused_before_the_samples_are_read(case):
    layers, _ = case

    def samples():
        pytest.fail("a sample was read")
        yield {}

    bad = {"head": layers["head"] * np.float32("inf")}
    with pytest.raises(ValueError, match="layer 'head': expected finite values, got"):
        quant.sensitivity(bad, samples())
    for options, error, message in [
        ({"bits": 5}, ValueError, "format 'new': bits: expected 8 or 4, got 5"),
        (
            {"granularity": "group", "group_size": 33},
            ValueError,
            "format 'new': group_size: expected 32, 64 or 128, got",
        ),
        ({"granularity": "row"}, ValueError, "format 'new': granularity: expected"),
        ({"axis": 1}, ValueError, "format 'new': axis: expected 0, the outputs, got 1"),
        ({"bit": 4}, TypeError, "format 'new': .*unexpected keyword argument 'bit'"),
    ]:
        with pytest.raises(error, match=message):
            quant.sensitivity(layers, samples(), {"int8": {}, "new": options})
