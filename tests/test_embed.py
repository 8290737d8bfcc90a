"""A C++ program built with find_package(petrain) alone gives the same bits as Python."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import petrain
import pytest

EMBED = Path(__file__).parent / "embed"


def run(*command, **environment):
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert result.returncode == 0, f"{command} said:\n{result.stdout}{result.stderr}"
    return result.stdout


def cmake_dir(kind, tmp_path_factory):
    """The folder with petrainConfig.cmake: that of the wheel, or that of `cmake --install`."""
    if kind == "wheel":
        return petrain.get_cmake_dir()
    build = EMBED.parent.parent / "build" / "default"
    if not (build / "cmake_install.cmake").exists():
        pytest.skip("no C++ build in build/default (make test makes one)")
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", str(build), "--prefix", str(prefix))
    return next(prefix.rglob("petrainConfig.cmake")).parent


@pytest.fixture(scope="module", params=["wheel", "cmake --install"])
def program(request, tmp_path_factory):
    if shutil.which("cmake") is None:
        pytest.skip("no cmake on this machine")
    build = tmp_path_factory.mktemp("embed")
    run(
        "cmake",
        "-S",
        str(EMBED),
        "-B",
        str(build),
        f"-Dpetrain_DIR={cmake_dir(request.param, tmp_path_factory)}",
        "-DCMAKE_BUILD_TYPE=Release",
        "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
    )
    run("cmake", "--build", str(build))
    return build / "classify"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The compressed model of a short `petrain demo`, and images that it has not seen."""
    pytest.importorskip("petrain.commands", reason="the extra demo is not installed")
    datasets = pytest.importorskip("sklearn.datasets", reason="the extra demo is not installed")
    folder = tmp_path_factory.mktemp("demo")
    run(sys.executable, "-m", "petrain", "demo", "--quiet", "--epochs", "2", "--out", str(folder))
    images = (datasets.load_digits().data[:50] / 16).astype(np.float32)
    return folder / "compressed.safetensors", images


def test_it_needs_neither_python_nor_eigen(program):
    for entry in json.loads((program.parent / "compile_commands.json").read_text()):
        words = entry["command"].split()
        includes = [word.removeprefix("-I") for word in words if word.startswith("-I")]
        includes += [words[i + 1] for i, word in enumerate(words) if word == "-isystem"]
        assert includes, "petrain's own headers"
        for folder in map(Path, includes):
            assert (folder / "petrain" / "model.hpp").exists(), folder
            assert not list(folder.rglob("Python.h")), folder
            assert not list(folder.rglob("Eigen")), folder


@pytest.mark.parametrize("rows", [1, 50])
def test_the_same_bits_as_python(program, demo, tmp_path, rows):
    model, images = demo[0], demo[1][:rows]
    images.tofile(tmp_path / "samples.bin")
    printed = run(str(program), str(model), str(tmp_path / "samples.bin"))
    logits = petrain.load(model)(images)
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
