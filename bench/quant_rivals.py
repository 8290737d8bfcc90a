"""One product y = x wᵀ in int8 or int4, as each library's user would run it: float32 goes in and comes out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

Call = Callable[[], Any]


def session(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    x: np.ndarray,
    threads: int,
    y_rank: int = 2,
    **config: str,
) -> Call:
    """A graph from "x" to "y" in onnxruntime."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * y_rank)]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "bench", inputs, outputs, initializers)
    domains = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    for key, value in config.items():
        options.add_session_config_entry(key.replace("__", "."), value)
    run = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run
    return lambda: run(None, {"x": x})


def ort_float32(x: np.ndarray, w: np.ndarray, threads: int) -> Call:
    return session([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.ascontiguousarray(w.T)}, x, threads)


def ort_int8(x: np.ndarray, w: np.ndarray, threads: int, *, exact: bool) -> Call:
    """Dynamic quantization, one scale for each output. By default u8 × s8 products saturate on AVX2."""
    scale = np.abs(w).max(axis=1) / np.float32(127)
    values = np.rint(w / scale[:, None]).astype(np.int8)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulIntegerToFloat", ["q", "w", "s", "t", "z"], ["y"], domain="com.microsoft"),
    ]
    config = {"session__x64quantprecision": "1"} if exact else {}
    return session(nodes, {"w": np.ascontiguousarray(values.T), "t": scale}, x, threads, **config)


def ort_int4(x: np.ndarray, w: np.ndarray, threads: int, *, accuracy_level: int = 4) -> Call:
    """Groups of 32. Activations: accuracy level 4 computes in int8, 1 in float32."""
    n, k = w.shape
    groups = w.reshape(n, k // 32, 32)
    scale = np.abs(groups).max(axis=2) / np.float32(7)
    values = (np.rint(groups / scale[..., None]) + 8).astype(np.uint8)
    packed = values[..., ::2] | values[..., 1::2] << 4
    attributes = {"K": k, "N": n, "bits": 4, "block_size": 32, "accuracy_level": accuracy_level}
    nodes = [helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", **attributes)]
    return session(nodes, {"w": packed, "s": scale.reshape(-1)}, x, threads)


def torch_float32(x: np.ndarray, w: np.ndarray) -> Call:
    inputs, weight = torch.from_numpy(x), torch.from_numpy(w)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return torch.nn.functional.linear(inputs, weight)

    return run


def torch_quantized(layer: torch.nn.Module, engine: str) -> torch.nn.Module:
    """With the weights packed for this engine, which they keep."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(layer), {type(layer)}, torch.qint8)
    finally:
        torch.backends.quantized.engine = before
    return whole[0]


def torch_dynamic(x: np.ndarray, w: np.ndarray, engine: str) -> Call:
    """engine: "fbgemm" or "onednn", for which the weight is packed here."""
    layer = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
    layer.weight.data.copy_(torch.from_numpy(w))
    quantized = torch_quantized(layer, engine)
    inputs = torch.from_numpy(x)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return quantized(inputs)

    return run
