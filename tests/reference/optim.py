"""Update rules as a reader would write them: one function per rule, NumPy alone.

With ``T = np.float32`` and the operations in this order, the result of petrain is equal to the last bit; with
``T = np.float64`` the same functions say how far float32 strays.

A rule takes the parameter p, the gradient g, the states by name, the hyperparameters h and the step number
t = 1, 2, …; it gives the new parameter and writes the states.
"""

import math

import numpy as np


def sgd(p, g, state, h, t, T):
    return p - T(h["lr"]) * (g + T(h["weight_decay"]) * p)


def sgd_momentum(p, g, state, h, t, T):
    """Sutskever et al., ICML 2013, with torch's first step: v is the gradient itself, not damped."""
    g = g + T(h["weight_decay"]) * p
    gradient = 1 if t == 1 else 1 - h["dampening"]
    v = state["momentum_buffer"] = T(h["momentum"]) * state["momentum_buffer"] + T(gradient) * g
    return p - T(h["lr"]) * (g + T(h["momentum"]) * v if h["nesterov"] else v)


def adagrad(p, g, state, h, t, T):
    """Duchi, Hazan, Singer, JMLR 12, 2011."""
    g = g + T(h["weight_decay"]) * p
    state["sum"] = state["sum"] + g * g
    lr = h["lr"] / (1 + (t - 1) * h["lr_decay"])
    return p - T(lr) * g / (np.sqrt(state["sum"]) + T(h["eps"]))


def adam(p, g, state, h, t, T):
    """Kingma, Ba, arXiv 1412.6980; weight decay as part of the gradient."""
    return _adam(p, g + T(h["weight_decay"]) * p, state, h, t, T)


def adamw(p, g, state, h, t, T):
    """Loshchilov, Hutter, arXiv 1711.05101."""
    return _adam(p * T(1 - h["lr"] * h["weight_decay"]), g, state, h, t, T)


def adam_amsgrad(p, g, state, h, t, T):
    """Reddi, Kale, Kumar, arXiv 1904.09237."""
    return _adam(p, g + T(h["weight_decay"]) * p, state, h, t, T)


def adamw_amsgrad(p, g, state, h, t, T):
    return _adam(p * T(1 - h["lr"] * h["weight_decay"]), g, state, h, t, T)


def _adam(p, g, state, h, t, T):
    m = state["exp_avg"] = T(h["beta1"]) * state["exp_avg"] + T(1 - h["beta1"]) * g
    v = state["exp_avg_sq"] = T(h["beta2"]) * state["exp_avg_sq"] + T(1 - h["beta2"]) * (g * g)
    if "max_exp_avg_sq" in state:
        v = state["max_exp_avg_sq"] = np.maximum(v, state["max_exp_avg_sq"])
    step_size, root_correction = h["lr"], 1.0
    if h["bias_correction"]:
        step_size = h["lr"] / (1 - power(h["beta1"], t))
        root_correction = 1 / math.sqrt(1 - power(h["beta2"], t))
    return p - T(step_size) * (m / (np.sqrt(v) * T(root_correction) + T(h["eps"])))


def power(base, exponent):
    """base ** exponent by squaring: the same bits on every machine."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


# Settings that differ from the defaults in every hyperparameter, for the tests to go through.
ADAM = {
    "lr": 0.03,
    "beta1": 0.7,
    "beta2": 0.95,
    "eps": 1e-5,
    "weight_decay": 0.1,
    "bias_correction": 0,
    "maximize": 1,
}
SETTINGS = {
    "sgd": [{"lr": 0.3, "weight_decay": 0.05, "maximize": 1}],
    "sgd_momentum": [
        {"lr": 0.03, "momentum": 0.7, "dampening": 0.2, "weight_decay": 0.05, "nesterov": 0},
        {"lr": 0.03, "momentum": 0.7, "dampening": 0.0, "weight_decay": 0.05, "nesterov": 1, "maximize": 1},
    ],
    "adagrad": [{"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.05, "eps": 1e-6, "maximize": 1}],
    "adam": [ADAM],
    "adam_amsgrad": [ADAM],
    "adamw": [ADAM],
    "adamw_amsgrad": [ADAM],
}


class Optimizer:
    """Steps a list of arrays by one rule; the caller's arrays stay as they are."""

    def __init__(self, rule, hypers, states, params, T=np.float32):
        self.update, self.hypers, self.T, self.t = globals()[rule], hypers, T, 0
        self.params = [np.array(p, T) for p in params]
        self.states = [{name: np.zeros(np.shape(p), T) for name in states} for p in params]

    def step(self, grads, scale=1.0):
        self.t += 1
        if self.hypers.get("maximize"):
            scale = -scale
        with np.errstate(under="ignore"):
            for i, grad in enumerate(grads):
                g = np.asarray(grad, self.T) * self.T(scale)
                self.params[i] = self.update(self.params[i], g, self.states[i], self.hypers, self.t, self.T)


def grad_norm(grads):
    """The L2 norm of all gradients: squares in float64, added in 16 lanes for each chunk of 16384 elements, the
    lanes and then the chunks as a tree of neighbours."""
    chunks = []
    for grad in grads:
        flat = np.asarray(grad, np.float64).ravel()
        for begin in range(0, flat.size, 16384):
            part = flat[begin : begin + 16384]
            rows = np.pad(part, (0, -part.size % 16)).reshape(-1, 16) ** 2
            lanes = np.cumsum(rows, axis=0)[-1]  # cumsum adds in order
            for width in (8, 4, 2, 1):
                lanes = lanes[:width] + lanes[width : 2 * width]
            chunks.append(lanes[0])
    while len(chunks) > 1:
        chunks = [np.cumsum(chunks[i : i + 2])[-1] for i in range(0, len(chunks), 2)]
    return math.sqrt(chunks[0]) if chunks else 0.0


def clip_scale(norm, max_norm):
    """What torch.nn.utils.clip_grad_norm_ multiplies the gradients with."""
    return min(max_norm / (norm + 1e-6), 1.0) if norm > max_norm else 1.0
