"""Rows of quantized tables: the bytes of the whole table, dequantized, at the same rows."""

import subprocess
import sys

import numpy as np
import pytest
from petrain import quant

FORMATS = [
    {"bits": bits, "scheme": scheme, **granularity}
    for bits in (8, 4)
    for scheme in ("symmetric", "asymmetric")
    for granularity in (
        {"granularity": "tensor"},
        {},
        {"axis": 1},
        {"granularity": "group", "group_size": 32},
        {"granularity": "group", "group_size": 32, "axis": 1},
    )
]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_rows_are_those_of_the_whole(form, dtype, rng):
    q = quant.quantize(rng.standard_normal((64, 96), np.float32), **form)
    whole, ids = q.dequantize(dtype), rng.integers(0, 64, (5, 7))
    rows = quant.embedding(ids, q, dtype)
    assert (rows.dtype, rows.shape, rows.tobytes()) == (whole.dtype, (5, 7, 96), whole[ids].tobytes())


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("width", [1, 3, 5000, 9001])
def test_any_width(bits, width, rng):
    q = quant.quantize(rng.standard_normal((7, width), np.float32), bits)
    ids = np.array([6, 0, 3, 3, 5])
    assert quant.embedding(ids, q).tobytes() == q.dequantize()[ids].tobytes()


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"])
def test_ids_of_any_shape_and_type(kind, rng):
    q = quant.quantize(rng.standard_normal((7, 4), np.float32))
    whole = q.dequantize()
    for ids in (np.array(3, kind), np.arange(6, dtype=kind)[::2], np.zeros((2, 0), kind), np.ones((2, 1, 3), kind)):
        rows = quant.embedding(ids, q)
        assert (rows.shape, rows.tobytes()) == ((*ids.shape, 4), whole[ids].tobytes())
    assert quant.embedding([], q).shape == (0, 4)


def test_threads_change_nothing(rng, threads):
    q = quant.quantize(rng.standard_normal((50, 300), np.float32), 4)
    ids = rng.integers(0, 50, 999)
    threads(1)
    rows = quant.embedding(ids, q)
    for count in (2, 3, 7):
        threads(count)
        assert quant.embedding(ids, q).tobytes() == rows.tobytes()


TABLE = quant.quantize(np.ones((3, 4), np.float32))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0, 3], r"ids: expected 0 to 2, got 3 at index \(1,\)"),
        ([[0, 1], [-1, 9]], r"ids: expected 0 to 2, got -1 at index \(1, 0\)"),
        (np.array([2**64 - 1], np.uint64), "ids: expected less than 2"),
    ],
)
def test_an_id_without_a_row_is_named(ids, message):
    with pytest.raises(IndexError, match=message):
        quant.embedding(ids, TABLE)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="ids: expected integers, got float64"):
        quant.embedding([0.0], TABLE)
    with pytest.raises(ValueError, match=r"table: expected two dimensions, got shape \(3,\)"):
        quant.embedding([0], quant.quantize(np.ones(3, np.float32)))
    with pytest.raises(ValueError, match='dtype: expected "float32", "float16" or "bfloat16", got "int8"'):
        quant.embedding([0], TABLE, "int8")
    with pytest.raises(TypeError, match="q: expected a QuantTensor, got ndarray"):
        quant.embedding([0], np.ones((3, 4)))


RACE = """
import threading
import time
import numpy as np
from petrain import quant

table, ids, stop = quant.quantize(np.ones((4, 8), np.float32)), np.zeros(200_000, np.int64), threading.Event()


def write():
    while not stop.is_set():
        ids[:] = 3
        ids[:] = 1_000_000


thread = threading.Thread(target=write)
thread.start()
end, returned, refused = time.monotonic() + 1, 0, 0
while time.monotonic() < end:
    try:
        quant.embedding(ids, table)
        returned += 1
    except IndexError:
        refused += 1
stop.set()
thread.join()
print(returned + refused)
"""


@pytest.mark.once
def test_ids_that_another_thread_changes_do_no_harm():
    done = subprocess.run([sys.executable, "-c", RACE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
