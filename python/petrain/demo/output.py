"""The output folder: files are finished in a folder of their own, and moved to their places when all of them are."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

ORIGINAL, COMPRESSED = "original.safetensors", "compressed.safetensors"
REPORT, METRICS = "report.html", "metrics.json"
FILES = (ORIGINAL, COMPRESSED, METRICS, REPORT)


class Output:
    """A staging folder inside ``folder``, whose files move up with :meth:`publish`.

    Raises:
        OSError: the folder cannot be written; found before any work is done.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._created: list[Path] = []
        try:
            self._created = _missing(folder)
            folder.mkdir(parents=True, exist_ok=True)
            for name in FILES:
                if (folder / name).is_dir():
                    raise IsADirectoryError(f"expected a file, got a folder: {folder / name}")
            self.staging = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
        except OSError as error:
            self._remove_created()
            raise OSError(f"cannot write to the folder {folder}: {error.strerror or error}") from None

    def write(self, name: str, text: str) -> None:
        with open(self.staging / name, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def publish(self) -> list[Path]:
        """Move the finished files into the folder, in the place of older ones."""
        for name in FILES:
            os.replace(self.staging / name, self.folder / name)
        return [self.folder / name for name in FILES]

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        shutil.rmtree(self.staging, ignore_errors=True)
        if kind is not None:
            self._remove_created()

    def _remove_created(self) -> None:
        for folder in self._created:
            try:
                folder.rmdir()  # only where nothing is in it
            except OSError:
                return


def _missing(folder: Path) -> list[Path]:
    """The folders that have to be made, the deepest first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]
