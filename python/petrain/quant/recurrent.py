"""LSTM and GRU on quantized weights: one layer, in one direction or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

import numpy as np

from petrain import _core
from petrain._params import Array
from petrain.quant.embedding import int64_from
from petrain.quant.linear import _packed
from petrain.quant.params import Scheme
from petrain.quant.tensor import Granularity, QuantTensor, quantize

Weights = tuple[QuantTensor, QuantTensor, "Array | None", "Array | None"]  # w_ih, w_hh, b_ih, b_hh
Layer = TypeVar("Layer", bound="_Recurrent")


def lstm(
    x: Array,
    w_ih: QuantTensor,
    w_hh: QuantTensor,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    h0: Array | None = None,
    c0: Array | None = None,
    lengths: Array | None = None,
    reverse: bool = False,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    r"""One layer of an LSTM in one direction, with integer products whose sums are exact.

    .. math::
        i, f, g, o &= W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh} \\
        c_t &= \sigma(f) \odot c_{t-1} + \sigma(i) \odot \tanh(g) \\
        h_t &= \sigma(o) \odot \tanh(c_t)

    :math:`x_t` and :math:`h_{t-1}` are quantized row by row, as :func:`petrain.quant.linear` does it; all else is
    float32. The products with all x are one; those with h are one a step. The bytes of the result are the same on every
    instruction set and for any number of threads.

    Args:
        x: float32, ``(T, B, I)``: T steps of B sequences, as torch has it without ``batch_first``.
        w_ih: ``(4H, I)`` in any format that :func:`petrain.quant.linear` takes, gates in the order i, f, g, o of torch.
        w_hh: ``(4H, H)``, likewise.
        b_ih, b_hh: float32, ``(4H,)``, or None.
        h0, c0: float32, ``(B, H)``: the state before the first step; None for zeros.
        lengths: integers, ``(B,)``, from 0 to T: how many steps each sequence has; None where all have T. What is
            beyond is not read.
        reverse: from the last step of each sequence to its first.

    Returns:
        ``y`` and ``(h, c)``: y is ``(T, B, H)``, each step's h at the place of its x, and zero beyond the lengths; h
        and c are ``(B, H)``, the state after the last step that each sequence has.

    Raises:
        ValueError: a dtype or shape is not as said, a value is NaN or infinite, or so large that a gate could be.

    Source: Hochreiter, Schmidhuber, Neural Computation 9 (8), 1997, with the forget gate of Gers et al., 2000.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import quantize
        >>> w_ih, w_hh = quantize(np.ones((4, 1), np.float32)), quantize(np.zeros((4, 1), np.float32))
        >>> y, (h, c) = lstm(np.ones((2, 1, 1), np.float32), w_ih, w_hh)
        >>> y.ravel().astype(float).round(3).tolist()
        [0.37, 0.545]
    """
    y, h, c = _core_of("lstm", (w_ih, w_hh, b_ih, b_hh)).forward(x, h0, c0, _lengths_from(lengths), reverse)
    return y, (h, c)


def gru(
    x: Array,
    w_ih: QuantTensor,
    w_hh: QuantTensor,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    h0: Array | None = None,
    lengths: Array | None = None,
    reverse: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    r"""One layer of a GRU in one direction, with integer products whose sums are exact.

    .. math::
        r &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
        z &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
        n &= \tanh(W_{in} x_t + b_{in} + r \odot (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z) \odot n + z \odot h_{t-1}

    Args:
        w_ih: ``(3H, I)``, gates in the order r, z, n of torch.
        w_hh: ``(3H, H)``.
        b_ih, b_hh: float32, ``(3H,)``, or None.
        x, h0, lengths, reverse: as for :func:`lstm`.

    Returns:
        ``y``, ``(T, B, H)``, and ``h``, ``(B, H)``, as for :func:`lstm`.

    Raises:
        ValueError: as :func:`lstm`.

    Source: Cho et al., arXiv 1406.1078, with the reset gate where torch and cuDNN have it.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import quantize
        >>> w_ih, w_hh = quantize(np.ones((3, 1), np.float32)), quantize(np.zeros((3, 1), np.float32))
        >>> y, h = gru(np.ones((2, 1, 1), np.float32), w_ih, w_hh)
        >>> y.ravel().astype(float).round(3).tolist()
        [0.205, 0.355]
    """
    y, h, _ = _core_of("gru", (w_ih, w_hh, b_ih, b_hh)).forward(x, h0, None, _lengths_from(lengths), reverse)
    return y, h


class _Recurrent:
    _kind: Literal["lstm", "gru"]

    def __init__(self, weights: Weights, reverse_weights: Weights | None = None) -> None:
        self._forward = _core_of(self._kind, weights)
        self._backward = None if reverse_weights is None else _core_of(self._kind, reverse_weights)

    @classmethod
    def from_state(
        cls: type[Layer],
        state: Mapping[str, Array],
        layer: int = 0,
        *,
        bits: int = 8,
        scheme: Scheme = "symmetric",
        granularity: Granularity = "channel",
        group_size: int | None = None,
    ) -> Layer:
        """Quantize the float arrays of a layer.

        Args:
            state: arrays under torch's names, ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0`` and ``bias_hh_l0``,
                and the same with ``_reverse`` where there are two directions; the biases may be left out.
            layer: the number in the names.
            bits, scheme, granularity, group_size: as for :func:`petrain.quant.quantize`.

        Raises:
            KeyError: a weight is not there.
            ValueError: it cannot be quantized so, or does not fit the others.
        """

        def weights(suffix: str) -> Weights:
            w_ih, w_hh = (
                quantize(state[f"weight_{part}_l{layer}{suffix}"], bits, scheme, granularity, 0, group_size)
                for part in ("ih", "hh")
            )
            b_ih, b_hh = (state.get(f"bias_{part}_l{layer}{suffix}") for part in ("ih", "hh"))
            return w_ih, w_hh, b_ih, b_hh

        return cls(weights(""), weights("_reverse") if f"weight_ih_l{layer}_reverse" in state else None)

    def _run(
        self, x: Array, h0: Array | None, c0: Array | None, lengths: Array | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        steps = _lengths_from(lengths)
        if self._backward is not None:
            return _core.rnn_bidirectional(self._forward, self._backward, x, h0, c0, steps)
        y, h, c = self._forward.forward(x, _one_direction(h0), _one_direction(c0), steps, False)
        return y, h[None], None if c is None else c[None]


class QuantLSTM(_Recurrent):
    """One layer of an LSTM, in one direction or both, whose weights are prepared once: see :func:`lstm`.

    Args:
        weights: ``(w_ih, w_hh, b_ih, b_hh)``, the biases float32 or None. Biases are copied.
        reverse_weights: the same for the direction from the last step to the first; None: there is none.

    Calling it with x, ``(T, B, I)``, and ``h0``, ``c0`` and ``lengths`` gives ``y`` and ``(h, c)``. With D directions y
    is ``(T, B, D H)``, the forward direction first, and h0, c0, h and c are ``(D, B, H)``, as torch has them.

    Raises:
        ValueError: the weights do not fit each other.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> shapes = {"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "bias_ih_l0": 16, "bias_hh_l0": 16}
        >>> state = {name + end: rng.standard_normal(shape, np.float32)
        ...          for name, shape in shapes.items() for end in ("", "_reverse")}
        >>> layer = QuantLSTM.from_state(state)
        >>> y, (h, c) = layer(np.ones((5, 2, 3), np.float32), lengths=[5, 3])
        >>> y.shape, h.shape, c.shape
        ((5, 2, 8), (2, 2, 4), (2, 2, 4))
    """

    _kind = "lstm"

    def __call__(
        self, x: Array, *, h0: Array | None = None, c0: Array | None = None, lengths: Array | None = None
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        y, h, c = self._run(x, h0, c0, lengths)
        assert c is not None
        return y, (h, c)


class QuantGRU(_Recurrent):
    """One layer of a GRU, in one direction or both, whose weights are prepared once: see :func:`gru`.

    Args:
        weights, reverse_weights: as for :class:`QuantLSTM`.

    Calling it with x, ``(T, B, I)``, and ``h0`` and ``lengths`` gives ``y`` and ``h``, of the shapes of
    :class:`QuantLSTM`.

    Raises:
        ValueError: the weights do not fit each other.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import quantize
        >>> w_ih, w_hh = quantize(np.ones((3, 1), np.float32)), quantize(np.zeros((3, 1), np.float32))
        >>> y, h = QuantGRU((w_ih, w_hh, None, None))(np.ones((2, 1, 1), np.float32))
        >>> h.shape
        (1, 1, 1)
    """

    _kind = "gru"

    def __call__(
        self, x: Array, *, h0: Array | None = None, lengths: Array | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        y, h, _ = self._run(x, h0, None, lengths)
        return y, h


def _core_of(kind: str, weights: Weights) -> _core.QuantRnn:
    if not isinstance(weights, tuple) or len(weights) != 4:
        raise TypeError(f"weights: expected (w_ih, w_hh, b_ih, b_hh), got {type(weights).__name__}")
    w_ih, w_hh, b_ih, b_hh = weights
    return _core.QuantRnn(kind, _packed(w_ih, "w_ih"), _packed(w_hh, "w_hh"), b_ih, b_hh)


def _lengths_from(lengths: Array | None) -> np.ndarray | None:
    return None if lengths is None else int64_from(lengths, "lengths")


def _one_direction(state: Array | None) -> Array | None:
    if state is None:
        return None
    array = np.asarray(state)
    if array.ndim != 3 or len(array) != 1:
        raise ValueError(f"h0 and c0: expected shape (1, B, H), got {array.shape}")
    return array[0]
