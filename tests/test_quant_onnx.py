"""The formats are those of ONNX: its own evaluator and onnxruntime give the same integers and numbers."""

import ml_dtypes
import numpy as np
import pytest
from petrain import quant

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.reference")

INTEGERS = {8: (np.int8, "INT8"), 4: (ml_dtypes.int4, "INT4")}
FORMATS = [(bits, scheme) for bits in (8, 4) for scheme in ("symmetric", "asymmetric")]
GRANULARITIES = [
    # granularity, axis, group size -> ONNX's axis and block size
    ("tensor", 0, None, {}),
    ("channel", 0, None, {"axis": 0}),
    ("channel", 1, None, {"axis": 1}),
    ("group", 0, 32, {"axis": 1, "block_size": 32}),
    ("group", 1, 64, {"axis": 0, "block_size": 64}),
]


def w():
    w = np.random.default_rng(4).standard_normal((64, 96), np.float32)
    w[:, 5] += 3
    w[7] = 0
    return w


def model_of(q, attributes):
    """w -> its integers, and the numbers that these stand for."""
    kind = getattr(onnx.TensorProto, INTEGERS[q.bits][1])
    scale, zero_point = q.scale, np.zeros(q.scale.shape, np.int8) if q.zero_point is None else q.zero_point
    if q.granularity == "group" and q.axis == 1:  # ONNX has the groups where w has the elements
        scale, zero_point = scale.T, zero_point.T
    constants = [
        onnx.helper.make_tensor("scale", onnx.TensorProto.FLOAT, scale.shape, scale.ravel()),
        onnx.helper.make_tensor("zero_point", kind, zero_point.shape, zero_point.ravel()),
    ]
    nodes = [
        onnx.helper.make_node("QuantizeLinear", ["w", "scale", "zero_point"], ["q"], **attributes),
        onnx.helper.make_node("DequantizeLinear", ["q", "scale", "zero_point"], ["x"], **attributes),
    ]
    value = onnx.helper.make_tensor_value_info
    shape = list(q.shape)
    outputs = [value("q", kind, shape), value("x", onnx.TensorProto.FLOAT, shape)]
    inputs = [value("w", onnx.TensorProto.FLOAT, shape)]
    graph = onnx.helper.make_graph(nodes, "formats", inputs, outputs, constants)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize(("granularity", "axis", "group_size", "attributes"), GRANULARITIES)
@pytest.mark.parametrize(("bits", "scheme"), FORMATS)
def test_the_reference_evaluator_agrees(bits, scheme, granularity, axis, group_size, attributes):
    q = quant.quantize(w(), bits, scheme, granularity, axis, group_size)
    integers, numbers = onnx.reference.ReferenceEvaluator(model_of(q, attributes)).run(None, {"w": w()})
    assert np.array_equal(integers.astype(np.int8), q.values)
    assert np.array_equal(numbers, q.dequantize())


@pytest.mark.parametrize(("granularity", "axis", "group_size", "attributes"), GRANULARITIES)
@pytest.mark.parametrize(("bits", "scheme"), FORMATS)
def test_onnxruntime_agrees(bits, scheme, granularity, axis, group_size, attributes):
    runtime = pytest.importorskip("onnxruntime")
    q = quant.quantize(w(), bits, scheme, granularity, axis, group_size)
    model = model_of(q, attributes)
    if bits == 4:  # its outputs cannot be int4
        del model.graph.output[0]
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    *integers, numbers = session.run(None, {"w": w()})
    assert all(np.array_equal(array, q.values) for array in integers)
    assert np.array_equal(numbers, q.dequantize())


@pytest.mark.parametrize("shape", [(2, 32), (3, 5)])
def test_int4_is_packed_as_in_onnx(shape):
    q = quant.quantize(np.random.default_rng(5).standard_normal(shape, np.float32), 4, "asymmetric")
    tensor = onnx.numpy_helper.from_array(q.values.astype(ml_dtypes.int4))
    assert tensor.data_type == onnx.TensorProto.INT4
    assert tensor.raw_data == q.packed.tobytes()
