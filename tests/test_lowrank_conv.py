"""Kernels of convolutions as smaller ones: against the definition, torch, and the best that there can be."""

import numpy as np
import petrain
import pytest
from petrain import quant
from petrain.lowrank import factorize, factorize_conv
from petrain.lowrank.certificate import dequantized
from reference import conv as reference

METHODS = ("tucker2", "spatial", "channel")
SHAPES = [(12, 10, 3, 3), (8, 5, 1, 1), (3, 16, 5, 2), (20, 2, 3, 3), (1, 1, 3, 3), (6, 4, 1, 7)]


def normal(*shape, seed=0, scale=1.0):
    return (np.random.default_rng([seed, *shape]).standard_normal(shape) * scale).astype(np.float32)


def smooth(out, into, height, width, seed=0):
    """A kernel whose modes decay."""
    rng = np.random.default_rng([seed, out, into])
    left = rng.standard_normal((out, out)) * 0.7 ** np.arange(out)
    right = rng.standard_normal((into, into)) * 0.7 ** np.arange(into)
    core = rng.standard_normal((out, into, height, width))
    return np.einsum("op,iq,pqhw->oihw", left, right, core).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES)
def test_with_all_ranks_it_is_the_kernel(method, shape):
    w = normal(*shape)
    layer = factorize_conv(w, method, rel_error=0, force=True)
    assert layer.shape == shape
    np.testing.assert_allclose(layer.dense(), w, rtol=0, atol=1e-5)
    np.testing.assert_allclose(layer.dense(), reference.merged(layer.kernels), rtol=0, atol=1e-5)
    assert layer.rel_error < 1e-5
    assert layer.parameters == layer.macs == sum(kernel.size for kernel in layer.kernels)
    assert layer.nbytes == 4 * layer.parameters


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("method", METHODS)
def test_the_certificate_is_that_of_the_merged_kernel(method, dtype):
    w = smooth(16, 12, 3, 3)
    layer = factorize_conv(w, method, rank=4, dtype=dtype)
    merged = reference.merged([dequantized(kernel) for kernel in layer.kernels])
    error = np.linalg.norm(w - merged)
    assert error <= layer.certificate.error <= 1.0001 * error
    assert layer.certificate.norm == pytest.approx(np.linalg.norm(w.astype(np.float64)))
    np.testing.assert_allclose(layer.dense(), merged, rtol=0, atol=1e-4 * np.abs(w).max())
    assert (layer.nbytes < 2 * layer.parameters) == (dtype == "int8")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": 1},
        {"stride": 2, "padding": (2, 0)},
        {"stride": (1, 3), "dilation": (2, 1), "padding": (0, 2)},
        {"dilation": 2, "padding": 3, "stride": 2},
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_forward_is_the_convolution(method, options):
    w, x, bias = normal(7, 5, 3, 2), normal(3, 5, 9, 8), normal(7)
    layer = factorize_conv(w, method, rank=3, force=True)
    y = layer.forward(x, bias, **options)
    both = {name: value if isinstance(value, tuple) else (value, value) for name, value in options.items()}
    expected = np.stack([reference.conv2d(image, reference.merged(layer.kernels), bias, **both) for image in x])
    assert y.dtype == np.float32
    assert y.flags.c_contiguous
    np.testing.assert_allclose(y, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(layer.forward(x[1], bias, **options), y[1])
    np.testing.assert_allclose(
        layer.forward(x, **options), y - bias[:, None, None], rtol=0, atol=1e-5 * np.abs(y).max()
    )
    assert layer.forward(x[:0], bias, **options).shape == (0, *y.shape[1:])


@pytest.mark.parametrize("method", METHODS)
def test_forward_is_that_of_torch(method):
    torch = pytest.importorskip("torch")
    w, x, bias = normal(8, 6, 3, 3), normal(2, 6, 11, 10), normal(8)
    layer = factorize_conv(w, method, rank=4)
    for stride, padding, dilation in [((1, 1), (1, 1), (1, 1)), ((2, 1), (0, 2), (1, 2))]:
        sides = {"stride": stride, "padding": padding, "dilation": dilation}
        whole = torch.nn.functional.conv2d(
            torch.tensor(x), torch.tensor(layer.dense()), torch.tensor(bias), stride, padding, dilation
        )
        np.testing.assert_allclose(layer.forward(x, bias, **sides), whole.numpy(), rtol=0, atol=1e-4)
        assert (
            layer.forward(torch.tensor(x), torch.tensor(bias), **sides).tobytes()
            == layer.forward(x, bias, **sides).tobytes()
        )


@pytest.mark.parametrize("method", METHODS)
def test_int8_kernels_run(method):
    w, x, bias = smooth(16, 12, 3, 3), normal(2, 12, 8, 8), normal(16)
    layer = factorize_conv(w, method, rank=6, dtype="int8")
    y = layer.forward(x, bias, padding=1, stride=2)
    expected = np.stack([reference.conv2d(image, layer.dense(), bias, (2, 2), (1, 1)) for image in x])
    assert np.linalg.norm(y - expected) < 0.03 * np.linalg.norm(expected)
    assert all(isinstance(kernel, quant.QuantTensor) for kernel in layer.kernels)


def test_tucker_is_fitted_beyond_the_truncated_modes():
    for seed in range(5):
        w = normal(12, 10, 3, 3, seed=seed)
        layer = factorize_conv(w, "tucker2", rank=(4, 3))
        assert layer.rank == (4, 3)
        assert layer.certificate.error < reference.tucker_error(w, 4, 3)


@pytest.mark.parametrize("method", ["spatial", "channel"])
def test_two_kernels_are_the_best_of_their_rank(method):
    w = normal(12, 10, 3, 3)
    matrix = w.transpose(0, 3, 1, 2).reshape(36, 30) if method == "spatial" else w.reshape(12, 90)
    s = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    layer = factorize_conv(w, method, rank=5)
    assert layer.certificate.error == pytest.approx(np.sqrt((s[5:] ** 2).sum()), rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("criterion", [{"rel_error": 0.2}, {"energy": 0.96}])
def test_a_criterion_is_met(method, criterion):
    layer = factorize_conv(smooth(24, 20, 3, 3), method, **criterion)
    assert layer.rel_error <= 0.2
    assert layer.rel_error > 0.08  # and not by much more than it need be
    tighter = factorize_conv(smooth(24, 20, 3, 3), method, rel_error=0.05, force=True)
    assert tighter.parameters > layer.parameters


@pytest.mark.parametrize("method", METHODS)
def test_max_params_is_used(method):
    w = smooth(24, 20, 3, 3)
    for most in (500, 1500):
        layer = factorize_conv(w, method, max_params=most)
        assert 0.75 * most < layer.parameters <= most
    with pytest.raises(ValueError, match="max_params: expected at least"):
        factorize_conv(w, method, max_params=40)


def test_of_pairs_that_fit_tucker_takes_the_best_promise():
    w = smooth(10, 30, 3, 3)
    layer = factorize_conv(w, "tucker2", max_params=900)
    p, q = layer.rank
    for pair in [(p, q + 1), (p + 1, q)]:
        assert factorize_conv(w, "tucker2", rank=pair, force=True).parameters > 900
    assert q > p or layer.rel_error < 0.5


def test_windows_that_were_seen_weigh_the_error():
    w = normal(16, 4, 3, 3)
    rows = (normal(400, 36) * np.logspace(0, -3, 36)).astype(np.float32)
    inputs = quant.HessianObserver(36)
    inputs.observe(rows)
    plain, aware = factorize_conv(w, "channel", rank=6), factorize_conv(w, "channel", rank=6, inputs=inputs)
    lost = np.linalg.norm(rows @ (w - plain.dense()).reshape(16, -1).T)
    assert aware.certificate.output_error < 0.5 * lost
    found = np.linalg.norm(rows.astype(np.float64) @ (w - aware.dense().astype(np.float64)).reshape(16, -1).T)
    assert aware.certificate.output_error == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize("scale", [1e-44, 1e-37, 1e-20, 1e20, 1e37])
@pytest.mark.parametrize("method", METHODS)
def test_huge_and_tiny_kernels(method, scale):
    w = normal(8, 6, 3, 3, scale=scale)
    layer = factorize_conv(w, method, rank=5)
    assert layer.rel_error < 0.9
    assert all(np.isfinite(kernel).all() for kernel in layer.kernels)


def test_a_kernel_of_zeros():
    for method in METHODS:
        layer = factorize_conv(np.zeros((8, 8, 3, 3), np.float32), method, rel_error=0.1)
        assert layer.certificate.error == 0
        assert not layer.dense().any()
        assert layer.rel_error == 0


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("shape", [(8, 8, 3, 3), (3, 12, 1, 5), (2, 2, 1, 1), (20, 4, 3, 3)])
@pytest.mark.parametrize("method", METHODS)
def test_what_saves_nothing_is_refused(method, shape, dtype):
    w = normal(*shape)
    full = factorize_conv(w, method, rel_error=0, dtype=dtype, force=True)
    most = min(full.rank)
    sizes = [factorize_conv(w, method, rank=r, dtype=dtype, force=True).nbytes for r in range(1, most + 1)]
    saving = sum(size < w.nbytes for size in sizes)
    for r, size in enumerate(sizes, 1):
        if r <= saving:
            assert factorize_conv(w, method, rank=r, dtype=dtype).nbytes == size
            continue
        said = f"ranks up to {saving} would save" if saving else "no rank would save"
        with pytest.raises(ValueError, match=rf"fewer bytes than the {w.nbytes} of .* got {size} with rank .*: {said}"):
            factorize_conv(w, method, rank=r, dtype=dtype)


@pytest.mark.parametrize("count", [2, 3])
def test_threads_change_no_bit(count, threads):
    w, x = normal(40, 30, 3, 3), normal(2, 30, 20, 20)
    results = []
    for n in (1, count):
        threads(n)
        for method in METHODS:
            layer = factorize_conv(w, method, rank=9)
            results.append([k.tobytes() for k in layer.kernels] + [layer.forward(x, padding=1).tobytes()])
    assert results[:3] == results[3:]
    assert petrain.get_num_threads() == count


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"method": "cp"}, ValueError, 'method: expected "tucker2", "spatial" or "channel", got .cp.'),
        ({"dtype": "int4"}, ValueError, 'dtype: expected "float32" or "int8"'),
        ({"w": normal(3, 4)}, ValueError, r"w: expected float32 \(out, in, height, width\)"),
        ({"w": normal(3, 4, 3, 3).astype(float)}, ValueError, r"got float64 \(3, 4, 3, 3\)"),
        ({"w": normal(3, 0, 3, 3)}, ValueError, "not empty"),
        ({"w": normal(3, 4, 3, 3) * np.float32(np.nan)}, ValueError, "w: expected finite values, got nan"),
        ({"rank": None}, ValueError, "expected exactly one of rank, energy, rel_error and max_params"),
        ({"energy": 0.9}, ValueError, "expected exactly one of"),
        ({"rank": 0}, ValueError, r"rank: expected from \(1, 1\) to \(6, 5\)"),
        ({"rank": (7, 2)}, ValueError, r"got \(7, 2\)"),
        ({"rank": (1, 2, 3)}, ValueError, "rank: expected one number or a pair"),
        ({"rank": 2.5}, TypeError, "rank: expected an integer"),
        ({"rank": (2, 2), "method": "spatial"}, TypeError, "rank: expected an integer"),
        ({"rank": 99, "method": "channel"}, ValueError, "rank: expected 1 to 6"),
        ({"rank": None, "energy": 1.5}, ValueError, r"energy: expected a number in \(0, 1\]"),
        ({"rank": None, "rel_error": -0.1}, ValueError, r"rel_error: expected a number in \[0, 1\)"),
        ({"rank": None, "rel_error": "0.1"}, TypeError, "rel_error: expected a number"),
        ({"inputs": quant.HessianObserver(4)}, ValueError, 'inputs: expected None for "tucker2"'),
    ],
)
def test_bad_arguments(change, error, message):
    arguments = {"w": normal(6, 5, 3, 3), "method": "tucker2", "rank": 2, **change}
    with pytest.raises(error, match=message):
        factorize_conv(**arguments)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": normal(4, 8, 8)}, ValueError, r"x: expected float32 \(N, 5, H, W\)"),
        ({"x": normal(5, 8, 8).astype(float)}, ValueError, "x: expected float32"),
        ({"x": normal(5, 2, 8)}, ValueError, "x: expected images of at least 3 with the padding, got 2"),
        ({"bias": normal(5)}, ValueError, r"bias: expected float32 \(6,\)"),
        ({"stride": 0}, ValueError, "stride: expected an integer from 1"),
        ({"padding": (1, -1)}, ValueError, "padding: expected an integer from 0"),
        ({"dilation": (1, 2, 3)}, TypeError, "dilation: expected an integer or two"),
        ({"dilation": 1.5}, TypeError, "dilation: expected an integer"),
    ],
)
def test_bad_inputs(change, error, message):
    arguments = {"x": normal(5, 8, 8), **change}
    for method in METHODS:
        with pytest.raises(error, match=message):
            factorize_conv(normal(6, 5, 3, 3), method, rank=2).forward(**arguments)


def test_channel_factors_are_those_of_the_matrix():
    w = normal(12, 10, 3, 3)
    layer, factors = factorize_conv(w, "channel", rank=4), factorize(w.reshape(12, -1), rank=4)
    assert layer.kernels[0].tobytes() == factors.b.tobytes()
    assert layer.kernels[1].tobytes() == factors.a.tobytes()
    assert layer.certificate == factors.certificate
