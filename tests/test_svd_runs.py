"""Decompositions by error, in float64, by blocks of a file; their progress and what they go on from."""

import subprocess
import sys

import numpy as np
import pytest
from petrain import files, quant
from petrain.lowrank import certify, factorize, svd
from reference import lowrank as reference
from svd_cases import METHODS, SHAPES, SPECTRA, bits, check_form, named, product, with_spectrum, with_threads

TALL = with_spectrum((1500, 300), np.arange(1, 301) ** -0.7)


def relative(a, result):
    return np.linalg.norm(a - product(*result)) / np.linalg.norm(a.astype(np.float64))


# How many by what they hold


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("criterion", [{"energy": 0.5}, {"energy": 0.9}, {"rel_error": 0.5}, {"rel_error": 0.03}])
@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_the_error_is_met_with_hardly_more_than_the_smallest_rank(name, criterion, method):
    a = named((300, 200), name)
    result = svd(a, method=method, **criterion)
    rank = len(result[1])
    check_form(a, rank, result)
    allowed = criterion.get("rel_error", np.sqrt(1 - criterion.get("energy", 1)))
    assert relative(a, result) <= allowed * (1 + 1e-6)
    smallest = reference.smallest_rank(a, **criterion)
    assert smallest <= rank <= (smallest if method == "full" else 1.02 * smallest + 1)


def test_a_small_rank_by_error_is_found_without_the_full_decomposition():
    a = TALL + np.float32(30) * np.outer(TALL[:, 0], TALL[0])
    assert bits(svd(a, energy=0.2)) == bits(svd(a, energy=0.2, method="randomized"))
    assert bits(svd(a, energy=0.999)) == bits(svd(a, energy=0.999, method="full"))


# Tolerance


def test_a_looser_tolerance_does_less_and_is_still_met():
    for name, most in (("slow", 0.02), ("fast", 0.02), ("exponential", 0.02)):
        a = named((600, 500), name)
        best = reference.best_error(a, 20) ** 2
        steps = {}
        for tol in (1e-2, 1e-4, 1e-6):
            seen = []
            result = svd(a, 20, method="randomized", tol=tol, progress=lambda done, _, seen=seen: seen.append(done))
            steps[tol] = len(seen)
            excess = np.linalg.norm(a - product(*result)) ** 2 / best - 1
            assert excess <= tol + 1e-8 * np.linalg.norm(a) ** 2 / best + most * tol
        assert steps[1e-2] <= steps[1e-4] <= steps[1e-6]
    assert steps[1e-2] >= 1


# float64


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", METHODS)
def test_float64(shape, name, method):
    a = named(shape, name).astype(np.float64) + 1e-9
    result = u, s, vt = svd(a, 10, method=method, tol=1e-6)
    assert all(x.dtype == np.float64 for x in result)
    assert np.abs(u.T @ u - np.eye(10)).max() < 1e-12
    assert np.abs(vt @ vt.T - np.eye(10)).max() < 1e-12
    assert np.linalg.norm(a - product(*result)) <= (1 + 1e-6) * reference.best_error(a, 10) + 1e-8 * np.linalg.norm(a)
    np.testing.assert_allclose(s[0], np.linalg.norm(a, 2), rtol=1e-10 if method == "full" else 1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exponent", [-1000, -200, -40, 40, 200, 1000])
def test_float64_of_any_scale(method, exponent):
    a = with_spectrum((60, 40), np.arange(1, 41) ** -2.0).astype(np.float64)
    u, s, vt = svd(a, 5, method=method)
    scaled_u, scaled_s, scaled_vt = svd(np.ldexp(a, exponent), 5, method=method)
    np.testing.assert_allclose(scaled_s, np.ldexp(s, exponent), rtol=1e-9)
    np.testing.assert_allclose(scaled_u, u, rtol=0, atol=1e-6)
    np.testing.assert_allclose(scaled_vt, vt, rtol=0, atol=1e-6)


# By blocks of rows


@pytest.mark.parametrize("a", [TALL, np.ascontiguousarray(TALL.T), TALL.astype(np.float64)])
def test_blocks_of_rows_have_the_bits_of_the_whole(a):
    whole = bits(svd(a, 12, method="randomized"))
    for limit in (1, 512 * a.shape[1] * a.itemsize, 1100 * a.shape[1] * a.itemsize, a.nbytes):
        for threads in (1, 3):
            assert with_threads(threads, lambda m=limit: bits(svd(a, 12, method="randomized", memory_limit=m))) == whole


@pytest.mark.parametrize("mode", ["r", "c", "r+"])
def test_a_mapped_file(mode, tmp_path):
    path = tmp_path / "a"
    TALL.tofile(path)
    a = np.memmap(path, np.float32, mode, shape=TALL.shape)
    if mode == "c":
        a[0, 0] = 0.5  # in memory alone, which must not be given back
    expected = np.array(a)
    assert bits(svd(a, 12, memory_limit=1)) == bits(svd(expected, 12, method="randomized"))
    assert (a == expected).all()


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of resident memory is Linux's")
def test_a_matrix_larger_than_the_limit_is_not_held_in_memory(tmp_path):
    """256 MiB by 16 MiB at a time."""
    path = tmp_path / "a"
    with path.open("wb") as file:
        for seed in range(16):
            file.write(np.random.default_rng(seed).standard_normal((4096, 1024), np.float32).tobytes())
    code = (
        "import numpy as np, resource, sys\n"
        "from petrain.lowrank import svd\n"
        "svd(np.ones((300, 300), np.float32), 3, method='randomized')\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "a = np.memmap(sys.argv[1], np.float32, 'r', shape=(65536, 1024))\n"
        "svd(a, 4, oversample=0, n_iter=1, memory_limit=16 << 20)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    printed = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(printed.stdout) * 1024 < 100 << 20


def test_a_mapped_matrix_of_extreme_scale_is_refused(tmp_path):
    path = tmp_path / "a"
    (TALL * np.float32(1e-20)).tofile(path)
    a = np.memmap(path, np.float32, "r", shape=TALL.shape)
    with pytest.raises(ValueError, match=r"a: expected a largest magnitude between 2\^-16 and 2\^16"):
        svd(a, 3, memory_limit=1)


# Progress and state


class StopError(Exception):
    pass


def run_in_parts(a, path, steps, **arguments):
    """The result, and how often it was interrupted."""
    interrupted = 0

    def stop(done, expected):
        assert 0 < done <= min(a.shape)
        assert expected >= done
        left[0] -= 1
        if left[0] == 0:
            raise StopError

    while True:
        left = [steps]
        try:
            return svd(a, method="randomized", progress=stop, state=path, **arguments), interrupted
        except StopError:
            interrupted += 1
            assert path.exists() or steps == 1


@pytest.mark.parametrize(
    ("a", "arguments"),
    [
        (TALL, {"k": 12}),
        (np.ascontiguousarray(TALL.T), {"k": 12, "n_iter": 5}),
        (TALL.astype(np.float64), {"k": 12, "memory_limit": 1}),
        (TALL, {"energy": 0.6}),
        (with_spectrum((300, 300), np.repeat([1, 0.3, 0.1, 0.03], 75)), {"k": 40}),
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(a, arguments, tmp_path):
    path = tmp_path / "state.safetensors"
    expected = bits(svd(a, method="randomized", **arguments))
    result, interrupted = run_in_parts(a, path, 2, **arguments)
    assert bits(result) == expected
    assert interrupted >= 3
    assert not path.exists()


HUGE_LOOKS = [12.0, 48.0, 0.0, 1.0, 1e6, 1.0, 2e6, 1.0, 3e6, 1.0, 9e18]


def test_a_state_of_other_arguments_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"

    def stop(done, _):
        if done > 32:
            raise StopError

    with pytest.raises(StopError):
        svd(TALL, 12, method="randomized", progress=stop, state=path)
    kept = path.read_bytes()
    for a, arguments in [(TALL, {"k": 13}), (TALL, {"k": 12, "seed": 1}), (TALL[:-1], {"k": 12})]:
        with pytest.raises(ValueError, match="state: expected that of a run with"):
            svd(a, method="randomized", state=path, **arguments)
    tensors, metadata = files.load_tensors(path)
    files.save_tensors(path, {**tensors, "images": tensors["images"][:, :-1].copy()}, metadata)
    with pytest.raises(ValueError, match="state: expected one of the same matrix and the same arguments"):
        svd(TALL, 12, method="randomized", state=path)
    for change in ([1e6], [-5.0], [np.nan], [13.0], [12.0, 1e9], [12.0, 48.0, 1.0], [12.0, 48.0, 2.0], HUGE_LOOKS):
        numbers = tensors["numbers"].copy()[: len(change) if len(change) > 2 else None]
        numbers = np.concatenate([change, numbers[len(change) :]])
        files.save_tensors(path, {**tensors, "numbers": numbers}, metadata)
        with pytest.raises(ValueError, match="state: expected one of the same matrix and the same arguments"):
            svd(TALL, 12, method="randomized", state=path)
    files.save_tensors(path, {**tensors, "images": tensors["images"] * np.float32(np.nan)}, metadata)
    with pytest.raises(ValueError, match="state: expected one of the same matrix and the same arguments"):
        svd(TALL, 12, method="randomized", state=path)
    path.write_bytes(kept)
    assert bits(svd(TALL, 12, method="randomized", state=path)) == bits(svd(TALL, 12, method="randomized"))


# What a naive method would do to a layer


def test_the_certificate_of_the_outputs_tells_a_poor_decomposition_of_a_slow_spectrum():
    """At k/n = 0.3, with inputs in few directions: the errors of the weights are hardly apart, those of outputs are."""
    n, k = 256, 77
    w = with_spectrum((n, n), np.arange(1, n + 1) ** -0.3)
    inputs = quant.HessianObserver(n)
    directions = np.linalg.svd(w)[2]
    rows = np.random.default_rng(0).standard_normal((2000, n)) * np.arange(1, n + 1) ** -2.0 @ directions
    inputs.observe(rows.astype(np.float32))

    def certificate(decomposition):
        u, s, vt = decomposition
        return certify(w, u * s, vt, inputs)

    naive = certificate(svd(w, k, 0, 0, "randomized"))
    good = certificate(svd(w, k))
    assert naive.rel_error < 1.1 * good.rel_error
    assert naive.rel_output_error > 3 * good.rel_output_error
    assert factorize(w, rank=k, inputs=inputs).certificate.rel_output_error <= 1.01 * good.rel_output_error
