"""Truncated singular value decomposition."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from petrain import _core
from petrain._numbers import integer, number, required, seed_number
from petrain._params import Array, Floats
from petrain.files import load_tensors, save_tensors

_State: TypeAlias = tuple[Any, Any, list[float]]


def svd(
    a: Array,
    k: int | None = None,
    oversample: int = 10,
    n_iter: int | Literal["auto"] = "auto",
    method: Literal["auto", "full", "randomized"] = "auto",
    seed: int = 0,
    *,
    energy: float | None = None,
    rel_error: float | None = None,
    tol: float = 1e-4,
    memory_limit: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    state: str | os.PathLike[str] | None = None,
) -> tuple[Floats, Floats, Floats]:
    r"""The largest singular values of a matrix and their vectors: :math:`A \approx U \,\mathrm{diag}(s)\, V^T`.

    * "full" takes the eigenvectors of the smaller of :math:`A^T A` and :math:`A A^T`, computed in float64: singular
      values are good to about :math:`10^{-8} s_0`, which float32 does not resolve.
    * "randomized" is block Lanczos from a random start, in blocks of 16 directions, which are kept orthonormal to
      rounding: its result is the better, the faster the singular values decay and the more steps it does. For the same
      products it comes much nearer to the best than subspace iteration. Source: Golub, Luk, Overton, ACM TOMS 7 (1981);
      Musco, Musco, NeurIPS 2015.
    * "auto" takes "full" for up to 128 rows or columns and for ``k`` from a third of them on, else the one that is
      estimated to be faster.

    How many is said by ``k``, or by what they are to hold: then "full" finds the smallest number, and "randomized",
    whose error comes from the difference of sums of squares in float64, nearly the smallest.

    Args:
        a: float32 or float64, (m, n).
        k: how many, from 1 to min(m, n).
        oversample: directions beyond ``k`` that "randomized" begins with, up to the next multiple of 16.
        n_iter: its steps beyond those, each with 16 directions more; "auto": as many as ``tol`` needs.
        method: see above.
        seed: of the random start of "randomized", from 0 to 2**64 - 1.
        energy: instead of ``k``: the part of :math:`\lVert A\rVert_F^2` to be held, in (0, 1].
        rel_error: instead of ``k``: the largest :math:`\lVert A - U S V^T\rVert_F / \lVert A\rVert_F`, in [0, 1).
        tol: by how much the squared error of "randomized" may be above the least possible, relative to that, in (0, 1).
            It is estimated, from how fast the steps gain less; mostly the excess is a few times smaller.
        memory_limit: bytes of ``a`` to be read at a time where it has more: by blocks of rows (of 512 at least), with
            the same bits, and by "randomized" alone. Pages of a ``numpy.memmap`` of mode "r" are given back after use,
            so that the matrix may be larger than the memory.
        progress: called after each step of "randomized" with the directions that there are and that are expected, as
            far as is known; what it raises ends the call.
        state: a file to which "randomized" writes how far it is, after each step; where it exists, the run goes on from
            there and gives the bits that it would have given without the interruption. Removed at the end. The matrix
            must be the same.

    Returns:
        ``u`` (m, k) and ``vt`` (k, n) with orthonormal columns and rows, also where singular values are zero; ``s``
        (k,) from the largest on; all in the type of ``a``. In each column of ``u`` the entry of largest magnitude, the
        first of several, is positive.

    Raises:
        ValueError: ``a`` is not a matrix of float32 or float64, is empty, not contiguous, or has NaN or infinity;
            not exactly one of ``k``, ``energy`` and ``rel_error`` is given; one of them or an option is out of range; a
            singular value is too large for the type; ``state`` is of other arguments.
        TypeError: ``a`` is not an array, or a number is not an integer.
        OSError: ``state`` cannot be read or written.
        petrain.Error: ``state`` is not a correct file.

    Example:
        >>> import numpy as np
        >>> a = np.array([[3, 0], [0, 2], [0, 0]], np.float32)
        >>> u, s, vt = svd(a, k=1)
        >>> s, u[:, 0], vt[0]
        (array([3.], dtype=float32), array([1., 0., 0.], dtype=float32), array([1., 0.], dtype=float32))
        >>> svd(a, rel_error=0.6)[1]
        array([3.], dtype=float32)
    """
    if isinstance(n_iter, str) and n_iter != "auto":
        raise ValueError(f'n_iter: expected "auto" or an integer, got {n_iter!r}')
    if (k is not None) + (energy is not None) + (rel_error is not None) != 1:
        raise ValueError(f"expected exactly one of k, energy and rel_error, got {k}, {energy} and {rel_error}")
    arguments: dict[str, Any] = {
        "k": None if k is None else integer("k", k),
        "energy": number("energy", energy),
        "rel_error": number("rel_error", rel_error),
        "oversample": integer("oversample", oversample),
        "n_iter": None if isinstance(n_iter, str) else integer("n_iter", n_iter),
        "method": method,
        "seed": seed_number(seed),
        "tol": required(tol, "tol"),
    }
    run = None if state is None else _StateFile(Path(state), {"shape": list(np.shape(a)), **arguments})
    result = _core.svd(
        a,
        **arguments,
        memory_limit=0 if memory_limit is None else integer("memory_limit", memory_limit),
        drop_pages=isinstance(a, np.memmap) and a.mode == "r",
        progress=progress,
        save=None if run is None else run.save,
        resumed=None if run is None else run.load(),
    )
    if run is not None:
        run.path.unlink(missing_ok=True)
    return result


class _StateFile:
    """The state of a run between two steps, with the arguments that it is of."""

    def __init__(self, path: Path, arguments: dict[str, Any]) -> None:
        self.path = path
        self.arguments = json.dumps(arguments)

    def save(self, directions: Any, images: Any, numbers: list[float]) -> None:
        tensors = {"directions": directions, "images": images, "numbers": np.array(numbers)}
        save_tensors(self.path, tensors, {"petrain.svd": self.arguments})

    def load(self) -> _State | None:
        if not self.path.exists():
            return None
        tensors, metadata = load_tensors(self.path)
        arguments = metadata.get("petrain.svd", "another file")
        if arguments != self.arguments or set(tensors) != {"directions", "images", "numbers"}:
            raise ValueError(f"state: expected that of a run with {self.arguments}, got {arguments}")
        return tensors["directions"], tensors["images"], tensors["numbers"].tolist()
