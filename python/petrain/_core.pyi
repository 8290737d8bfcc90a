"""
The compiled core of petrain. Use the modules of the package petrain instead.
"""

from __future__ import annotations
import collections.abc
import typing

__all__: list[str] = [
    "Error",
    "GradAccumulator",
    "Optimizer",
    "StepInfo",
    "cpu_info",
    "get_num_threads",
    "rules",
    "set_num_threads",
]

class Error(Exception):
    pass

class StepInfo:
    """
    What a step found and did.
    """
    def __repr__(self) -> str: ...
    @property
    def grad_norm(self) -> float:
        """
        Global L2 norm of the gradients before clipping.
        """
    @property
    def skipped(self) -> bool:
        """
        True where a gradient was not finite: nothing was changed.
        """

class GradAccumulator:
    def __init__(
        self, shapes: collections.abc.Sequence[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]]
    ) -> None: ...
    def add(self, grads: collections.abc.Sequence, weight: typing.SupportsFloat | typing.SupportsIndex) -> bool: ...
    def mean(self) -> list: ...
    def reset(self) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def weight(self) -> float: ...

class Optimizer:
    def __init__(
        self,
        groups: collections.abc.Sequence[
            tuple[str, collections.abc.Mapping[str, typing.SupportsFloat | typing.SupportsIndex], list]
        ],
    ) -> None: ...
    def hyper(self, group: typing.SupportsInt | typing.SupportsIndex, name: str) -> float: ...
    def set_hyper(
        self,
        group: typing.SupportsInt | typing.SupportsIndex,
        name: str,
        value: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    def set_steps(
        self, param: typing.SupportsInt | typing.SupportsIndex, steps: typing.SupportsInt | typing.SupportsIndex
    ) -> None: ...
    def shapes(self) -> list[list[int]]: ...
    def state(self, param: typing.SupportsInt | typing.SupportsIndex) -> dict:
        """
        The state arrays of one parameter, by name, without a copy.
        """
    def step(
        self, grads: collections.abc.Sequence, max_norm: typing.SupportsFloat | typing.SupportsIndex | None
    ) -> StepInfo: ...
    def step_accumulated(
        self, accumulated: GradAccumulator, max_norm: typing.SupportsFloat | typing.SupportsIndex | None
    ) -> StepInfo: ...
    def steps(self, param: typing.SupportsInt | typing.SupportsIndex) -> int: ...

def cpu_info() -> dict:
    """
    The instruction set in use and those available, the number of threads, and whether OpenMP was built in.
    """

def get_num_threads() -> int:
    """
    The most threads that one call may use.
    """

def rules() -> dict:
    """
    Every update rule of this build: its hyperparameters with their defaults, and its state tensors.
    """

def set_num_threads(count: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Set the most threads that one call may use. Raises ValueError where count < 1.
    """

__version__: str = "0.1.0"
