"""What all observers have in common: settings, merging, and a state that can be kept."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from petrain._params import Array
from petrain.quant.params import Scheme, range_params

_VERSION = 1


class Observer(ABC):
    """Sees samples one after the other, keeps none, and says which range the integers should cover.

    All observers take ``bits`` (8 or 4) and ``scheme`` ("asymmetric", as is usual for activations, or "symmetric").
    One observer is for one thread at a time; several are put together by :meth:`merge`.
    """

    _seen: Any
    _setting_names: tuple[str, ...] = ("bits", "scheme")  # arguments of the constructor, by which they are attributes

    def __init__(self, *, bits: int, scheme: Scheme) -> None:
        range_params(0, 0, bits, scheme)  # raises for what is not known
        self.bits = operator.index(bits)
        self.scheme: Scheme = scheme
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Forget what was seen."""

    @abstractmethod
    def _parts(self) -> dict[str, Any]:
        """What was seen, as arrays and numbers."""

    @abstractmethod
    def _from_parts(self, parts: Mapping[str, Any]) -> Any:
        """A new core object; ValueError where the parts cannot be."""

    @abstractmethod
    def range(self) -> tuple[Any, Any]:
        """The lowest and the highest number that the integers should cover."""

    @property
    def count(self) -> int:
        """How many numbers were seen."""
        return int(self._seen.count)

    def observe(self, x: Array) -> None:
        """Take the numbers of an array into account.

        Args:
            x: float32, float16 or bfloat16, C-contiguous, any shape of at least one element.

        Raises:
            ValueError: the dtype or layout is another, x is empty, or holds NaN or infinity (the message names the
                index of the first). The observer is as it was.
            IndexError: x has no axis of channels as the observer has. It is as it was.
        """
        self._seen.observe(x)

    @abstractmethod
    def qparams(self) -> Any:
        """Scale and zero point for :meth:`range`."""

    def merge(self, other: Observer) -> None:
        """Take into account what another observer of the same type and settings has seen, in another process maybe.

        Raises:
            TypeError: the other is of another type.
            ValueError: its settings or channels differ. Nothing was merged.
        """
        if type(other) is not type(self):
            raise TypeError(f"other: expected {type(self).__name__}, got {type(other).__name__}")
        self._expect_settings(other._settings(), "other")
        self._seen.merge(other._seen)

    def state_dict(self) -> dict[str, Any]:
        """Settings and what was seen: numbers, text, and new NumPy arrays."""
        return {"version": _VERSION, "observer": type(self).__name__, **self._settings(), **self._parts()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` of an observer with the same settings gave.

        Raises:
            TypeError: it is no dict.
            ValueError: it is of another observer, or its parts cannot be. The observer is as it was.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state_dict: expected a dict, got {type(state).__name__}")
        expected = sorted(self.state_dict())
        if sorted(map(str, state)) != expected:
            raise ValueError(f"state_dict: expected the keys {expected}, got {sorted(map(str, state))}")
        named = {"version": _VERSION, "observer": type(self).__name__, **self._settings()}
        self._expect_settings({key: state[key] for key in named}, "state_dict", named)
        try:
            self._seen = self._from_parts(state)
        except (TypeError, ValueError) as error:
            raise ValueError(f"state_dict: {error}") from error

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._setting_names}

    def _expect_settings(self, got: Mapping[str, Any], what: str, expected: Mapping[str, Any] | None = None) -> None:
        for name, value in (self._settings() if expected is None else expected).items():
            if type(got[name]) is not type(value) or got[name] != value:
                raise ValueError(f"{what}: expected {name} {value!r}, got {got[name]!r}")

    def __getstate__(self) -> dict[str, Any]:
        return self.state_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**{name: state[name] for name in self._setting_names})  # type: ignore[misc]
        self.load_state_dict(state)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings().items())
        return f"{type(self).__name__}({settings})"
