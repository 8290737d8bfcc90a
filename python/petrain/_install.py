"""Where this installation keeps what a C++ program needs.

The paths follow the compiled module, not this file: in an editable install the two lie in different folders.
"""

from pathlib import Path

from petrain import _core


def get_include() -> str:
    """The folder with the C++ headers.

    >>> import os
    >>> os.path.exists(os.path.join(get_include(), "petrain", "optim.hpp"))
    True
    """
    return str(Path(_core.__file__).parent / "include")


def get_cmake_dir() -> str:
    """The folder with petrainConfig.cmake: pass it to CMake as ``-Dpetrain_DIR=…``.

    >>> import os
    >>> os.path.exists(os.path.join(get_cmake_dir(), "petrainConfig.cmake"))
    True
    """
    return str(Path(_core.__file__).parent / "lib" / "cmake" / "petrain")
