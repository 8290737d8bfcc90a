"""Linear layers on every format, and what is fused with them: equal bytes, against tests/reference/quant.py."""

import math

import numpy as np
import pytest
from petrain import quant
from petrain.quant import QuantParams
from reference import quant as reference

FORMATS = {
    "int8 tensor": {"granularity": "tensor"},
    "int8 channel": {},
    "int8 channel asymmetric": {"scheme": "asymmetric"},
    "int8 tensor asymmetric": {"granularity": "tensor", "scheme": "asymmetric"},
    "int8 group 32": {"granularity": "group", "group_size": 32},
    "int8 group 64 asymmetric": {"granularity": "group", "group_size": 64, "scheme": "asymmetric"},
    "int4 channel": {"bits": 4},
    "int4 tensor asymmetric": {"bits": 4, "granularity": "tensor", "scheme": "asymmetric"},
    "int4 group 32": {"bits": 4, "granularity": "group", "group_size": 32},
    "int4 group 64": {"bits": 4, "granularity": "group", "group_size": 64},
    "int4 group 128": {"bits": 4, "granularity": "group", "group_size": 128},
    "int4 group 32 asymmetric": {"bits": 4, "granularity": "group", "group_size": 32, "scheme": "asymmetric"},
}


def in_groups(q):
    return q.bits == 4 or q.granularity == "group"


def same_bytes(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 128), (1, 70, 384), (2, 17, 128), (5, 33, 256), (70, 40, 128)])
def test_every_format(name, m, n, k, rng):
    x, w = rng.standard_normal((m, k), np.float32), rng.standard_normal((n, k), np.float32)
    w[-1] = 0
    q, bias = quant.quantize(w, **FORMATS[name]), rng.standard_normal(n, np.float32)
    assert same_bytes(quant.linear(x, q, bias), reference.linear_of(x, q, bias))
    assert same_bytes(quant.linear(x[0], q), reference.linear_of(x[:1], q)[0])
    static = QuantParams(0.02, 0 if in_groups(q) else 5, scheme="asymmetric")
    assert same_bytes(quant.linear(x, q, bias, x_params=static), reference.linear_of(x, q, bias, static))


@pytest.mark.parametrize("name", [name for name in FORMATS if "group" not in name])
def test_any_depth(name, rng):
    for k in (1, 3, 7, 8, 9, 31, 33, 100):
        x, w = rng.standard_normal((3, k), np.float32), rng.standard_normal((18, k), np.float32)
        q = quant.quantize(w, **FORMATS[name])
        assert same_bytes(quant.linear(x, q), reference.linear_of(x, q))


@pytest.mark.parametrize("name", ["int8 channel asymmetric", "int4 group 32", "int8 group 32"])
def test_threads_change_nothing(name, rng, threads):
    for m, n, k in [(1, 2050, 1024), (130, 200, 256), (2000, 20, 128)]:
        x, w = rng.standard_normal((m, k), np.float32), rng.standard_normal((n, k), np.float32)
        q = quant.quantize(w, **FORMATS[name])
        threads(1)
        y = quant.linear(x, q)
        for count in (2, 3, 7):
            threads(count)
            assert same_bytes(quant.linear(x, q), y)


def test_integers_that_make_the_largest_sums(rng):
    for weight in (-128, 127):
        q = quant.QuantTensor(np.full((3, 33_025), weight, np.int8), np.full(3, 1e-3, np.float32),
                              np.full(3, -weight - 1, np.int8), scheme="asymmetric")  # fmt: skip
        for value, zero in ((-128, 127), (127, -128)):
            params, x = QuantParams(1e-3, zero, scheme="asymmetric"), np.full((2, 33_025), value, np.int8)
            assert same_bytes(quant.linear(x, q, x_params=params), reference.linear_of(x, q, x_params=params))


def test_sums_that_int32_may_not_hold_are_refused():
    w = np.ones((1, 33_026), np.float32)
    q = quant.quantize(w, scheme="asymmetric")
    assert quant.linear(w, q).shape == (1, 1)
    with pytest.raises(ValueError, match=r"at most 33025 products.*got 33026"):
        quant.linear(w, q, x_params=QuantParams(1.0, 1, scheme="asymmetric"))


EXACT = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": np.vectorize(lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("activation", EXACT)
def test_activations_are_near_the_exact_functions(activation):
    # A weight of ones and one input: what comes out of the product is what went in, up to one rounding.
    x = np.concatenate([np.linspace(-12, 12, 4801), [0.0, -0.0, 1e-30, -1e-30, 80, -80]]).astype(np.float32)[:, None]
    q = quant.quantize(np.ones((1, 1), np.float32))
    before = quant.linear(x, q).astype(np.float64)
    after, exact = quant.linear(x, q, activation=activation), EXACT[activation](before)
    assert np.abs(after - exact).max() <= 2e-7 * max(1.0, np.abs(before).max() / 8)
    assert np.all(np.abs(after - exact) <= 3e-7 * np.maximum(np.abs(before), 1))


def test_an_activation_leaves_zero_alone_where_its_function_does(rng):
    q = quant.quantize(rng.standard_normal((20, 8), np.float32))
    for activation in ("relu", "gelu", "silu", "tanh"):
        assert not quant.linear(np.zeros((3, 8), np.float32), q, activation=activation).any()


def test_clip_comes_after_the_activation(rng):
    x, q = rng.standard_normal((4, 32), np.float32), quant.quantize(rng.standard_normal((20, 32), np.float32))
    y = quant.linear(x, q)
    assert same_bytes(quant.linear(x, q, clip=(-1.0, 0.5)), np.clip(y, np.float32(-1), np.float32(0.5)))
    relu6 = quant.linear(x, q, activation="relu", clip=(0.0, 6.0))
    assert same_bytes(relu6, np.clip(np.maximum(y, 0), np.float32(0), np.float32(6)))


@pytest.mark.parametrize("name", ["int8 channel", "int4 group 32"])
def test_results_in_int8(name, rng):
    x, w = rng.standard_normal((9, 64), np.float32), rng.standard_normal((40, 64), np.float32)
    q, bias = quant.quantize(w, **FORMATS[name]), rng.standard_normal(40, np.float32)
    for params in (
        QuantParams(0.1),
        QuantParams(0.03, -100, scheme="asymmetric"),
        QuantParams(1e-30, 3, scheme="asymmetric"),
        QuantParams(1e30, 7, scheme="asymmetric"),
    ):
        expected = reference.round_to(
            quant.linear(x, q, bias, activation="silu"), params.scale, params.zero_point, scheme=params.scheme
        )
        assert same_bytes(quant.linear(x, q, bias, activation="silu", y_params=params), expected)


def test_int8_goes_through_two_layers(rng):
    x, between = rng.standard_normal((9, 64), np.float32), QuantParams(0.05, -128, scheme="asymmetric")
    first, second = (quant.quantize(rng.standard_normal(shape, np.float32)) for shape in ((32, 64), (10, 32)))
    hidden = quant.linear(x, first, activation="relu", y_params=between)
    y = quant.linear(hidden, second, x_params=between)
    assert same_bytes(y, reference.linear_of(hidden, second, x_params=between))


def test_a_low_rank_pair_is_two_layers(rng):
    x = rng.standard_normal((9, 64), np.float32)
    a, b = (quant.quantize(rng.standard_normal(shape, np.float32)) for shape in ((70, 5), (5, 64)))
    bias = rng.standard_normal(70, np.float32)
    expected = quant.linear(quant.linear(x, b), a, bias, activation="relu")
    assert same_bytes(quant.low_rank(x, a, b, bias, activation="relu"), expected)
    assert same_bytes(quant.low_rank(x[0], a, b, bias, activation="relu"), expected[0])


@pytest.mark.parametrize("name", FORMATS)
def test_a_residual_is_added_before_the_bias(name, rng):
    x, w = rng.standard_normal((9, 128), np.float32), rng.standard_normal((70, 128), np.float32)
    q = quant.quantize(w, **FORMATS[name])
    pair = tuple(quant.quantize(rng.standard_normal(shape, np.float32)) for shape in ((70, 8), (8, 128)))
    bias = rng.standard_normal(70, np.float32)
    assert same_bytes(quant.linear(x, q, bias, residual=pair), reference.linear_of(x, q, bias, residual=pair))


@pytest.mark.parametrize("formats", [("int8 channel", "int8 channel"), ("int4 group 32", "int8 group 32")])
@pytest.mark.parametrize("m", [1, 70])
def test_a_residual_that_several_threads_share(formats, m, rng):
    n, k, rank = 1100, 1024, 32  # more than two million products
    x, w = rng.standard_normal((m, k), np.float32), rng.standard_normal((n, k), np.float32)
    q = quant.quantize(w, **FORMATS[formats[0]])
    pair = tuple(
        quant.quantize(rng.standard_normal(shape, np.float32), **FORMATS[formats[1]])
        for shape in ((n, rank), (rank, k))
    )
    static = QuantParams(0.02)
    for params in (None, static):
        y = quant.linear(x, q, x_params=params, residual=pair)
        assert same_bytes(y, reference.linear_of(x, q, x_params=params, residual=pair))


X = np.ones((2, 32), np.float32)
Q = quant.quantize(np.ones((4, 32), np.float32))
GROUPS = quant.quantize(np.ones((4, 32), np.float32), 4, granularity="group", group_size=32)
PAIR = tuple(quant.quantize(np.ones(shape, np.float32)) for shape in ((4, 2), (2, 32)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "softplus"}, 'activation: expected "relu", .* or None, got "softplus"'),
        ({"clip": (1.0, 0.0)}, "clip: expected the lower number first, got 1 and 0"),
        ({"clip": (math.nan, 0.0)}, "clip: expected the lower number first, got nan and 0"),
        ({"x_params": QuantParams(0.0)}, "x: expected a positive, finite scale, got 0"),
        ({"x_params": QuantParams(math.inf)}, "x: expected a positive, finite scale, got inf"),
        ({"x_params": QuantParams(1.0, 128)}, "x: expected a zero point from -128 to 127, got 128"),
        ({"y_params": QuantParams(1.0, 3)}, "y: expected a zero point of 0 with the symmetric scheme, got 3"),
        ({"y_params": QuantParams(-1.0)}, "y: expected a positive, finite scale, got -1"),
        ({"y_params": QuantParams(1.0, bits=4)}, "y_params: expected 8 bits, got 4"),
        (
            {"q": GROUPS, "x_params": QuantParams(1.0, 1, scheme="asymmetric")},
            "x: expected a zero point of 0 with weights in int4, .* got 1",
        ),
        ({"x": X.astype(np.int8)}, "x: expected dtype float32, got int8"),
        (
            {"bias": np.full(4, 3e38, np.float32)},
            r"bias: expected numbers of at most 8.5.*, got 3.* at index 0",
        ),
        (
            {"x": X * np.float32(1e38), "q": quant.quantize(np.full((4, 32), 1e3, "f"))},
            r"x and w: expected scales with which no sum is larger than 8.5.* for 32 products",
        ),
        ({"residual": PAIR[::-1]}, r"expected a \(4, rank\) and b \(rank, 32\), got \(2, 32\) and \(4, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        quant.linear(arguments.pop("x", X), arguments.pop("q", Q), **arguments)


def test_low_rank_factors_must_fit():
    with pytest.raises(ValueError, match=r"expected a .*rank.* got \(4, 32\) and \(4, 32\)"):
        quant.low_rank(X, Q, Q)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"residual": PAIR[:1]}, r"residual: expected two QuantTensors \(A, B\), got tuple of 1"),
        ({"residual": (X, X)}, "residual: expected a QuantTensor, got ndarray"),
        ({"x_params": (1.0, 0)}, "x_params: expected QuantParams, got tuple"),
        ({"y_params": 1.0}, "y_params: expected QuantParams, got float"),
    ],
)
def test_what_is_of_another_type_is_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        quant.linear(X, Q, **arguments)


def test_rows_of_zeros_make_no_sum_seem_large():
    q = quant.quantize(np.full((4, 32), 1e34, np.float32))
    x = np.zeros((2, 32), np.float32)
    x[0, 0] = 1e-3
    y = quant.linear(x, q)
    assert y[0, 0] > 9e30
    assert not y[1].any()
