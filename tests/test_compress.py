"""Compressed models: sizes as planned, errors as predicted, and the plan against every other choice."""

import itertools

import numpy as np
import petrain
import pytest
from petrain import compress, nn


def trained():
    """A model whose weights have decaying spectra, as trained ones have."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 9), nn.ReLU(), nn.Linear(9, 4))
    for name, array in model.parameters().items():
        if name.endswith("weight"):
            u, s, vt = np.linalg.svd(rng.normal(size=array.shape), full_matrices=False)
            array[...] = (u * (s * 0.6 ** np.arange(len(s)))) @ vt
    return model


def bytes_in_int8(model, ranks):
    return compress.int8(compress.low_rank(model, {i: r for i, r in ranks.items() if r})).nbytes


def error(model, ranks):
    total = 0.0
    for i, rank in ranks.items():
        singular = np.linalg.svd(model.layers[i].weight.dense().astype(np.float64), compute_uv=False) ** 2
        total += singular[rank:].sum() / singular.sum() if rank else 0.0
    return total


@pytest.mark.parametrize("budget", [330, 360, 400, 450])
def test_the_plan_fits_and_is_the_best(budget):
    model = trained()
    plans = compress.plan_ranks(model, budget)
    chosen = {plan.index: plan.rank for plan in plans}
    size = bytes_in_int8(model, chosen)
    assert size <= budget
    assert size == sum(p.bytes_after for p in plans) + sum(layer.bias.nbytes for layer in model.layers[::2])
    options = [[None, *range(1, min(layer.weight.shape) + 1)] for layer in model.layers[::2]]
    every = [dict(zip((0, 2, 4), ranks, strict=True)) for ranks in itertools.product(*options)]
    best = min(error(model, ranks) for ranks in every if bytes_in_int8(model, ranks) <= budget)
    assert error(model, chosen) == pytest.approx(best, rel=1e-4)


def test_a_large_budget_changes_nothing_but_the_format():
    model = trained()
    assert all(plan.rank is None and plan.rel_error == 0 for plan in compress.plan_ranks(model, 10**9))


def test_errors_are_those_of_the_factors():
    model = trained()
    for plan in compress.plan_ranks(model, 360):
        w = model.layers[plan.index].weight.dense().astype(np.float64)
        if plan.rank:
            factors = compress.low_rank(model, {plan.index: plan.rank}).layers[plan.index].weight
            measured = np.linalg.norm(w - factors.dense()) / np.linalg.norm(w)
            assert plan.rel_error == pytest.approx(measured, abs=1e-6)


def test_a_copy_is_a_copy():
    model = trained()
    before = {name: array.copy() for name, array in model.parameters().items()}
    small = compress.low_rank(model, {0: 3})
    for array in small.parameters().values():
        array[...] = 7
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, before[name])


def test_int8_is_close_and_biases_are_still_trained():
    model = trained()
    small = compress.int8(model)
    x = np.random.default_rng(1).normal(size=(50, 12)).astype(np.float32)
    assert np.linalg.norm(small(x) - model(x)) / np.linalg.norm(model(x)) < 0.03
    assert sorted(small.parameters()) == ["0.bias", "2.bias", "4.bias"]
    y = small.forward(x, training=True)
    loss, gradient = nn.cross_entropy(y, np.arange(50) % 4)
    small.backward(gradient)
    opt = petrain.optim.SGD(small.parameters(), lr=0.1)
    opt.step(small.gradients())
    assert nn.cross_entropy(small(x), np.arange(50) % 4)[0] < loss


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: compress.plan_ranks(m, 10), r"budget_bytes: the smallest that fits is \d+, got 10"),
        (lambda m: compress.low_rank(m, {1: 2}), r"expected indices of linear layers, got \[1\]"),
        (lambda m: compress.low_rank(m, {9: 2}), r"expected indices of linear layers, got \[9\]"),
        (lambda m: compress.low_rank(m, {0: 0}), "rank"),
        (lambda m: compress.low_rank(m, {0: 11}), "rank"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call(trained())
