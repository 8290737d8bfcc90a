"""Whole models in another form: low-rank factors of given ranks, int8, and back to be fine-tuned.

A compressed model is a model as any other: it runs, it is saved and loaded, and what is float32 in it is trained on.
:func:`petrain.compress.plan_model` chooses forms by itself.

>>> from petrain import nn
>>> model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
>>> model.nbytes, int8(low_rank(model, {0: 20})).nbytes
(38440, 6304)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from petrain import lowrank, nn, quant


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
    """A copy whose linear weights, and both factors of those of low rank, are int8; others stay as they are."""
    return nn.Sequential(*(_replace(layer, _quantized) for layer in model.layers))


def dequantize(model: nn.Sequential) -> nn.Sequential:
    """A copy to be fine-tuned: float32 in the place of integers, factors as factors; a residual is added in.

    :func:`quantize_like` brings it back.
    """
    return nn.Sequential(*(_replace(layer, _dequantized) for layer in model.layers))


def quantize_like(model: nn.Sequential, like: nn.Sequential) -> nn.Sequential:
    """A copy whose weights have the forms of another model's, rounded to the nearest.

    Args:
        model: as :func:`dequantize` made it of ``like``, fine-tuned since.
        like: a compressed model.

    Raises:
        ValueError: the layers are not of the same types and shapes.

    Example:
        >>> import numpy as np
        >>> from petrain import compress, nn
        >>> model = nn.Sequential(nn.Linear(32, 64, seed=0), nn.ReLU(), nn.Linear(64, 10, seed=1))
        >>> x = np.random.default_rng(0).standard_normal((300, 32), np.float32)
        >>> small = compress.build_model(compress.plan_model(model, x, 4_000), model, x)
        >>> tuned = dequantize(small)
        >>> sorted(tuned.parameters())  # train these
        ['0.bias', '0.weight', '2.bias', '2.weight']
        >>> again = quantize_like(tuned, small)
        >>> again.nbytes == small.nbytes
        True
    """
    if [layer.type for layer in model.layers] != [layer.type for layer in like.layers]:
        raise ValueError(f"model: expected the layers of {like}, got {model}")
    pairs = zip(model.layers, like.layers, strict=True)
    return nn.Sequential(*(_replace(layer, partial(_in_form, _weight_of(form))) for layer, form in pairs))


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
    if isinstance(weight, nn.SparseWeight):
        return nn.SparseWeight(weight.values.clone())
    if isinstance(weight, nn.DenseWeight):
        return nn.DenseWeight(weight.dense())
    if isinstance(weight, nn.LowRankWeight):
        return nn.LowRankWeight(_copied(weight.a), _copied(weight.b))
    return weight  # int8 is not trained: it can be shared


def _quantized(weight: nn.Weight) -> nn.Weight:
    if isinstance(weight, nn.LowRankWeight):
        return nn.LowRankWeight(_quantized(weight.a), _quantized(weight.b))
    if isinstance(weight, nn.DenseWeight):
        return nn.QuantWeight(quant.quantize(weight.dense()))
    return weight


def _dequantized(weight: nn.Weight) -> nn.Weight:
    if isinstance(weight, nn.SparseWeight):
        return nn.SparseWeight(weight.values.with_values(weight.dense(), bits=32))
    if isinstance(weight, nn.LowRankWeight):
        return nn.LowRankWeight(_dequantized(weight.a), _dequantized(weight.b))
    return nn.DenseWeight(weight.dense())


def _weight_of(layer: nn.Layer) -> nn.Weight | None:
    return layer.weight if isinstance(layer, nn.Linear) else None


def _in_form(form: nn.Weight | None, weight: nn.Weight) -> nn.Weight:
    assert form is not None
    if form.shape != weight.shape:
        raise ValueError(f"model: expected a weight of shape {form.shape}, got {weight.shape}")
    if isinstance(form, nn.LowRankWeight) and isinstance(weight, nn.LowRankWeight):
        return nn.LowRankWeight(_in_form(form.a, weight.a), _in_form(form.b, weight.b))
    if isinstance(form, nn.QuantWeight):
        return nn.QuantWeight(_rounded(weight.dense(), form))
    if isinstance(form, nn.ResidualWeight):
        w = weight.dense()
        q = _rounded(w, form.base)
        (a, b), _ = quant.lqer(w, q, form.a.shape[1])
        return nn.ResidualWeight(nn.QuantWeight(q), nn.QuantWeight(a), nn.QuantWeight(b))
    if isinstance(form, nn.SparseWeight) and isinstance(weight, nn.SparseWeight):
        return nn.SparseWeight(form.values.with_values(weight.dense(), bits=form.values.bits))
    if isinstance(form, nn.DenseWeight):
        return nn.DenseWeight(weight.dense())
    raise ValueError(f"model: expected the same kind of weight as one of format {form.format!r}, got {weight.format!r}")


def _rounded(w: np.ndarray, form: nn.QuantWeight) -> quant.QuantTensor:
    q = form.values
    return quant.quantize(w, q.bits, q.scheme, q.granularity, group_size=q.group_size)
