"""Low-rank factors under a byte budget, and int8, of whole models.

A compressed model is a model as any other: it runs, it is saved and loaded, and what is float32 in it is trained on.

>>> from petrain import nn
>>> model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
>>> plans = plan_ranks(model, budget_bytes=6000)
>>> small = int8(low_rank(model, {plan.index: plan.rank for plan in plans if plan.rank}))
>>> model.nbytes, small.nbytes <= 6000
(38440, True)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from petrain import lowrank, nn, quant
from petrain.compress.knapsack import knapsack


@dataclass(frozen=True)
class LayerPlan:
    """What becomes of one linear layer.

    Attributes:
        index: its place in the model.
        name: the name of its weight.
        rank: of its factors, or None where it stays one matrix.
        rel_error: ‖W - Ŵ‖_F / ‖W‖_F of the factors before int8; 0 where it stays one matrix.
        bytes_before, bytes_after: stored bytes of its weight, as it is and in int8.
    """

    index: int
    name: str
    rank: int | None
    rel_error: float
    bytes_before: int
    bytes_after: int


def low_rank(model: nn.Sequential, ranks: Mapping[int, int]) -> nn.Sequential:
    """A copy whose linear layers at these indices hold float32 factors of these ranks.

    Raises:
        ValueError: an index is not that of a linear layer, or a rank is out of range.
    """
    layers = model.layers
    unknown = [i for i in ranks if not 0 <= i < len(layers) or not isinstance(layers[i], nn.Linear)]
    if unknown:
        raise ValueError(f"ranks: expected indices of linear layers, got {unknown}")
    return nn.Sequential(*(_with_factors(layer, ranks.get(i)) for i, layer in enumerate(layers)))


def int8(model: nn.Sequential) -> nn.Sequential:
    """A copy whose linear weights, and both factors of those of low rank, are int8; biases stay float32."""
    return nn.Sequential(*(_replace(layer, _quantized) for layer in model.layers))


def plan_ranks(model: nn.Sequential, budget_bytes: int) -> list[LayerPlan]:
    """The ranks with which the model's arrays fit the budget in int8.

    Every layer takes the rank, or the whole matrix, with which their relative squared errors add up to the least, by
    :func:`knapsack`.

    Args:
        model: its linear weights may be in any form; what they stand for is factorised.
        budget_bytes: for all arrays of the compressed model, biases and scales included.

    Raises:
        ValueError: not even the smallest choice fits.
    """
    linear = [(i, layer) for i, layer in enumerate(model.layers) if isinstance(layer, nn.Linear)]
    options = [_Options.of(layer.weight.dense()) for _, layer in linear]
    fixed = sum(int(layer.bias.nbytes) for _, layer in linear if layer.bias is not None)
    least = fixed + sum(int(option.nbytes.min()) for option in options)
    if least > budget_bytes:
        raise ValueError(f"budget_bytes: the smallest that fits is {least}, got {budget_bytes}")
    if not linear:
        return []
    best = knapsack([option.nbytes for option in options], [option.error for option in options], budget_bytes - fixed)
    return [
        LayerPlan(
            index=i,
            name=f"{i}.weight",
            rank=option.ranks[j],
            rel_error=float(np.sqrt(option.error[j])),
            bytes_before=layer.weight.nbytes,
            bytes_after=int(option.nbytes[j]),
        )
        for (i, layer), option, j in zip(linear, options, best.options, strict=True)
    ]


@dataclass(frozen=True)
class _Options:
    """What one weight can become: the whole matrix, or factors of rank 1, 2, … that take fewer bytes."""

    ranks: list[int | None]
    nbytes: np.ndarray
    error: np.ndarray  # relative, squared

    @staticmethod
    def of(weight: np.ndarray) -> _Options:
        out_features, in_features = weight.shape
        _, singular, _ = lowrank.svd(weight, min(weight.shape), method="full")
        energy = singular.astype(np.float64) ** 2
        lost = np.append(np.cumsum(energy[::-1])[::-1], 0.0) / max(float(energy.sum()), np.finfo(float).tiny)
        # int8 with one float32 scale for each row of a matrix
        whole = out_features * (in_features + 4)
        nbytes = {r: out_features * (r + 4) + r * (in_features + 4) for r in range(1, len(singular) + 1)}
        ranks: list[int | None] = [None, *(r for r, size in nbytes.items() if size < whole)]
        return _Options(
            ranks,
            np.array([whole if r is None else nbytes[r] for r in ranks], dtype=np.int64),
            np.array([0.0 if r is None else lost[r] for r in ranks]),
        )


def _with_factors(layer: nn.Layer, rank: int | None) -> nn.Layer:
    if rank is None:
        return _replace(layer, _copied)
    return _replace(layer, lambda weight: _factorized(weight, rank))


def _replace(layer: nn.Layer, change: Callable[[nn.Weight], nn.Weight]) -> nn.Layer:
    if isinstance(layer, nn.Linear):
        return nn.Linear.from_weight(change(layer.weight), layer.bias)
    return layer


def _factorized(weight: nn.Weight, rank: int) -> nn.Weight:
    factors = lowrank.factorize(weight.dense(), rank=rank, force=True)
    return nn.LowRankWeight(nn.DenseWeight(factors.a), nn.DenseWeight(factors.b))


def _copied(weight: nn.Weight) -> nn.Weight:
    if isinstance(weight, nn.DenseWeight):
        return nn.DenseWeight(weight.dense())
    if isinstance(weight, nn.LowRankWeight):
        return nn.LowRankWeight(_copied(weight.a), _copied(weight.b))
    return weight  # int8 is not trained: it can be shared


def _quantized(weight: nn.Weight) -> nn.Weight:
    if isinstance(weight, nn.LowRankWeight):
        return nn.LowRankWeight(_quantized(weight.a), _quantized(weight.b))
    if isinstance(weight, nn.DenseWeight):
        quantized = quant.quantize(weight.dense(), axis=0)
        return nn.Int8Weight(quantized.values, quantized.scale)
    return weight
