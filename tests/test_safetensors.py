"""Safetensors files: round trips with the reference implementation, and writing all or nothing."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from petrain.files import load_tensors, save_tensors

pytestmark = pytest.mark.once

DTYPES = [np.float32, np.float64, np.float16, np.int8, np.uint8, np.int32, np.int64]


def sample_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    tensors = {f"{np.dtype(d).name}.{i}": rng.integers(0, 100, (i, 3)).astype(d) for d in DTYPES for i in (0, 1, 4)}
    tensors["nan"] = np.array([0x7FC12345, 0xFF800001], np.uint32).view(np.float32)  # NaN payloads stay
    tensors["scalar"] = np.array(-2.5)
    tensors['名前\n\t"\\\x7f\x01/é\U0001f600'] = np.ones((1, 1, 2), np.float32)
    tensors[""] = np.zeros((2, 0, 3), np.int64)
    return tensors


def assert_same(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert sorted(got) == sorted(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype, name
        assert got[name].shape == array.shape, name
        assert got[name].tobytes() == array.tobytes(), name


def test_round_trip(tmp_path: Path) -> None:
    tensors, metadata = sample_tensors(), {"": "é\0", "graph": json.dumps([1, {"a": "b"}])}
    save_tensors(tmp_path / "m", tensors, metadata)
    got, got_metadata = load_tensors(str(tmp_path / "m"))
    assert_same(got, tensors)
    assert got_metadata == metadata
    assert all(array.flags.owndata or array.base is not None for array in got.values())
    got["scalar"][...] = 1  # the arrays are the caller's own
    assert_same(load_tensors(tmp_path / "m")[0], tensors)


def test_the_reference_implementation_reads_what_is_written(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors")
    numpy = pytest.importorskip("safetensors.numpy")
    save_tensors(tmp_path / "m", sample_tensors(), {"a": "1", "b": "é\n"})
    assert_same(numpy.load_file(tmp_path / "m"), sample_tensors())
    with reference.safe_open(tmp_path / "m", framework="np") as file:
        assert file.metadata() == {"a": "1", "b": "é\n"}


def test_what_the_reference_implementation_writes_is_read(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    metadata = {str(i): "é\n" * i for i in range(9)}
    numpy.save_file(sample_tensors(), tmp_path / "m", metadata)
    got, got_metadata = load_tensors(tmp_path / "m")
    assert_same(got, sample_tensors())
    assert got_metadata == metadata


def test_the_bytes_are_those_of_the_reference_implementation(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    for metadata in (None, {"\x00key\b\f\r\x1f": "\x7f value </>"}):  # it orders more than one entry at random
        save_tensors(tmp_path / "m", sample_tensors(), metadata)
        assert (tmp_path / "m").read_bytes() == numpy.save(sample_tensors(), metadata)


def test_order_does_not_change_the_bytes(tmp_path: Path) -> None:
    tensors, metadata = sample_tensors(), {"b": "1", "a": "2", "c": "3"}
    save_tensors(tmp_path / "m", tensors, metadata)
    save_tensors(tmp_path / "n", dict(reversed(tensors.items())), dict(reversed(metadata.items())))
    assert (tmp_path / "m").read_bytes() == (tmp_path / "n").read_bytes()


@given(
    tensors=st.dictionaries(
        st.text(max_size=8),
        st.sampled_from(DTYPES).flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, min_side=0, max_side=3))),
        max_size=5,
    ),
    metadata=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3),
)
def test_anything_that_can_be_stored_comes_back(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_tensors(f"{folder}/m", tensors, metadata)
        got, got_metadata = load_tensors(f"{folder}/m")
    assert_same(got, tensors)
    assert got_metadata == metadata


# Writing is all or nothing.


@pytest.fixture
def powerless() -> Iterator[None]:
    """Root may write anywhere: be somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """A folder that may be read but not written, with a file in it."""
    with tempfile.TemporaryDirectory() as folder:
        save_tensors(f"{folder}/m", {"w": np.ones(3)})
        os.chmod(folder, 0o555)
        yield Path(folder)
        os.chmod(folder, 0o755)


@pytest.mark.usefixtures("powerless")
def test_a_folder_that_cannot_be_written(unwritable: Path) -> None:
    before = (unwritable / "m").read_bytes()
    for name in ("m", "new"):
        with pytest.raises(PermissionError, match=f"cannot create a file beside .*/{name}"):
            save_tensors(unwritable / name, {"w": np.zeros(5)})
    assert os.listdir(unwritable) == ["m"]
    assert (unwritable / "m").read_bytes() == before


def test_os_errors_have_their_number(tmp_path: Path) -> None:
    save_tensors(tmp_path / "m", {})
    for path, error in [(tmp_path / "absent" / "m", FileNotFoundError), (tmp_path / "m" / "n", NotADirectoryError)]:
        with pytest.raises(error):
            save_tensors(path, {})
        with pytest.raises(error):
            load_tensors(path)
    with pytest.raises(IsADirectoryError, match="cannot read"):
        load_tensors(tmp_path)
    with pytest.raises(IsADirectoryError, match="cannot write"):
        save_tensors(tmp_path, {})
    with pytest.raises(ValueError, match="null byte"):
        load_tensors("a\0b")
    with pytest.raises(FileNotFoundError):
        load_tensors(os.fsdecode(b"\xff"))
    with pytest.raises(TypeError, match="not int"):
        save_tensors(1, {})  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == ["m"]


LARGE = {"w": np.arange(100_000, dtype=np.float32)}


def test_a_write_that_fails_half_way_changes_nothing(tmp_path: Path) -> None:
    save_tensors(tmp_path / "m", sample_tensors())
    before = (tmp_path / "m").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # Python ignores the signal
    try:
        for name in ("m", "new"):
            with pytest.raises(OSError, match="File too large"):
                save_tensors(tmp_path / name, LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == ["m"]
    assert (tmp_path / "m").read_bytes() == before


def test_a_process_killed_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    save_tensors(tmp_path / "m", sample_tensors())
    before = (tmp_path / "m").read_bytes()
    code = """if True:
        import resource, signal, sys, numpy, petrain
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        petrain.files.save_tensors(sys.argv[1], {"w": numpy.arange(100_000)})
    """
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "m"], check=False)
    assert done.returncode == -signal.SIGXFSZ
    assert (tmp_path / "m").read_bytes() == before
    (left,) = set(os.listdir(tmp_path)) - {"m"}
    assert left.startswith(".petrain-")
    save_tensors(tmp_path / "m", LARGE)  # what is left is in nobody's way
    assert_same(load_tensors(tmp_path / "m")[0], LARGE)


def test_permissions_follow_the_umask_or_the_old_file(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        save_tensors(tmp_path / "m", {})
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o640
    (tmp_path / "m").chmod(0o600)
    save_tensors(tmp_path / "m", LARGE)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "message"),
    [
        ({"w": np.zeros(2, np.uint16)}, None, ValueError, 'tensor "w": expected dtype float32, .*, got uint16'),
        ({"w": np.zeros(2, ">f4")}, None, ValueError, 'tensor "w": expected native byte order, got >f4'),
        ({"w": np.zeros((4, 4))[:, ::2]}, None, ValueError, 'tensor "w": expected a C-contiguous array'),
        ({"w": np.zeros([1] * 33)}, None, ValueError, "at most 32 dimensions, got 33"),
        ({"__metadata__": np.zeros(1)}, None, ValueError, "this name is reserved"),
        ({"\udc80": np.zeros(1)}, None, ValueError, "tensor name: expected text that UTF-8 can hold"),
        ({1: np.zeros(1)}, None, TypeError, "tensor name: expected text, got int"),
        ({"w": [1.0]}, None, TypeError, 'tensor "w": expected a NumPy array or a CPU tensor, got list'),
        ({}, {"epoch": 3}, TypeError, "metadata 'epoch': expected text, got int"),
        ({}, {b"k": "v"}, TypeError, "metadata name: expected text, got bytes"),
        ({}, {"k": "\ud800"}, ValueError, "metadata 'k': expected text that UTF-8 can hold"),
    ],
)
def test_what_cannot_be_stored(tensors: object, metadata: object, error: type[Exception], message: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with pytest.raises(error, match=message):
            save_tensors(f"{folder}/m", tensors, metadata)  # type: ignore[arg-type]
        assert os.listdir(folder) == []
