"""Whole models made small: which form each layer takes under a budget, low-rank factors, int8."""

from petrain.compress.knapsack import Knapsack, knapsack
from petrain.compress.model import LayerPlan, int8, low_rank, plan_ranks
from petrain.compress.plan import LayerChoice, Option, Plan, plan_options

__all__ = [
    "Knapsack",
    "LayerChoice",
    "LayerPlan",
    "Option",
    "Plan",
    "int8",
    "knapsack",
    "low_rank",
    "plan_options",
    "plan_ranks",
]
