"""How tensors lie in memory, and views of the core's memory as tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

_MOST_WORK = 100_000  # of numpy.shares_memory: some milliseconds
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check_parameter(p: torch.Tensor, what: str) -> None:
    """Raises ValueError unless the core can update it."""
    if p.device.type != "cpu":
        raise ValueError(f"{what}: expected a tensor in CPU memory, got one on {p.device}")
    if p.layout is not torch.strided:
        raise ValueError(f"{what}: expected a strided tensor, got {p.layout}")
    if p.dtype not in _FLOATS:
        raise ValueError(f"{what}: expected dtype float32, float64, float16 or bfloat16, got {_name(p.dtype)}")
    if p.is_neg():
        raise ValueError(f"{what}: expected memory that holds its values, got a lazily negated view: use resolve_neg()")


def target_of(p: torch.Tensor, what: str, *, keeps_shape: bool) -> torch.Tensor:
    """The contiguous tensor that the core updates for p: over the same memory, flat where p's axes are in another
    order, or a copy where p's elements do not lie side by side."""
    p = p.detach()
    if p.is_contiguous():
        return p
    if _may_overlap(p):
        raise ValueError(f"{what}: expected memory of its own for every element, got strides {p.stride()}")
    if is_dense(p) and not keeps_shape:
        return p.as_strided((p.numel(),), (1,))
    return p.clone(memory_format=torch.contiguous_format)


def _may_overlap(p: torch.Tensor) -> bool:
    """Whether two elements may be one in memory: false for all that indexing and permuting make."""
    reach = 0
    for stride, size in sorted(zip(p.stride(), p.shape, strict=True)):
        if size > 1 and stride <= reach:
            return True
        reach += stride * (size - 1)
    return False


def check_apart(parameters: Sequence[torch.Tensor], which: Sequence[int], names: Sequence[str]) -> None:
    """Raises ValueError where one of those that the core sees copies of shares memory with another parameter."""
    arrays = [_as_integers(p) for p in parameters] if which else []
    for i in which:
        for k, other in enumerate(arrays):
            if i == k or not np.may_share_memory(arrays[i], other):
                continue
            try:
                shared = np.shares_memory(arrays[i], other, max_work=_MOST_WORK)  # type: ignore[arg-type]
            except RuntimeError:  # it may be so, and to find out takes too long
                shared = True
            if shared:
                first, second = sorted((i, k))
                raise ValueError(f"{names[first]} and {names[second]} share memory: each parameter may be given once")


def _as_integers(p: torch.Tensor) -> np.ndarray:
    return p.detach().view({2: torch.int16, 4: torch.int32, 8: torch.int64}[p.element_size()]).numpy()


def is_dense(p: torch.Tensor) -> bool:
    """Whether the elements lie side by side, with the axes in any order."""
    expected = 1
    axes = [(stride, size) for size, stride in zip(p.shape, p.stride(), strict=True) if size != 1]
    for stride, size in sorted(axes):
        if stride != expected:
            return False
        expected *= size
    return True


def tensor_over(array: np.ndarray, p: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The core's array as a tensor, laid out as p where it has an element for each of p's. No copy."""
    if array.dtype == np.uint16 or array.dtype.name == "bfloat16":  # NumPy has no bfloat16 of its own
        tensor = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(array)
    if tensor.shape == target.shape and target.shape != p.shape:
        tensor = tensor.as_strided(p.shape, p.stride())
    return tensor


def readable_gradient(
    p: torch.Tensor, layout: torch.Tensor, what: str
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """A copy of p's gradient, laid out as ``layout``; of a sparse one, the numbers of its rows and the rows."""
    grad = p.grad
    assert grad is not None
    if grad.device.type != "cpu":
        raise ValueError(f"{what}: expected a gradient in CPU memory, got one on {grad.device}")
    if grad.dtype not in _FLOATS:
        raise ValueError(f"{what}: expected a gradient of float32, float64, float16 or bfloat16, got {grad.dtype}")
    if grad.shape != p.shape:
        raise ValueError(f"{what}: expected a gradient of shape {tuple(p.shape)}, got {tuple(grad.shape)}")
    if grad.layout is torch.sparse_coo and grad.sparse_dim() == 1:
        if not p.is_contiguous():
            raise RuntimeError(
                f"{what}: expected a contiguous parameter for a sparse gradient, got strides {p.stride()}"
            )
        return grad._indices()[0].contiguous(), grad._values().contiguous()
    if grad.layout is not torch.strided:
        raise RuntimeError(f"{what}: expected a strided gradient or one that is sparse in its rows, got {grad.layout}")
    copy = torch.empty_like(layout, dtype=grad.dtype)
    return copy.copy_(grad.detach())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
