"""One option for each layer under a budget: every choice tried, and a table by cost. Sums are exact."""

import itertools
from fractions import Fraction


def every_choice(costs, errors, budget):
    """The least sum of errors, of all choices that fit; None where none does."""
    best = None
    for choice in itertools.product(*map(range, map(len, costs))):
        if sum(layer[j] for layer, j in zip(costs, choice, strict=True)) <= budget:
            error = sum(Fraction(float(layer[j])) for layer, j in zip(errors, choice, strict=True))
            best = error if best is None else min(best, error)
    return best


def table(costs, errors, budget):
    """The same by dynamic programming: after each layer, the least error for every total cost up to the budget."""
    least = {0: Fraction(0)}
    for layer_costs, layer_errors in zip(costs, errors, strict=True):
        after = {}
        for total, error in least.items():
            for cost, more in zip(layer_costs, layer_errors, strict=True):
                if total + cost <= budget:
                    found = error + Fraction(float(more))
                    after[total + cost] = min(found, after.get(total + cost, found))
        least = after
    return min(least.values(), default=None)
