"""LSTM and GRU on quantized weights: equal bytes, against tests/reference/quant_rnn.py; and near torch's."""

import numpy as np
import pytest
from petrain import quant
from reference import quant_rnn as reference

GATES = {"lstm": 4, "gru": 3}
FORMATS = {
    "int8 channel": {},
    "int8 tensor asymmetric": {"granularity": "tensor", "scheme": "asymmetric"},
    "int8 group 32": {"granularity": "group", "group_size": 32},
    "int4 channel": {"bits": 4},
    "int4 group 32 asymmetric": {"bits": 4, "granularity": "group", "group_size": 32, "scheme": "asymmetric"},
}
both = pytest.mark.parametrize("cell", GATES)


def weights_of(rng, cell, inputs, hidden, biases=True, **form):
    rows = GATES[cell] * hidden
    matrices = tuple(quant.quantize(rng.standard_normal((rows, k), np.float32), **form) for k in (inputs, hidden))
    return *matrices, *(rng.standard_normal(rows, np.float32) if biases else None for _ in range(2))


def run(cell, x, weights, h0=None, c0=None, **options):
    """y, h and c, which is c0 for a GRU."""
    if cell == "gru":
        return *quant.gru(x, *weights, h0=h0, **options), c0
    y, (h, c) = quant.lstm(x, *weights, h0=h0, c0=c0, **options)
    return y, h, c


def expected_of(cell, x, weights, h0=None, c0=None, lengths=None, reverse=False):
    zeros = np.zeros((x.shape[1], weights[1].shape[1]), np.float32)
    h0, c0 = (zeros if state is None else state for state in (h0, c0))
    lengths = [len(x)] * x.shape[1] if lengths is None else lengths
    return reference.layer(cell, x, *weights, h0, c0, lengths, reverse)


def assert_same_bytes(results, expected):
    for a, b in zip(results, expected, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@both
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("steps", "batch", "inputs", "hidden"),
    [(1, 1, 1, 1), (5, 1, 1, 1), (1, 5, 3, 1), (4, 2, 1, 7), (3, 9, 17, 5), (2, 70, 8, 16), (7, 3, 33, 66)],
)
def test_every_shape(cell, reverse, steps, batch, inputs, hidden, rng):
    x, weights = rng.standard_normal((steps, batch, inputs), np.float32), weights_of(rng, cell, inputs, hidden)
    h0, c0 = rng.standard_normal((2, batch, hidden), np.float32)
    options = {"h0": h0, "c0": c0, "reverse": reverse}
    assert_same_bytes(run(cell, x, weights, **options), expected_of(cell, x, weights, **options))


@both
@pytest.mark.parametrize("name", FORMATS)
def test_every_format(cell, name, rng):
    x, weights = rng.standard_normal((4, 3, 96), np.float32), weights_of(rng, cell, 96, 32, **FORMATS[name])
    assert_same_bytes(run(cell, x, weights)[:2], expected_of(cell, x, weights)[:2])
    assert_same_bytes(run(cell, x[:, :1].copy(), weights)[:2], expected_of(cell, x[:, :1], weights)[:2])


@both
def test_without_biases(cell, rng):
    x, weights = rng.standard_normal((3, 2, 5), np.float32), weights_of(rng, cell, 5, 4, biases=False)
    assert_same_bytes(run(cell, x, weights)[:2], expected_of(cell, x, weights)[:2])


@both
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "lengths", [[3, 6, 1, 6, 0], [6, 5, 4, 3, 2], [0, 0, 0, 0, 0], [2, 2, 2, 2, 2], [6, 6, 6, 6, 6]]
)
def test_lengths(cell, reverse, lengths, rng):
    x, weights = rng.standard_normal((6, 5, 7), np.float32), weights_of(rng, cell, 7, 9)
    h0, c0 = rng.standard_normal((2, 5, 9), np.float32)
    options = {"h0": h0, "c0": c0, "reverse": reverse, "lengths": lengths}
    expected = expected_of(cell, x, weights, **options)
    for b, length in enumerate(lengths):
        x[length:, b] = np.nan  # not read
    assert_same_bytes(run(cell, x, weights, **options), expected)
    options["lengths"] = np.array(lengths, np.uint8)
    assert_same_bytes(run(cell, x, weights, **options), expected)


@both
def test_reverse_is_the_sequence_turned_round(cell, rng):
    x, weights = rng.standard_normal((6, 3, 7), np.float32), weights_of(rng, cell, 7, 9)
    y, *states = run(cell, x, weights, reverse=True)
    turned_y, *turned_states = run(cell, x[::-1].copy(), weights)
    assert_same_bytes([y], [turned_y[::-1]])
    assert_same_bytes(states[:1], turned_states[:1])


@both
def test_a_sequence_in_pieces(cell, rng):
    x, weights = rng.standard_normal((9, 2, 6), np.float32), weights_of(rng, cell, 6, 8)
    y, h, c = run(cell, x, weights)
    first, h0, c0 = run(cell, x[:4], weights)
    second, *states = run(cell, x[4:], weights, h0=h0, c0=c0)
    assert_same_bytes([np.concatenate([first, second]), *states][:2], [y, h])
    if cell == "lstm":
        assert_same_bytes(states[1:], [c])


def layer_of(cell, *weights):
    return (quant.QuantLSTM if cell == "lstm" else quant.QuantGRU)(*weights)


def called(cell, layer, x, h0=None, c0=None, **options):
    if cell == "gru":
        return *layer(x, h0=h0, **options), c0
    y, (h, c) = layer(x, h0=h0, c0=c0, **options)
    return y, h, c


@both
@pytest.mark.parametrize("lengths", [None, [4, 7, 0]])
def test_both_directions(cell, lengths, rng):
    x = rng.standard_normal((7, 3, 5), np.float32)
    there, back = (weights_of(rng, cell, 5, 6) for _ in range(2))
    h0, c0 = rng.standard_normal((2, 2, 3, 6), np.float32)
    y, h, c = called(cell, layer_of(cell, there, back), x, h0, c0, lengths=lengths)
    ys, hs, cs = zip(
        run(cell, x, there, h0[0], c0[0], lengths=lengths),
        run(cell, x, back, h0[1], c0[1], lengths=lengths, reverse=True),
        strict=True,
    )
    assert_same_bytes([y, h, c], [np.concatenate(ys, axis=2), np.stack(hs), np.stack(cs)])


@both
def test_one_direction_of_a_layer(cell, rng):
    x, weights = rng.standard_normal((7, 3, 5), np.float32), weights_of(rng, cell, 5, 6)
    h0, c0 = rng.standard_normal((2, 1, 3, 6), np.float32)
    y, h, c = run(cell, x, weights, h0[0], c0[0])
    results = called(cell, layer_of(cell, weights), x, h0, c0)
    assert_same_bytes(results, [y, h[None], c.reshape(1, 3, 6)])


@both
@pytest.mark.parametrize(("steps", "batch", "hidden"), [(40, 1, 768), (60, 37, 96), (700, 30, 64)])
def test_threads_and_blocks_of_steps_change_nothing(cell, steps, batch, hidden, rng, threads):
    x = rng.standard_normal((steps, batch, 20), np.float32)
    there, back = (weights_of(rng, cell, 20, hidden) for _ in range(2))
    lengths = rng.integers(0, steps + 1, batch)
    threads(1)
    one, two = run(cell, x, there), called(cell, layer_of(cell, there, back), x, lengths=lengths)
    for count in (2, 3, 7):
        threads(count)
        assert_same_bytes(run(cell, x, there)[:2], one[:2])
        assert_same_bytes(called(cell, layer_of(cell, there, back), x, lengths=lengths)[:2], two[:2])
    first, h0, c0 = run(cell, x[: steps // 2], there)
    second, h, _ = run(cell, x[steps // 2 :], there, h0, c0)
    assert_same_bytes([np.concatenate([first, second]), h], one[:2])


def test_zeros_stay_zero(rng):
    x, weights = np.zeros((3, 2, 4), np.float32), weights_of(rng, "gru", 4, 5, biases=False)
    y, h = quant.gru(x, *weights)  # every candidate is tanh(0)
    assert not y.any()
    assert not h.any()


@both
@pytest.mark.parametrize("directions", [1, 2])
def test_near_torch(cell, directions, rng):
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    kind = torch.nn.LSTM if cell == "lstm" else torch.nn.GRU
    model = kind(24, 32, bidirectional=directions == 2)
    x, lengths = rng.standard_normal((12, 5, 24), np.float32), [12, 3, 7, 12, 1]
    state = {name: array.numpy() for name, array in model.state_dict().items()}
    layer = (quant.QuantLSTM if cell == "lstm" else quant.QuantGRU).from_state(state)
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.from_numpy(x), lengths, enforce_sorted=False)
    with torch.no_grad():
        y_packed, states = model(packed)
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(y_packed)
    ours, our_states = layer(x, lengths=lengths)
    pairs = [(ours, y), *(zip(our_states, states, strict=True) if cell == "lstm" else [(our_states, states)])]
    for a, b in pairs:
        assert a.shape == b.shape
        # Each gate is off by some 1/127 of its products; a wrong gate, order or direction by half of all.
        assert np.abs(a - b.numpy()).max() < 0.02
        assert np.abs(b.numpy()).max() > 0.2


def test_torch_tensors_are_taken_as_they_are(rng):
    torch = pytest.importorskip("torch")
    model = torch.nn.GRU(3, 4)
    x = torch.ones(2, 1, 3)
    y, _ = quant.QuantGRU.from_state(model.state_dict())(x)
    state = {name: array.numpy() for name, array in model.state_dict().items()}
    assert_same_bytes([y], [quant.QuantGRU.from_state(state)(x.numpy())[0]])


X = np.ones((3, 2, 5), np.float32)
W_IH, W_HH = (quant.quantize(np.ones((16, k), np.float32)) for k in (5, 4))
STATE = np.zeros((2, 4), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": X[0]}, r"x: expected shape \(T, B, 5\), got \(2, 5\)"),
        ({"x": X[:, :, :4].copy()}, r"x: expected shape \(T, B, 5\), got \(3, 2, 4\)"),
        ({"x": X[:0]}, r"x: expected at least one element, got shape \(0, 2, 5\)"),
        ({"x": X.astype(np.float64)}, "x: expected dtype float32, got float64"),
        (
            {"x": np.where(np.arange(30).reshape(3, 2, 5) == 18, np.float32(np.nan), X)},
            r"x: expected finite values, got nan at index \(1, 1, 3\)",
        ),
        ({"x": X * np.float32(3e38)}, "x and w_ih: expected scales with which no sum is larger than 8.5.*, got 2"),
        ({"w_ih": W_HH}, r"x: expected shape \(T, B, 4\), got \(3, 2, 5\)"),
        ({"w_hh": W_IH}, r"expected w_ih \(4 H, I\) and w_hh \(4 H, H\), got \(16, 5\) and \(16, 5\)"),
        ({"b_ih": np.ones(12, np.float32)}, r"b_ih: expected shape \(16,\), got \(12,\)"),
        ({"b_hh": np.full(16, np.inf, np.float32)}, r"b_hh: expected finite values, got inf at index \(0,\)"),
        ({"b_hh": np.full(16, 1e38, np.float32)}, "b_hh: expected numbers of at most 8.5.*, got 9.9"),
        ({"h0": STATE[:1]}, r"h0: expected shape \(2, 4\), got \(1, 4\)"),
        ({"h0": STATE + np.float32(np.inf)}, r"h0: expected finite values, got inf at index \(0, 0\)"),
        ({"h0": STATE + np.float32(3e38)}, "h and w_hh: expected scales with which no sum is larger than 8.5.*, got 2"),
        ({"c0": STATE[:, :3].copy()}, r"c0: expected shape \(2, 4\), got \(2, 3\)"),
        ({"c0": STATE + np.float32(np.nan)}, r"c0: expected finite values, got nan at index \(0, 0\)"),
        ({"lengths": [3]}, r"lengths: expected shape \(2,\), got \(1,\)"),
        ({"lengths": [3, 4]}, "lengths: expected 0 to 3, got 4 at index 1"),
        ({"lengths": [-1, 3]}, "lengths: expected 0 to 3, got -1 at index 0"),
        ({"lengths": [1.0, 3.0]}, "lengths: expected integers, got float64"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        quant.lstm(**{"x": X, "w_ih": W_IH, "w_hh": W_HH, **arguments})


def test_what_a_layer_refuses():
    with pytest.raises(TypeError, match="w_ih: expected a QuantTensor, got ndarray"):
        quant.lstm(X, np.ones((16, 5)), W_HH)
    weights = (W_IH, W_HH, None, None)
    with pytest.raises(ValueError, match=r"expected w_ih \(3 H, I\)"):
        quant.QuantGRU(weights)
    layer = quant.QuantLSTM(weights)
    with pytest.raises(ValueError, match=r"h0 and c0: expected shape \(1, B, H\), got \(2, 4\)"):
        layer(X, h0=STATE)
    other = (quant.quantize(np.ones((16, 6), np.float32)), W_HH, None, None)
    with pytest.raises(ValueError, match="expected two layers of one kind and size, got input 5 and 6"):
        quant.QuantLSTM(weights, other)(X)


def test_the_largest_numbers_that_are_taken_give_finite_results():
    weights = (W_IH, W_HH, np.full(16, 8.5e37, np.float32), np.full(16, -8.5e37, np.float32))
    for x in (X, -X):
        y, (h, c) = quant.lstm(x * np.float32(6e34), *weights, h0=STATE - np.float32(8e34))
        for results in (y, h, c):
            assert np.isfinite(results).all()
