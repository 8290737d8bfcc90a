"""Files that lie: each is refused with a petrain.Error that says what was expected and what came."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import petrain
import pytest
from petrain.files import load_tensors

pytestmark = pytest.mark.once


def lay(header: str | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: object = "U8", shape: object = (1,), offsets: object = (0, 1)) -> str:
    return json.dumps({"dtype": dtype, "shape": shape, "data_offsets": offsets})


def one(dtype: object = "U8", shape: object = (1,), offsets: object = (0, 1), data: bytes = b"x") -> bytes:
    return lay('{"w":' + entry(dtype, shape, offsets) + "}", data)


TWO = '{"v":%s,"w":%s}'
INTEGER = 'tensor "w": shape: expected an integer of at least 0 and below 2^63, got '

# What lies -> (the file, part of the message).
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "expected at least 8 bytes, for the length of the header, got 0"),
    "cut in the length": (b"\x08\0\0", "expected at least 8 bytes, for the length of the header, got 3"),
    "no header": (lay(""), "header: expected it to begin with {, got nothing"),
    "header longer than the file": (lay("{}", length=3), "expected a header of 3 bytes, got a file with 2 bytes"),
    "header above the limit": (lay("{}", length=100_000_001), "expected a header of at most 100000000 bytes, got 1000"),
    "length that turns over": (lay("{}", length=2**64 - 8), "expected a header of at most 100000000 bytes, got 18446"),
    "header is an array": (lay("[]"), 'header: expected it to begin with {, got "["'),
    "header begins with a space": (lay(" {}"), 'header: expected it to begin with {, got " "'),
    "header begins with a byte order mark": (lay("\ufeff{}"), "expected it to begin with {"),
    "header is cut": (lay('{"w":{"dtype":"U8"'), "header: expected JSON, got an error at byte 19"),
    "text after the header": (lay("{} {}"), "header: expected JSON, got an error at byte 4"),
    "null byte hides the rest": (lay(b"{}\0{}"), "header: expected text, got a null byte at byte 2"),
    "comment": (lay("{/* */}"), "header: expected JSON"),
    "name is not UTF-8": (lay(b'{"\xff":{}}'), "ill-formed UTF-8"),
    "half a surrogate pair": (lay('{"\\ud800":{}}'), "header: expected JSON"),
    "number too large for JSON": (lay('{"w":{"shape":[1e999]}}'), "number overflow"),
    "deep arrays": (lay('{"w":' + "[" * 100_000), 'tensor "w": expected an object, got an array'),
    "deep objects": (lay('{"w":' * 100_000), 'tensor "w": expected dtype, shape and data_offsets, got "w"'),
    "deep shape": (lay('{"w":{"shape":[' + "[" * 100_000), 'tensor "w": shape: expected an integer of at least 0'),
    "tensor is null": (lay('{"w":null}'), 'tensor "w": expected an object, got null'),
    "tensor is empty": (lay('{"w":{}}'), 'tensor "w": expected a field dtype, got none'),
    "no shape": (lay('{"w":{"dtype":"U8","data_offsets":[0,0]}}'), "expected a field shape, got none"),
    "no offsets": (lay('{"w":{"dtype":"U8","shape":[0]}}'), "expected a field data_offsets, got none"),
    "unknown field": (lay('{"w":{"dtype":"U8","strides":[1]}}'), 'data_offsets, got "strides"'),
    "same tensor twice": (lay(f'{{"w":{entry()},"w":{entry()}}}', b"x"), 'expected each key once, got "w" again'),
    "same tensor escaped": (
        lay(f'{{"w":{entry()},"\\u0077":{entry()}}}', b"x"),
        'expected each key once, got "w" again',
    ),
    "same field twice": (lay('{"w":{"dtype":"U8","dtype":"U8"}}'), "expected each field once, got dtype again"),
    "unknown dtype": (one("F8_E4M3"), 'expected one of I64, F64, F32, I32, BF16, F16, I8, U8, got "F8_E4M3"'),
    "dtype in lower case": (one("u8"), 'tensor "w": dtype: expected one of'),
    "dtype is a number": (one(8), 'tensor "w": dtype: expected text, got 8'),
    "shape is text": (one(shape="1"), 'tensor "w": shape: expected an array of integers, got "1"'),
    "negative extent": (one(shape=(-1, -1)), INTEGER + "-1"),
    "minus zero": (lay('{"w":{"shape":[-0]}}'), "got -0"),
    "extent with a point": (one(shape=(1.0,)), INTEGER + '"1.0"'),
    "extent with an exponent": (lay('{"w":{"shape":[1e3]}}'), 'got "1e3"'),
    "extent is true": (one(shape=(True,)), 'tensor "w": shape: expected an integer of at least 0'),
    "extent above int64": (one(shape=(2**63,)), "below 2^63, got 9223372036854775808"),
    "extent above uint64": (one(shape=(2**64 + 1,)), 'below 2^63, got "18446744073709551617"'),
    "product turns over to 0": (one(shape=(2**32, 2**32)), 'tensor "w": shape (4294967296, 4294967296) has too many'),
    "product turns over to 1": (one(shape=(2**63 - 1, 2**63 - 1)), "has too many elements"),
    "product times dtype turns over": (one("F64", (2**61,), (0, 0), b""), "has too many elements"),
    "huge shape": (
        one(shape=(2**40,)),
        'tensor "w": expected 1099511627776 bytes for uint8 (1099511627776,), got data_offs',
    ),
    "huge shape and offsets": (one(shape=(2**59,), offsets=(0, 2**59)), "expected data_offsets within the 1 bytes"),
    "too many dimensions": (one(shape=[1] * 33), 'tensor "w": shape: expected at most 32 dimensions, got more'),
    "shape larger than offsets": (
        one(shape=(2,)),
        'tensor "w": expected 2 bytes for uint8 (2,), got data_offsets [0, 1]',
    ),
    "shape smaller than offsets": (one(shape=(), offsets=(0, 2), data=b"xx"), "expected 1 bytes for uint8 ()"),
    "empty shape with data": (
        one(shape=(0, 5)),
        'tensor "w": expected 0 bytes for uint8 (0, 5), got data_offsets [0, 1]',
    ),
    "offsets fall": (
        one(offsets=(1, 0)),
        'tensor "w": expected data_offsets that do not fall, got data_offsets [1, 0]',
    ),
    "offsets turn over": (one(offsets=(2**64 - 1, 0)), "expected data_offsets that do not fall"),
    "negative offset": (one(offsets=(-1, 0)), 'tensor "w": data_offsets: expected an integer of at least 0'),
    "one offset": (one(offsets=(1,)), 'tensor "w": data_offsets: expected two numbers, got 1'),
    "three offsets": (one(offsets=(0, 1, 2)), 'tensor "w": data_offsets: expected two numbers, got more'),
    "offsets are an object": (
        one(offsets={}),
        'tensor "w": data_offsets: expected an array of integers, got an object',
    ),
    "hole at the start": (one(offsets=(1, 2), data=b"xx"), "expected data_offsets that begin at 0"),
    "hole": (lay(TWO % (entry(), entry(offsets=(2, 3))), b"xyz"), 'tensor "w": expected data_offsets that begin at 1'),
    "overlap": (lay(TWO % (entry(shape=(2,), offsets=(0, 2)), entry(offsets=(1, 2))), b"xy"), "that begin at 2"),
    "same bytes twice": (lay(TWO % (entry(), entry()), b"x"), 'tensor "w": expected data_offsets that begin at 1'),
    "offsets beyond the file": (one(shape=(2,), offsets=(0, 2)), "expected data_offsets within the 1 bytes of data"),
    "data is cut": (
        one("F32", (2,), (0, 8), b"1234567"),
        "expected data_offsets within the 7 bytes of data in the file",
    ),
    "data after the last tensor": (one(data=b"xy"), "expected 1 bytes of data, as the header says, got 2"),
    "data without tensors": (lay("{}", b"x"), "expected 0 bytes of data, as the header says, got 1"),
    "metadata is text": (lay('{"__metadata__":"x"}'), '__metadata__: expected an object, got "x"'),
    "metadata holds a number": (lay('{"__metadata__":{"k":1}}'), '__metadata__ "k": expected text, got 1'),
    "metadata holds an object": (lay('{"__metadata__":{"k":{}}}'), '__metadata__ "k": expected text, got an object'),
    "metadata twice": (
        lay('{"__metadata__":{},"__metadata__":{}}'),
        'expected each key once, got "__metadata__" again',
    ),
    "metadata key twice": (lay('{"__metadata__":{"k":"1","k":"2"}}'), '__metadata__ "k": expected each key once'),
    "metadata is a tensor": (lay('{"__metadata__":' + entry() + "}", b"x"), '__metadata__ "shape": expected text'),
    "name that steers a terminal": (lay('{"\\u001b[2J\\u202e\x7f":1}'), r'tensor "\u001b[2J\u202e\u007f": expected an'),
    "name that floods": (lay('{"' + "n" * 10**6 + '":1}'), 'nnn"… (1000000 bytes): expected an object, got 1'),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file(case: str, tmp_path: Path) -> None:
    data, message = HOSTILE[case]
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    with pytest.raises(petrain.Error) as caught:
        load_tensors(path)
    text = str(caught.value)
    assert message in text
    assert text.startswith(f'"{path}": ')
    assert len(text) < 600


def test_a_header_alone_takes_no_memory_for_its_tensors(tmp_path: Path) -> None:
    """Two tensors of 1 GiB each in a file of 1 kB: refused within an address space that could not hold them."""
    text = TWO % (entry(shape=(2**30,), offsets=(0, 2**30)), entry(shape=(2**30,), offsets=(2**30, 2**31)))
    (tmp_path / "m").write_bytes(lay(text, b"x" * 1000))
    code = """if True:
        import resource, sys, petrain
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, resource.getrlimit(resource.RLIMIT_AS)[1]))
        try:
            petrain.files.load_tensors(sys.argv[1])
        except petrain.Error as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "m"], capture_output=True, text=True, check=True)
    assert "within the 1000 bytes of data" in done.stdout
