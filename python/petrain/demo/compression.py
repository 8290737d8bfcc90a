"""From a trained model to one whose file fits a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import petrain
from petrain import nn
from petrain.compress import LayerPlan, int8, low_rank, plan_ranks
from petrain.demo.data import Digits
from petrain.demo.settings import FINE_TUNING
from petrain.demo.training import Epoch, accuracy, train


@dataclass(frozen=True)
class Compressed:
    """A model with low-rank factors, fine-tuned in float32, and the same in int8."""

    budget: int  # bytes of the int8 file
    plans: list[LayerPlan]
    factors: nn.Sequential
    small: nn.Sequential
    truncated_accuracy: float  # on the test images, before the fine-tuning
    epochs: list[Epoch]

    @property
    def ranks(self) -> dict[int, int]:
        return ranks_of(self.plans)


def ranks_of(plans: list[LayerPlan]) -> dict[int, int]:
    return {plan.index: plan.rank for plan in plans if plan.rank is not None}


def file_size(model: nn.Sequential, scratch: Path) -> int:
    """Bytes of the model's file, header included."""
    path = scratch / "size.safetensors"
    petrain.save(model, path)
    size = path.stat().st_size
    path.unlink()
    return size


def plan_file(model: nn.Sequential, budget: int, scratch: Path) -> list[LayerPlan]:
    """Ranks with which the file, and not the arrays alone, fits the budget.

    Raises:
        petrain.Error: not even the smallest model fits.
    """
    room = budget
    while True:
        try:
            plans = plan_ranks(model, room)
        except ValueError:
            thinnest = {i: 1 for i, layer in enumerate(model.layers) if isinstance(layer, nn.Linear)}
            least = file_size(int8(low_rank(model, thinnest)), scratch)
            raise petrain.Error(f"budget: expected at least {least:,} bytes, got {budget:,}") from None
        small = int8(low_rank(model, ranks_of(plans)))
        size = file_size(small, scratch)
        if size <= budget:
            return plans
        # The header counts, too; its size changes with the plan by some digits, hence the loop.
        room = min(room - 1, budget - (size - small.nbytes))


def compress(
    model: nn.Sequential,
    digits: Digits,
    budget: int,
    scratch: Path,
    seed: int,
    on_epoch: Callable[[Epoch], None],
) -> Compressed:
    """Low-rank factors for the budget, fine-tuned, then int8. The model itself is not changed."""
    plans = plan_file(model, budget, scratch)
    factors = low_rank(model, ranks_of(plans))
    truncated = accuracy(factors, digits.test_x, digits.test_y)
    epochs = train(factors, digits, FINE_TUNING, seed, on_epoch)
    return Compressed(budget, plans, factors, int8(factors), truncated, epochs)
