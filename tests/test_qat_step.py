"""A fake-quantized copy within an optimizer's step against the same in separate calls, to the last bit."""

import json

import numpy as np
import petrain
import pytest
from optim_cases import DTYPES, RULES, defaults
from petrain import _core
from petrain.optim import SGD, AdamW
from petrain.quant import LSQ
from reference import optim as reference_optim
from reference import qat as reference

SHAPES = [(3, 257), (130, 512), (5,), (40, 6, 3, 3)]
LAYOUTS = [
    {"granularity": "tensor"},
    {"granularity": "channel"},
    {"granularity": "channel", "axis": -1},
]
GROUPED = [(4, 96), (129, 512), (96, 70)]


def weights(rng, shapes):
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


class Run:
    """Weights with learned scales and one other parameter, stepped with what a loss of the copies could give."""

    def __init__(self, rule, hypers, shapes, bits, layout, out, fused, state_dtype=None):
        rng = np.random.default_rng(1)
        self.weights = weights(rng, shapes)
        self.other = rng.standard_normal(50, np.float32)
        self.lsqs = [LSQ(w, bits, **layout) for w in self.weights]
        self.copies = [np.empty(shape, out) for shape in shapes]
        scales = [lsq.scale for lsq in self.lsqs]
        params = [scales[0], *self.weights, self.other, *scales[1:]]  # before and behind what it is the scale of
        self.core = _core.Optimizer([(rule, hypers, params, state_dtype)])
        self.fused = fused
        # Without a step, separate calls would use a scale's gradient at once; within a step it is one step behind.
        self.behind = [lsq.scale_gradient.copy() for lsq in self.lsqs]
        for i, (w, lsq, copy) in enumerate(zip(self.weights, self.lsqs, self.copies, strict=True)):
            if fused:
                _core.attach_fake_quantize(self.core, i + 1, lsq.scale, lsq.scale_gradient, lsq._spec, copy)
            else:
                lsq.forward(w, copy)

    def step(self, grads, other, **options):
        if self.fused:
            behind = [lsq.scale_gradient for lsq in self.lsqs]
            return self.core.step([behind[0], *grads, other, *behind[1:]], **options)
        grads = [g.astype(np.float32) for g in grads]
        masked = [lsq.backward(w, g) for lsq, w, g in zip(self.lsqs, self.weights, grads, strict=True)]
        info = self.core.step([self.behind[0], *masked, other, *self.behind[1:]], **options)
        self.behind = [lsq.scale_gradient.copy() for lsq in self.lsqs]
        for w, lsq, copy in zip(self.weights, self.lsqs, self.copies, strict=True):
            lsq.forward(w, copy)
        return info

    def arrays(self):
        states = [array for i in range(len(self.weights) * 2 + 1) for array in self.core.state(i).values()]
        scales = [array for lsq in self.lsqs for array in (lsq.scale, lsq.scale_gradient)]
        return [*self.weights, self.other, *self.copies, *scales, *states]


def gradients(rng, shapes, dtype=np.float32):
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes], rng.standard_normal(50).astype(np.float32)


def check_equal(rule, hypers, shapes, bits, layout, out, steps=4, dtype=np.float32, state_dtype=None, **options):
    rng = np.random.default_rng(2)
    runs = [Run(rule, hypers, shapes, bits, layout, out, fused, state_dtype) for fused in (True, False)]
    for _ in range(steps):
        grads, other = gradients(rng, shapes, dtype)
        for run in runs:
            assert not run.step([g.copy() for g in grads], other.copy(), **options).skipped
        for got, want in zip(*(run.arrays() for run in runs), strict=True):
            np.testing.assert_array_equal(got, want, strict=True)
    return runs[0]


def usable(rule):
    """With a step that moves weights and scales, but not out of their range."""
    hypers = {**defaults(rule), "lr": 0.003}
    return {**hypers, "weight_decay": 0.1} if "weight_decay" in hypers else hypers


@pytest.mark.parametrize("out", [np.float32, np.int8])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule(threads, rule, out):
    threads(2)
    run = check_equal(rule, usable(rule), SHAPES, 4, {"granularity": "channel"}, out)
    assert any(lsq.scale_gradient.any() for lsq in run.lsqs)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("out", [np.float32, np.int8])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_granularity(threads, layout, out, bits, count):
    threads(count)
    check_equal("adamw", usable("adamw"), SHAPES, bits, layout, out)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("group_size", [32, 64])
def test_groups(threads, axis, group_size):
    threads(2)
    shapes = [shape if axis == 0 else shape[::-1] for shape in GROUPED]
    shapes = [shape for shape in shapes if shape[1 - axis] % group_size == 0]
    check_equal(
        "adamw",
        usable("adamw"),
        shapes,
        4,
        {"granularity": "group", "axis": axis, "group_size": group_size},
        np.float32,
    )


@pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_other_dtypes_of_gradients_and_states(dtype, state_dtype):
    check_equal(
        "adamw",
        usable("adamw"),
        SHAPES,
        8,
        {"granularity": "channel"},
        np.int8,
        dtype=DTYPES[dtype],
        state_dtype=state_dtype,
    )


@pytest.mark.parametrize("rule", ["adamw", "lamb", "lars"])
def test_unscaled_and_clipped_by_value(rule):
    check_equal(rule, usable(rule), SHAPES, 8, {"granularity": "channel"}, np.float32, grad_scale=8.0, max_value=0.05)


@pytest.mark.parametrize("options", [{"check_finite": False}, {"zero_grads": True}])
def test_other_options(options):
    check_equal("adamw", usable("adamw"), SHAPES, 8, {"granularity": "channel"}, np.float32, steps=1, **options)


def test_against_the_reference(rng):
    """Not only equal to its own other way: AdamW as tests/reference has it, the copy as well."""
    w = weights(rng, [(6, 40)])[0]
    lsq, copy = LSQ(w, 4), np.empty_like(w)
    fake, hypers = reference.Fake(w.shape, 4), usable("adamw")
    expected = reference_optim.Optimizer(
        "adamw", hypers, RULES["adamw"]["states"], [w, lsq.scale], np.float32, np.float32
    )
    opt = AdamW([w, lsq.scale], lr=hypers["lr"], weight_decay=hypers["weight_decay"])
    opt.attach_fake_quantize(0, lsq, copy)
    behind = np.zeros_like(lsq.scale)
    for _ in range(5):
        g = rng.standard_normal(w.shape, np.float32)
        masked, of_scale = fake.backward(g, *expected.params, factor=fake.lsq_factor())
        info = opt.step([g, lsq.scale_gradient])
        assert info.grad_norm == pytest.approx(
            np.sqrt((g.astype(float) ** 2).sum() + (behind.astype(float) ** 2).sum())
        )
        expected.step([masked, behind])
        behind = lsq.scale_gradient.copy()
        np.testing.assert_allclose(behind, of_scale, rtol=1e-7, atol=1e-12)
        np.testing.assert_array_equal(w, expected.params[0])
        np.testing.assert_array_equal(lsq.scale, expected.params[1])
        np.testing.assert_array_equal(copy, fake.forward(*expected.params))


def test_clipped_by_the_norm_of_what_is_given(rng):
    w = np.array([[0.5, 300.0]], np.float32)
    lsq = LSQ(w, 8)
    lsq.scale[:] = 1
    copy, g = np.empty_like(w), np.array([[3.0, 4.0]], np.float32)
    opt = SGD([w], lr=1.0)
    opt.attach_fake_quantize(0, lsq, copy)
    assert opt.step([g], max_norm=1.0).grad_norm == 5
    np.testing.assert_allclose(w, [[0.5 - 0.6, 300]], rtol=1e-5)  # the second is out of range
    np.testing.assert_array_equal(copy, [[0, 127]])
    np.testing.assert_allclose(lsq.scale_gradient, (3 * -0.5 + 4 * 127) / np.sqrt(2 * 127))


def test_a_step_of_an_accumulator(rng):
    """The scale's gradient is that of the mean."""
    w = weights(rng, [(4, 30)])[0]
    results = []
    for accumulated in (True, False):
        p = w.copy()
        lsq, copy = LSQ(p, 4), np.empty_like(p)
        opt = SGD([p, lsq.scale], lr=0.01)
        opt.attach_fake_quantize(0, lsq, copy)
        for _ in range(2):
            g = np.full_like(w, 0.5)
            if accumulated:
                sums = petrain.GradAccumulator([p, lsq.scale])
                for part in (g - 1, g + 1):
                    sums.add([part, lsq.scale_gradient], weight=2.0)
                opt.step(sums)
            else:
                opt.step([g, lsq.scale_gradient])
        results.append([p, copy, lsq.scale, lsq.scale_gradient])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_sums_whose_parts_would_be_infinite_are_skipped():
    """The mean is 1e7, but the kernel multiplies the sum, 1e37, with up to 128."""
    w = np.full((2, 64), 3, np.float32)
    lsq = LSQ(w, 8)
    lsq.scale[:] = 0.01  # all out of range
    opt = AdamW([{"params": [w]}, {"params": [lsq.scale]}], lr=1e-3)
    opt.attach_fake_quantize(0, lsq, np.empty_like(w))
    sums = petrain.GradAccumulator([w, lsq.scale])
    sums.add([np.full_like(w, 1e7), lsq.scale_gradient], weight=1e30)
    assert opt.step(sums).skipped
    assert np.isfinite(lsq.scale_gradient).all()
    assert (w == 3).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e38, 1e37])
@pytest.mark.parametrize("zero_grads", [False, True])
def test_a_bad_gradient_changes_nothing(bad, zero_grads):
    """1e37 is finite, but 127 times that, its part of the gradient of its scale, is not."""
    rng = np.random.default_rng(3)
    run = Run("adamw", usable("adamw"), SHAPES, 8, {"granularity": "channel"}, np.float32, True)
    run.step(*gradients(rng, SHAPES))
    before = [array.copy() for array in run.arrays()]
    for place in ("weight", "other"):
        grads, other = gradients(rng, SHAPES)
        if place == "other" and np.isfinite(bad):
            continue
        (grads[1] if place == "weight" else other).flat[-1] = bad
        assert run.step(grads, other, zero_grads=zero_grads).skipped
        for got, want in zip(run.arrays(), before, strict=True):
            np.testing.assert_array_equal(got, want, strict=True)
        assert zero_grads != bool(grads[0].any())
    assert not run.step(*gradients(rng, SHAPES)).skipped


def test_zero_grads_leaves_the_scale_gradient(rng):
    w = weights(rng, [(3, 50)])[0]
    lsq, copy = LSQ(w), np.empty_like(w)
    opt = AdamW({"w": w, "scale": lsq.scale})
    opt.attach_fake_quantize("w", lsq, copy)
    for shared in (False, True):
        g = rng.standard_normal(w.shape, np.float32)
        opt.step({"w": g, "scale": g.reshape(-1)[:3] if shared else lsq.scale_gradient}, zero_grads=True)
        assert not g.any()
        assert lsq.scale_gradient.all()


def test_a_scale_stays_in_its_range(rng):
    w = weights(rng, [(3, 50)])[0]
    lsq, copy = LSQ(w), np.empty_like(w)
    opt = SGD([w, lsq.scale], lr=10.0)
    opt.attach_fake_quantize(0, lsq, copy)
    lsq.scale_gradient[:] = [1e30, -1e36, 0]
    kept = lsq.scale[2]
    opt.step([np.zeros_like(w), lsq.scale_gradient])
    largest = np.nextafter(np.finfo(np.float32).max / np.float32(127), np.float32(0))
    np.testing.assert_array_equal(lsq.scale, np.array([2.0**-126, largest, kept], np.float32))
    np.testing.assert_array_equal(copy, lsq.forward(w))


def test_fixed_scales_and_detaching(rng):
    w = weights(rng, [(3, 50)])[0]
    lsq, copy = LSQ(w), np.empty_like(w)
    fixed = lsq.scale.copy()
    opt = SGD([w], lr=0.1)
    opt.attach_fake_quantize(0, lsq, copy)
    opt.step([np.ones_like(w)])
    np.testing.assert_array_equal(lsq.scale, fixed)
    np.testing.assert_array_equal(copy, lsq.forward(w))
    before = copy.copy()
    opt.detach_fake_quantize(0)
    opt.step([np.full_like(w, 5)])
    np.testing.assert_array_equal(copy, before)


def test_parameters_that_come_later(rng):
    w, later = weights(rng, [(3, 50), (20,)])
    lsq, copy = LSQ(w), np.empty_like(w)
    opt = AdamW([w])
    opt.attach_fake_quantize(0, lsq, copy)
    with pytest.raises(ValueError, match="out: expected memory of its own, got some of parameter 1"):
        opt.add_param_group({"params": [copy]})
    opt.add_param_group({"params": [lsq.scale, later], "weight_decay": 0.0})
    before = lsq.scale.copy()
    lsq.scale_gradient[:] = 1
    opt.step([np.ones_like(w), lsq.scale_gradient, np.ones_like(later)])
    assert np.all(lsq.scale < before)
    np.testing.assert_array_equal(copy, lsq.forward(w))


def test_training_goes_on_from_a_checkpoint(tmp_path):
    def target(copy, step):
        return copy - np.random.default_rng(step).standard_normal(copy.shape, np.float32)

    def make():
        w = np.random.default_rng(7).standard_normal((20, 60), np.float32)
        lsq = LSQ(w, 4)
        opt = AdamW([{"params": [w]}, {"params": [lsq.scale], "weight_decay": 0.0}], lr=0.01)
        copy = np.empty_like(w)
        opt.attach_fake_quantize(0, lsq, copy)
        return w, lsq, opt, copy

    def run(state, steps):
        _, lsq, opt, copy = state
        for step in steps:
            opt.step([target(copy, step), lsq.scale_gradient])

    through, first, second = make(), make(), make()
    run(through, range(10))
    run(first, range(5))
    path = tmp_path / "run.safetensors"
    w, lsq, opt, _ = first
    lists = {name: array.tolist() for name, array in lsq.state_dict().items()}
    petrain.optim.save_checkpoint(path, opt, [w, lsq.scale], extra=json.loads(json.dumps(lists)))
    w, lsq, opt, copy = second
    extra = petrain.optim.load_checkpoint(path, opt, [w, lsq.scale])
    lsq.load_state_dict({name: np.array(values, np.float32) for name, values in extra.items()})
    opt.attach_fake_quantize(0, lsq, copy)
    run(second, range(5, 10))
    for got, want in zip(
        (second[0], second[1].scale, second[1].scale_gradient, copy),
        (through[0], through[1].scale, through[1].scale_gradient, through[3]),
        strict=True,
    ):
        np.testing.assert_array_equal(got, want)
