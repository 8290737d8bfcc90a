"""The multiple-choice knapsack solver against every choice, against a table, and against its own bound."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from petrain.compress import knapsack
from reference.knapsack import every_choice, table


def exact_sum(errors, options):
    return sum(Fraction(float(layer[j])) for layer, j in zip(errors, options, strict=True))


def check(costs, errors, budget, best):
    """The choice is what it says, the bound holds, and where the gap is 0 there is no better one."""
    found = knapsack(costs, errors, budget)
    assert found.cost == sum(int(layer[j]) for layer, j in zip(costs, found.options, strict=True)) <= budget
    total = 0.0
    for layer, j in zip(errors, found.options, strict=True):
        total += float(layer[j])
    assert found.error == total
    assert Fraction(found.lower_bound) <= best <= exact_sum(errors, found.options)
    assert found.gap == 0 or found.gap == pytest.approx(1 - found.lower_bound / found.error)
    if found.gap == 0:
        assert exact_sum(errors, found.options) <= best * (1 + Fraction(1, 10**12))
    return found


numbers = st.one_of(st.integers(0, 12).map(float), st.floats(0, 1e300), st.floats(0, 1e-300), st.floats(0, 1))


@st.composite
def problems(draw, most_layers=5):
    costs, errors = [], []
    for _ in range(draw(st.integers(1, most_layers))):
        count = draw(st.integers(1, 5))
        costs.append(draw(st.lists(st.integers(0, draw(st.sampled_from([3, 50]))), min_size=count, max_size=count)))
        errors.append(draw(st.lists(numbers, min_size=count, max_size=count)))
    least, most = (sum(map(pick, costs)) for pick in (min, max))
    return costs, errors, draw(st.integers(least, most + 1))


@settings(max_examples=150)
@given(problems())
def test_against_every_choice(problem):
    best = every_choice(*problem)
    assert best == table(*problem)
    assert check(*problem, best).gap == 0


@pytest.mark.parametrize("part", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("kind", ["free", "convex", "equal", "correlated"])
def test_twelve_layers_are_solved_to_the_best(rng, kind, part):
    costs = rng.integers(0, 100, size=(12, 10))
    errors = rng.random((12, 10))
    if kind == "convex":
        errors = (0.5 + rng.random((12, 1))) * np.exp(-costs / 25)
    if kind == "equal":
        costs, errors = costs[[0] * 12], errors[[0] * 12]
    if kind == "correlated":
        errors = 300.0 - costs
    least, most = int(costs.min(axis=1).sum()), int(costs.max(axis=1).sum())
    budget = least + int(part * (most - least))
    assert check(costs.tolist(), errors.tolist(), budget, table(costs.tolist(), errors.tolist(), budget)).gap == 0


def test_two_hundred_layers(rng):
    """Of a hundred options: within 1e-6 of the relaxation's bound, and of the best that a table finds."""
    costs = rng.integers(1, 40, size=(200, 100))
    errors = (0.5 + rng.random((200, 1))) * np.exp(-costs / 10) * (1 + 0.1 * rng.random((200, 100)))
    found = knapsack(costs, errors, 2000)
    assert found.cost <= 2000
    assert found.gap < 1e-6
    # A table in float64, a layer at a time.
    least = np.full(2001, np.inf)
    least[0] = 0
    for layer_costs, layer_errors in zip(costs, errors, strict=True):
        after = np.full(2001, np.inf)
        for cost, error in zip(layer_costs, layer_errors, strict=True):
            after[cost:] = np.minimum(after[cost:], least[: 2001 - cost] + error)
        least = after
    assert found.lower_bound * (1 - 1e-12) <= least.min() <= found.error * (1 + 1e-12)
    assert found.error <= least.min() * (1 + 1e-6)


def test_more_budget_is_never_worse(rng):
    costs, errors = rng.integers(0, 10**9, size=(30, 12)), rng.random((30, 12))
    budgets = np.linspace(costs.min(axis=1).sum(), costs.max(axis=1).sum(), 30).astype(np.int64)
    found = [knapsack(costs, errors, int(budget)).error for budget in budgets]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(errors.min(axis=1).sum())


def test_the_same_for_any_number_of_threads(rng, threads):
    costs, errors = rng.integers(0, 10**9, size=(40, 30)), rng.random((40, 30))
    found = []
    for count in (1, 2):
        threads(count)
        found.append(knapsack(costs, errors, 10**10))
    assert found[0] == found[1]


def test_ties_go_to_the_earlier_option():
    assert knapsack([[7, 7, 7]] * 3, [[2.0, 1.0, 1.0]] * 3, 21).options == (1, 1, 1)
    assert knapsack([[9, 4, 7, 4]], [[1.0, 1.0, 1.0, 1.0]], 9).options == (1,)


def test_costs_up_to_the_largest_integer():
    most = 2**63 - 1
    assert knapsack([[most, 0], [0, 0]], [[0.0, 1.0], [0.5, 0.25]], most).options == (0, 1)
    assert knapsack([[most, 0], [0, 0]], [[0.0, 1.0], [0.5, 0.25]], most - 1).options == (1, 1)


@pytest.mark.parametrize(
    ("costs", "errors", "budget", "error", "message"),
    [
        ([], [], 1, ValueError, "layers: expected at least one, got none"),
        ([[1], []], [[1.0], []], 1, ValueError, "layer 1: expected at least one option, got none"),
        ([[1]], [[1.0], [2.0]], 1, ValueError, "errors: expected those of 1 layers, got 2"),
        ([[1, 2]], [[1.0]], 1, ValueError, "errors of layer 0: expected 2, got 1"),
        ([[1, -2]], [[1.0, 1.0]], 1, ValueError, "layer 0, option 1: cost: expected at least 0, got -2"),
        ([[1]], [[float("nan")]], 1, ValueError, "layer 0, option 0: error: expected a finite number .* got nan"),
        ([[1]], [[float("inf")]], 1, ValueError, "error: expected a finite number of at least 0, got inf"),
        ([[1]], [[-1e-9]], 1, ValueError, "error: expected a finite number of at least 0, got -1e-09"),
        ([[1]], [["a"]], 1, TypeError, "errors of layer 0: expected numbers, got <U1"),
        ([[1.0]], [[1.0]], 1, TypeError, "costs of layer 0: expected integers, got float64"),
        ([[True, None]], [[1.0, 1.0]], 1, TypeError, "costs of layer 0: expected integers, got object"),
        ([[[1]]], [[1.0]], 1, ValueError, r"costs of layer 0: expected a sequence of numbers, got shape \(1, 1\)"),
        (
            [[2**63]],
            [[1.0]],
            1,
            ValueError,
            r"costs of layer 0: expected integers below 2\*\*63, got 9223372036854775808",
        ),
        ([[2**70]], [[1.0]], 1, ValueError, r"costs of layer 0: expected integers below 2\*\*63"),
        ([[2**63 - 1], [1]], [[1.0], [1.0]], 1, ValueError, r"costs: expected largest ones whose sum is below 2\*\*63"),
        ([[1], [1]], [[1e308], [1e308]], 2, ValueError, "errors: expected largest ones whose sum is finite, got inf"),
        ([[5, 3], [4, 8]], [[1.0, 1.0]] * 2, 6, ValueError, "budget: expected at least 7, got 6"),
        ([[0]], [[1.0]], -1, ValueError, "budget: expected at least 0, got -1"),
        ([[0]], [[1.0]], 1.5, TypeError, "budget: expected an integer, got 1.5"),
    ],
)
def test_refusals(costs, errors, budget, error, message):
    with pytest.raises(error, match=message):
        knapsack(costs, errors, budget)
