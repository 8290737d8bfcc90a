"""A C++ program built with find_package(petrain) alone gives the same bits as Python."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import petrain
import pytest
from petrain import nn

EMBED = Path(__file__).parent / "embed"


def run(*command, **environment):
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert result.returncode == 0, f"{command} said:\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if shutil.which("cmake") is None:
        pytest.skip("no cmake on this machine")
    build = tmp_path_factory.mktemp("embed")
    run(
        "cmake",
        "-S",
        str(EMBED),
        "-B",
        str(build),
        f"-Dpetrain_DIR={petrain.get_cmake_dir()}",
        "-DCMAKE_BUILD_TYPE=Release",
        "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
    )
    run("cmake", "--build", str(build))
    return build / "classify"


@pytest.fixture
def compressed():
    nn.manual_seed(1)
    model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 40), nn.ReLU(), nn.Linear(40, 10))
    return petrain.compress.int8(petrain.compress.low_rank(model, {0: 9, 2: 5}))


def test_it_needs_neither_python_nor_eigen(program):
    for entry in json.loads((program.parent / "compile_commands.json").read_text()):
        includes = [part for part in entry["command"].split() if part.startswith(("-I", "-isystem"))]
        assert not any("eigen" in part.lower() for part in includes), includes
        # The wheel's own headers lie in site-packages; no other folder of a Python may be there.
        assert all(
            Path(petrain.get_include()).samefile(part.removeprefix("-I")) for part in includes if part != "-isystem"
        )


@pytest.mark.parametrize("rows", [1, 7])
def test_the_same_bits_as_python(program, compressed, tmp_path, rows):
    samples = np.random.default_rng(3).random((rows, 64), np.float32)
    samples.tofile(tmp_path / "samples.bin")
    petrain.save(compressed, tmp_path / "model.safetensors")
    printed = run(str(program), str(tmp_path / "model.safetensors"), str(tmp_path / "samples.bin"))
    logits = compressed(samples)
    for line, expected in zip(printed.splitlines(), logits, strict=True):
        label, *values = line.split()
        assert int(label) == expected.argmax()
        np.testing.assert_array_equal(np.array([float.fromhex(value) for value in values], np.float32), expected)


def test_a_broken_file_is_refused(program, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 40)
    (tmp_path / "samples.bin").write_bytes(b"")
    result = subprocess.run(
        [program, tmp_path / "model.safetensors", tmp_path / "samples.bin"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith("classify: ")
