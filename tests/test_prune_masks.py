"""Masks: which arrays they may be of, and what a schedule-free optimizer does to what they prune."""

import numpy as np
import pytest
from petrain import optim, prune


def test_arrays_that_share_memory_are_refused_before_anything_is_written():
    both = np.arange(1, 13, dtype=np.float32)
    before = both.copy()
    for views in ([both, both], [both[:8], both[4:]], [both[:4], both[4:8], both[3:5]]):
        masks = prune.Masks(views, [np.zeros(view.shape, bool) for view in views])
        with pytest.raises(ValueError, match="arrays: expected memory of their own, got some that overlap"):
            masks.apply()
        np.testing.assert_array_equal(both, before)
    prune.Masks([both[:4], both[4:8], both[:0], both[:0]], [np.zeros(k, bool) for k in (4, 4, 0, 0)]).apply()
    np.testing.assert_array_equal(both, [0] * 8 + [9, 10, 11, 12])


def test_beside_the_average_of_a_schedule_free_optimizer():
    rng = np.random.default_rng(0)
    w = rng.standard_normal(40).astype(np.float32)
    pruned = np.arange(40) % 2 == 0
    masks = prune.Masks([w], [~pruned])
    opt = optim.ScheduleFreeAdamW([w], lr=0.1)
    for _ in range(5):
        opt.step([rng.standard_normal(40).astype(np.float32)])
        masks.apply()
    trained = w.copy()
    opt.eval()
    assert w[pruned].all()  # the average knows nothing of the masks
    average = w.copy()
    masks.apply()
    assert not w[pruned].any()
    np.testing.assert_array_equal(w[~pruned], average[~pruned])
    opt.train()
    np.testing.assert_array_equal(w, trained)
    assert not w[pruned].any()
