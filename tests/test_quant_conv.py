"""Convolutions on int8: equal bytes, against tests/reference/quant_conv.py."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from petrain import quant
from petrain.quant import QuantParams
from reference import quant as plain
from reference import quant_conv as reference

STATIC = QuantParams(0.021, 9, scheme="asymmetric")


def same_bytes(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def case(seed, images, channels, size, outputs, kernel, groups=1, granularity="channel"):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((images, channels, *size), np.float32)
    x *= np.linspace(0.5, 2, images, dtype=np.float32).reshape(-1, 1, 1, 1)  # so that each image has its own scale
    w = rng.standard_normal((outputs, channels // groups, *kernel), np.float32)
    return x, quant.quantize(w, granularity=granularity), rng.standard_normal(outputs, np.float32)


def agree(x, q, bias, **window):
    pairs = {name: (n, n) if isinstance(n, int) and name != "groups" else n for name, n in window.items()}
    assert same_bytes(quant.conv2d(x, q, bias, **window), reference.conv2d(x, q, bias, **pairs))
    y = quant.conv2d(x, q, x_params=STATIC, **window)
    assert same_bytes(y, reference.conv2d(x, q, x_params=STATIC, **pairs))
    integers = plain.round_to(x, STATIC.scale, STATIC.zero_point)
    assert same_bytes(quant.conv2d(integers, q, x_params=STATIC, **window), y)


# As in ResNet-18 and MobileNetV2, with fewer channels and pixels; and what is odd.
SHAPES = {
    "stem 7x7": (1, 3, (33, 31), 16, (7, 7), {"stride": 2, "padding": 3}),
    "3x3": (1, 16, (14, 14), 24, (3, 3), {"padding": 1}),
    "3x3 down": (1, 24, (15, 14), 70, (3, 3), {"padding": 1, "stride": 2}),
    "3x3 of few pixels": (1, 40, (7, 7), 40, (3, 3), {"padding": 1}),
    "1x1": (2, 24, (9, 9), 130, (1, 1), {}),
    "1x1 down": (1, 16, (9, 9), 32, (1, 1), {"stride": 2}),
    "a batch": (5, 8, (6, 5), 7, (3, 3), {"padding": 1}),
    "depthwise": (2, 96, (13, 12), 96, (3, 3), {"padding": 1, "groups": 96}),
    "depthwise down": (1, 70, (13, 12), 70, (3, 3), {"padding": 1, "groups": 70, "stride": 2}),
    "depthwise, few channels": (1, 3, (9, 9), 3, (5, 5), {"padding": 2, "groups": 3}),
    "depthwise, even kernel": (1, 33, (9, 9), 33, (2, 4), {"padding": (0, 3), "groups": 33}),
    "depthwise, multiplied": (2, 66, (6, 7), 198, (3, 3), {"padding": 1, "groups": 66}),
    "groups": (2, 12, (9, 9), 20, (3, 3), {"padding": 1, "groups": 4}),
    "groups and dilation": (1, 12, (12, 11), 6, (3, 2), {"padding": (2, 1), "groups": 3, "dilation": (2, 3)}),
    "dilation": (1, 6, (17, 19), 5, (3, 3), {"padding": 4, "dilation": 4, "stride": (1, 2)}),
    "kernel as large as the image": (3, 5, (6, 4), 9, (6, 4), {}),
    "padding beyond the kernel": (1, 4, (3, 2), 6, (2, 2), {"padding": (5, 4)}),
    "depthwise, padding beyond the kernel": (1, 4, (3, 2), 4, (2, 2), {"padding": (5, 4), "groups": 4}),
    "depthwise in strips": (1, 2, (130, 70), 2, (3, 3), {"padding": 1, "groups": 2}),
    "depthwise in strips, down": (1, 2, (131, 150), 4, (3, 5), {"padding": 2, "groups": 2, "stride": (1, 2)}),
    "depthwise in strips, far apart": (1, 2, (90, 97), 2, (3, 2), {"groups": 2, "dilation": (13, 5), "padding": 9}),
    "depthwise, strips of padding": (1, 2, (3, 70), 2, (2, 3), {"padding": (90, 4), "groups": 2}),
    "depthwise, too far apart for strips": (
        1,
        2,
        (3, 3),
        2,
        (2, 2),
        {"padding": 900, "groups": 2, "dilation": 900, "stride": (90, 7)},
    ),
    "stride beyond the kernel": (1, 4, (11, 11), 6, (2, 1), {"stride": (5, 7), "padding": (1, 0)}),
    "one channel": (1, 1, (28, 28), 32, (5, 5), {"padding": 2}),
    "one pixel": (1, 64, (1, 1), 10, (1, 1), {}),
    "one pixel of many": (1, 1200, (2, 2), 20, (2, 2), {}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name):
    images, channels, size, outputs, kernel, window = SHAPES[name]
    groups = window.get("groups", 1)
    for granularity in ("channel", "tensor"):
        agree(*case(1, images, channels, size, outputs, kernel, groups, granularity), **window)


def pairs(least, most):
    return st.tuples(st.integers(least, most), st.integers(least, most))


@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9),
    pairs(1, 12), pairs(1, 4), pairs(1, 3), pairs(0, 4), pairs(1, 3), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_window(images, groups, inputs, outputs, size, kernel, stride, padding, dilation, seed):
    size = tuple(max(n, d * (k - 1) + 1 - 2 * p) for n, k, p, d in zip(size, kernel, padding, dilation, strict=True))
    x, q, bias = case(seed, images, groups * inputs, size, groups * outputs, kernel, groups)
    agree(x, q, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


@given(st.integers(1, 2), st.integers(1, 80), st.integers(1, 3), pairs(3, 12), pairs(1, 3), st.integers(0, 2**32 - 1))
def test_any_depthwise(images, channels, multiplier, size, kernel, seed):
    x, q, bias = case(seed, images, channels, size, channels * multiplier, kernel, channels)
    agree(x, q, bias, padding=1, groups=channels)


@pytest.mark.parametrize("groups", [1, 3, 6])
def test_one_dimension(groups, rng):
    x, bias = rng.standard_normal((2, 6, 50), np.float32), rng.standard_normal(12, np.float32)
    q = quant.quantize(rng.standard_normal((12, 6 // groups, 5), np.float32))
    wide = quant.QuantTensor(q.values[:, :, None], q.scale)
    y = quant.conv1d(x, q, bias, stride=2, padding=3, dilation=2, groups=groups)
    expected = reference.conv2d(x[:, :, None], wide, bias, (1, 2), (0, 3), (1, 2), groups)
    assert same_bytes(y, expected[:, :, 0])
    assert same_bytes(quant.conv1d(x[1], q, bias, stride=2, padding=3, dilation=2, groups=groups), y[1])


def test_one_image_has_no_first_axis():
    x, q, bias = case(2, 2, 6, (8, 9), 10, (3, 3))
    y = quant.conv2d(x, q, bias, padding=1)
    for image, expected in zip(x, y, strict=True):
        assert same_bytes(quant.conv2d(image, q, bias, padding=1), expected)


@pytest.mark.parametrize("groups", [1, 20])
def test_activation_clip_and_int8_come_after_the_bias(groups):
    x, q, bias = case(3, 2, 20, (9, 9), 40, (3, 3), groups)
    y = reference.conv2d(x, q, bias, groups=groups)
    relu = np.maximum(y, 0)
    assert same_bytes(quant.conv2d(x, q, bias, groups=groups, activation="relu"), relu)
    relu6 = quant.conv2d(x, q, bias, groups=groups, activation="relu", clip=(0.0, 6.0))
    assert same_bytes(relu6, np.minimum(relu, np.float32(6)))
    params = QuantParams(0.11, -20, scheme="asymmetric")
    assert same_bytes(quant.conv2d(x, q, bias, groups=groups, y_params=params), plain.round_to(y, 0.11, -20))
    # An activation is that of the linear layer, which a kernel of one pixel is.
    pixels, matrix = (
        x[:1, :, :1, :1].copy(),
        quant.quantize(np.random.default_rng(1).standard_normal((9, 20), np.float32)),
    )
    kernel = quant.QuantTensor(matrix.values[:, :, None, None], matrix.scale)
    for name in ("gelu", "silu", "tanh", "sigmoid"):
        expected = quant.linear(pixels[:, :, 0, 0], matrix, activation=name)
        assert same_bytes(quant.conv2d(pixels, kernel, activation=name)[:, :, 0, 0], expected)


@pytest.mark.parametrize("name", ["3x3 down", "a batch", "depthwise, multiplied", "groups", "3x3 of few pixels"])
def test_threads_change_nothing(name, threads):
    images, channels, size, outputs, kernel, window = SHAPES[name]
    size = tuple(3 * n for n in size)
    x, q, bias = case(4, 3 * images, channels, size, outputs, kernel, window.get("groups", 1))
    threads(1)
    y = quant.conv2d(x, q, bias, **window)
    for count in (2, 3, 5):
        threads(count)
        assert same_bytes(quant.conv2d(x, q, bias, **window), y)


@pytest.mark.parametrize("groups", [1, 2, 36])
def test_integers_that_make_the_largest_sums(groups):
    for weight in (-127, 127):
        q = quant.QuantTensor(np.full((36, 36 // groups, 3, 3), weight, np.int8), np.full(36, 1e-3, np.float32))
        for value, zero in ((-128, 0), (-128, 127), (127, -128)):
            x, params = np.full((1, 36, 6, 6), value, np.int8), QuantParams(1e-3, zero, scheme="asymmetric")
            y = quant.conv2d(x, q, x_params=params, padding=1, groups=groups)
            assert same_bytes(y, reference.conv2d(x, q, padding=(1, 1), groups=groups, x_params=params))


def test_padding_and_zero_images_stay_zero():
    q = quant.quantize(np.ones((40, 8, 3, 3), np.float32))
    assert not quant.conv2d(np.zeros((2, 8, 5, 5), np.float32), q, padding=2).any()
    x = np.full((1, 8, 4, 4), STATIC.zero_point, np.int8)
    assert not quant.conv2d(x, q, padding=2, x_params=STATIC).any()


def test_near_the_float_convolution():
    torch = pytest.importorskip("torch")
    for name, (images, channels, size, outputs, kernel, window) in SHAPES.items():
        groups = window.get("groups", 1)
        x, q, bias = case(5, images, channels, size, outputs, kernel, groups)
        w = torch.from_numpy(q.dequantize())
        exact = torch.nn.functional.conv2d(torch.from_numpy(x), w, torch.from_numpy(bias), **window).numpy()
        # Half a step of x for every weight in the window.
        steps = np.abs(x).max((1, 2, 3), keepdims=True) / 127 / 2
        bound = steps * np.abs(q.dequantize()).sum((1, 2, 3)).reshape(-1, 1, 1)
        assert np.all(np.abs(quant.conv2d(x, q, bias, **window) - exact) <= 1.001 * bound + 1e-4), name


PEAK = """
import json, resource
import numpy as np
from petrain import quant, set_num_threads
set_num_threads(2)
q = quant.quantize(np.ones((8, 8, 9, 9), np.float32))
deep = quant.quantize(np.ones((8, 1, 9, 9), np.float32))
x = np.ones((1, 8, 1024, 1024), np.float32)
for groups, w in ((1, q), (8, deep)):
    quant.conv2d(x[:, :, :64, :64].copy(), w, padding=4, groups=groups)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
for groups, w in ((1, q), (8, deep)):
    quant.conv2d(x, w, padding=4, groups=groups)
print(json.dumps({"more": peak() - before, "x": x.size, "y": 4 * x.size}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is in kilobytes on Linux alone")
def test_memory_does_not_grow_with_the_kernel():
    sizes = json.loads(subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True).stdout)
    # y, x in int8, and a little; the windows of all pixels would be 81 times x.
    assert sizes["more"] <= sizes["y"] + 1.5 * sizes["x"]


def test_packing_is_kept_for_each_number_of_groups(rng):
    q = quant.quantize(rng.standard_normal((6, 2, 3, 3), np.float32))
    for channels, groups in ((2, 1), (4, 2), (6, 3), (4, 2)):
        x = rng.standard_normal((1, channels, 5, 5), np.float32)
        assert same_bytes(quant.conv2d(x, q, groups=groups), reference.conv2d(x, q, groups=groups))
    assert q._conv(2) is q._conv(2)


X = np.ones((1, 4, 5, 5), np.float32)
Q = quant.quantize(np.ones((6, 4, 3, 3), np.float32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones((4, 5), np.float32)}, r"x: expected shape \(N, 4, H, W\).*got \(4, 5\)"),
        ({"x": np.ones((1, 3, 5, 5), np.float32)}, r"x: expected shape \(N, 4, H, W\).*got \(1, 3, 5, 5\)"),
        ({"x": X.astype(np.float64)}, "x: expected dtype float32, got float64"),
        ({"x": X.astype(np.int8)}, "x: expected dtype float32, got int8"),
        ({"x": np.ones((0, 4, 5, 5), np.float32)}, "x: expected at least one element"),
        ({"x": np.where(np.arange(100).reshape(X.shape) == 37, np.nan, X)}, r"x: .*got nan at index \(0, 1, 2, 2\)"),
        ({"x": np.full_like(X, np.inf), "x_params": STATIC}, r"x: .*got inf at index \(0, 0, 0, 0\)"),
        ({"x": np.ones((1, 4, 2, 5), np.float32)}, r"x: expected at least 3 pixels.*got 2"),
        ({"dilation": 3}, r"x: expected at least 7 pixels.*got 5"),
        ({"stride": 0}, r"stride: expected 1 to 2147483647, got 0"),
        ({"stride": (1, -1)}, r"stride: .*got -1"),
        ({"padding": (0, -1)}, r"padding: expected 0 to .*got -1"),
        ({"dilation": (0, 1)}, r"dilation: expected 1 to .*got 0"),
        ({"dilation": 2**31}, r"dilation: expected 1 to .*got 2147483648"),
        ({"groups": 4}, r"groups: expected a divisor of the 6 channels.*got 4"),
        ({"groups": 0}, r"groups: expected a divisor.*got 0"),
        ({"groups": 2}, r"x: expected shape \(N, 8, H, W\)"),
        ({"bias": np.ones(4, np.float32)}, r"bias: expected shape \(6,\), got \(4,\)"),
        ({"bias": np.full(6, np.nan, np.float32)}, r"bias: expected finite values"),
        ({"clip": (1.0, 0.0)}, "clip: expected the lower number first"),
        ({"activation": "mish"}, "activation: expected"),
        ({"y_params": QuantParams(1.0, bits=4)}, "y_params: expected 8 bits"),
        ({"q": quant.quantize(np.ones((6, 4), np.float32))}, r"q: expected four dimensions.*got shape \(6, 4\)"),
        ({"q": quant.quantize(np.ones((6, 4, 3, 3), np.float32), bits=4)}, "w: expected .*symmetric int8.*got .*int4"),
        ({"q": quant.quantize(np.ones((6, 4, 3, 3), np.float32), axis=1)}, "w: expected .*axis 0.*got .*axis 1"),
        ({"q": quant.quantize(-np.ones((6, 4, 3, 3), np.float32), scheme="asymmetric")}, "w: .*got .*asymmetric"),
        (
            {"q": quant.quantize(np.ones((6, 4, 4, 4), np.float32), granularity="group", group_size=32)},
            "w: expected .*got .*per group",
        ),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        quant.conv2d(**{"x": X, "q": Q, **arguments})


def test_sums_that_int32_may_not_hold_are_refused():
    x = np.ones((1, 1, 334, 197), np.float32)  # 65798 pixels
    q = quant.quantize(x)
    assert quant.conv2d(x, q).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"at most 65793 products.*got 65798"):
        quant.conv2d(x, q, x_params=QuantParams(1.0, 1, scheme="asymmetric"))
    x = np.ones((1, 1, 512, 256), np.float32)
    with pytest.raises(ValueError, match=r"at most 131071 products.*got 131072"):
        quant.conv2d(x, quant.quantize(x))


def test_scales_with_which_a_sum_may_be_infinite_are_refused():
    q = quant.quantize(np.full((1, 1, 1, 1), 1e30, np.float32))
    with pytest.raises(ValueError, match=r"no sum is larger than 8.5.* for 1 products"):
        quant.conv2d(np.full((1, 1, 2, 2), 1e30, np.float32), q)
