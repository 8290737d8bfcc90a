#!/bin/sh
# Says in one line what a machine lacks to build petrain. Usage: preflight.sh PYTHON
python=$1

missing() {
  echo "petrain: $1" >&2
  exit 1
}

command -v "$python" >/dev/null ||
  missing "no '$python' found: install Python 3.10 or newer, or say make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  missing "Python 3.10 or newer is needed, '$python' is $("$python" --version 2>&1): say make PYTHON=/path/to/python3"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
  missing "'$python' has no venv module: install it (Debian, Ubuntu: apt-get install python3-venv)"

compiler=${CXX:-}
if [ -z "$compiler" ]; then
  for name in c++ g++ clang++; do
    if command -v $name >/dev/null; then
      compiler=$name
      break
    fi
  done
fi
# Unquoted, here and below: CXX may be "ccache g++".
[ -n "$compiler" ] && command -v ${compiler%% *} >/dev/null ||
  missing "no C++ compiler '${compiler:-c++}' found: install one (Debian, Ubuntu: apt-get install g++), or set CXX"
printf '#include <concepts>\n#include <span>\nint main() { return std::integral<int> ? 0 : 1; }\n' |
  $compiler -std=c++20 -x c++ -fsyntax-only - 2>/dev/null ||
  missing "'$compiler' cannot compile C++20: install g++ 10 or clang 12 or newer, or set CXX"
