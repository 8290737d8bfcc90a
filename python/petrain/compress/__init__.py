"""Whole models made small: which form each layer takes under a budget, low-rank factors, int8."""

from petrain.compress.candidates import Candidate, Dense, Factorized, Quantized, Samples
from petrain.compress.choose import Scores, plan_options
from petrain.compress.defaults import CANDIDATES
from petrain.compress.knapsack import Knapsack, knapsack
from petrain.compress.layout import Layout
from petrain.compress.measure import build, load, plan, save, score
from petrain.compress.model import dequantize, int8, low_rank, quantize_like
from petrain.compress.plan import LayerChoice, Option, Plan
from petrain.compress.records import load_plan, save_plan
from petrain.compress.sparse import Sparse
from petrain.compress.whole import build_model, plan_model, score_model

__all__ = [
    "CANDIDATES",
    "Candidate",
    "Dense",
    "Factorized",
    "Knapsack",
    "LayerChoice",
    "Layout",
    "Option",
    "Plan",
    "Quantized",
    "Samples",
    "Scores",
    "Sparse",
    "build",
    "build_model",
    "dequantize",
    "int8",
    "knapsack",
    "load",
    "load_plan",
    "low_rank",
    "plan",
    "plan_model",
    "plan_options",
    "quantize_like",
    "save",
    "save_plan",
    "score",
    "score_model",
]
