"""The elementwise update rules with their defaults and their settings, for the tests to go through."""

import ml_dtypes
import numpy as np
import pytest
from petrain import _core
from reference import optim as reference

RULES = {name: facts for name, facts in _core.rules().items() if not facts["matrix"]}

# The float dtypes, and the bits of their mantissas.
DTYPES = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
MANTISSA = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}
HALVES = ["float16", "bfloat16"]


def defaults(rule):
    return RULES[rule]["hypers"]


CASES = [(rule, {**defaults(rule), **s}) for rule in RULES for s in ({}, *reference.SETTINGS.get(rule, ()))]
every_case = pytest.mark.parametrize(("rule", "hypers"), CASES, ids=[f"{r}-{i}" for i, (r, _) in enumerate(CASES)])


def floats(rng, size, offset=0):
    """Values of many magnitudes and some zeros, at an address that is a multiple of 4 alone where offset is 1."""
    memory = rng.standard_normal(size + offset) * 10 ** rng.uniform(-6, 2, size + offset)
    memory[rng.random(size + offset) < 0.05] = 0
    return memory.astype(np.float32)[offset:]


def computed_in(dtype):
    """The type in which a rule computes for a parameter of this dtype."""
    return np.float64 if dtype == "float64" else np.float32


def ulp(x, dtype):
    """The step of a dtype at the magnitude of x."""
    _, exponent = np.frexp(np.abs(np.asarray(x, np.float64)))
    least = -24 if dtype == "float16" else -1000
    return np.ldexp(1.0, np.maximum(exponent - 1 - MANTISSA[dtype], least))


def spoil(*path_and_value):
    """A function that sets state[path] = value, or removes it where the value is ...."""
    *path, last, value = path_and_value

    def apply(state):
        for key in path:
            state = state[key]
        if value is ...:
            del state[last]
        else:
            state[last] = value

    return apply
