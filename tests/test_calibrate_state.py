"""What observers keep: the same bytes from any order, split and number of threads; merged, saved, resumed."""

import copy
import json
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest
from calibrate_cases import HISTOGRAMS, OBSERVERS, every_octave, observed, same_state
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from petrain import files, quant
from reference import calibrate as reference

EXACT = [quant.MinMaxObserver, *HISTOGRAMS]  # whatever the order


@pytest.fixture
def x(rng):
    return every_octave(rng)


# Counts


def check_counts(x, state):
    bins, counts = reference.histogram(x)
    assert np.array_equal(state["bins"], bins)
    assert np.array_equal(state["counts"], counts)
    assert (state["bins"].dtype, state["counts"].dtype) == (np.int32, np.int64)
    assert (state["low"], state["high"]) == reference.extremes(x)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_counts_are_those_of_the_bits(x, threads, count):
    threads(count)
    state = observed(quant.MSEObserver(), x).state_dict()
    check_counts(x, state)
    assert state["counts"].sum() == x.size
    for size in (1, 2, 3, 511, 512, 513, 16_385):
        check_counts(x[5 : 5 + size], observed(quant.MSEObserver(), x[5 : 5 + size]).state_dict())


@given(hnp.arrays(np.int32, st.integers(1, 40)))
def test_counts_of_any_finite_bits(bits):
    x = bits.view(np.float32)
    x[~np.isfinite(x)] = 0
    check_counts(x, observed(quant.MSEObserver(), x).state_dict())


# Merging


@pytest.mark.parametrize("kind", EXACT)
def test_any_order_and_split_give_the_same_bytes(kind, x, rng, threads):
    whole = observed(kind(), x).state_dict()
    for parts in (2, 3, 10):
        threads(1 + parts % 3)
        cuts = np.sort(rng.integers(1, x.size, parts - 1))
        pieces = [np.ascontiguousarray(piece) for piece in np.split(x[rng.permutation(x.size)], cuts) if piece.size]
        assert same_state(observed(kind(), *pieces).state_dict(), whole)
        observers = [observed(kind(), piece) for piece in pieces]
        rng.shuffle(observers)
        while len(observers) > 1:  # a tree of any form
            a, b = observers.pop(rng.integers(len(observers))), observers.pop(rng.integers(len(observers)))
            a.merge(b)
            observers.append(a)
        assert same_state(observers[0].state_dict(), whole)


def test_merging_channels(rng):
    x = rng.standard_normal((6, 5, 4)).astype(np.float32)
    whole = observed(quant.MinMaxObserver(axis=1), x)
    parts = [observed(quant.MinMaxObserver(axis=1), part.copy()) for part in (x[4:], x[:4])]
    parts[0].merge(parts[1])
    assert same_state(parts[0].state_dict(), whole.state_dict())


@pytest.mark.parametrize("axis", [None, 0])
def test_merging_moving_averages(axis, rng):
    arrays = rng.standard_normal((6, 3, 20)).astype(np.float32)
    settings = {"axis": axis, "averaging_constant": 0.2}
    first, second = (observed(quant.MovingAverageObserver(**settings), *part) for part in (arrays[:4], arrays[4:]))
    expected = [(4 * np.asarray(a) + 2 * np.asarray(b)) / 6 for a, b in zip(first.range(), second.range(), strict=True)]
    other_way = copy.deepcopy(second)
    other_way.merge(first)
    first.merge(second)
    np.testing.assert_allclose(first.range(), expected, rtol=1e-14)
    assert same_state(first.state_dict(), other_way.state_dict())
    assert first.state_dict()["arrays"] == 6


@pytest.mark.parametrize("kind", OBSERVERS)
def test_merging_nothing_and_itself(kind, x):
    observer, empty = observed(kind(), x), kind()
    before = observer.state_dict()
    observer.merge(empty)
    assert same_state(observer.state_dict(), before)
    empty.merge(observer)
    assert same_state(empty.state_dict(), before)
    observer.merge(observer)
    assert observer.count == 2 * x.size
    assert observer.range() == empty.range()


# Saving


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("kind", OBSERVERS)
def test_a_resumed_run_is_the_same(kind, axis, rng, tmp_path):
    if axis is not None and kind in HISTOGRAMS:
        pytest.skip("histograms are of all channels together")
    settings = {"bits": 4, "scheme": "symmetric"} | ({} if axis is None else {"axis": axis})
    arrays = rng.standard_normal((4, 2, 500)).astype(np.float32)
    whole = observed(kind(**settings), *arrays)
    half = observed(kind(**settings), *arrays[:2])
    state = half.state_dict()
    path = tmp_path / "observer.safetensors"
    tensors = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    rest = {name: value for name, value in state.items() if name not in tensors}
    files.save_tensors(path, tensors, {"observer": json.dumps(rest)})
    tensors, metadata = files.load_tensors(path)
    from_file = kind(**settings)
    from_file.load_state_dict({**tensors, **json.loads(metadata["observer"])})
    for resumed in (from_file, pickle.loads(pickle.dumps(half)), copy.deepcopy(half)):
        assert same_state(resumed.state_dict(), state)
        for x in arrays[2:]:
            resumed.observe(x)
        assert same_state(resumed.state_dict(), whole.state_dict())
    assert same_state(half.state_dict(), state)


@pytest.mark.parametrize("kind", OBSERVERS)
def test_an_observer_that_has_seen_nothing_is_kept_too(kind, x):
    observer = pickle.loads(pickle.dumps(kind()))
    assert same_state(observer.state_dict(), kind().state_dict())
    observer.observe(x)
    observer.reset()
    assert same_state(observer.state_dict(), kind().state_dict())
    assert repr(observer) == repr(kind())


def _observe_part(part):
    rng = np.random.default_rng(part)
    return [observed(kind(), rng.laplace(size=20_000).astype(np.float32)) for kind in OBSERVERS]


@pytest.mark.once
def test_observers_come_back_from_other_processes():
    parts = [_observe_part(part) for part in range(4)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        merged, *others = pool.map(_observe_part, range(4))
    for observers in others:
        for own, other in zip(merged, observers, strict=True):
            own.merge(other)
    for observers in parts[1:]:
        for own, other in zip(parts[0], observers, strict=True):
            own.merge(other)
    for own, other in zip(merged, parts[0], strict=True):
        assert own.count == 80_000
        assert same_state(own.state_dict(), other.state_dict())


# Memory

MEASURE = """
import sys
from pathlib import Path
import numpy as np
from petrain import quant

samples, kind = int(sys.argv[1]), getattr(quant, sys.argv[2])
x = np.random.default_rng(0).standard_normal(1_000_000, np.float32)
observer = kind()


def kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: that of the imports would hide some growth
before = kilobytes("VmRSS")
for i in range(samples):
    x *= -0.999 if i % 2 else -1.001
    observer.observe(x)
observer.qparams()
print(kilobytes("VmHWM") - before)
"""


@pytest.mark.once
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", OBSERVERS)
def test_memory_does_not_grow_with_the_samples(kind):
    def kilobytes(samples):
        command = [sys.executable, "-c", MEASURE, str(samples), kind.__name__]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    few, many = kilobytes(10), kilobytes(300)
    assert many < 64 * 1024
    assert many < few + 4 * 1024
