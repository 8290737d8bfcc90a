"""What the core says of its parameters, with the numbers that they have among all of the optimizer's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_PLACES = re.compile(r"\b(?:gradient|parameters?) \d+(?: and \d+)?")


@contextmanager
def numbered(numbers: Sequence[int]) -> Iterator[None]:
    """The core counts only those parameters that it was given: ``numbers`` has the number of each."""
    try:
        yield
    except ValueError as error:
        raise ValueError(_PLACES.sub(lambda place: _renumbered(place[0], numbers), str(error))) from None


def _renumbered(place: str, numbers: Sequence[int]) -> str:
    return re.sub(r"\d+", lambda digits: str(numbers[int(digits[0])]), place)
