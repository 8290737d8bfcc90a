"""One linear layer with a low-rank adapter beside its frozen weight."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from petrain import _core, quant
from petrain._numbers import number
from petrain._params import Array, Floats
from petrain.lora.start import Start, starting_factors, starting_rank
from petrain.quant import QuantTensor

Dtype = Literal["float32", "float16", "bfloat16"]


class Linear:
    r"""A linear layer whose weight is frozen, with a low-rank update that is trained.

    .. math::
        y = x (W + s B A)^T + \text{bias}, \qquad s = \alpha / r \text{ or, with rsLoRA, } \alpha / \sqrt{r}

    W stays as it is stored and is never written to. With DoRA each row of :math:`W + s B A` is divided by its norm,
    which counts as a constant in the backward pass, and multiplied by a trained magnitude.

    Source: LoRA (Hu et al., arXiv 2106.09685), rsLoRA (Kalajdzievski, arXiv 2312.03732), DoRA (Liu et al., arXiv
    2402.09353), PiSSA (Meng et al., arXiv 2404.02948). Names are those of Hugging Face PEFT: A is (rank, in), B is
    (out, rank).

    Args:
        base: W (out, in): float32, float16 or bfloat16 (ml_dtypes, torch, or uint16 as where ml_dtypes is not
            installed), or a QuantTensor of 8 or 4 bits along axis 0, whose products are those of
            :func:`petrain.quant.linear` with ``weight_only``.
        bias: float32, (out,), or None. Frozen.
        rank: r, 1 or more; not needed where ``init`` is factors.
        alpha: :math:`\alpha`; None: the rank.
        use_rslora: see above.
        use_dora: see above.
        init: how A and B begin.

            * "zero": B is zero and A uniform, as PEFT has it; the layer gives what W gives.
            * "pissa": B A is the best approximation of W / s of that rank, and the same product, kept beside it, is
              subtracted for ever: the layer gives what W gives, to rounding, and W itself need not change.
            * factors, a LowRank or a pair ``(a, b)``, (out, rank) and (rank, in), float32 or QuantTensor: s B A is
              their product, such as the residual of a quantized base by :func:`petrain.quant.lqer` or :func:`loftq`.
        seed: of "zero".

    Raises:
        ValueError: a dtype, a shape or a number is not as said.
        TypeError: the base is neither an array nor a QuantTensor, or a number is none.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import AdamW
        >>> rng = np.random.default_rng(0)
        >>> w, x = rng.standard_normal((4, 8), np.float32), rng.standard_normal((32, 8), np.float32)
        >>> target = x @ (w + np.outer(np.ones(4), np.ones(8))).astype(np.float32).T
        >>> layer = Linear(w, rank=1)
        >>> opt = AdamW(layer.parameters(), lr=0.05)
        >>> losses = []
        >>> for _ in range(100):
        ...     error = layer.forward(x, training=True) - target
        ...     losses.append(float((error**2).mean()))
        ...     _ = layer.backward(2 * error / error.size, input_gradient=False)
        ...     info = opt.step(layer.gradients())
        >>> losses[-1] < 0.05 * losses[0]
        True
    """

    def __init__(
        self,
        base: Array | QuantTensor,
        bias: Array | None = None,
        *,
        rank: int | None = None,
        alpha: float | None = None,
        use_rslora: bool = False,
        use_dora: bool = False,
        init: Start = "zero",
        seed: int = 0,
    ) -> None:
        shape = self._attach(base, bias)
        rank = starting_rank(rank, init, shape)
        self.alpha = _alpha(float(rank) if alpha is None else alpha)
        self.use_rslora = bool(use_rslora)
        scale = self._scale(rank)
        self.lora_A, self.lora_B, self._origin = starting_factors(init, shape, rank, scale, seed, self._dense)
        self.lora_magnitude_vector: Floats | None = self._row_norms() if use_dora else None

    @classmethod
    def from_parts(
        cls,
        base: Array | QuantTensor,
        lora_A: Array,  # noqa: N803
        lora_B: Array,  # noqa: N803
        bias: Array | None = None,
        *,
        alpha: float,
        use_rslora: bool = False,
        magnitude: Array | None = None,
        origin: tuple[Array, Array] | None = None,
    ) -> Linear:
        """A layer that goes on where another stopped.

        Args:
            base, bias, alpha, use_rslora: as for the constructor.
            lora_A: float32, (rank, in); copied, as the other parts are.
            lora_B: float32, (out, rank).
            magnitude: float32, (out,), of DoRA; None: no DoRA.
            origin: A and B whose scaled product is subtracted, as of PiSSA.

        Raises:
            ValueError, TypeError: as for the constructor, or a part is not as said.
        """
        self = cls.__new__(cls)
        out, n = self._attach(base, bias)
        self.lora_A, self.lora_B = _factor_pair("lora_", lora_A, lora_B, out, n)
        self.alpha, self.use_rslora = _alpha(alpha), bool(use_rslora)
        self._origin = None if origin is None else _factor_pair("origin ", *origin, out, n)
        self.lora_magnitude_vector = None if magnitude is None else _copy("magnitude", magnitude, (out,))
        return self

    def _attach(self, base: Array | QuantTensor, bias: Array | None) -> tuple[int, int]:
        """Takes the base and the bias, checked; the shape of the base."""
        shape = tuple(int(size) for size in base.shape) if hasattr(base, "shape") else ()
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"base: expected a matrix (out, in) that is not empty, got shape {shape}")
        self._base, self._bias = base, None if bias is None else np.asarray(bias)
        self._stored: Any = base
        if isinstance(base, QuantTensor):
            self._stored = base._core
            base._linear()  # says what a layer cannot have
        _core.frozen_forward(self._stored, np.zeros((0, shape[1]), np.float32))  # says what is wrong with an array
        if self._bias is not None and (self._bias.dtype != np.float32 or self._bias.shape != shape[:1]):
            raise ValueError(f"bias: expected float32 {shape[:1]}, got {self._bias.dtype} {self._bias.shape}")
        self._gradients: dict[str, Floats] | None = None
        self._tape: tuple[Any, ...] | None = None
        self._merged: np.ndarray | None = None
        return shape[0], shape[1]

    @property
    def base(self) -> Array | QuantTensor:
        """The frozen weight, as it was given."""
        return self._base

    @property
    def bias(self) -> Array | None:
        """The frozen bias, as it was given."""
        return self._bias

    @property
    def rank(self) -> int:
        """Rows of A and columns of B."""
        return int(self.lora_A.shape[0])

    @property
    def use_dora(self) -> bool:
        """Whether the magnitudes of the rows are trained by themselves."""
        return self.lora_magnitude_vector is not None

    @property
    def scaling(self) -> float:
        """s, with which B A is multiplied."""
        return self._scale(self.rank)

    def _scale(self, rank: int) -> float:
        return self.alpha / (math.sqrt(rank) if self.use_rslora else rank)

    @property
    def origin(self) -> tuple[Floats, Floats] | None:
        """A and B whose scaled product is subtracted, as PiSSA has it, or None."""
        return self._origin

    def parameters(self) -> dict[str, Floats]:
        """What is trained, by name, in place: "lora_A", "lora_B" and, with DoRA, "lora_magnitude_vector"."""
        named = {"lora_A": self.lora_A, "lora_B": self.lora_B}
        if self.lora_magnitude_vector is not None:
            named["lora_magnitude_vector"] = self.lora_magnitude_vector
        return named

    def gradients(self) -> dict[str, Floats]:
        """The gradients of the last :meth:`backward`, by the names of :meth:`parameters`.

        Raises:
            ValueError: there has been none.
        """
        if self._gradients is None:
            raise ValueError("gradients: expected a backward pass before, got none")
        return self._gradients

    def forward(self, x: Array, training: bool = False) -> Floats:
        """The layer's output.

        Args:
            x: float32, (…, in). With ``training`` it is kept, not copied, for :meth:`backward`.
            training: whether :meth:`backward` follows.

        Returns:
            float32, (…, out).

        Raises:
            ValueError: dtype or shape is not as said, or the layer is merged and ``training`` is asked for. Of a
                quantized base also where a value is NaN or infinite.
        """
        if self._merged is not None:
            if training:
                raise ValueError("forward: expected an unmerged layer for training, got a merged one")
            return self._with_bias(_core.frozen_forward(self._merged, x))
        left, right = self._factors()
        y = self._base_forward(x)
        gains = norms = None
        if self.lora_magnitude_vector is None:
            y, inner = _core.low_rank_linear(x, left, right, self._bias, self.scaling, y)
            z = None
        else:
            y, inner = _core.low_rank_linear(x, left, right, None, self.scaling, y)
            norms = self._row_norms()
            gains = _gains(self.lora_magnitude_vector, norms)
            z = y
            y = self._with_bias(z * gains)
        if training:
            self._tape = (x, inner, left, right, z, gains, norms)
        return y  # type: ignore[no-any-return]

    def __call__(self, x: Array) -> Floats:
        """:meth:`forward` without training."""
        return self.forward(x)

    def backward(self, gradient: Array, input_gradient: bool = True) -> Floats | None:
        """From the gradient of the output, after a :meth:`forward` with training, sets :meth:`gradients`.

        Args:
            gradient: float32, (…, out).
            input_gradient: whether that of x is wanted.

        Returns:
            The gradient of x, float32, or None.

        Raises:
            ValueError: dtype or shape is not as said, or there was no forward pass with training.
        """
        if self._tape is None:
            raise ValueError("backward: expected a forward pass with training before, got none")
        x, inner, left, right, z, gains, norms = self._tape
        magnitude = None
        if z is not None:
            dy = np.asarray(gradient)
            if dy.dtype != np.float32 or dy.shape != z.shape:
                raise ValueError(f"gradient: expected float32 {z.shape}, got {dy.dtype} {dy.shape}")
            out = z.shape[-1]
            sums = np.einsum("ij,ij->j", dy.reshape(-1, out), z.reshape(-1, out), dtype=np.float64)
            magnitude = _gains(sums, norms)
            gradient = dy * gains
        dx: Any = _core.frozen_backward(self._stored, gradient) if input_gradient else False
        dx, d_left, d_right, _ = _core.low_rank_linear_backward(gradient, x, left, right, inner, self.scaling, dx)
        self._tape = None
        self._gradients = {
            "lora_A": np.ascontiguousarray(d_right[: self.rank]),
            "lora_B": np.ascontiguousarray(d_left[:, : self.rank]),
        }
        if magnitude is not None:
            self._gradients["lora_magnitude_vector"] = magnitude
        return dx  # type: ignore[no-any-return]

    def merged_weight(self, dtype: Dtype | None = None) -> np.ndarray:
        """The weight that stands for the base and the adapter, as a new array; nothing else changes.

        Args:
            dtype: None: that of the base, float32 where it is quantized. 16 bits are rounded to the nearest, half to
                even, once, from float32.
        """
        left, right = self._factors()
        gains = None
        if self.lora_magnitude_vector is not None:
            gains = _gains(self.lora_magnitude_vector, self._row_norms())
        name = self._base_dtype() if dtype is None else dtype
        return _core.frozen_merged(self._stored, left, right, self.scaling, gains, name)

    def merge(self) -> np.ndarray:
        """Make :meth:`merged_weight` once and run :meth:`forward` on it alone, until :meth:`unmerge`.

        What is trained meanwhile does not change it.

        Returns:
            The merged weight, read-only: the layer goes on using it.
        """
        self._tape = None
        if self._merged is None:
            self._merged = self.merged_weight()
            self._merged.setflags(write=False)
        return self._merged

    def unmerge(self) -> None:
        """Drop the merged weight. The base was kept, so that nothing is subtracted and nothing drifts."""
        self._merged = None

    @property
    def is_merged(self) -> bool:
        """Whether :meth:`merge` was called last."""
        return self._merged is not None

    def _factors(self) -> tuple[Floats, Floats]:
        """Of the update, (out, R) and (R, in), what is subtracted included."""
        if self._origin is None:
            return self.lora_B, self.lora_A
        a, b = self._origin
        return np.concatenate([self.lora_B, -b], axis=1), np.concatenate([self.lora_A, a])

    def _base_forward(self, x: Array) -> Any:
        if not isinstance(self._base, QuantTensor):
            return _core.frozen_forward(self._stored, x)
        rows = np.asarray(x)
        y = quant.linear(rows.reshape(-1, rows.shape[-1]) if rows.ndim > 2 else rows, self._base, weight_only=True)
        return y.reshape(*rows.shape[:-1], y.shape[-1])

    def _with_bias(self, y: Floats) -> Floats:
        if self._bias is not None:
            y += self._bias
        return y

    def _row_norms(self) -> Floats:
        return _core.frozen_row_norms(self._stored, *self._factors(), self.scaling)

    def _dense(self) -> Floats:
        """The base as a new float32 array."""
        out, n = self._base.shape
        nothing = np.zeros((out, 1), np.float32), np.zeros((1, n), np.float32)
        return _core.frozen_merged(self._stored, *nothing, 1.0, None, "float32")

    def _base_dtype(self) -> Dtype:
        if isinstance(self._base, QuantTensor):
            return "float32"
        name = str(self._base.dtype).removeprefix("torch.")
        return "bfloat16" if name == "uint16" else name  # type: ignore[return-value]

    def __repr__(self) -> str:
        out, n = self.lora_B.shape[0], self.lora_A.shape[1]
        flags = "".join(f", {name}=True" for name in ("use_rslora", "use_dora") if getattr(self, name))
        return f"Linear({n}, {out}, rank={self.rank}, alpha={self.alpha:g}{flags})"


def _gains(magnitude: np.ndarray, norms: Floats) -> Floats:
    """magnitude / norm, and 0 for rows without a direction."""
    quotient: np.ndarray = np.divide(magnitude, norms, out=np.zeros(norms.shape, magnitude.dtype), where=norms != 0)
    return quotient.astype(np.float32)


def _alpha(alpha: float) -> float:
    value = number("alpha", alpha)
    if value is None or not 0 < value < math.inf:
        raise ValueError(f"alpha: expected a finite number above 0, got {alpha}")
    if not 1e-12 <= value <= 1e12:  # its quotients and their roots are within float32
        raise ValueError(f"alpha: expected from 1e-12 to 1e12, got {alpha}")
    return value


def _factor_pair(name: str, a: Array, b: Array, out: int, n: int) -> tuple[Floats, Floats]:
    """Copies of A (rank, in) and B (out, rank)."""
    shape = tuple(a.shape) if hasattr(a, "shape") else ()
    if len(shape) != 2 or shape[0] < 1:
        raise ValueError(f"{name}A: expected shape (rank, {n}), got {shape}")
    return _copy(f"{name}A", a, (shape[0], n)), _copy(f"{name}B", b, (out, shape[0]))


def _copy(name: str, part: Array, shape: tuple[int, ...]) -> Floats:
    copy = np.array(part, order="C")
    if copy.dtype != np.float32 or copy.shape != shape:
        raise ValueError(f"{name}: expected float32 {shape}, got {copy.dtype} {copy.shape}")
    return copy
