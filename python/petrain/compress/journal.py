"""Results that outlive the process: one line of JSON each, in the order of the work."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from petrain import _core

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FORMAT = "petrain scores 2"


class Journal:
    """A file of results that a killed process leaves as far as it came.

    The first line says what the results are of. A line counts once its end was written, and is synced before the next
    result is made: what a kill cut short is removed when the file is opened again. All of it is read and written under
    a lock.

    Args:
        path: where it is, or is to be.
        job: what the results are of: they are taken up only where it is the same.

    Raises:
        petrain.Error: there is a file that is no journal. It is as it was.
        ValueError: the journal is of another job. It is as it was.
        OSError: it cannot be read or written, or another process is writing it.
    """

    def __init__(self, path: str | os.PathLike[str], job: str) -> None:
        self.path = Path(path)
        self.records: list[dict[str, Any]] = []
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._lock()
            self._begin(job)
        except BaseException:
            os.close(self._file)
            raise

    def append(self, record: dict[str, Any]) -> None:
        """Write one result: numbers and text."""
        _write(self._file, _line(record))
        self.records.append(record)

    def close(self) -> None:
        os.close(self._file)

    def _lock(self) -> None:
        """Until the file is closed: two that write one file would spoil it."""
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(error.errno, "another process is writing this file", str(self.path)) from None

    def _begin(self, job: str) -> None:
        """Take up the lines that are whole, and remove what a kill cut short."""
        data = self.path.read_bytes()
        first = _line({"format": FORMAT, "job": job})
        whole = data.rfind(b"\n") + 1
        if whole == 0 and first.startswith(data):
            os.ftruncate(self._file, 0)
            _write(self._file, first)
            return
        try:
            header, *records = [json.loads(line) for line in data[:whole].splitlines()]
            if header["format"] != FORMAT or not isinstance(header["job"], str):
                raise ValueError
            if not all(isinstance(record, dict) for record in records):
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _core.Error(f"{self.path}: expected a file of {FORMAT!r}, got another") from None
        if header["job"] != job:
            raise ValueError(
                f"progress: expected the scores of these layers and candidates (job {job[:12]}), got those of others "
                f"(job {header['job'][:12]}) in {self.path}"
            )
        self.records = records
        os.ftruncate(self._file, whole)


def replace_json(path: Path, record: dict[str, Any]) -> None:
    """Write a file of one line: under another name, synced and renamed."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            _write(file, _line(record))
        finally:
            os.close(file)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _line(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, allow_nan=False) + "\n").encode()


def _write(file: int, line: bytes) -> None:
    left = memoryview(line)
    while left:
        left = left[os.write(file, left) :]
    os.fsync(file)
