"""The forms that the weight of a linear layer may take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from petrain import _core, lowrank, nn, quant
from petrain._numbers import integer, number
from petrain._params import Floats

_MOST_PRODUCTS = 131071  # that int32 can add up exactly: see quant.linear


@dataclass(frozen=True)
class StoredWeight:
    """A weight (N, K) in one form.

    Attributes:
        arrays: what is stored, by name: "weight", or "a" and "b" of factors, both of them with a residual.
        forward: the layer's outputs without a bias, (M, N), for inputs (M, K).
        dense: what it stands for, as a new float32 array (N, K).
    """

    arrays: Mapping[str, Floats | quant.QuantTensor]
    forward: Callable[[Floats], Floats]
    dense: Callable[[], Floats]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, as :func:`petrain.quant.save` and :func:`petrain.files.save_tensors` write them."""
        return sum(int(array.nbytes) for array in self.arrays.values())


class Candidate(Protocol):
    """A form. Others than those here may be given to :func:`petrain.compress.plan`. Kept scores are taken up where the
    ``repr`` is the same: it should say all that decides what :meth:`build` makes, and no address."""

    @property
    def name(self) -> str:
        """As plans show it."""

    def fits(self, shape: tuple[int, int]) -> bool:
        """Whether a weight (N, K) may take it."""

    def build(self, w: Floats, inputs: Floats | None) -> StoredWeight:
        """The weight in this form: the same arguments give the same bytes."""


@dataclass(frozen=True)
class Dense:
    """The weight as it is, in float32."""

    @property
    def name(self) -> str:
        return "float32"

    def fits(self, shape: tuple[int, int]) -> bool:
        return True

    def build(self, w: Floats, inputs: Floats | None) -> StoredWeight:
        return StoredWeight({"weight": w}, _linear(nn.DenseWeight(w)), w.copy)


@dataclass(frozen=True)
class Quantized:
    """Integers, rounded to the nearest, with a scale for each output or each group of inputs.

    Attributes:
        bits: 8 or 4.
        group_size: 32, 64 or 128 inputs to a scale, or None.
        residual_rank: of int8 factors for what the integers leave, by :func:`petrain.quant.lqer`; 0 for none.

    Raises:
        ValueError, TypeError: one is not as said.
    """

    bits: int = 8
    group_size: int | None = None
    residual_rank: int = 0

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise ValueError(f"bits: expected 4 or 8, got {self.bits}")
        if self.group_size not in (None, 32, 64, 128):
            raise ValueError(f"group_size: expected 32, 64, 128 or None, got {self.group_size}")
        integer("residual_rank", self.residual_rank, 0)

    @property
    def name(self) -> str:
        group = f" g{self.group_size}" if self.group_size else ""
        residual = f" + rank {self.residual_rank}" if self.residual_rank else ""
        return f"int{self.bits}{group}{residual}"

    def fits(self, shape: tuple[int, int]) -> bool:
        summable = shape[1] <= _MOST_PRODUCTS
        return summable and shape[1] % (self.group_size or 1) == 0 and self.residual_rank <= min(shape)

    def build(self, w: Floats, inputs: Floats | None) -> StoredWeight:
        granularity: quant.tensor.Granularity = "group" if self.group_size else "channel"
        q = quant.quantize(w, self.bits, granularity=granularity, group_size=self.group_size)
        if self.residual_rank == 0:
            return StoredWeight({"weight": q}, lambda x: quant.linear(x, q), q.dequantize)
        (a, b), _ = quant.lqer(w, q, self.residual_rank, _observed(inputs))
        return StoredWeight(
            {"weight": q, "a": a, "b": b},
            lambda x: quant.linear(x, q, residual=(a, b)),
            lambda: q.dequantize() + _product(a, b),
        )


@dataclass(frozen=True)
class LowRank:
    """Two thin matrices, offered where they take fewer bytes than one matrix of the same format.

    Attributes:
        rank: an integer, or below 1 this part of the smaller of N and K, rounded up.
        bits: 32 for float32, 8 for int8 with a scale for each row.

    Raises:
        ValueError, TypeError: one is not as said.
    """

    rank: float
    bits: int = 32

    def __post_init__(self) -> None:
        rank = number("rank", self.rank)
        if rank is None or not (0 < rank < 1 or (rank >= 1 and rank.is_integer())):
            raise ValueError(f"rank: expected an integer of at least 1, or a number between 0 and 1, got {self.rank}")
        if self.bits not in (8, 32):
            raise ValueError(f"bits: expected 8 or 32, got {self.bits}")

    @property
    def name(self) -> str:
        return f"rank {self.rank:g}" + (" int8" if self.bits == 8 else "")

    def rank_of(self, shape: tuple[int, int]) -> int:
        """The rank for a weight of this shape."""
        return int(self.rank) if self.rank >= 1 else math.ceil(self.rank * min(shape))

    def fits(self, shape: tuple[int, int]) -> bool:
        (n, k), rank = shape, self.rank_of(shape)
        scales = 4 if self.bits == 8 else 0  # bytes beside each row
        element = self.bits // 8
        factors = n * (rank * element + scales) + rank * (k * element + scales)
        summable = self.bits == 32 or k <= _MOST_PRODUCTS
        return summable and rank <= min(shape) and factors < n * (k * element + scales)

    def build(self, w: Floats, inputs: Floats | None) -> StoredWeight:
        rank, observed = self.rank_of((w.shape[0], w.shape[1])), _observed(inputs)
        if self.bits == 8:
            factors = lowrank.factorize(w, rank, inputs=observed, dtype="int8")
            return StoredWeight({"a": factors.a, "b": factors.b}, lambda x: lowrank.linear(x, factors), factors.dense)
        factors = lowrank.factorize(w, rank, inputs=observed)
        weight = nn.LowRankWeight(nn.DenseWeight(factors.a), nn.DenseWeight(factors.b))
        return StoredWeight({"a": factors.a, "b": factors.b}, _linear(weight), factors.dense)


def _observed(inputs: Floats | None) -> quant.HessianObserver | None:
    if inputs is None:
        return None
    observer = quant.HessianObserver(inputs.shape[1])
    observer.observe(inputs)
    return observer


CANDIDATES: tuple[Candidate, ...] = (
    Dense(),
    Quantized(8),
    Quantized(4, 32),
    Quantized(4, 64),
    Quantized(8, residual_rank=8),
    Quantized(4, 32, residual_rank=8),
    Quantized(4, 64, residual_rank=8),
    *(LowRank(rank, bits) for bits in (32, 8) for rank in (1 / 16, 1 / 8, 1 / 4, 1 / 2)),
)


def _linear(weight: nn.Weight) -> Callable[[Floats], Floats]:
    return nn.Sequential(nn.Linear.from_weight(weight)).forward


def _product(a: quant.QuantTensor, b: quant.QuantTensor) -> Floats:
    product: np.ndarray = _core.low_rank_product(a.dequantize(), b.dequantize())
    return product
