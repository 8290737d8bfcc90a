"""Recurrent layers as their formulas read, one sequence and one step at a time, in float32.

The products are the library's, which tests/reference/quant.py checks, and so are sigmoid and tanh: a layer of zeros
whose bias is the argument.
"""

import numpy as np
from petrain import quant


def activate(x, activation):
    zeros = quant.QuantTensor(np.zeros((len(x), 1), np.int8), np.ones((), np.float32), granularity="tensor")
    return quant.linear(np.zeros(1, np.float32), zeros, x, activation=activation)


def sigmoid(x):
    return activate(x, "sigmoid")


def tanh(x):
    return activate(x, "tanh")


def lstm_step(gates_x, gates_h, h, c):
    i, f, g, o = np.split(gates_x + gates_h, 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def gru_step(gates_x, gates_h, h, c):
    (r_x, z_x, n_x), (r_h, z_h, n_h) = np.split(gates_x, 3), np.split(gates_h, 3)
    z = sigmoid(z_x + z_h)
    n = tanh(n_x + sigmoid(r_x + r_h) * n_h)
    return (np.float32(1) - z) * n + z * h, c


STEPS = {"lstm": lstm_step, "gru": gru_step}


def layer(cell, x, w_ih, w_hh, b_ih, b_hh, h0, c0, lengths, reverse):
    """y, h and c of one direction; c stays as it is for a GRU."""
    y, h, c = np.zeros((*x.shape[:2], w_hh.shape[1]), np.float32), h0.copy(), c0.copy()
    for b, length in enumerate(lengths):
        for t in reversed(range(length)) if reverse else range(length):
            gates_x, gates_h = quant.linear(x[t, b], w_ih, b_ih), quant.linear(h[b], w_hh, b_hh)
            h[b], c[b] = STEPS[cell](gates_x, gates_h, h[b], c[b])
            y[t, b] = h[b]
    assert y.dtype == h.dtype == c.dtype == np.float32
    return y, h, c
