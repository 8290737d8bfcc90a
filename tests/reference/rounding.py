"""Rounding by the error of outputs, as the papers have it, in float64."""

import numpy as np
from reference import quant as formats


def hessian(x):
    x = x.astype(np.float64)
    return x.T @ x


def square(w, h):
    """Σ ‖W x‖², for h = Σ xxᵀ."""
    return float(np.trace(w.astype(np.float64) @ h @ w.astype(np.float64).T))


def relative_error(w, approximation, h):
    return np.sqrt(square(w.astype(np.float64) - approximation, h) / square(w, h))


def damped(h, damping):
    h = h + damping * np.mean(np.diag(h)) * np.eye(len(h))
    h[np.diag_indices_from(h)] += np.diag(h) == 0
    return h


def params_of(part, bits, scheme):
    return formats.range_params(float(part.min()), float(part.max()), bits, scheme)


def nearest(w, scale, zero_point, bits, scheme):
    return formats.round_to(np.float32(w), scale, zero_point, bits, scheme)


def number(q, scale, zero_point):
    return (q.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def gptq(w, h, bits=8, scheme="symmetric", group_size=None, damping=0.01, act_order=False):
    """Algorithm 1 of Frantar et al., arXiv 2210.17323, a column at a time, with the Cholesky factor of the inverse.
    Gives the integers and what they stand for."""
    n, k = w.shape
    group = group_size or k
    order = np.argsort(-np.diag(h), kind="stable") if act_order else np.arange(k)
    u = np.linalg.cholesky(np.linalg.inv(damped(h[np.ix_(order, order)], damping))).T
    left = w[:, order].astype(np.float64)
    fixed = act_order or group_size is None
    params = {
        (i, g): params_of(w[i, g * group : (g + 1) * group], bits, scheme)
        for i in range(n)
        for g in range(k // group)
        if fixed
    }
    integers, numbers = np.zeros((n, k), np.int8), np.zeros((n, k), np.float32)
    for j, column in enumerate(order):
        g = column // group
        for i in range(n):
            if not fixed and j % group == 0:
                params[i, g] = params_of(left[i, j : j + group].astype(np.float32), bits, scheme)
            integers[i, column] = nearest(left[i, j], *params[i, g], bits, scheme)
            numbers[i, column] = number(integers[i, column], *params[i, g])
        error = (left[:, j] - numbers[:, column]) / u[j, j]
        left[:, j:] -= np.outer(error, u[j, j:])
    return integers, numbers


def coordinate_descent(w, q, h, damping=0.01, passes=20):
    """Each integer in turn to its best value, found by trying all of them. For one scale a row."""
    h = damped(h, damping)
    zero_points = np.zeros(len(w), np.int8) if q.zero_point is None else q.zero_point
    integers = q.values.copy()
    every = np.arange(formats.limits(q.bits, q.scheme)[0], formats.limits(q.bits, q.scheme)[1] + 1, dtype=np.int8)
    for i, (scale, zero_point) in enumerate(zip(q.scale, zero_points, strict=True)):
        for _ in range(passes):
            before = integers[i].copy()
            for j in range(w.shape[1]):
                tries = np.repeat(integers[i : i + 1], len(every), axis=0)
                tries[:, j] = every
                e = w[i].astype(np.float64) - number(tries, scale, zero_point)
                errors = np.einsum("tj,jk,tk->t", e, h, e)
                if errors.min() < errors[every == integers[i, j]][0] * (1 - 1e-12):
                    integers[i, j] = every[errors.argmin()]
            if np.array_equal(before, integers[i]):
                break
    return integers
