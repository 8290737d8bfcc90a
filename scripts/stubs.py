"""Writes python/petrain/_core.pyi from the installed extension; with --check, only compares."""

from __future__ import annotations

import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

STUB = Path(__file__).resolve().parent.parent / "python" / "petrain" / "_core.pyi"


def generate() -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "petrain._core", "--exit-code", "-o", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        stub = Path(folder) / "petrain" / "_core.pyi"
        ruff = [sys.executable, "-m", "ruff", "format", "--quiet", "--isolated", "--line-length", "120", str(stub)]
        subprocess.run(ruff, check=True)
        return stub.read_text()


def main() -> None:
    new = generate()
    if "--check" not in sys.argv[1:]:
        STUB.write_text(new)
        return
    old = STUB.read_text()
    if new != old:
        lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), "committed", "generated")
        sys.exit("".join(lines) + "\n_core.pyi is not what the extension says: run `make stubs`")


if __name__ == "__main__":
    main()
