"""Runs every check of petrain, or those named as arguments, and ends with a table. `make test` calls it.

Runs under the Python of the test environment. A part's output is kept in build/checks/ and shown where it fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
LOGS = ROOT / "build" / "checks"
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}


class PartError(Exception):
    """Carries the output of what failed."""


class PartSkippedError(Exception):
    """Carries the reason."""


def run(*command: object, **variables: str) -> str:
    """The output of a command, which must succeed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**ENVIRONMENT, **variables},
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        text = f"$ {' '.join(map(str, command))}\n{done.stdout}\nexit code {done.returncode}"
        if variables:
            text = " ".join(f"{name}={value}" for name, value in variables.items()) + " " + text
        raise PartError(text)
    return done.stdout


def cpp_files() -> Iterator[Path]:
    for folder in ("cpp", "tests"):
        for suffix in ("cpp", "hpp"):
            yield from sorted((ROOT / folder).rglob(f"*.{suffix}"))


def lint() -> str:
    output = run("ruff", "check") + run("ruff", "format", "--check")
    return output + run("clang-format", "--dry-run", "-Werror", *cpp_files())


def types() -> str:
    return run("mypy")


def stub() -> str:
    return run(sys.executable, "scripts/stubs.py", "--check")


def build(preset: str, *options: str, target: str = "all") -> str:
    output = run("cmake", "--preset", preset, f"-DPETRAIN_PYTHON={sys.executable}", *options)
    return output + run("cmake", "--build", "--preset", preset, "--target", target)


def build_and_test(preset: str, *options: str) -> str:
    return build(preset, *options) + run("ctest", "--preset", preset, "--verbose")


def cpp() -> str:
    return build_and_test("default")


def aarch64() -> str:
    needed = {"aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "qemu-aarch64": "qemu-user"}
    missing = [package for program, package in needed.items() if shutil.which(program) is None]
    if missing:
        raise PartSkippedError(f"needs {' '.join(missing)} (apt-get install {' '.join(missing)})")
    return build_and_test("aarch64")


def sanitize() -> str:
    return build_and_test("asan-ubsan")


def tsan() -> str:
    clang = find_clang("-fsanitize=thread", "-fopenmp=libomp")
    if clang is None:
        raise PartSkippedError("needs clang with libomp (apt-get install clang-14 libclang-rt-14-dev libomp-14-dev)")
    return build_and_test("tsan", f"-DCMAKE_CXX_COMPILER={clang}")


def tidy() -> str:
    return build("tidy")


def find_clang(*flags: str) -> str | None:
    """A clang++ that can build a program with these flags."""
    for name in ["clang++", *(f"clang++-{version}" for version in range(22, 11, -1))]:
        if shutil.which(name) is None:
            continue
        entry = 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }'
        source = entry if "fuzzer" in flags[0] else "int main() {}"
        command = [name, *flags, "-x", "c++", "-", "-o", str(LOGS / "probe")]
        if subprocess.run(command, input=source.encode(), capture_output=True, check=False).returncode == 0:
            return name
    return None


def fuzz() -> str:
    clang = find_clang("-fsanitize=fuzzer,address")
    if clang is None:
        raise PartSkippedError("needs clang with libFuzzer (apt-get install clang-14 libclang-rt-14-dev)")
    return build("fuzz", f"-DCMAKE_CXX_COMPILER={clang}") + run("ctest", "--preset", "fuzz", "--verbose")


def pytest(isa: str, threads: int, *options: str) -> str:
    workers = ("-n", "2", "--dist", "loadfile")  # no test times, so that they may run side by side
    return run(sys.executable, "-m", "pytest", *workers, *options, PETRAIN_ISA=isa, OMP_NUM_THREADS=str(threads))


def pairs() -> str:
    return "".join(pytest(isa, 1 + i % 2, "-m", "not once") for i, isa in enumerate(available_isas()))


def exhaustive() -> str:
    output = build("default", target="exhaustive_int_gemm")
    return output + run("ctest", "--preset", "default", "-C", "on_request", "-R", "exhaustive", "--verbose")


def kills() -> str:
    return run(sys.executable, "-m", "pytest", "tests/test_compress_progress.py", "-k", "killed", PETRAIN_KILLS="100")


def certificates() -> str:
    return run(sys.executable, "tests/fuzz_certificates.py", 10_000)


def available_isas() -> list[str]:
    return run(sys.executable, "-c", "import petrain; print(*petrain.cpu_info()['available'])", PETRAIN_ISA="").split()


def doctest() -> str:
    return run(sys.executable, "-m", "pytest", "--doctest-modules", "--pyargs", "petrain")


Part = tuple[str, Callable[[], str]]


PYTEST = "pytest"


def parts(wanted: list[str]) -> Iterator[Part]:
    yield "lint", lint
    yield "types", types
    yield "stub", stub
    yield "c++", cpp
    # Every instruction set and both numbers of threads; the other pairs are the part "pairs".
    isas = available_isas() if not wanted or PYTEST in wanted else []
    runs = [(isa, 2 - i % 2) for i, isa in enumerate(isas)]
    for isa, threads in runs:  # the last one runs the tests marked "once" too
        options = () if (isa, threads) == runs[-1] else ("-m", "not once")
        yield f"{PYTEST} {isa} {threads}t", partial(pytest, isa, threads, *options)
    yield "doctest", doctest
    yield "aarch64", aarch64


# Slow: run where they are named.
ON_REQUEST: list[Part] = [
    ("pairs", pairs),
    ("exhaustive", exhaustive),
    ("kills", kills),
    ("certificates", certificates),
    ("fuzz", fuzz),
    ("asan-ubsan", sanitize),
    ("tsan", tsan),
    ("tidy", tidy),
]


def last_line(output: str) -> str:
    """What a tool says in closing: a count of tests, mostly."""
    for pattern in (r"\d+% tests passed.*", r"=+ (\d+ (?:passed|skipped).*?) =+$", r"Done \d+ runs.*"):
        found = re.findall(pattern, output, re.MULTILINE)
        if found:
            return str(found[0])
    lines = output.strip().splitlines()
    return lines[-1][:90] if lines else ""


def run_part(name: str, check: Callable[[], str]) -> tuple[str, str, float, str]:
    print(f"{name} …", flush=True)
    start = time.monotonic()
    try:
        output = check()
        status, detail = "ok", last_line(output)
        for line in re.findall(r"^(?:SKIPPED |\d+: kernels |\d+: digest ).*", output, re.MULTILINE):
            print(f"  {line}")
    except PartSkippedError as reason:
        output, status, detail = str(reason), "skipped", str(reason)
    except PartError as failure:
        output, status, detail = str(failure), "failed", "see above"
        print(output, flush=True)
    (LOGS / f"{name.replace(' ', '-')}.log").write_text(output)
    return name, status, time.monotonic() - start, detail


def main() -> None:
    LOGS.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[1:]
    usual = list(parts(wanted))
    known = dict.fromkeys([PYTEST, *(name.split()[0] for name, _ in [*usual, *ON_REQUEST])])
    if unknown := [name for name in wanted if name not in known]:
        sys.exit(f"petrain: expected parts among {', '.join(known)}, got {', '.join(unknown)}")
    chosen = [part for part in [*usual, *ON_REQUEST] if part[0].split()[0] in wanted] if wanted else usual
    results = [run_part(name, check) for name, check in chosen]
    width = max(len(name) for name, *_ in results)
    print()
    for name, status, seconds, detail in results:
        print(f"{name:{width}}  {status:7}  {seconds:6.1f} s  {detail}")
    count = {status: sum(result[1] == status for result in results) for status in ("ok", "failed", "skipped")}
    print(f"\n{count['ok']} passed, {count['failed']} failed, {count['skipped']} skipped")
    sys.exit(1 if count["failed"] else 0)


if __name__ == "__main__":
    main()
