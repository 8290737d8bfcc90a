"""Layers on one to four rows: the bits of those rows among many."""

import numpy as np
import pytest
from petrain import _core, lowrank, nn


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("out", "into"), [(1, 1), (33, 70), (300, 1030), (1024, 1024)])
def test_rows_do_not_depend_on_each_other(out, into, count, threads):
    w, bias, x, dy = normal(out, into), normal(out), normal(40, into), normal(40, out)
    model = nn.Sequential(nn.Linear.from_weight(nn.DenseWeight(w), bias))
    factors = normal(out, 9), normal(9, into)
    calls = {
        "nn": (model, x),
        "forward": (lambda rows: _core.frozen_forward(w, rows), x),
        "backward": (lambda rows: _core.frozen_backward(w, rows), dy),
        "low rank": (lambda rows: lowrank.linear(rows, factors, bias), x),
    }
    for name, (call, rows) in calls.items():
        threads(2)
        many = call(rows)
        for n in (1, 2, 3):
            threads(n)
            for first in (0, 17):
                np.testing.assert_array_equal(call(rows[first : first + count]), many[first : first + count], name)
    gradients = lowrank.linear_backward(dy[:count], x[:count], factors)
    np.testing.assert_array_equal(gradients.x, lowrank.linear_backward(dy, x, factors).x[:count])
