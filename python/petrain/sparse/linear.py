"""A linear layer on a sparse weight."""

from __future__ import annotations

from dataclasses import dataclass

from petrain._params import Array, Floats
from petrain.sparse.tensor import SparseTensor, core_of


@dataclass(frozen=True)
class SparseGradients:
    """Gradients of a layer on a sparse weight.

    Attributes:
        x: in the shape of the input; None where it was not wanted.
        values: in the shape of the weight's values: what is not stored has no gradient.
        bias: (N,), whether the layer has a bias or not: the sum of the output's gradients.
    """

    x: Floats | None
    values: Floats
    bias: Floats


def linear(x: Array, w: SparseTensor, bias: Array | None = None) -> Floats:
    r"""``x @ w.dense().T + bias``, of which what is not stored is neither read nor computed.

    Zeros that are not stored are not multiplied: a NaN or an infinity in ``x`` reaches the outputs that store something
    for its input, and no others.

    float32: every output is the sum over its stored inputs in order, then the bias. It depends neither on the number of
    threads nor on other rows; between instruction sets it differs in rounding, as any product of matrices does.

    int8: each row of ``x`` is quantized on the way, symmetrically with a scale of its own, and the sums are exact: the
    bytes of :func:`petrain.quant.linear` with the same integers, on every instruction set.

    Args:
        x: float32, (…, K); with int8 (K,) or (M, K), and finite.
        w: (N, K). What kernels read of int8 is made of it at its first use and kept with it.
        bias: float32 (N,), or None.

    Returns:
        float32, (…, N).

    Raises:
        ValueError: a dtype or shape is not as said; with int8, a value is NaN or infinite, or numbers are so large that
            a sum could be more than a quarter of the largest float32.

    Example:
        >>> import numpy as np
        >>> from petrain.sparse import compress
        >>> w = np.zeros((16, 8), np.float32)
        >>> w[:, 3] = 2
        >>> linear(np.arange(8, dtype=np.float32), compress(w, block=(16, 1)))[:4]
        array([6., 6., 6., 6.], dtype=float32)
    """
    core_of(w)
    return w._linear().forward(x, bias)


def linear_backward(gradient: Array, x: Array, w: SparseTensor, *, need_x: bool = True) -> SparseGradients:
    """The gradients of :func:`linear` for a float32 weight: what is not stored stays zero, whatever an optimizer does.

    Args:
        gradient: float32 (…, N), of the outputs.
        x: float32 (…, K), the inputs.
        w: (N, K), float32. An optimizer may step on ``w.values`` in place.
        need_x: whether the gradient of ``x`` is wanted.

    Raises:
        ValueError: a dtype or shape is not as said, or ``w`` is int8.

    Example:
        >>> import numpy as np
        >>> import petrain
        >>> from petrain.sparse import compress
        >>> w = compress(np.eye(16, dtype=np.float32), block=(16, 1), force=True)
        >>> x = np.ones((1, 16), np.float32)
        >>> opt = petrain.optim.SGD([w.values], lr=0.1)
        >>> gradients = linear_backward(linear(x, w), x, w)
        >>> info = opt.step([gradients.values])
        >>> linear(x, w)[0, :2].round(3)
        array([-0.6, -0.6], dtype=float32)
    """
    core_of(w)
    return SparseGradients(*w._linear().backward(gradient, x, need_x))
