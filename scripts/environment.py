"""Makes a virtual environment and installs petrain into it, unless that is done already.

    environment.py VENV [--isolated] EXTRAS [REQUIREMENT ...]

Two stamp files in the environment hold a digest of what was installed from what: one for the requirements, one for
the package. With --isolated, pip builds the package as it does for a user; else with the build requirements in the
environment and in the folder build/, so that a changed file compiles alone.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CMAKE_NEEDED = (3, 24)


def sources() -> list[Path]:
    """The files that the installed package is made from."""
    files = [ROOT / name for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE")]
    for folder in ("cmake", "cpp", "python"):
        files += sorted(p for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix != ".pyc")
    return files


def digest(*facts: object, files: list[Path]) -> str:
    state = hashlib.sha256(repr(facts).encode())
    for file in files:
        state.update(f"\0{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return state.hexdigest()


def build_requirements() -> list[str]:
    """[build-system] requires, and the CMake and Ninja that the machine lacks."""
    found = re.search(r"^requires = (\[.*?\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, "pyproject.toml has no build-system requires"
    requirements = list(ast.literal_eval(found[1]))
    if cmake_version() < CMAKE_NEEDED:
        requirements.append("cmake>=" + ".".join(map(str, CMAKE_NEEDED)))
    if shutil.which("ninja") is None:
        requirements.append("ninja")
    return requirements


def cmake_version() -> tuple[int, ...]:
    if shutil.which("cmake") is None:
        return (0,)
    text = subprocess.run(["cmake", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0,)


def once(stamp: Path, value: str, message: str, command: list[str]) -> None:
    """Runs the command unless the stamp says that it has been run for this value."""
    if stamp.exists() and stamp.read_text() == value:
        return
    stamp.unlink(missing_ok=True)
    print(message, flush=True)
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        sys.exit(f"petrain: failed: {' '.join(command)}")
    stamp.write_text(value)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("venv", type=Path)
    parser.add_argument("--isolated", action="store_true")
    parser.add_argument("extras")
    parser.add_argument("requirements", nargs="*")
    args = parser.parse_args()

    venv = ROOT / args.venv
    python = venv / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    version = sys.version
    # The venv itself: made anew for another Python, whose packages these would not be.
    if not (venv / ".python").exists() or (venv / ".python").read_text() != version:
        command = [sys.executable, "-m", "venv", "--clear", str(venv)]
        once(venv / ".python", version, f"{args.venv}: making it", command)

    requirements = [*args.requirements] if args.isolated else [*args.requirements, *build_requirements()]
    wanted = digest(requirements, files=[])
    if requirements:
        message = f"{args.venv}: installing {' '.join(requirements)}"
        once(venv / ".requirements", wanted, message, [*pip, *requirements])
    isolation = [] if args.isolated else ["--no-build-isolation"]
    once(
        venv / ".package",
        digest(wanted, args.extras, files=sources()),
        f"{args.venv}: building and installing petrain[{args.extras}]",
        [*pip, *isolation, f".[{args.extras}]"],
    )


if __name__ == "__main__":
    main()
