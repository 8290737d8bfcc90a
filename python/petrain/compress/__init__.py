"""Whole models made small: which form each layer takes under a budget, low-rank factors, int8."""

from petrain.compress.candidates import CANDIDATES, Candidate, Dense, LowRank, Quantized, StoredWeight
from petrain.compress.knapsack import Knapsack, knapsack
from petrain.compress.measure import build, plan, score
from petrain.compress.model import LayerPlan, int8, low_rank, plan_ranks
from petrain.compress.plan import LayerChoice, Option, Plan, plan_options

__all__ = [
    "CANDIDATES",
    "Candidate",
    "Dense",
    "Knapsack",
    "LayerChoice",
    "LayerPlan",
    "LowRank",
    "Option",
    "Plan",
    "Quantized",
    "StoredWeight",
    "build",
    "int8",
    "knapsack",
    "low_rank",
    "plan",
    "plan_options",
    "plan_ranks",
    "score",
]
