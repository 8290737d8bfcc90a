"""Fake quantization with learned scales as a module."""

from __future__ import annotations

from typing import Any

import torch

from petrain import _core
from petrain.quant.qat import Spec
from petrain.quant.tensor import Granularity, QuantTensor


class FakeQuantize(torch.nn.Module):
    r"""What quantizing and dequantizing leaves of a tensor, with the gradient passed straight through and learned
    scales: :class:`petrain.quant.LSQ` as a module, whose parameter is ``scale``.

    Source: Esser et al., Learned Step Size Quantization, arXiv 1902.08153.

    Args:
        x: a weight, or activations as an example; float32 in CPU memory. The scales begin at
            :math:`2\, \overline{|x|} / \sqrt{q_{max}}`.
        bits, granularity, axis, group_size: as in :func:`petrain.quant.quantize`. Activations whose number of rows
            changes take "tensor", or "channel" along another axis than that of the rows.

    Raises:
        ValueError, IndexError: an argument is not as said; in ``forward`` too, where the tensor is not finite.

    Example:
        >>> import torch
        >>> from torch.nn.utils import parametrize
        >>> layer = torch.nn.Linear(8, 2)
        >>> fake = FakeQuantize(layer.weight, bits=4)
        >>> parametrize.register_parametrization(layer, "weight", fake)
        ParametrizedLinear(
          in_features=8, out_features=2, bias=True
          (parametrizations): ModuleDict(
            (weight): ParametrizationList(
              (0): FakeQuantize(bits=4, granularity='channel', axis=0, group_size=None)
            )
          )
        )
        >>> layer(torch.ones(3, 8)).sum().backward()
        >>> fake.scale.grad.shape
        torch.Size([2])
    """

    def __init__(
        self,
        x: torch.Tensor,
        bits: int = 8,
        granularity: Granularity = "channel",
        axis: int = 0,
        group_size: int | None = None,
    ) -> None:
        super().__init__()
        self._spec: Spec = (bits, "symmetric", granularity, axis, group_size)
        self.scale = torch.nn.Parameter(torch.from_numpy(_core.lsq_scale(_plain(x), self._spec)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _core.bound_scales(self.scale.detach(), self._spec)
        apply: Any = _FakeQuantize.apply  # torch does not say its type
        result: torch.Tensor = apply(x, self.scale, self._spec)
        return result

    def to_quantized(self, x: torch.Tensor) -> QuantTensor:
        """``x`` in integers with these scales; dequantized, it is ``forward(x)``."""
        x, scale = _plain(x), self.scale.detach()
        _core.bound_scales(scale, self._spec)
        integers = torch.empty(x.shape, dtype=torch.int8)
        _core.fake_quantize(x, scale, None, self._spec, integers)
        return QuantTensor(integers, scale, None, *self._spec)

    def extra_repr(self) -> str:
        bits, _, granularity, axis, group_size = self._spec
        return f"bits={bits}, granularity={granularity!r}, axis={axis}, group_size={group_size}"


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: torch.Tensor, spec: Spec) -> torch.Tensor:
        x, scale = _plain(x), _plain(scale)
        out = torch.empty_like(x)
        _core.fake_quantize(x, scale, None, spec, out)
        ctx.save_for_backward(x, scale)
        ctx.spec = spec
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, scale = ctx.saved_tensors
        of_x, of_scale = torch.empty_like(x), torch.empty_like(scale)
        factor = _core.lsq_factor(tuple(x.shape), ctx.spec)
        _core.fake_quantize_backward(x, scale, None, ctx.spec, _plain(gradient), of_x, of_scale, factor)
        return of_x, of_scale, None


def _plain(x: torch.Tensor) -> torch.Tensor:
    """As the core reads it."""
    return x.detach().resolve_neg().contiguous()
