"""Tables of embeddings on two thin factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from petrain import _core
from petrain._params import Array, Floats
from petrain.lowrank.certificate import Certificate, certificate_of, dequantized, is_quantized
from petrain.lowrank.factors import Dtype, LowRank, factorize, quantized, require_saving
from petrain.lowrank.layer import Factors, pair


@dataclass(frozen=True)
class EmbeddingGradients:
    """Gradients of a table on two factors.

    Attributes:
        a: ``(indices, rows)``, as optimizers take those of some rows alone: int64 (n,) and float32 (n, rank), one for
            each id, whether it comes twice or not.
        b: (rank, d).
    """

    a: tuple[np.ndarray, Floats]
    b: Floats


def factorize_embedding(
    table: Array,
    rank: int | None = None,
    energy: float | None = None,
    rel_error: float | None = None,
    max_params: int | None = None,
    counts: Array | None = None,
    *,
    dtype: Dtype = "float32",
    seed: int = 0,
    force: bool = False,
) -> LowRank:
    r"""The best factors of a table (rows, d), a (rows, rank) and b (rank, d): :func:`factorize`, which may know how
    often each row is looked up.

    With ``counts`` c the error is :math:`\sum_i c_i ‖w_i - a_i B‖^2`, and ``energy`` and ``rel_error`` are of that: B
    spans the first right singular vectors of the rows times :math:`\sqrt{c_i}`, and each row of A is the best for B, so
    that rows that were never seen lose no more than they must. Source: GroupReduce (Chen et al., arXiv 1806.06950).

    Args:
        table: float32, (rows, d).
        rank, energy, rel_error, max_params, dtype, seed, force: as for :func:`factorize`.
        counts: how often each row is looked up, (rows,), of any type, at least one above 0; only their proportions
            matter.

    Returns:
        The factors. With counts, ``output_error`` and ``output_norm`` of the certificate are those of the rows as often
        as they are looked up.

    Raises:
        ValueError: as :func:`factorize`, or counts are not as said.
        TypeError: as :func:`factorize`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> table, counts = rng.standard_normal((100, 16), np.float32), 1000 / np.arange(1, 101)
        >>> often = factorize_embedding(table, rank=4, counts=counts)
        >>> plain = factorize_embedding(table, rank=4)
        >>> error = float(np.linalg.norm(np.sqrt(counts)[:, None] * (table - plain.dense())))
        >>> often.certificate.output_error < error
        True
    """
    if counts is None:
        return factorize(table, rank, energy, rel_error, max_params, dtype=dtype, seed=seed, force=force)
    weights = _weights(counts, np.shape(table))
    root = np.sqrt(weights / weights.max())
    exact = np.asarray(table)
    if exact.dtype != np.float32:
        raise ValueError(f"table: expected float32 (rows, d), got {exact.dtype} {exact.shape}")
    often = (exact * root[:, None]).astype(np.float32)
    b = factorize(often, rank, energy, rel_error, max_params, seed=seed, force=True).b
    require_saving(exact, int(b.shape[0]), dtype, force)
    a = _core.fit_left(exact, b, None)

    def measured(left: Any, right: Any) -> Certificate:
        return certificate_of(
            _core.certify_rows(exact, dequantized(left), dequantized(right), weights.tolist()), counts
        )

    if dtype == "float32":
        return LowRank(a, b, measured(a, b))
    return quantized(exact, a, measured, root=root)


def embedding(ids: Array, factors: Factors) -> Floats:
    """``(A B)[ids]``, reading the rows of A alone that are asked for. A row does not depend on the other ids.

    Args:
        ids: integers of any type and shape, from 0 to rows - 1.
        factors: a :class:`LowRank` or a pair ``(a, b)``: float32, or int8.

    Returns:
        float32, ``(*ids.shape, d)``.

    Raises:
        IndexError: an id has no row.
        ValueError: ``ids`` are no integers, or the factors do not fit each other.
        TypeError: ``factors`` are neither.

    Example:
        >>> import numpy as np
        >>> a, b = np.array([[1], [2], [3]], np.float32), np.array([[10, 20]], np.float32)
        >>> embedding(np.array([2, 0]), (a, b))
        array([[30., 60.],
               [10., 20.]], dtype=float32)
    """
    a, b = pair(factors)
    given = _ids(ids, a)
    product: Floats = _core.low_rank_product(_picked(a, given), dequantized(b))
    return product.reshape(*given.shape, product.shape[1])


def embedding_backward(gradient: Array, ids: Array, factors: Factors) -> EmbeddingGradients:
    """The gradients of :func:`embedding`, of A for the rows that were read alone.

    Args:
        gradient: float32, ``(*ids.shape, d)``.
        ids: what was looked up.
        factors: those of the table, float32.

    Raises:
        IndexError: an id has no row.
        ValueError: a dtype or shape is not as said.
        TypeError: ``factors`` are neither a LowRank nor a pair.

    Example:
        >>> import numpy as np
        >>> from petrain import optim
        >>> a, b = np.array([[1], [2], [3]], np.float32), np.array([[10, 20]], np.float32)
        >>> gradients = embedding_backward(np.array([[1, 0], [0, 1]], np.float32), np.array([2, 2]), (a, b))
        >>> info = optim.SGD([a, b], lr=0.1).step([gradients.a, gradients.b])
        >>> a.ravel(), b
        (array([1., 2., 0.], dtype=float32), array([[ 9.7, 19.7]], dtype=float32))
    """
    a, b = pair(factors)
    given = _ids(ids, a)
    outer = np.asarray(gradient)
    expected = (*given.shape, b.shape[1])
    if outer.dtype != np.float32 or outer.shape != expected:
        raise ValueError(f"gradient: expected float32 {expected}, got {outer.dtype} {outer.shape}")
    outer = np.ascontiguousarray(outer).reshape(-1, expected[-1])
    rows = _core.low_rank_product(outer, np.ascontiguousarray(np.asarray(b).T))
    return EmbeddingGradients(
        (given.reshape(-1), rows), _core.low_rank_product(np.ascontiguousarray(_picked(a, given).T), outer)
    )


def _weights(counts: Array, shape: tuple[int, ...]) -> np.ndarray:
    weights = np.asarray(counts, np.float64)
    if len(shape) != 2 or weights.shape != shape[:1]:
        raise ValueError(f"counts: expected one for each row of a table of shape {shape}, got shape {weights.shape}")
    if not ((weights == 0) | ((weights >= 1e-60) & (weights <= 1e60))).all() or not weights.any():
        raise ValueError("counts: expected numbers from 1e-60 to 1e60, or 0 but not all of them")
    return weights


def _ids(ids: Array, a: Any) -> np.ndarray:
    from petrain.quant.embedding import int64_from  # which imports this package

    given, rows = int64_from(ids, "ids"), int(a.shape[0])
    if given.size and not (given.min() >= 0 and given.max() < rows):
        wrong = given[(given < 0) | (given >= rows)][0]
        raise IndexError(f"ids: expected 0 to {rows - 1}, got {wrong}")
    return given


def _picked(a: Any, ids: np.ndarray) -> Floats:
    if is_quantized(a):
        from petrain.quant import embedding as rows_of  # which imports this package

        return rows_of(ids.reshape(-1), a)
    rows: Floats = np.asarray(a)[ids.reshape(-1)]
    return rows
