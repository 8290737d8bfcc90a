"""Whole models made small: low-rank factors under a byte budget, and int8."""

from petrain.compress.model import LayerPlan, int8, low_rank, plan_ranks

__all__ = ["LayerPlan", "int8", "low_rank", "plan_ranks"]
