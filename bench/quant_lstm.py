"""One layer of an LSTM in int8, over sequences of 64 steps, against float32 and dynamic int8 elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from onnx import helper
from petrain import quant
from quant_rivals import Call, session, torch_quantized

STEPS = 64


def products(size: int, batch: int) -> int:
    return STEPS * batch * 4 * size * 2 * size


def rivals(size: int, batch: int, threads: int) -> dict[str, Call]:
    """Input and hidden state of one size."""
    torch.manual_seed(0)
    model = torch.nn.LSTM(size, size)
    x = torch.randn(STEPS, batch, size)
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    layer = quant.QuantLSTM.from_state(state)
    calls = {
        "int8": lambda: layer(x.numpy())[0],
        "onnxruntime float32": onnx_lstm(state, x.numpy(), threads, dynamic=False),
        "onnxruntime int8": onnx_lstm(state, x.numpy(), threads, dynamic=True),
        "onnxruntime int8 exact": onnx_lstm(state, x.numpy(), threads, dynamic=True, session__x64quantprecision="1"),
        "torch float32": without_gradients(model, x),
        "torch int8 fbgemm": without_gradients(torch_quantized(model, "fbgemm"), x),
        "torch int8 onednn": without_gradients(torch_quantized(model, "onednn"), x),
    }
    exact = calls["torch float32"]()[0].numpy()
    for name, call in calls.items():
        y = call() if name == "int8" else call()[0]
        error = np.abs(np.asarray(y).reshape(exact.shape) - exact).max()
        most = {"onnxruntime float32": 1e-4, "torch float32": 0, "onnxruntime int8": 1}.get(name, 0.03)
        assert error <= most, (name, error)  # onnxruntime's default saturates
    return calls


def without_gradients(model: torch.nn.Module, x: torch.Tensor) -> Call:
    def run() -> Any:
        with torch.inference_mode():
            return model(x)

    return run


def onnx_lstm(state: dict[str, np.ndarray], x: np.ndarray, threads: int, *, dynamic: bool, **config: str) -> Call:
    """ONNX has the gates in the order i, o, f, g."""

    def reordered(name: str) -> np.ndarray:
        i, f, g, o = np.split(state[name], 4)
        return np.concatenate([i, o, f, g])

    hidden = state["weight_hh_l0"].shape[1]
    bias = np.concatenate([reordered("bias_ih_l0"), reordered("bias_hh_l0")])[None]
    weights = {"w": reordered("weight_ih_l0"), "r": reordered("weight_hh_l0")}
    if not dynamic:
        node = helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], hidden_size=hidden)
        return session([node], {**{k: v[None] for k, v in weights.items()}, "b": bias}, x, threads, y_rank=4)
    constants = {"b": bias}
    for name, weight in weights.items():
        scale = np.float32(np.abs(weight).max() / 127)
        constants[name] = np.ascontiguousarray(np.rint(weight.T / scale).astype(np.int8)[None])
        constants[f"{name}s"], constants[f"{name}z"] = np.array([scale], np.float32), np.zeros(1, np.int8)
    inputs = ["x", "w", "r", "b", "", "", "", "", "ws", "wz", "rs", "rz"]
    node = helper.make_node("DynamicQuantizeLSTM", inputs, ["y"], domain="com.microsoft", hidden_size=hidden)
    return session([node], constants, x, threads, y_rank=4, **config)
