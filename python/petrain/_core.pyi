"""
The compiled core of petrain. Use the modules of the package petrain instead.
"""

from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import os
import typing

__all__: list[str] = [
    "ColumnSquares",
    "DenseWeight",
    "Error",
    "GradAccumulator",
    "HessianObserver",
    "Histogram",
    "Layer",
    "Linear",
    "LowRankWeight",
    "MinMax",
    "MovingAverage",
    "Optimizer",
    "QuantConv",
    "QuantLinear",
    "QuantRnn",
    "QuantTensor",
    "QuantWeight",
    "ReLU",
    "ResidualWeight",
    "Sequential",
    "SparseLinear",
    "SparseTensor",
    "SparseWeight",
    "StepInfo",
    "TensorSteps",
    "Weight",
    "apply_masks",
    "attach_fake_quantize",
    "attention_transfer",
    "block_means",
    "bound_scales",
    "certify",
    "certify_core",
    "certify_rows",
    "check_hypers",
    "check_shape",
    "compensate",
    "copy_bytes",
    "cosine_loss",
    "cpu_info",
    "cross_entropy",
    "detach_fake_quantize",
    "distillation",
    "embedding",
    "factorize",
    "fake_quantize",
    "fake_quantize_backward",
    "fit_left",
    "fit_right",
    "frozen_backward",
    "frozen_forward",
    "frozen_merged",
    "frozen_row_norms",
    "get_num_threads",
    "gptq",
    "init_normal",
    "init_uniform",
    "init_weight",
    "keep_greatest",
    "kl_div",
    "load_model",
    "load_quant",
    "load_sparse",
    "load_weights",
    "low_rank_int8",
    "low_rank_linear",
    "low_rank_linear_backward",
    "low_rank_product",
    "lsq_factor",
    "lsq_scale",
    "manual_seed",
    "matmul_int",
    "mean_output",
    "model_graph",
    "mse_loss",
    "output_square",
    "quantize",
    "range_params",
    "read_safetensors",
    "rnn_bidirectional",
    "round_coordinate_descent",
    "rules",
    "safetensors_size",
    "save_model",
    "save_quant",
    "save_sparse",
    "save_weights",
    "set_num_threads",
    "soft_cross_entropy",
    "solve_knapsack",
    "sparse_compress",
    "sparse_gpt",
    "sparse_nbytes",
    "svd",
    "weights_graph",
    "write_safetensors",
]

class Error(Exception):
    pass

class StepInfo:
    """
    What a step found and did.
    """
    def __init__(self, grad_norm: typing.SupportsFloat | typing.SupportsIndex = 0.0, skipped: bool = False) -> None: ...
    def __repr__(self) -> str: ...
    @property
    def grad_norm(self) -> float:
        """
        Global L2 norm of the gradients before clipping.
        """
    @property
    def skipped(self) -> bool:
        """
        True where a gradient was not finite: nothing was changed.
        """

class GradAccumulator:
    def __init__(
        self,
        shapes: collections.abc.Sequence[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]],
        dtype: str = "float32",
    ) -> None: ...
    def add(self, grads: collections.abc.Sequence, weight: typing.SupportsFloat | typing.SupportsIndex) -> bool: ...
    def mean(self) -> list: ...
    def reset(self) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def weight(self) -> float: ...

class Optimizer:
    def __init__(
        self, groups: collections.abc.Sequence[tuple], seed: typing.SupportsInt | typing.SupportsIndex = 0
    ) -> None: ...
    def add_group(self, group: tuple) -> None: ...
    def group_of(self, param: typing.SupportsInt | typing.SupportsIndex) -> int: ...
    def hyper(self, group: typing.SupportsInt | typing.SupportsIndex, name: str) -> float: ...
    def memory(self, param: typing.SupportsInt | typing.SupportsIndex) -> dict[str, float]:
        """
        The numbers that the rule keeps for one parameter.
        """
    def param(self, param: typing.SupportsInt | typing.SupportsIndex) -> numpy.ndarray:
        """
        One parameter, in place.
        """
    def set_hyper(
        self,
        group: typing.SupportsInt | typing.SupportsIndex,
        name: str,
        value: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    def set_memory(
        self,
        param: typing.SupportsInt | typing.SupportsIndex,
        name: str,
        value: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    def set_steps(
        self, param: typing.SupportsInt | typing.SupportsIndex, steps: typing.SupportsInt | typing.SupportsIndex
    ) -> None: ...
    def shapes(self) -> list[list[int]]: ...
    def state(self, param: typing.SupportsInt | typing.SupportsIndex) -> dict:
        """
        The state arrays of one parameter, by name, without a copy.
        """
    def step(
        self,
        grads: collections.abc.Sequence,
        max_norm: typing.SupportsFloat | typing.SupportsIndex | None = None,
        grad_scale: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        max_value: typing.SupportsFloat | typing.SupportsIndex | None = None,
        zero_grads: bool = False,
        check_finite: bool = True,
        allow_missing: bool = False,
    ) -> StepInfo: ...
    def step_accumulated(
        self,
        accumulated: GradAccumulator,
        max_norm: typing.SupportsFloat | typing.SupportsIndex | None = None,
        grad_scale: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        max_value: typing.SupportsFloat | typing.SupportsIndex | None = None,
        check_finite: bool = True,
    ) -> StepInfo: ...
    def steps(self, param: typing.SupportsInt | typing.SupportsIndex) -> int: ...
    @property
    def state_bytes(self) -> int: ...

class TensorSteps:
    def __init__(
        self,
        optimizer: typing.Any,
        param_lists: list,
        state: dict,
        members: list,
        steps: numpy.typing.NDArray[numpy.float32],
        memory: numpy.typing.NDArray[numpy.float64],
        touch: typing.Any,
    ) -> None: ...
    def step(
        self,
        param_lists: list,
        state: dict,
        copies: dict,
        max_norm: typing.SupportsFloat | typing.SupportsIndex | None,
        grad_scale: typing.SupportsFloat | typing.SupportsIndex,
        max_value: typing.SupportsFloat | typing.SupportsIndex | None,
        zero_grads: bool,
        check_finite: bool,
    ) -> typing.Any: ...

class QuantTensor:
    @staticmethod
    def from_integers(
        values: typing.Any,
        scale: typing.Any,
        zero_point: typing.Any,
        bits: typing.SupportsInt | typing.SupportsIndex,
        scheme: str,
        granularity: str,
        axis: typing.SupportsInt | typing.SupportsIndex,
        group_size: typing.SupportsInt | typing.SupportsIndex | None,
    ) -> QuantTensor: ...
    @staticmethod
    def from_packed(
        packed: typing.Any,
        scale: typing.Any,
        zero_point: typing.Any,
        shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        bits: typing.SupportsInt | typing.SupportsIndex,
        scheme: str,
        granularity: str,
        axis: typing.SupportsInt | typing.SupportsIndex,
        group_size: typing.SupportsInt | typing.SupportsIndex | None,
    ) -> QuantTensor: ...
    def clone(self) -> QuantTensor: ...
    def dequantize(self, dtype: str) -> numpy.ndarray: ...
    @property
    def axis(self) -> int: ...
    @property
    def bits(self) -> int: ...
    @property
    def granularity(self) -> str: ...
    @property
    def group_size(self) -> int | None: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def packed(self) -> numpy.ndarray: ...
    @property
    def scale(self) -> numpy.ndarray: ...
    @property
    def scheme(self) -> str: ...
    @property
    def shape(self) -> tuple: ...
    @property
    def values(self) -> numpy.ndarray: ...
    @property
    def zero_point(self) -> typing.Any: ...

class QuantConv:
    def __init__(self, weight: QuantTensor, groups: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def forward(
        self,
        x: typing.Any,
        stride: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
        padding: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
        dilation: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
        bias: typing.Any,
        activation: str | None,
        clip: tuple[typing.SupportsFloat | typing.SupportsIndex, typing.SupportsFloat | typing.SupportsIndex] | None,
        x_params: tuple[typing.SupportsFloat | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex, str]
        | None,
        y_params: tuple[typing.SupportsFloat | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex, str]
        | None,
    ) -> numpy.ndarray: ...

class QuantLinear:
    def __init__(self, weight: QuantTensor) -> None: ...
    def forward(
        self,
        x: typing.Any,
        bias: typing.Any,
        activation: str | None,
        clip: tuple[typing.SupportsFloat | typing.SupportsIndex, typing.SupportsFloat | typing.SupportsIndex] | None,
        x_params: tuple[typing.SupportsFloat | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex, str]
        | None,
        y_params: tuple[typing.SupportsFloat | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex, str]
        | None,
        residual_a: typing.Any,
        residual_b: typing.Any,
        weight_only: bool,
    ) -> numpy.ndarray: ...

class QuantRnn:
    def __init__(self, cell: str, w_ih: QuantLinear, w_hh: QuantLinear, b_ih: typing.Any, b_hh: typing.Any) -> None: ...
    def forward(self, x: typing.Any, h0: typing.Any, c0: typing.Any, lengths: typing.Any, reverse: bool) -> tuple: ...

class Histogram:
    @typing.overload
    def __init__(self) -> None: ...
    @typing.overload
    def __init__(
        self,
        bins: typing.Any,
        counts: typing.Any,
        low: typing.SupportsFloat | typing.SupportsIndex,
        high: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    def entropy_range(self, bits: typing.SupportsInt | typing.SupportsIndex, scheme: str) -> tuple[float, float]: ...
    def extremes(self) -> tuple[float, float]: ...
    def merge(self, other: Histogram) -> None: ...
    def mse_range(self, bits: typing.SupportsInt | typing.SupportsIndex, scheme: str) -> tuple[float, float]: ...
    def observe(self, x: typing.Any) -> None: ...
    def parts(self) -> tuple[numpy.ndarray, numpy.ndarray]: ...
    def percentile_range(
        self, percentile: typing.SupportsFloat | typing.SupportsIndex, scheme: str
    ) -> tuple[float, float]: ...
    @property
    def count(self) -> int: ...

class MinMax:
    @typing.overload
    def __init__(self, axis: typing.SupportsInt | typing.SupportsIndex | None) -> None: ...
    @typing.overload
    def __init__(
        self,
        axis: typing.SupportsInt | typing.SupportsIndex | None,
        low: typing.Any,
        high: typing.Any,
        count: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    def merge(self, other: MinMax) -> None: ...
    def observe(self, x: typing.Any) -> None: ...
    def ranges(self) -> tuple[numpy.ndarray, numpy.ndarray]: ...
    @property
    def count(self) -> int: ...

class MovingAverage:
    @typing.overload
    def __init__(
        self,
        constant: typing.SupportsFloat | typing.SupportsIndex,
        axis: typing.SupportsInt | typing.SupportsIndex | None,
    ) -> None: ...
    @typing.overload
    def __init__(
        self,
        constant: typing.SupportsFloat | typing.SupportsIndex,
        axis: typing.SupportsInt | typing.SupportsIndex | None,
        low: typing.Any,
        high: typing.Any,
        count: typing.SupportsInt | typing.SupportsIndex,
        arrays: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    def merge(self, other: MovingAverage) -> None: ...
    def observe(self, x: typing.Any) -> None: ...
    def ranges(self) -> tuple[numpy.ndarray, numpy.ndarray]: ...
    @property
    def arrays(self) -> int: ...
    @property
    def count(self) -> int: ...

class HessianObserver:
    @staticmethod
    def from_state(
        hessian: typing.Any, sum: typing.Any, pending: typing.Any, count: typing.SupportsInt | typing.SupportsIndex
    ) -> HessianObserver: ...
    def __init__(self, in_features: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def hessian(self) -> numpy.ndarray: ...
    def mean(self) -> numpy.ndarray: ...
    def merge(self, other: HessianObserver) -> None: ...
    def observe(self, x: typing.Any) -> None: ...
    def state(self) -> tuple: ...
    @property
    def count(self) -> int: ...
    @property
    def in_features(self) -> int: ...

class ColumnSquares:
    def __init__(self, columns: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def observe(self, x: typing.Any) -> None: ...
    def sums(self) -> numpy.ndarray: ...
    @property
    def count(self) -> int: ...

class SparseTensor:
    @staticmethod
    def from_parts(
        values: typing.Any,
        scale: typing.Any,
        positions: typing.Any,
        columns: typing.Any,
        starts: typing.Any,
        shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        group: typing.SupportsInt | typing.SupportsIndex,
        n: typing.SupportsInt | typing.SupportsIndex,
        m: typing.SupportsInt | typing.SupportsIndex,
        inputs: typing.SupportsInt | typing.SupportsIndex,
    ) -> SparseTensor: ...
    def clone(self) -> SparseTensor: ...
    def dense(self) -> numpy.ndarray: ...
    @property
    def columns(self) -> typing.Any: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def pattern(self) -> tuple[int, int, int, int]: ...
    @property
    def positions(self) -> typing.Any: ...
    @property
    def scale(self) -> typing.Any: ...
    @property
    def shape(self) -> tuple: ...
    @property
    def starts(self) -> typing.Any: ...
    @property
    def values(self) -> typing.Any: ...

class SparseLinear:
    def __init__(self, weight: SparseTensor) -> None: ...
    def backward(self, gradient: typing.Any, x: typing.Any, need_x: bool) -> tuple:
        """
        The gradients of x, of the values and of a bias.
        """
    def forward(self, x: typing.Any, bias: typing.Any) -> numpy.ndarray: ...

class Weight:
    """
    The weight of a linear layer, a float32 matrix (out, in) in the form in which it is stored.
    """
    def dense(self) -> numpy.ndarray:
        """
        The matrix (out, in) that this stands for, as a new float32 array.
        """
    def tensors(self) -> dict:
        """
        The stored arrays, in place and read-only, by name: "", ".values", ".a.scale", …
        """
    @property
    def format(self) -> str:
        """
        "float32", "int8" (a scale for each output), "quantized" (integers in another way), "low_rank", "residual" or "sparse".
        """
    @property
    def graph(self) -> str:
        """
        The form as the header of a file describes it, JSON.
        """
    @property
    def nbytes(self) -> int:
        """
        Bytes that it is stored in.
        """
    @property
    def shape(self) -> tuple[int, int]: ...

class DenseWeight(Weight):
    """
    Stored as float32 (out, in).
    """
    def __init__(self, values: typing.Any) -> None:
        """
        Copies a float32 array of shape (out, in).
        """

class QuantWeight(Weight):
    """
    Stored as int8 or int4 (out, in), with scales along axis 0 or one for all; the inputs are quantized row by row.
    """
    def __init__(self, values: typing.Any) -> None:
        """
        Holds a petrain.quant.QuantTensor (out, in), without a copy.
        """
    @property
    def values(self) -> typing.Any:
        """
        The petrain.quant.QuantTensor, without a copy.
        """

class SparseWeight(Weight):
    """
    Stored without its zeros; float32 values are trained, and what is not stored stays zero.
    """
    def __init__(self, values: typing.Any) -> None:
        """
        Holds a petrain.sparse.SparseTensor (out, in), without a copy.
        """
    @property
    def values(self) -> typing.Any:
        """
        The petrain.sparse.SparseTensor, without a copy.
        """

class LowRankWeight(Weight):
    """
    W = A B with A (out, rank) and B (rank, in), each a Weight in a form of its own.
    """
    def __init__(self, a: Weight, b: Weight) -> None: ...
    @property
    def a(self) -> Weight: ...
    @property
    def b(self) -> Weight: ...
    @property
    def rank(self) -> int: ...

class ResidualWeight(Weight):
    """
    W = Q + A B with Q (out, in), A (out, rank) and B (rank, in), all of them QuantWeights.
    """
    def __init__(self, base: QuantWeight, a: QuantWeight, b: QuantWeight) -> None: ...
    @property
    def a(self) -> QuantWeight: ...
    @property
    def b(self) -> QuantWeight: ...
    @property
    def base(self) -> QuantWeight: ...

class Layer:
    """
    What layers share.
    """
    @property
    def type(self) -> str: ...

class Linear(Layer):
    """
    y = x Wᵀ + b, for x of shape (rows, in_features) and W of shape (out_features, in_features), float32.

    Args:
        in_features, out_features: at least 1.
        bias: whether there is a b, of shape (out_features,), zero at first.
        init: how W is drawn: "he_uniform", "he_normal", "xavier_uniform" or "xavier_normal".
        seed: of the draw; without it the next of the sequence that manual_seed starts.

    >>> from petrain import nn
    >>> layer = nn.Linear(64, 10)
    >>> layer.weight.shape, layer.weight.format, layer.bias.shape
    ((10, 64), 'float32', (10,))
    """
    @staticmethod
    def from_weight(weight: Weight, bias: typing.Any = None) -> Linear:
        """
        A layer with this Weight and a copy of this bias.
        """
    def __init__(
        self,
        in_features: typing.SupportsInt | typing.SupportsIndex,
        out_features: typing.SupportsInt | typing.SupportsIndex,
        bias: bool = True,
        init: str = "he_uniform",
        seed: typing.SupportsInt | typing.SupportsIndex | None = None,
    ) -> None: ...
    def __repr__(self) -> str: ...
    @property
    def bias(self) -> typing.Any:
        """
        float32 (out_features,), in place, or None.
        """
    @property
    def in_features(self) -> int: ...
    @property
    def out_features(self) -> int: ...
    @property
    def weight(self) -> Weight: ...

class ReLU(Layer):
    """
    max(x, 0), elementwise.
    """
    def __init__(self) -> None: ...
    def __repr__(self) -> str: ...

class Sequential:
    """
    Layers, one after the other.

    >>> import numpy as np
    >>> from petrain import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> logits = model.forward(np.ones((2, 4), np.float32), training=True)
    >>> loss, gradient = nn.cross_entropy(logits, np.array([0, 2]))
    >>> model.backward(gradient)
    >>> sorted(model.gradients())
    ['0.bias', '0.weight', '2.bias', '2.weight']
    """
    def __call__(self, x: typing.Any) -> numpy.ndarray:
        """
        forward without training.
        """
    def __init__(self, *args) -> None: ...
    def __len__(self) -> int: ...
    def __repr__(self) -> str: ...
    def backward(self, gradient: typing.Any, input_gradient: bool = False) -> typing.Any:
        """
        From the gradient of the output, after a forward pass with training: sets gradients() and, with input_gradient, returns that of x.
        """
    def forward(self, x: typing.Any, training: bool = False) -> numpy.ndarray:
        """
        float32 (rows, features) or one sample (features,). With training, keeps what backward needs.
        """
    def gradients(self) -> dict:
        """
        Their gradients of the last backward pass, in place; the next one overwrites them.
        """
    def parameters(self) -> dict:
        """
        The trained arrays by name, in place.
        """
    def tensors(self) -> dict:
        """
        Every stored array by name, in place.
        """
    @property
    def layers(self) -> list[Layer]: ...
    @property
    def nbytes(self) -> int:
        """
        Bytes of all stored arrays.
        """

def apply_masks(arrays: collections.abc.Sequence, masks: collections.abc.Sequence) -> None: ...
def attach_fake_quantize(
    optimizer: Optimizer,
    param: typing.SupportsInt | typing.SupportsIndex,
    scale: typing.Any,
    scale_gradient: typing.Any,
    spec: tuple[
        typing.SupportsInt | typing.SupportsIndex,
        str,
        str,
        typing.SupportsInt | typing.SupportsIndex,
        typing.SupportsInt | typing.SupportsIndex | None,
    ],
    out: typing.Any,
) -> None: ...
def attention_transfer(student: typing.Any, teacher: typing.Any) -> tuple: ...
def block_means(
    scores: typing.Any,
    rows: typing.SupportsInt | typing.SupportsIndex,
    columns: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.ndarray: ...
def bound_scales(
    scale: typing.Any,
    spec: tuple[
        typing.SupportsInt | typing.SupportsIndex,
        str,
        str,
        typing.SupportsInt | typing.SupportsIndex,
        typing.SupportsInt | typing.SupportsIndex | None,
    ],
) -> None: ...
def certify(w: typing.Any, a: typing.Any, b: typing.Any, inputs: HessianObserver | None) -> tuple:
    """
    (error, norm, output_error, output_norm)
    """

def certify_core(w: typing.Any, a: typing.Any, core: typing.Any, b: typing.Any) -> tuple:
    """
    (error, norm, 0, 0)
    """

def certify_rows(
    w: typing.Any,
    a: typing.Any,
    b: typing.Any,
    weights: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
) -> tuple:
    """
    (error, norm, output_error, output_norm)
    """

def check_hypers(rule: str, hypers: collections.abc.Mapping[str, typing.SupportsFloat | typing.SupportsIndex]) -> None:
    """
    ValueError where the rule has no such hyperparameter, or a value is out of the range that set_hyper takes.
    """

def check_shape(
    rule: str,
    hypers: collections.abc.Mapping[str, typing.SupportsFloat | typing.SupportsIndex],
    shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
) -> None:
    """
    ValueError where the rule has no use for a parameter of this shape.
    """

def compensate(
    w: typing.Any, hessian: HessianObserver, mask: typing.Any, damping: typing.SupportsFloat | typing.SupportsIndex
) -> tuple: ...
def copy_bytes(targets: collections.abc.Sequence[typing.Any], sources: collections.abc.Sequence[typing.Any]) -> None:
    """
    Overwrites arrays, whatever their dtypes, with the bytes of as many others.
    """

def cosine_loss(student: typing.Any, teacher: typing.Any) -> tuple: ...
def cpu_info() -> dict:
    """
    The instruction set in use and those available, the number of threads, and whether OpenMP was built in.
    """

def cross_entropy(logits: typing.Any, labels: numpy.ndarray) -> tuple[float, numpy.ndarray]: ...
def detach_fake_quantize(optimizer: Optimizer, param: typing.SupportsInt | typing.SupportsIndex) -> None: ...
def distillation(
    student: typing.Any,
    teacher: typing.Any,
    labels: numpy.ndarray,
    temperature: typing.SupportsFloat | typing.SupportsIndex,
    alpha: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple: ...
def embedding(table: QuantTensor, ids: typing.Any, dtype: str) -> numpy.ndarray: ...
def factorize(
    w: typing.Any,
    rank: typing.SupportsInt | typing.SupportsIndex | None,
    energy: typing.SupportsFloat | typing.SupportsIndex | None,
    rel_error: typing.SupportsFloat | typing.SupportsIndex | None,
    seed: typing.SupportsInt | typing.SupportsIndex,
    inputs: HessianObserver | None,
    damping: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[numpy.ndarray, numpy.ndarray, tuple]:
    """
    (a, b, numbers of the certificate)
    """

def fake_quantize(
    x: typing.Any,
    scale: typing.Any,
    zero_point: typing.Any,
    spec: tuple[
        typing.SupportsInt | typing.SupportsIndex,
        str,
        str,
        typing.SupportsInt | typing.SupportsIndex,
        typing.SupportsInt | typing.SupportsIndex | None,
    ],
    out: typing.Any,
) -> None: ...
def fake_quantize_backward(
    x: typing.Any,
    scale: typing.Any,
    zero_point: typing.Any,
    spec: tuple[
        typing.SupportsInt | typing.SupportsIndex,
        str,
        str,
        typing.SupportsInt | typing.SupportsIndex,
        typing.SupportsInt | typing.SupportsIndex | None,
    ],
    gradient: typing.Any,
    x_gradient: typing.Any,
    scale_gradient: typing.Any,
    factor: typing.SupportsFloat | typing.SupportsIndex,
) -> None: ...
def fit_left(w: typing.Any, b: typing.Any, inputs: HessianObserver | None) -> numpy.ndarray: ...
def fit_right(w: typing.Any, a: typing.Any) -> numpy.ndarray: ...
def frozen_backward(base: typing.Any, gradient: typing.Any) -> numpy.ndarray:
    """
    dy W
    """

def frozen_forward(base: typing.Any, x: typing.Any) -> numpy.ndarray:
    """
    x Wᵀ
    """

def frozen_merged(
    base: typing.Any,
    a: typing.Any,
    b: typing.Any,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    factors: typing.Any,
    dtype: str,
) -> numpy.ndarray:
    """
    W + scale A B, its rows times the factors unless they are None.
    """

def frozen_row_norms(
    base: typing.Any, a: typing.Any, b: typing.Any, scale: typing.SupportsFloat | typing.SupportsIndex
) -> numpy.ndarray:
    """
    Of W + scale A B.
    """

def get_num_threads() -> int:
    """
    The most threads that one call may use.
    """

def gptq(
    w: typing.Any,
    hessian: HessianObserver,
    bits: typing.SupportsInt | typing.SupportsIndex,
    scheme: str,
    granularity: str,
    group_size: typing.SupportsInt | typing.SupportsIndex | None,
    damping: typing.SupportsFloat | typing.SupportsIndex,
    act_order: bool,
) -> tuple: ...
def init_normal(
    array: typing.Any,
    mean: typing.SupportsFloat | typing.SupportsIndex,
    deviation: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
) -> None: ...
def init_uniform(
    array: typing.Any,
    low: typing.SupportsFloat | typing.SupportsIndex,
    high: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
) -> None: ...
def init_weight(array: typing.Any, init: str, seed: typing.SupportsInt | typing.SupportsIndex) -> None: ...
def keep_greatest(
    scores: typing.Any, pool: typing.SupportsInt | typing.SupportsIndex, keep: typing.SupportsInt | typing.SupportsIndex
) -> numpy.ndarray: ...
def kl_div(
    student: typing.Any, teacher: typing.Any, temperature: typing.SupportsFloat | typing.SupportsIndex
) -> tuple: ...
def load_model(path: os.PathLike | str | bytes) -> Sequential: ...
def load_quant(path: typing.Any) -> dict: ...
def load_sparse(path: typing.Any) -> dict: ...
def load_weights(path: os.PathLike | str | bytes) -> dict[str, Weight]: ...
def low_rank_int8(
    x: typing.Any,
    a: QuantLinear,
    b: QuantLinear,
    bias: typing.Any,
    activation: str | None,
    clip: tuple[typing.SupportsFloat | typing.SupportsIndex, typing.SupportsFloat | typing.SupportsIndex] | None,
    x_params: tuple[typing.SupportsFloat | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex, str] | None,
    y_params: tuple[typing.SupportsFloat | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex, str] | None,
    weight_only: bool,
) -> numpy.ndarray: ...
def low_rank_linear(
    x: typing.Any,
    a: typing.Any,
    b: typing.Any,
    bias: typing.Any,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    y: typing.Any,
) -> tuple:
    """
    (y, scale x Bᵀ); y None: a new array, else it is added to.
    """

def low_rank_linear_backward(
    gradient: typing.Any,
    x: typing.Any,
    a: typing.Any,
    b: typing.Any,
    inner: typing.Any,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    dx: typing.Any,
) -> tuple:
    """
    The gradients of x, a, b and a bias; dx: an array to which that of x is added, or whether it is wanted.
    """

def low_rank_product(a: typing.Any, b: typing.Any) -> numpy.ndarray: ...
def lsq_factor(
    shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    spec: tuple[
        typing.SupportsInt | typing.SupportsIndex,
        str,
        str,
        typing.SupportsInt | typing.SupportsIndex,
        typing.SupportsInt | typing.SupportsIndex | None,
    ],
) -> float: ...
def lsq_scale(
    x: typing.Any,
    spec: tuple[
        typing.SupportsInt | typing.SupportsIndex,
        str,
        str,
        typing.SupportsInt | typing.SupportsIndex,
        typing.SupportsInt | typing.SupportsIndex | None,
    ],
) -> numpy.ndarray: ...
def manual_seed(seed: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Start the sequence of seeds for layers that are not given one. It starts at 0 by itself.
    """

def matmul_int(a: typing.Any, b: typing.Any) -> numpy.ndarray: ...
def mean_output(w: typing.Any, hessian: HessianObserver) -> numpy.ndarray: ...
def model_graph(model: Sequential) -> str:
    """
    The graph as the header of the file has it, JSON.
    """

def mse_loss(student: typing.Any, teacher: typing.Any) -> tuple: ...
def output_square(w: typing.Any, hessian: HessianObserver) -> float: ...
def quantize(
    w: typing.Any,
    bits: typing.SupportsInt | typing.SupportsIndex,
    scheme: str,
    granularity: str,
    axis: typing.SupportsInt | typing.SupportsIndex,
    group_size: typing.SupportsInt | typing.SupportsIndex | None,
) -> QuantTensor: ...
def range_params(
    low: typing.SupportsFloat | typing.SupportsIndex,
    high: typing.SupportsFloat | typing.SupportsIndex,
    bits: typing.SupportsInt | typing.SupportsIndex,
    scheme: str,
) -> tuple[float, int]: ...
def read_safetensors(path: typing.Any) -> tuple[dict[str, str], dict]:
    """
    The metadata and the tensors of a safetensors file.
    """

def rnn_bidirectional(
    forward: QuantRnn, backward: QuantRnn, x: typing.Any, h0: typing.Any, c0: typing.Any, lengths: typing.Any
) -> tuple: ...
def round_coordinate_descent(
    w: typing.Any,
    q: QuantTensor,
    hessian: HessianObserver,
    passes: typing.SupportsInt | typing.SupportsIndex,
    damping: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple: ...
def rules() -> dict:
    """
    Every update rule of this build: its hyperparameters with their defaults, and its state tensors.
    """

def safetensors_size(
    metadata: collections.abc.Mapping[str, str],
    tensors: collections.abc.Mapping[
        str, tuple[str, collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]]
    ],
) -> int:
    """
    Bytes of the file of these metadata and tensors, each a dtype's name and a shape.
    """

def save_model(model: Sequential, path: os.PathLike | str | bytes) -> None: ...
def save_quant(path: typing.Any, arrays: collections.abc.Mapping[str, QuantTensor]) -> None: ...
def save_sparse(path: typing.Any, weights: collections.abc.Mapping[str, SparseTensor]) -> None: ...
def save_weights(weights: collections.abc.Mapping[str, Weight], path: os.PathLike | str | bytes) -> None: ...
def set_num_threads(count: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Set the most threads that one call may use. Raises ValueError where count < 1.
    """

def soft_cross_entropy(
    student: typing.Any, teacher: typing.Any, temperature: typing.SupportsFloat | typing.SupportsIndex
) -> tuple: ...
def solve_knapsack(
    costs: typing.Any,
    errors: typing.Any,
    counts: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    budget: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[list[int], int, float, float, float]:
    """
    (options, cost, error, lower_bound, gap); the options of all layers in a row, so many of each.
    """

def sparse_compress(
    w: typing.Any,
    mask: typing.Any,
    group: typing.SupportsInt | typing.SupportsIndex,
    n: typing.SupportsInt | typing.SupportsIndex,
    m: typing.SupportsInt | typing.SupportsIndex,
    columns: typing.SupportsInt | typing.SupportsIndex,
    bits: typing.SupportsInt | typing.SupportsIndex,
) -> SparseTensor: ...
def sparse_gpt(
    w: typing.Any,
    hessian: HessianObserver,
    pool: typing.SupportsInt | typing.SupportsIndex,
    keep: typing.SupportsInt | typing.SupportsIndex,
    damping: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple: ...
def sparse_nbytes(
    shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    group: typing.SupportsInt | typing.SupportsIndex,
    n: typing.SupportsInt | typing.SupportsIndex,
    m: typing.SupportsInt | typing.SupportsIndex,
    columns: typing.SupportsInt | typing.SupportsIndex,
    bits: typing.SupportsInt | typing.SupportsIndex,
    blocks: typing.SupportsInt | typing.SupportsIndex,
) -> int: ...
def svd(
    a: typing.Any,
    k: typing.SupportsInt | typing.SupportsIndex | None,
    energy: typing.SupportsFloat | typing.SupportsIndex | None,
    rel_error: typing.SupportsFloat | typing.SupportsIndex | None,
    oversample: typing.SupportsInt | typing.SupportsIndex,
    n_iter: typing.SupportsInt | typing.SupportsIndex | None,
    method: str,
    seed: typing.SupportsInt | typing.SupportsIndex,
    tol: typing.SupportsFloat | typing.SupportsIndex,
    memory_limit: typing.SupportsInt | typing.SupportsIndex,
    drop_pages: bool,
    progress: typing.Any,
    save: typing.Any,
    resumed: tuple[numpy.ndarray, numpy.ndarray, collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]]
    | None,
) -> tuple:
    """
    (u, s, vt); n_iter None: as many as tol needs; progress, save and resumed: or None.
    """

def weights_graph(weights: collections.abc.Mapping[str, Weight]) -> str:
    """
    The same of weights by name.
    """

def write_safetensors(
    path: typing.Any, metadata: collections.abc.Mapping[str, str], tensors: collections.abc.Mapping[str, typing.Any]
) -> None:
    """
    Replace or create a safetensors file, all or nothing.
    """

__version__: str = "0.1.0"
