"""Kernels of convolutions as two or three smaller ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from petrain import _core
from petrain._numbers import integer, number
from petrain._params import Array, Floats
from petrain.lowrank._convolve import convolved, positions
from petrain.lowrank._tucker import tucker2
from petrain.lowrank.certificate import Certificate, certificate_of, certify, dequantized, is_quantized
from petrain.lowrank.factors import Dtype, factorize, matrix_nbytes, refuse_larger, require_dtype

if TYPE_CHECKING:
    from petrain.quant import HessianObserver, QuantTensor

Method = Literal["tucker2", "spatial", "channel"]
Pair: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class LowRankConv:
    """Convolutions that, one after the other, stand for one.

    Attributes:
        method: as :func:`factorize_conv` has it.
        kernels: (out, in, height, width) each, in the order in which they run; float32, or int8 with a scale for each
            output.
        certificate: what they lose, as they are.
    """

    method: Method
    kernels: tuple[Floats | QuantTensor, ...]
    certificate: Certificate

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the kernel that they stand for."""
        first, last = self.kernels[0].shape, self.kernels[-1].shape
        height, width = (max(kernel.shape[axis] for kernel in self.kernels) for axis in (2, 3))
        return last[0], first[1], height, width

    @property
    def rank(self) -> tuple[int, ...]:
        """Channels between the kernels, from the output's side: two of "tucker2", else one."""
        return tuple(int(kernel.shape[1]) for kernel in self.kernels[:0:-1])

    @property
    def rel_error(self) -> float:
        """:math:`‖W - Ŵ‖_F / ‖W‖_F`, in float64."""
        return self.certificate.rel_error

    @property
    def parameters(self) -> int:
        """Numbers of all kernels."""
        return sum(math.prod(kernel.shape) for kernel in self.kernels)

    @property
    def nbytes(self) -> int:
        """Bytes of all kernels."""
        return sum(int(kernel.nbytes) for kernel in self.kernels)

    @property
    def macs(self) -> int:
        """Multiplications for one position of the output where the stride is 1. With a larger one, "channel" takes as
        many; the other methods run their first kernel at more positions than the output has."""
        return self.parameters

    def dense(self) -> Floats:
        """The kernels merged back: a new float32 array of :attr:`shape`."""
        out, into, height, width = self.shape
        first, *core, last = (dequantized(kernel) for kernel in self.kernels)
        if self.method == "spatial":
            product = _core.low_rank_product(_rows_of(last, (0, 3), 1), first.reshape(len(first), -1))
            return np.ascontiguousarray(product.reshape(out, width, into, height).transpose(0, 2, 3, 1))
        if self.method == "channel":
            product = _core.low_rank_product(last.reshape(out, -1), first.reshape(len(first), -1))
            return product.reshape(out, into, height, width)
        inner = _core.low_rank_product(_rows_of(core[0], (0, 2, 3), 1), first.reshape(len(first), into))
        product = _core.low_rank_product(last.reshape(out, -1), inner.reshape(last.shape[1], -1))
        return np.ascontiguousarray(product.reshape(out, height, width, into).transpose(0, 3, 1, 2))

    def forward(
        self,
        x: Array,
        bias: Array | None = None,
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
    ) -> Floats:
        r"""The convolution of ``x`` without making the whole kernel, in float32; kernels in int8 by
        :func:`petrain.quant.conv2d`.

        What is outside of the image is zero. Each image is spread into its windows, in memory, one after the other.

        Args:
            x: float32, (N, C, H, W) or (C, H, W).
            bias: float32, (O,), or None.
            stride, padding, dilation: along the height and the width, or one number for both.

        Returns:
            float32, (N, O, OH, OW) or (O, OH, OW).

        Raises:
            ValueError: a dtype or shape is not as said, or the kernel is larger than the padded image.
            TypeError: a number is not an integer.

        Example:
            >>> layer = factorize_conv(np.ones((4, 4, 3, 3), np.float32), "spatial", rank=1)
            >>> layer.forward(np.ones((4, 5, 5), np.float32), padding=1, stride=2)[0].round(3)
            array([[16., 24., 16.],
                   [24., 36., 24.],
                   [16., 24., 16.]], dtype=float32)
        """
        steps = _sides("stride", stride, 1), _sides("padding", padding, 0), _sides("dilation", dilation, 1)
        each = self._steps(*steps)
        if is_quantized(self.kernels[0]):
            return self._forward_quantized(x, bias, each)
        given = _images(x, self.shape[1])
        biases = None if bias is None else _bias(bias, self.shape[0])
        images = given if given.ndim == 4 else given[None]
        counts = [positions(*of) for of in zip(images.shape[2:], self.shape[2:], *steps, strict=True)]
        y = np.empty((len(images), self.shape[0], *counts), np.float32)
        for image, result in zip(images, y, strict=True):
            current = np.ascontiguousarray(image.transpose(1, 2, 0))
            for kernel, (by, border, gap) in zip(self.kernels, each, strict=True):
                current = convolved(current, np.asarray(kernel), by, border, gap)
            result[:] = (current if biases is None else current + biases).transpose(2, 0, 1)
        return y if given.ndim == 4 else y[0]

    def _steps(self, stride: Pair, padding: Pair, dilation: Pair) -> list[tuple[Pair, Pair, Pair]]:
        """Stride, padding and dilation of each kernel."""
        if self.method == "spatial":
            down = (stride[0], 1), (padding[0], 0), (dilation[0], 1)
            return [down, ((1, stride[1]), (0, padding[1]), (1, dilation[1]))]
        still, whole = ((1, 1), (0, 0), (1, 1)), (stride, padding, dilation)
        return [still, whole, still] if self.method == "tucker2" else [whole, still]

    def _forward_quantized(self, x: Array, bias: Array | None, each: list[tuple[Pair, Pair, Pair]]) -> Floats:
        from petrain.quant import conv2d  # which imports this package

        biases = [*[None] * (len(self.kernels) - 1), bias]
        for kernel, own, (by, border, gap) in zip(self.kernels, biases, each, strict=True):
            x = conv2d(x, kernel, own, stride=by, padding=border, dilation=gap)  # type: ignore[arg-type]
        return x  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"LowRankConv({self.method!r}, shape={self.shape}, rank={self.rank}, rel_error={self.rel_error:.3g})"


def factorize_conv(
    w: Array,
    method: Method = "tucker2",
    rank: int | tuple[int, int] | None = None,
    energy: float | None = None,
    rel_error: float | None = None,
    max_params: int | None = None,
    inputs: HessianObserver | None = None,
    *,
    dtype: Dtype = "float32",
    seed: int = 0,
    force: bool = False,
) -> LowRankConv:
    r"""Two or three convolutions for one of kernel :math:`W` (O, I, kh, kw): give exactly one of rank, energy,
    rel_error and max_params.

    * "tucker2": 1 × 1 to q channels, kh × kw to p of them, 1 × 1 to O: the truncated singular vectors of both modes of
      channels (HOSVD), then fitted to each other in turns while that gains (HOOI). Source: Kim et al., arXiv
      1511.06530; De Lathauwer et al., SIAM J. Matrix Anal. Appl. 21 (2000).
    * "spatial": kh × 1 to r channels, then 1 × kw. Source: Jaderberg et al., arXiv 1405.3866; Tai et al., arXiv
      1511.06067, who give the best such kernels.
    * "channel": kh × kw to r channels, then 1 × 1. Source: Zhang et al., arXiv 1505.06798.

    Args:
        w: float32, (O, I, kh, kw), of one group.
        method: see above.
        rank: channels between; of "tucker2" a pair (p, q), from 1 to what the kernel has, neither more than kh kw times
            the other, or one number for both.
        energy: the part of :math:`‖W‖_F^2` to keep, in (0, 1].
        rel_error: the most that :math:`‖W - Ŵ‖_F / ‖W‖_F` may be, in [0, 1). The ranks of "tucker2" are those of the
            fewest numbers for which the sum of both truncations promises it.
        max_params: the most numbers that all kernels may have.
        inputs: of "channel" alone: an observer of the windows, of I kh kw features in the order of ``w[o]``. The error
            is then that of the outputs, as for :func:`factorize`.
        dtype: of the kernels; the rank is that of float32.
        seed: of the random start, where :func:`svd` takes one.
        force: kernels that take as many bytes as ``w``, or more, are refused unless this is True.

    Raises:
        ValueError: not exactly one of the four is given, it is out of range, ``w`` is not as said or has a NaN or
            infinite value, an option is none of those, or the kernels would save nothing.
        TypeError: a number is of the wrong type.

    Example:
        >>> import numpy as np
        >>> w = np.random.default_rng(0).standard_normal((32, 16, 3, 3), np.float32)
        >>> for method in ("tucker2", "spatial", "channel"):
        ...     layer = factorize_conv(w, method, max_params=2000)
        ...     layer.rank, [kernel.shape for kernel in layer.kernels], layer.macs
        ((10, 15), [(15, 16, 1, 1), (10, 15, 3, 3), (32, 10, 1, 1)], 1910)
        ((13,), [(13, 16, 3, 1), (32, 13, 1, 3)], 1872)
        ((11,), [(11, 16, 3, 3), (32, 11, 1, 1)], 1936)
    """
    if method not in ("tucker2", "spatial", "channel"):
        raise ValueError(f'method: expected "tucker2", "spatial" or "channel", got {method!r}')
    require_dtype(dtype)
    exact = _kernel(w)
    given = {"rank": rank, "energy": number("energy", energy), "rel_error": number("rel_error", rel_error)}
    given["max_params"] = None if max_params is None else integer("max_params", max_params)
    if sum(value is not None for value in given.values()) != 1:
        raise ValueError(f"expected exactly one of rank, energy, rel_error and max_params, got {given}")
    if inputs is not None and method != "channel":
        raise ValueError(f'inputs: expected None for "{method}", got an observer')
    if method == "tucker2":
        kernels = tucker2(exact, seed=seed, **given)  # type: ignore[arg-type]
    else:
        if isinstance(rank, tuple):
            raise TypeError(f"rank: expected an integer, got {rank!r}")
        matrix = _spatial_matrix(exact) if method == "spatial" else exact.reshape(len(exact), -1)
        factors = factorize(matrix, inputs=inputs, seed=seed, force=True, **given)  # type: ignore[arg-type]
        kernels = _unfolded(factors.a, factors.b, exact.shape, method)
    stored: tuple[Any, ...] = tuple(kernels)
    if dtype == "int8":
        from petrain.quant import quantize  # which imports this package

        stored = tuple(quantize(kernel) for kernel in kernels)
    result = LowRankConv(method, stored, _certified(exact, [dequantized(k) for k in stored], method, inputs))
    if not force and result.nbytes >= exact.nbytes:
        greatest = _greatest_saving(method, exact.shape, dtype)
        saving = f"ranks up to {greatest}" if greatest else "no rank"
        refuse_larger(result.nbytes, exact.nbytes, f"rank {result.rank}", saving)
    return result


def _kernel(w: Array) -> Floats:
    exact: Any = w if isinstance(w, np.ndarray) else np.from_dlpack(w)
    if exact.dtype != np.float32 or exact.ndim != 4 or exact.size == 0:
        raise ValueError(f"w: expected float32 (out, in, height, width), not empty, got {exact.dtype} {exact.shape}")
    if not np.isfinite(exact).all():
        raise ValueError(f"w: expected finite values, got {exact[~np.isfinite(exact)][0]}")
    return np.ascontiguousarray(exact)


def _greatest_saving(method: Method, shape: tuple[int, ...], dtype: Dtype) -> int:
    """The greatest rank, the same on both sides of "tucker2", whose kernels take fewer bytes than the whole."""
    out, into, height, width = shape

    def nbytes(r: int) -> int:
        shapes = {
            "tucker2": [(r, into), (r, r * height * width), (out, r)],
            "spatial": [(r, into * height), (out, r * width)],
            "channel": [(r, into * height * width), (out, r)],
        }[method]
        return sum(matrix_nbytes(rows, columns, dtype) for rows, columns in shapes)

    rank = 0
    while nbytes(rank + 1) < 4 * math.prod(shape):
        rank += 1
    most = {"tucker2": (out, into), "spatial": (out * width, into * height), "channel": (out, into * height * width)}
    return min(rank, *most[method])


def _spatial_matrix(w: Floats) -> Floats:
    """(O kw, I kh): what the second kernel reads of the first."""
    return np.ascontiguousarray(w.transpose(0, 3, 1, 2)).reshape(w.shape[0] * w.shape[3], -1)


def _unfolded(a: Any, b: Any, shape: tuple[int, ...], method: Method) -> list[Floats]:
    out, into, height, width = shape
    if method == "channel":
        return [b.reshape(-1, into, height, width), a.reshape(out, -1, 1, 1)]
    second = np.ascontiguousarray(a.reshape(out, width, -1).transpose(0, 2, 1))
    return [b.reshape(-1, into, height, 1), second.reshape(out, -1, 1, width)]


def _rows_of(kernel: Floats, rows: tuple[int, ...], column: int) -> Floats:
    """The kernel as a matrix, these axes along its rows."""
    rest = tuple(axis for axis in range(4) if axis not in rows and axis != column)
    return np.ascontiguousarray(kernel.transpose(*rows, *rest, column)).reshape(-1, kernel.shape[column])


def _certified(w: Floats, kernels: list[Floats], method: Method, inputs: HessianObserver | None) -> Certificate:
    first, *core, last = kernels
    if method == "spatial":
        return certify(_spatial_matrix(w), _rows_of(last, (0, 3), 1), first.reshape(len(first), -1))
    if method == "channel":
        return certify(w.reshape(len(w), -1), last.reshape(len(last), -1), first.reshape(len(first), -1), inputs)
    by_taps = np.ascontiguousarray(w.transpose(0, 2, 3, 1)).reshape(len(w), -1)
    numbers = _core.certify_core(
        by_taps, last.reshape(len(last), -1), _rows_of(core[0], (0, 2, 3), 1), first.reshape(len(first), -1)
    )
    return certificate_of(numbers, None)


def _sides(name: str, sides: Any, least: int) -> Pair:
    both = sides if isinstance(sides, (tuple, list)) else (sides, sides)
    if len(both) != 2:
        raise TypeError(f"{name}: expected an integer or two of them, got {sides!r}")
    return integer(name, both[0], least, 2**31), integer(name, both[1], least, 2**31)


def _images(x: Array, channels: int) -> Floats:
    images: Any = x if isinstance(x, np.ndarray) else np.from_dlpack(x)
    if images.dtype != np.float32 or images.ndim not in (3, 4) or images.shape[-3] != channels:
        raise ValueError(f"x: expected float32 (N, {channels}, H, W) or without N, got {images.dtype} {images.shape}")
    return images  # type: ignore[no-any-return]


def _bias(bias: Array, out: int) -> Floats:
    array: Any = bias if isinstance(bias, np.ndarray) else np.from_dlpack(bias)
    if array.dtype != np.float32 or array.shape != (out,):
        raise ValueError(f"bias: expected float32 ({out},), got {array.dtype} {array.shape}")
    return array  # type: ignore[no-any-return]
