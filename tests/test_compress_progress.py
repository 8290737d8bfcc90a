"""Scores that outlive a kill, and files that are something else."""

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
from compress_cases import layers_of
from petrain import compress, nn
from petrain.compress import Dense, Quantized

pytestmark = pytest.mark.once

KILLS = int(os.environ.get("PETRAIN_KILLS", "3"))


@pytest.fixture
def layers(rng):
    return layers_of(rng)


def test_a_model_with_times_is_taken_up_whole(tmp_path, rng):
    model = nn.Sequential(nn.Linear(20, 16, seed=1), nn.ReLU(), nn.Linear(16, 3, seed=2))
    x, path, forms = rng.standard_normal((30, 20), np.float32), tmp_path / "scores", [Dense(), Quantized(8)]
    first = compress.score_model(model, x, forms, timed=True, progress=path)
    whole = path.read_bytes()
    assert compress.score_model(model, x, forms, timed=True, progress=path) == first
    assert path.read_bytes() == whole
    path.write_bytes(whole[: whole.rfind(b"\n", 0, -1) + 1])  # without what is beside the layers
    assert compress.score_model(model, x, forms, timed=True, progress=path).options == first.options
    for line in ('{"other_seconds": 1e99}\n', '{"other_seconds": "a"}\n', "{}\n"):
        path.write_bytes(whole[: whole.rfind(b"\n", 0, -1) + 1] + line.encode())
        with pytest.raises(petrain.Error, match="scores, line 6: expected what a run takes beside"):
            compress.score_model(model, x, forms, timed=True, progress=path)


def test_a_first_line_that_was_cut_short_is_written_anew(layers, tmp_path):
    path = tmp_path / "scores"
    expected = compress.score(layers, [Dense()], progress=path)
    whole = path.read_bytes()
    for length in (0, 1, whole.index(b"\n")):
        path.write_bytes(whole[:length])
        assert compress.score(layers, [Dense()], progress=path) == expected
        assert path.read_bytes() == whole
    path.write_bytes(b"x" + whole[1:20])
    with pytest.raises(petrain.Error, match="expected a file of"):
        compress.score(layers, [Dense()], progress=path)


SCRIPT = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[2])
from petrain import compress
from compress_cases import layers_of
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


@pytest.mark.parametrize("text", ["x", "[]\n", '{"format": "petrain scores 1", "job": "a"}\n', '{"job": 3}\n'])
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
