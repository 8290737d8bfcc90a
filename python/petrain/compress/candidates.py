"""The forms that the weight of a linear layer may take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from petrain import lowrank, nn, quant
from petrain._numbers import integer, number
from petrain._params import Floats
from petrain.lowrank.factors import factors_nbytes, matrix_nbytes

_LONGEST_SUM = 131_071  # products whose sum int32 holds


class Samples:
    """What comes into a layer: float32 rows (M, K)."""

    def __init__(self, rows: Floats) -> None:
        self.rows = rows

    @cached_property
    def hessian(self) -> quant.HessianObserver:
        """An observer that has seen the rows."""
        observer = quant.HessianObserver(self.rows.shape[1])
        observer.observe(self.rows)
        return observer


class Candidate(Protocol):
    """A form. Others than those here may be given to :func:`petrain.compress.plan`. Kept scores are taken up where the
    ``repr`` is the same: it should say all that decides what :meth:`build` makes, and no address."""

    @property
    def name(self) -> str:
        """As plans show it."""

    def fits(self, shape: tuple[int, int]) -> bool:
        """Whether a weight (N, K) may take it."""

    def build(self, w: Floats, samples: Samples | None) -> nn.Weight:
        """The weight in this form: the same arguments give the same bytes."""


@dataclass(frozen=True)
class Dense:
    """The weight as it is, in float32."""

    @property
    def name(self) -> str:
        return "float32"

    def fits(self, shape: tuple[int, int]) -> bool:
        return True

    def build(self, w: Floats, samples: Samples | None) -> nn.Weight:
        return nn.DenseWeight(w)


@dataclass(frozen=True)
class Quantized:
    """Integers with a scale for each output or each group of inputs. Where there are samples, int4 is rounded by
    :func:`petrain.quant.gptq`; else, and always in int8, each weight is rounded to the nearest.

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
        k = shape[1]
        return k <= _LONGEST_SUM and k % (self.group_size or 1) == 0 and self.residual_rank <= min(shape)

    def build(self, w: Floats, samples: Samples | None) -> nn.Weight:
        granularity: quant.tensor.Granularity = "group" if self.group_size else "channel"
        if samples is None or self.bits == 8:
            q = quant.quantize(w, self.bits, granularity=granularity, group_size=self.group_size)
        else:
            q, _ = quant.gptq(
                w, samples.hessian, self.bits, granularity=granularity, group_size=self.group_size, act_order=True
            )
        base = nn.QuantWeight(q)
        if self.residual_rank == 0:
            return base
        (a, b), _ = quant.lqer(w, q, self.residual_rank, _observed(samples))
        return nn.ResidualWeight(base, nn.QuantWeight(a), nn.QuantWeight(b))


@dataclass(frozen=True)
class Factorized:
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
        if self.bits == 8 and k > _LONGEST_SUM:
            return False
        dtype: Literal["float32", "int8"] = "int8" if self.bits == 8 else "float32"
        return rank <= min(shape) and factors_nbytes(shape, rank, dtype) < matrix_nbytes(n, k, dtype)

    def build(self, w: Floats, samples: Samples | None) -> nn.Weight:
        rank, observed = self.rank_of((w.shape[0], w.shape[1])), _observed(samples)
        if self.bits == 8:
            pair = lowrank.factorize(w, rank, inputs=observed, dtype="int8")
            return nn.LowRankWeight(nn.QuantWeight(pair.a), nn.QuantWeight(pair.b))
        factors = lowrank.factorize(w, rank, inputs=observed)
        return nn.LowRankWeight(nn.DenseWeight(factors.a), nn.DenseWeight(factors.b))


def _observed(samples: Samples | None) -> quant.HessianObserver | None:
    return None if samples is None else samples.hessian


def forward_of(weight: nn.Weight, bias: np.ndarray | None = None, *after: nn.Layer) -> nn.Sequential:
    """The layer of a weight, and those that come after it."""
    return nn.Sequential(nn.Linear.from_weight(weight, bias), *after)
