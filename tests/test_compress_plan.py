"""Every form of real layers, measured: bytes as in files, errors as computed by hand, scores that outlive a kill."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import petrain
import pytest
from petrain import compress, nn
from petrain.compress import CANDIDATES, Dense, Factorized, Quantized, Samples

pytestmark = pytest.mark.once

KILLS = int(os.environ.get("PETRAIN_KILLS", "3"))
NAMES = {form.name: form for form in CANDIDATES}


def layers_of(rng):
    """One layer with inputs that have strong directions, one without inputs, one that groups do not fit."""
    w = rng.standard_normal((48, 64), np.float32)
    x = rng.standard_normal((100, 8), np.float32) @ rng.standard_normal((8, 64), np.float32)
    x += 0.1 * rng.standard_normal((100, 64), np.float32)
    decaying = (rng.standard_normal((96, 12)) * 0.5 ** np.arange(12)) @ rng.standard_normal((12, 128))
    return {
        "seen": (w, x),
        "unseen": (decaying.astype(np.float32), None),
        "odd": (rng.standard_normal((10, 50), np.float32), rng.standard_normal((30, 50), np.float32)),
    }


@pytest.fixture
def layers(rng):
    return layers_of(rng)


def forward(weight, x):
    return nn.Sequential(nn.Linear.from_weight(weight))(x)


def built(option, w, x):
    return NAMES[option.name].build(w, None if x is None else Samples(x))


def stands_for(weight):
    """The weight, from the stored arrays."""
    arrays = {name: array.astype(np.float64) for name, array in weight.tensors().items()}

    def matrix(name):
        if name in arrays:
            return arrays[name]
        return weight_part(weight, name).dense().astype(np.float64)

    if weight.format == "low_rank":
        return matrix(".a") @ matrix(".b")
    if weight.format == "residual":
        return matrix(".base") + matrix(".a") @ matrix(".b")
    return matrix("")


def weight_part(weight, name):
    return weight if name == "" else getattr(weight, name[1:])


def relative(y, exact):
    return float(np.sum((y - exact) ** 2) / np.sum(np.square(exact, dtype=np.float64)))


def test_bytes_are_those_of_the_file(layers, tmp_path):
    scores = compress.score(layers)
    for name, (w, x) in layers.items():
        for option in scores.options[name]:
            weight = built(option, w, x)
            assert option.nbytes == weight.nbytes == sum(array.nbytes for array in weight.tensors().values())
            compress.save({'naïve "name"\n': weight}, tmp_path / "w")
            size = scores.file.size({'naïve "name"\n': option.layout})
            assert size == (tmp_path / "w").stat().st_size
            loaded = compress.load(tmp_path / "w")['naïve "name"\n']
            assert (loaded.format, loaded.graph) == (weight.format, weight.graph)
            for part, array in weight.tensors().items():
                np.testing.assert_array_equal(loaded.tensors()[part], array)
            if x is not None:
                np.testing.assert_array_equal(forward(loaded, x), forward(weight, x))


def test_errors_are_those_of_the_outputs_or_of_the_weight(layers):
    scores = compress.score(layers).options
    for name, (w, x) in layers.items():
        for option in scores[name]:
            weight = built(option, w, x)
            np.testing.assert_allclose(weight.dense(), stands_for(weight), atol=1e-4)
            if x is None:
                assert option.error == pytest.approx(
                    relative(stands_for(weight), w.astype(np.float64)), rel=1e-3, abs=1e-12
                )
            else:
                y = forward(weight, x)
                assert option.error == pytest.approx(relative(y, x.astype(np.float64) @ w.T), rel=1e-3, abs=1e-9)
                np.testing.assert_allclose(y, x @ stands_for(weight).T, atol=0.02 * np.abs(y).max())
            assert option.seconds is None


def test_the_forms_that_fit(layers):
    names = {name: [option.name for option in options] for name, options in compress.score(layers).options.items()}
    assert names["seen"] == [form.name for form in CANDIDATES]
    assert not any("g32" in form or "g64" in form for form in names["odd"])  # 50 inputs
    assert len(set(NAMES)) == len(CANDIDATES)
    assert Factorized(0.25).rank_of((10, 50)) == 3
    assert Factorized(7).rank_of((10, 50)) == 7
    assert not Factorized(11).fits((10, 50))
    assert Factorized(8).fits((10, 50))
    assert not Factorized(9).fits((10, 50))


def test_each_form_is_good_at_what_it_is_for(layers):
    scores = {name: {o.name: o for o in options} for name, options in compress.score(layers).options.items()}
    assert all(options["float32"].error == 0 for options in scores.values())
    seen, unseen = scores["seen"], scores["unseen"]
    assert seen["int8"].error < seen["int4 g32"].error < seen["int4 g64"].error
    assert seen["int4 g32 + rank 8"].error < 0.5 * seen["int4 g32"].error  # 8 directions carry the inputs
    assert unseen["rank 0.125"].error < 1e-6 < unseen["rank 0.0625"].error
    assert unseen["rank 0.125 int8"].error < 1e-4


@pytest.mark.parametrize("budget", [6_000, 9_000, 20_000, 10**6])
def test_a_plan_is_a_file_of_the_size_that_it_says(layers, tmp_path, budget):
    plan = compress.plan(layers, budget_bytes=budget)
    weights = compress.build(plan, layers)
    assert sorted(weights) == sorted(layers)
    assert sum(weight.nbytes for weight in weights.values()) == plan.nbytes
    compress.save(weights, tmp_path / "w")
    assert (tmp_path / "w").stat().st_size == plan.file_bytes <= budget
    for choice in plan.layers:
        w, x = layers[choice.layer]
        if x is not None:
            assert relative(forward(weights[choice.layer], x), x @ w.T) == pytest.approx(
                choice.option.error, rel=1e-3, abs=1e-12
            )


def test_every_budget_from_the_least_up(layers):
    """Sizes add up only nearly: the header is padded, and its offsets have more digits or fewer."""
    scores = compress.score(layers, [Quantized(8), Quantized(4), Factorized(2, 8)])
    with pytest.raises(ValueError, match=r"budget_bytes: expected at least (\d+), got 10") as refused:
        scores.plan(budget_bytes=10)
    least = int(str(refused.value).split()[4].rstrip(","))
    for budget in range(least, least + 400):
        assert scores.plan(budget_bytes=budget).file_bytes <= budget
    sizes = {
        names: scores.file.size({layer: o.layout for layer, o in zip(scores.options, names, strict=True)})
        for names in itertools.product(*scores.options.values())
    }
    assert least == min(sizes.values())
    for budget in range(least + 30, max(sizes.values()) + 100, 97):
        best = min(sum(o.error for o in names) for names, size in sizes.items() if size <= budget - 30)
        assert scores.plan(budget_bytes=budget).error <= best * (1 + 1e-12)


def test_a_budget_of_time(layers):
    loose = compress.plan(layers, budget_ms=1e6)
    assert loose.choice == dict.fromkeys(layers, "float32")  # which is never slower than itself
    for choice in loose.layers:
        assert choice.option.seconds > 0
        assert all(o.seconds > choice.option.seconds for o in choice.refused)


class Repeated(Dense):
    """A form that takes many times as long as the layer as it is."""

    name = "repeated"

    def build(self, w, samples):
        weight = super().build(w, samples)
        for _ in range(30):
            weight = nn.LowRankWeight(nn.DenseWeight(np.eye(w.shape[0], dtype=np.float32)), weight)
        return weight


def test_times_are_seconds_and_what_is_slower_is_refused(layers):
    scores = compress.score({"unseen": layers["unseen"]}, [Repeated(), Dense()], timed=True)
    dense, slow = scores.options["unseen"]
    assert (dense.name, slow.name) == ("float32", "repeated")
    assert 3 * dense.seconds < slow.seconds < 1  # not the ratio
    (choice,) = scores.plan(budget_ms=1e6).layers
    assert choice.refused == (slow,)


def test_zeros_have_no_error():
    w = np.zeros((8, 64), np.float32)
    for x in (None, np.ones((3, 64), np.float32)):
        assert {option.error for option in compress.score({"a": (w, x)}).options["a"]} == {0.0}


# What outlives a kill

SCRIPT = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[2])
from petrain import compress
from test_compress_plan import layers_of
print("ready", flush=True)
print(compress.plan(layers_of(np.random.default_rng(1)), budget_bytes=9000, progress=sys.argv[1]))
"""


def run_and_kill(path, seconds):
    """The output, or None where it was killed first."""
    command = [sys.executable, "-c", SCRIPT, str(path), os.path.dirname(__file__)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        if seconds is not None:
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        output = process.stdout.read()
    return output if process.returncode == 0 else None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_killed_at_random_it_ends_the_same(tmp_path):
    start = time.perf_counter()
    expected = run_and_kill(tmp_path / "whole", None)
    longest = (time.perf_counter() - start) / 10  # most of it is the start of Python
    whole = (tmp_path / "whole").read_bytes()
    chance, path, kills = random.Random(0), tmp_path / "killed", 0
    while kills < KILLS:
        output = run_and_kill(path, chance.uniform(0, longest))
        kills += output is None
        if path.exists():
            assert whole.startswith(path.read_bytes())
        if output is not None:
            assert (output, path.read_bytes()) == (expected, whole)
            path.unlink()
    assert run_and_kill(path, None) == expected
    assert path.read_bytes() == whole


class Counting:
    """A form that counts how often it is made."""

    name = "counting"
    made = 0

    def __repr__(self):
        return "Counting()"

    def fits(self, shape):
        return True

    def build(self, w, samples):
        self.made += 1
        return Dense().build(w, samples)


def test_cut_anywhere_it_goes_on_from_the_last_whole_line(layers, tmp_path):
    path, forms = tmp_path / "scores", [Dense(), Quantized(8), Counting()]
    scores = compress.score(layers, forms, progress=path)
    whole = path.read_bytes()
    assert (forms[2].made, whole.count(b"\n")) == (3, 10)
    first = whole.index(b"\n") + 1
    for length in [*range(first, len(whole), 29), len(whole)]:
        path.write_bytes(whole[:length])
        forms[2].made = 0
        assert compress.score(layers, forms, progress=path) == scores
        assert forms[2].made == 3 - whole[:length].count(b'"counting", "nbytes"', 0, whole.rfind(b"\n", 0, length) + 1)
        assert path.read_bytes() == whole


def test_times_are_taken_up_too(layers, tmp_path):
    path = tmp_path / "scores"
    first = compress.score(layers, timed=True, progress=path)
    assert compress.score(layers, timed=True, progress=path) == first
    assert all(option.seconds > 0 for options in first.options.values() for option in options)
    assert "seconds" in json.loads(path.read_text().splitlines()[1])


@pytest.mark.parametrize("change", ["weight", "inputs", "no inputs", "candidates", "timed", "name"])
def test_scores_of_something_else_are_refused(layers, tmp_path, change):
    path, forms = tmp_path / "scores", [Dense(), Quantized(8)]
    compress.score(layers, forms, progress=path)
    before = path.read_bytes()
    w, x = layers.pop("seen")
    if change == "weight":
        w = w.copy()
        w[0, 0] += 1
    if change == "inputs":
        x = x + 1
    layers["new" if change == "name" else "seen"] = (w, None if change == "no inputs" else x)
    layers = {name: layers[name] for name in ("new", "seen", "unseen", "odd") if name in layers}
    forms = [Dense(), Quantized(4)] if change == "candidates" else forms
    with pytest.raises(ValueError, match="progress: expected the scores of these layers and candidates"):
        compress.score(layers, forms, timed=change == "timed", progress=path)
    assert path.read_bytes() == before


def test_two_processes_do_not_write_one_file(layers, tmp_path):
    pytest.importorskip("fcntl")
    path, forms = tmp_path / "scores", [Dense(), Quantized(8)]

    def another(done, count):
        with pytest.raises(BlockingIOError, match="another process is writing this file"):
            compress.score(layers, forms, progress=path)

    scores = compress.score(layers, forms, progress=path, on_score=another)
    assert compress.score(layers, forms, progress=path) == scores


def test_progress_is_reported(layers):
    seen = []
    compress.score(layers, [Dense(), Quantized(8)], on_score=lambda done, count: seen.append((done, count)))
    assert seen == [(i, 6) for i in range(1, 7)]


@pytest.mark.parametrize("text", ["", "x", "[]\n", '{"format": "petrain scores 1", "job": "a"}\n', '{"job": 3}\n'])
def test_other_files_are_refused_and_kept(layers, tmp_path, text):
    path = tmp_path / "scores"
    path.write_text(text)
    with pytest.raises(petrain.Error, match="expected a file of 'petrain scores 2', got another"):
        compress.score(layers, progress=path)
    assert path.read_text() == text


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("error"),
        lambda record: record.update(error=-1.0),
        lambda record: record.update(nbytes="many"),
        lambda record: record.update(layer="odd"),
        lambda record: record.update(option="int4"),
        lambda record: record.pop("graph"),
        lambda record: record.update(graph="{"),
        lambda record: record.update(graph="3"),
        lambda record: record.update(tensors=[[".values", "complex64", [3]]]),
        lambda record: record.update(tensors=[[".values", "int8", [-3]]]),
        lambda record: record.update(tensors=[[".values", "int8"]]),
    ],
)
def test_hostile_scores_are_refused(layers, tmp_path, change):
    path = tmp_path / "scores"
    compress.score(layers, [Dense(), Quantized(8)], progress=path)
    lines = path.read_text().splitlines()
    record = json.loads(lines[2])
    change(record)
    path.write_text("\n".join([*lines[:2], json.dumps(record), *lines[3:], ""]))
    with pytest.raises(petrain.Error, match=r"scores, line 3: expected (a score|the score of \('seen', 'int8'\)), got"):
        compress.score(layers, [Dense(), Quantized(8)], progress=path)


W = np.ones((4, 32), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: compress.plan({"a": (W, None)}), ValueError, "budget: expected budget_bytes or budget_ms"),
        (lambda: compress.plan({}, 10), ValueError, "layers: expected at least one, got none"),
        (lambda: compress.score({"a": W}), TypeError, r"layer 'a': expected \(weight, inputs\), got ndarray"),
        (lambda: compress.score({3: (W, None)}), TypeError, "layers: expected names, got 3"),
        (lambda: compress.score({"a": (W * np.nan, None)}), ValueError, "layer 'a': weight: expected finite values"),
        (
            lambda: compress.score({"a": (W, W * np.inf)}),
            ValueError,
            "layer 'a': inputs: expected finite values, got inf",
        ),
        (
            lambda: compress.score({"a": (W, W[:, :31].copy())}),
            ValueError,
            r"inputs: expected \(rows, 32\), got \(4, 31\)",
        ),
        (
            lambda: compress.score({"a": (W, W[:0])}),
            ValueError,
            r"inputs: expected a float32 matrix, got float32 \(0, 32",
        ),
        (lambda: compress.score({"a": (W.T, None)}), ValueError, "weight: expected a C-contiguous array, got strides"),
        (
            lambda: compress.score({"a": (W.astype(np.float64), None)}),
            ValueError,
            "expected a float32 matrix, got float64",
        ),
        (lambda: compress.score({"a": (W, None)}, []), ValueError, "candidates: expected at least one"),
        (lambda: compress.score({"a": (W, None)}, [Dense()] * 2), ValueError, "candidates: .* different names"),
        (lambda: compress.plan({"a": (W, None)}, None, 1, [Quantized()]), ValueError, "expected 'float32' among them"),
        (lambda: compress.plan({"a": (W, None)}, 10), ValueError, r"budget_bytes: expected at least \d+, got 10"),
        (lambda: Quantized(5), ValueError, "bits: expected 4 or 8, got 5"),
        (lambda: Quantized(4, 16), ValueError, "group_size: expected 32, 64, 128 or None, got 16"),
        (lambda: Quantized(4, 32, -1), ValueError, "residual_rank: expected an integer from 0"),
        (
            lambda: Factorized(0),
            ValueError,
            "rank: expected an integer of at least 1, or a number between 0 and 1, got 0",
        ),
        (lambda: Factorized(2.5), ValueError, "rank: expected an integer"),
        (lambda: Factorized("2"), TypeError, "rank: expected a number, got '2'"),
        (lambda: Factorized(2, bits=4), ValueError, "bits: expected 8 or 32, got 4"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
