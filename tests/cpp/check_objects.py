"""Checks the kernel boundary (docs/isa.md) on the object files of one instruction set.

    check_objects.py --isa ISA --base BASE --nm NM --readelf READELF OBJECT ...
    check_objects.py --isa ISA --nm NM --readelf READELF --self-test COMPILER

What inline code compiled with AVX flags leaves behind, a weak symbol, the linker shares with the whole program, and
a machine without AVX then runs it. So an object file may define nothing but its own tables, needs nothing that
other instruction sets define, and runs nothing before main. A set that extends another one, its base, may use
the base's tables.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# What a compiler calls by itself, and functions whose result IEEE 754 or C fixes to the last bit.
MEMORY = {"memcpy", "memmove", "memset", "memcmp", "_GLOBAL_OFFSET_TABLE_"}
EXACT_MATH = {
    name + suffix
    for name in ("sqrt", "fma", "floor", "ceil", "trunc", "round", "rint", "nearbyint", "lrint", "ldexp", "fmod")
    for suffix in ("", "f")
}


class Objects:
    def __init__(self, isa: str, base: str, nm: str, readelf: str) -> None:
        self.isa, self.base, self.nm, self.readelf = isa, base, nm, readelf
        self.defined: set[str] = set()
        self.used: set[str] = set()
        self.needed: set[str] = set()
        self.problems: list[str] = []

    def is_table(self, symbol: str, isa: str) -> bool:
        """Whether this is the mangled symbol of a table petrain::kernels::<name>_<isa>."""
        found = re.fullmatch(r"_ZN7petrain7kernels(\d+)(\w+)E", symbol)
        return found is not None and len(found[2]) == int(found[1]) and found[2].endswith(f"_{isa}")

    def read(self, path: Path) -> None:
        for line in output(self.nm, "-P", str(path)).splitlines():
            symbol, kind = line.split()[:2]
            if kind in "WwVvu":
                self.problems.append(f"{path.name}: weak symbol {symbol} (nm type {kind})")
            elif kind == "U":
                self.needs(path, symbol)
            elif kind.isupper():
                if self.is_table(symbol, self.isa):
                    self.defined.add(symbol)
                else:
                    self.problems.append(f"{path.name}: global symbol {symbol} is not a table of {self.isa}")
        for section in re.findall(r"\.(?:init_array|ctors|preinit_array)\b", output(self.readelf, "-SW", str(path))):
            self.problems.append(f"{path.name}: section {section}: a static object has a constructor")

    def needs(self, path: Path, symbol: str) -> None:
        if self.is_table(symbol, self.isa):
            self.used.add(symbol)
        elif self.is_table(symbol, self.base):
            return
        elif symbol in MEMORY | EXACT_MATH:
            self.needed.add(symbol)
        else:
            self.problems.append(f"{path.name}: needs {symbol}, which a kernel may not call")

    def check(self, paths: list[Path]) -> list[str]:
        for path in paths:
            self.read(path)
        self.problems += [f"{symbol} is used but not defined" for symbol in sorted(self.used - self.defined)]
        if not self.defined:
            self.problems.append("no table is defined")
        return self.problems


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# What each piece of code must be reported as; None: as nothing.
SELF_TEST = {
    "namespace { int f() { return 1; } } extern const Table TABLE = {f};": None,
    "extern const Table f_base; extern const Table* const TABLE = &f_base;": None,
    "inline int f() { return 1; } extern const Table TABLE = {f};": "weak symbol",
    "template <class T> int f() { return T(1); } extern const Table TABLE = {f<int>};": "weak symbol",
    "inline int count = 0; namespace { int f() { return count++; } } extern const Table TABLE = {f};": "weak symbol",
    "int f() { return 1; } extern const Table TABLE = {f};": "is not a table of",
    "extern const Table optim_other = {nullptr};": "is not a table of",
    "int g(); namespace { int f() { return g(); } } extern const Table TABLE = {f};": "which a kernel may not call",
    "int g(); namespace { int n = g(); int f() { return n; } } extern const Table TABLE = {f};": "has a constructor",
    "extern const Table unused_ISA; extern const Table* const TABLE = &unused_ISA;": "is used but not defined",
    "namespace { [[maybe_unused]] int f() { return 1; } }": "no table is defined",
}


def self_test(isa: str, nm: str, readelf: str, compiler: str) -> int:
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for code, expected in SELF_TEST.items():
            source, target = Path(folder) / "code.cpp", Path(folder) / "code.o"
            body = code.replace("TABLE", f"optim_{isa}").replace("ISA", isa)
            source.write_text(f"namespace petrain::kernels {{ struct Table {{ int (*f)(); }};\n{body}\n}}\n")
            output(compiler, "-std=c++20", "-O1", "-fPIC", "-fvisibility=hidden", "-c", str(source), "-o", str(target))
            problems = Objects(isa, "base", nm, readelf).check([target])
            caught = any(expected in problem for problem in problems) if expected else not problems
            print(f"{'ok  ' if caught else 'FAIL'} {expected or 'nothing to report'}: {code}")
            failures += not caught
    return failures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--isa", required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--nm", required=True)
    parser.add_argument("--readelf", required=True)
    parser.add_argument("--self-test", metavar="COMPILER")
    parser.add_argument("objects", type=Path, nargs="*")
    args = parser.parse_args()
    if args.self_test:
        sys.exit(1 if self_test(args.isa, args.nm, args.readelf, args.self_test) else 0)
    objects = Objects(args.isa, args.base, args.nm, args.readelf)
    problems = objects.check(args.objects)
    print(
        f"kernels {args.isa}: {len(args.objects)} object files, {len(objects.defined)} tables, "
        f"{len(problems)} problems; calls {', '.join(sorted(objects.needed)) or 'nothing'}"
    )
    print("".join(f"  {problem}\n" for problem in problems), end="")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
