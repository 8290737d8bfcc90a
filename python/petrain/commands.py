"""The commands of ``petrain``. Each checks its arguments and calls the package that does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import petrain

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"petrain {petrain.__version__}")
        raise typer.Exit


@app.callback()
def petrain_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train and shrink neural networks on a CPU."""


@app.command()
def info() -> None:
    """Show what petrain found in this machine."""
    found = petrain.cpu_info()
    for name, value in {
        "version": petrain.__version__,
        "instruction set": found["isa"],
        "available": ", ".join(found["available"]),
        "threads": found["threads"],
        "OpenMP": "yes" if found["openmp"] else "no",
    }.items():
        typer.echo(f"{name + ':':17}{value}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the models and the report.")] = Path("petrain-demo"),
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the split, the weights and the order.")] = 0,
    threads: Annotated[
        int, typer.Option(min=1, help="Threads to compute with. The model is so small that one is best.")
    ] = 1,
    budget: Annotated[str, typer.Option(help="The compressed file: a part of the original (6%) or bytes (12000).")] = (
        "6%"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 50,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Train a digit classifier, shrink it to a size budget, and report what was won and lost."""
    from petrain.demo.job import run
    from petrain.demo.settings import Settings, parse_budget

    try:
        settings = Settings(out, seed, threads, parse_budget(budget), epochs, quiet)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--budget") from None
    try:
        run(settings)
    except (OSError, petrain.Error) as error:
        typer.echo(f"petrain demo: {error}", err=True)
        raise typer.Exit(1) from None
