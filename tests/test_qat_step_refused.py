"""What cannot be a fake-quantized copy, nor a step with one."""

import numpy as np
import pytest
from petrain import _core
from petrain.optim import SGD, Adafactor, GaLore
from petrain.quant import LSQ

pytestmark = pytest.mark.once


def attach(param=0, *, w=None, lsq=None, out=None, cls=SGD, others=(), spec=None):
    w = np.ones((4, 32), np.float32) if w is None else w
    lsq = LSQ(np.ones((4, 32), np.float32)) if lsq is None else lsq
    opt = cls([w, *others])
    _core.attach_fake_quantize(
        opt._core, param, lsq.scale, lsq.scale_gradient, spec or lsq._spec, np.empty_like(w) if out is None else out
    )


W, L = np.ones((4, 32), np.float32), LSQ(np.ones((4, 32), np.float32))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"param": 1}, IndexError, "expected a parameter from 0 to 0, got 1"),
        ({"cls": Adafactor}, ValueError, "parameter 0: adafactor sees it as a matrix"),
        ({"cls": lambda params: GaLore(params, rank=2)}, ValueError, "parameter 0: galore.* sees it as a matrix"),
        ({"w": np.ones((4, 32))}, ValueError, "parameter 0: expected dtype float32, got float64"),
        ({"w": np.ones((4, 32), np.float16)}, ValueError, "parameter 0: expected dtype float32, got float16"),
        ({"w": np.ones((5, 32), np.float32)}, ValueError, r"scale: expected shape \(5,\), got \(4,\)"),
        ({"out": np.ones((32, 4), np.float32)}, ValueError, r"out: expected shape \(4, 32\), got \(32, 4\)"),
        ({"out": np.ones((4, 32))}, ValueError, "out: expected dtype float32 or int8, got float64"),
        ({"w": W, "out": W}, ValueError, "out: expected memory of its own, got some of parameter 0"),
        ({"others": [np.ones((4, 32), np.float32)], "w": W, "out": W.view()}, ValueError, "got some of parameter 0"),
        ({"lsq": L, "others": [L.scale_gradient]}, ValueError, "scale_gradient: .* got some of parameter 1"),
        ({"lsq": L, "others": [L.scale[:2]]}, ValueError, "scale: expected memory of its own, got some of parameter 1"),
        ({"spec": (8, "asymmetric", "channel", 0, None)}, ValueError, 'scheme: expected "symmetric"'),
        ({"spec": (3, "symmetric", "channel", 0, None)}, ValueError, "bits: expected 8 or 4, got 3"),
        (
            {"w": np.full((4, 32), np.nan, np.float32)},
            ValueError,
            r"x: expected finite values, got nan at index \(0, 0\)",
        ),
    ],
)
def test_what_cannot_be_attached(arguments, error, message):
    with pytest.raises(error, match=message):
        attach(**arguments)


def test_what_cannot_be_attached_twice():
    a, b = (np.ones((4, 32), np.float32) for _ in range(2))
    lsq, copy = LSQ(a), np.empty_like(a)
    opt = SGD({"a": a, "b": b})
    opt.attach_fake_quantize("a", lsq, copy)
    with pytest.raises(
        ValueError, match="out, scale and scale_gradient: expected memory of its own, got some of param"
    ):
        opt.attach_fake_quantize("b", LSQ(b), copy)
    with pytest.raises(ValueError, match="out, scale and scale_gradient: expected memory of its own"):
        opt.attach_fake_quantize("b", lsq, np.empty_like(b))
    with pytest.raises(KeyError, match="expected a parameter of"):
        opt.attach_fake_quantize("c", lsq, copy)
    grouped = LSQ(a, granularity="group", group_size=32)
    matrices = SGD([{"params": [a]}, {"params": [grouped.scale], "rule": "adafactor"}])
    with pytest.raises(ValueError, match="scale: parameter 1 is updated by adafactor"):
        matrices.attach_fake_quantize(0, grouped, copy)
    opt.attach_fake_quantize("a", lsq, np.empty((4, 32), np.int8))  # in the place of the one before
    opt.step({"a": copy, "b": b.copy()})


def test_gradients_that_cannot_be_taken():
    w, other = np.ones((4, 32), np.float32), np.ones((4, 32), np.float32)
    lsq, copy = LSQ(w), np.empty_like(w)
    opt = SGD([w, other])
    opt.attach_fake_quantize(0, lsq, copy)
    before = [array.copy() for array in (w, other, copy, lsq.scale)]
    g = np.ones_like(w)
    for grads, message in [
        ([(np.array([1]), g[:1]), g], "gradient 0: a parameter with a fake-quantized copy needs the whole gradient"),
        ([None, g], "gradient 0: the parameter has no gradient"),
        ([copy, g], "gradient 0 shares memory with a fake-quantized copy"),
        ([g, copy], "gradient 1 shares memory with a fake-quantized copy"),
    ]:
        with pytest.raises(ValueError, match=message):
            opt.step(grads)
    for got, want in zip((w, other, copy, lsq.scale), before, strict=True):
        np.testing.assert_array_equal(got, want)
    opt.step([g, (np.array([1]), g[:1])])  # rows of another are no matter
    np.testing.assert_array_equal(copy, lsq.forward(w))
