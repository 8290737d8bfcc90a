"""The float32 copies of 16-bit parameters, where users write to the parameters themselves."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Masters:
    """Parameters with their copies. A step writes both, so that each parameter is its copy, rounded; torch counts what
    is written to a tensor, and that count says whether it may still be so."""

    def __init__(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        self._pairs = pairs
        self._versions: list[int | None] = [None] * len(pairs)  # None: not known

    def follow(self) -> None:
        """Make the copy anew, element by element, where the parameter is no longer what the copy rounds to."""
        for (p, master), version in zip(self._pairs, self._versions, strict=True):
            if version is None or version != p._version:
                own = p.detach()
                master.copy_(torch.where(master.to(own.dtype) == own, master, own.to(master.dtype)))

    def remember(self) -> None:
        """After a step: both belong together."""
        self._versions = [None if p.is_inference() else p._version for p, _ in self._pairs]
