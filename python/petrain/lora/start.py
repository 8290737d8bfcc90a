"""How the factors of an adapter begin."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from petrain import _core, lowrank, quant
from petrain import init as initial
from petrain._numbers import integer, seed_number
from petrain._params import Array, Floats
from petrain.quant import QuantTensor
from petrain.quant.params import Scheme
from petrain.quant.tensor import Granularity

Start: TypeAlias = "Literal['zero', 'pissa'] | Any"  # or factors
Pair = tuple[Floats, Floats]


def starting_rank(rank: int | None, start: Start, shape: tuple[int, ...]) -> int:
    """The rank of an adapter for a base of this shape; factors bring theirs, and are checked here."""
    if isinstance(start, str):
        if start not in ("zero", "pissa"):
            raise ValueError(f'init: expected "zero", "pissa" or factors, got {start!r}')
        if rank is None:
            raise TypeError("rank: expected an integer, got None")
        return integer("rank", rank, 1, min(shape)) if start == "pissa" else integer("rank", rank, 1)
    a, b = _parts(start)
    left, right = tuple(a.shape), tuple(b.shape)
    if len(left) != 2 or len(right) != 2 or (left[0], right[1]) != shape or left[1] != right[0] or left[1] < 1:
        raise ValueError(f"init: expected shapes ({shape[0]}, rank) and (rank, {shape[1]}), got {left} and {right}")
    if rank is not None and rank != left[1]:
        raise ValueError(f"rank: expected {left[1]}, that of the factors, or None, got {rank!r}")
    return int(left[1])


def starting_factors(
    start: Start, shape: tuple[int, ...], rank: int, scale: float, seed: int, dense: Callable[[], Floats]
) -> tuple[Floats, Floats, Pair | None]:
    """A (rank, in) and B (out, rank), and what is subtracted of them: see :class:`petrain.lora.Linear`."""
    out, n = shape
    seed = seed_number(seed)
    if isinstance(start, str) and start == "zero":
        a = np.empty((rank, n), np.float32)
        bound = 1 / math.sqrt(n)  # torch's kaiming_uniform_ with a = √5
        initial.uniform(a, -bound, bound, seed=seed)
        return a, np.zeros((out, rank), np.float32), None
    half = np.float32(1 / math.sqrt(scale))
    if isinstance(start, str):
        b, a = _truncated(dense(), rank)
        a, b = a * half, b * half
        return a, b, (a.copy(), b.copy())
    left, right = (_floats(part) for part in _parts(start))
    return right * half, left * half, None


def loftq(
    w: Array,
    rank: int,
    *,
    bits: int = 4,
    scheme: Scheme = "symmetric",
    granularity: Granularity = "channel",
    group_size: int | None = None,
    iterations: int = 5,
) -> tuple[QuantTensor, Pair]:
    r"""A quantized base and the factors that begin beside it, each made for the other: :math:`W \approx Q + A B`.

    In turns Q is the quantized :math:`W - A B`, and A B the best approximation of :math:`W - Q`, from A B = 0. What
    comes nearest to W is taken.

    Source: LoftQ (Li et al., arXiv 2310.08659), algorithm 1.

    Args:
        w: float32, (out, in).
        rank: columns of A and rows of B, from 1 to min(out, in).
        bits, scheme, granularity, group_size: as for :func:`petrain.quant.quantize`, along axis 0.
        iterations: turns, 1 or more.

    Returns:
        Q, and ``(a, b)`` for the argument ``init`` of :class:`Linear`: float32, (out, rank) and (rank, in).

    Raises:
        ValueError: ``w`` is not as said or not finite, or an option is out of range.

    Example:
        >>> import numpy as np
        >>> from petrain.lora import Linear
        >>> w = np.random.default_rng(0).standard_normal((32, 64), np.float32)
        >>> q, factors = loftq(w, rank=8)
        >>> layer = Linear(q, init=factors)
        >>> bool(np.linalg.norm(layer.merged_weight() - w) < 0.8 * np.linalg.norm(q.dequantize() - w))
        True
    """
    exact = np.asarray(w)
    if exact.dtype != np.float32 or exact.ndim != 2:
        raise ValueError(f"w: expected float32 (out, in), got {exact.dtype} {exact.shape}")
    integer("iterations", iterations, 1)
    best: tuple[float, QuantTensor, Pair] | None = None
    product = np.zeros_like(exact)
    for _ in range(iterations):
        q = quant.quantize(exact - product, bits, scheme, granularity, 0, group_size)
        error = exact - q.dequantize()
        a, b = _truncated(error, rank)
        product = _core.low_rank_product(a, b)
        distance = float(np.linalg.norm((error - product).astype(np.float64)))
        if best is None or distance < best[0]:
            best = distance, q, (a, b)
    assert best is not None
    return best[1], best[2]


def _truncated(w: Floats, rank: int) -> Pair:
    """The best factors of this rank, (out, rank) and (rank, in), the singular values split evenly."""
    u, s, vt = lowrank.svd(w, rank)
    root = np.sqrt(s)
    return u * root, root[:, None] * vt


def _parts(start: Any) -> tuple[Any, Any]:
    if hasattr(start, "a") and hasattr(start, "b"):
        return start.a, start.b
    if isinstance(start, (tuple, list)) and len(start) == 2 and all(hasattr(part, "shape") for part in start):
        return start[0], start[1]
    raise TypeError(f'init: expected "zero", "pissa", a LowRank or a pair (a, b), got {type(start).__name__}')


def _floats(part: Any) -> Floats:
    """float32, of a factor."""
    values: Any = part.dequantize() if isinstance(part, QuantTensor) else np.asarray(part)
    if values.dtype != np.float32:
        raise ValueError(f"init: expected factors in float32 or QuantTensors, got {values.dtype}")
    return values  # type: ignore[no-any-return]
