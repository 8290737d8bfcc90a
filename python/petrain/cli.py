"""The entry point of the command line. What it needs beyond NumPy comes with the extra "demo"."""

from __future__ import annotations

import sys

_EXTRA = {"matplotlib", "rich", "sklearn", "typer"}


def main() -> None:
    """Run ``petrain`` with the arguments of the process."""
    try:
        from petrain.commands import app

        app(prog_name="petrain")
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        sys.exit(f"petrain: this command needs {package}; install it with: pip install 'petrain[demo]'")
