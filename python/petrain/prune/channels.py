"""Taking channels out for real: smaller arrays, not zeros."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from petrain._params import Array, Floats
from petrain.nn import DenseWeight, Layer, Linear, ReLU, Sequential
from petrain.prune._checks import finite, floats, mask_bytes
from petrain.prune.masks import Mask


def cut_channels(w: Array, bias: Array | None, following: Array, keep: Mask) -> tuple[Floats, Floats | None, Floats]:
    """Take outputs out of a layer, and with them the inputs of the layer that follows.

    Between the two there may be what works on each channel by itself and gives 0 for 0: ReLU, GELU, SiLU, tanh,
    pooling. The two layers then compute exactly what they would with the cut channels' weights and biases at zero.

    Args:
        w: float32 ``(N, ...)``: of a linear layer ``(N, K)``, or a convolution ``(N, C, ...)``.
        bias: float32 ``(N,)``, or None.
        following: float32 ``(M, N * places, ...)``: of a linear layer, or a convolution without groups; ``places`` is
            1, or the size of an image that was flattened in between, channel by channel.
        keep: the outputs that stay, bool ``(N,)``, at least one; see :func:`channels`.

    Returns:
        New arrays in the place of the three.

    Raises:
        ValueError: dtypes or shapes do not fit, nothing is kept, or a value is NaN or infinite.
        TypeError: ``keep`` is no NumPy array of bool.

    Example:
        >>> w, bias, following = np.eye(3, dtype=np.float32), np.zeros(3, np.float32), np.ones((2, 3), np.float32)
        >>> [array.shape for array in cut_channels(w, bias, following, np.array([True, False, True]))]
        [(2, 3), (2,), (2, 2)]
    """
    weight, after = finite("w", floats("w", w)), finite("following", floats("following", following))
    mask_bytes("keep", keep)
    if weight.ndim < 2 or keep.shape != weight.shape[:1]:
        raise ValueError(f"keep: expected one for each output of a w of shape {weight.shape}, got shape {keep.shape}")
    if not keep.any():
        raise ValueError("keep: expected at least one output, got none")
    if after.ndim < 2 or after.shape[1] == 0 or after.shape[1] % len(keep):
        raise ValueError(f"following: expected a multiple of {len(keep)} inputs, got shape {after.shape}")
    new_bias = None
    if bias is not None:
        old = finite("bias", floats("bias", bias))
        if old.shape != keep.shape:
            raise ValueError(f"bias: expected shape {keep.shape}, got {old.shape}")
        new_bias = old[keep]
    inputs = keep.repeat(after.shape[1] // len(keep))
    return weight[keep], new_bias, np.ascontiguousarray(after[:, inputs])


def cut_model(model: Sequential, keep: Mapping[int, Mask]) -> Sequential:
    """A model without some channels of its layers; the model that was given stays as it is.

    Args:
        model: linear layers with float32 weights where channels go, and ReLU between.
        keep: the outputs that stay of the layer at each of these indices, bool. The model's last linear layer keeps
            all.

    Raises:
        ValueError: an index is none of a linear layer that another follows, its weight or that of the next is not
            float32, or a mask does not fit.
        TypeError: a mask is no NumPy array of bool.

    Example:
        >>> from petrain import nn, prune
        >>> model = nn.Sequential(nn.Linear(4, 8, seed=1), nn.ReLU(), nn.Linear(8, 3, seed=2))
        >>> keep = prune.channels(prune.magnitude(model.parameters()["0.weight"]), 0.5)
        >>> cut_model(model, {0: keep})
        Sequential(Linear(4, 4), ReLU(), Linear(4, 3))
    """
    layers = model.layers
    arrays = {name: array.copy() for name, array in model.parameters().items()}
    for index, mask in keep.items():
        following = _following(layers, index)
        first, second = f"{index}.weight", f"{following}.weight"
        bias = arrays.get(f"{index}.bias")
        arrays[first], new_bias, arrays[second] = cut_channels(arrays[first], bias, arrays[second], mask)
        if new_bias is not None:
            arrays[f"{index}.bias"] = new_bias
    return Sequential(*[_rebuilt(layer, index, arrays) for index, layer in enumerate(layers)])


def _following(layers: list[Layer], index: int) -> int:
    """The index of the linear layer whose inputs are this one's outputs."""
    if not 0 <= index < len(layers) or not _is_dense(layers[index]):
        raise ValueError(f"keep: expected the index of a linear layer with a float32 weight, got {index}")
    for following in range(index + 1, len(layers)):
        if isinstance(layers[following], ReLU):
            continue
        if _is_dense(layers[following]):
            return following
        raise ValueError(f"keep: expected layer {following}, after layer {index}, to have a float32 weight")
    raise ValueError(f"keep: expected a linear layer after layer {index}, got none")


def _is_dense(layer: Layer) -> bool:
    return isinstance(layer, Linear) and layer.weight.format == "float32"


def _rebuilt(layer: Layer, index: int, arrays: dict[str, np.ndarray]) -> Layer:
    if not isinstance(layer, Linear):
        return layer
    weight = DenseWeight(arrays[f"{index}.weight"]) if _is_dense(layer) else layer.weight
    return Linear.from_weight(weight, arrays.get(f"{index}.bias"))
