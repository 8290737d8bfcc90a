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
    return p - _adam_step(g + T(h["weight_decay"]) * p, state, h, t, T)


def adamw(p, g, state, h, t, T):
    """Loshchilov, Hutter, arXiv 1711.05101."""
    return p - (T(h["lr"] * h["weight_decay"]) * p + _adam_step(g, state, h, t, T))


def adam_amsgrad(p, g, state, h, t, T):
    """Reddi, Kale, Kumar, arXiv 1904.09237."""
    return p - _adam_step(g + T(h["weight_decay"]) * p, state, h, t, T)


def adamw_amsgrad(p, g, state, h, t, T):
    return p - (T(h["lr"] * h["weight_decay"]) * p + _adam_step(g, state, h, t, T))


def _adam_step(g, state, h, t, T):
    m = state["exp_avg"] = T(h["beta1"]) * state["exp_avg"] + T(1 - h["beta1"]) * g
    v = state["exp_avg_sq"] = T(h["beta2"]) * state["exp_avg_sq"] + T(1 - h["beta2"]) * (g * g)
    if "max_exp_avg_sq" in state:
        v = state["max_exp_avg_sq"] = np.maximum(v, state["max_exp_avg_sq"])
    step_size, root_correction = h["lr"], 1.0
    if h["bias_correction"]:
        step_size = h["lr"] / (1 - power(h["beta1"], t))
        root_correction = 1 / math.sqrt(1 - power(h["beta2"], t))
    return T(step_size) * (m / (np.sqrt(v) * T(root_correction) + T(h["eps"])))


def momentum(p, g, state, h, t, T):
    """The averaging form; Polyak, 1964."""
    g = g + T(h["weight_decay"]) * p
    v = state["momentum_buffer"] = T(h["momentum"]) * state["momentum_buffer"] + T(1 - h["momentum"]) * g
    return p - T(h["lr"]) * v


def adadelta(p, g, state, h, t, T):
    """Zeiler, arXiv 1212.5701."""
    g = g + T(h["weight_decay"]) * p
    rho, rest, eps = T(h["rho"]), T(1 - h["rho"]), T(h["eps"])
    state["square_avg"] = rho * state["square_avg"] + rest * (g * g)
    delta = np.sqrt(state["acc_delta"] + eps) / np.sqrt(state["square_avg"] + eps) * g
    state["acc_delta"] = rho * state["acc_delta"] + rest * (delta * delta)
    return p - T(h["lr"]) * delta


def rmsprop(p, g, state, h, t, T):
    """Hinton, 2012; centered: Graves, arXiv 1308.0850."""
    g = g + T(h["weight_decay"]) * p
    alpha, rest = T(h["alpha"]), T(1 - h["alpha"])
    square = state["square_avg"] = alpha * state["square_avg"] + rest * (g * g)
    if "grad_avg" in state:
        average = state["grad_avg"] = alpha * state["grad_avg"] + rest * g
        square = np.maximum(square - average * average, T(0))
    step = g / (np.sqrt(square) + T(h["eps"]))
    if "momentum_buffer" in state:
        step = state["momentum_buffer"] = T(h["momentum"]) * state["momentum_buffer"] + step
    return p - T(h["lr"]) * step


rmsprop_momentum = rmsprop_centered = rmsprop_centered_momentum = rmsprop


def adamax(p, g, state, h, t, T):
    """Kingma, Ba, arXiv 1412.6980, section 7.1."""
    g = g + T(h["weight_decay"]) * p
    m = state["exp_avg"] = T(h["beta1"]) * state["exp_avg"] + T(1 - h["beta1"]) * g
    u = state["exp_inf"] = np.maximum(T(h["beta2"]) * state["exp_inf"], np.abs(g) + T(h["eps"]))
    return p - T(h["lr"] / (1 - power(h["beta1"], t))) * (m / u)


def _decayed(p, g, h, T):
    """The gradient, and what the parameter decays by."""
    if h["decoupled_weight_decay"]:
        return g, T(h["lr"] * h["weight_decay"]) * p
    return g + T(h["weight_decay"]) * p, T(0)


def nadam(p, g, state, h, t, T):
    """Dozat, 2016."""
    g, decay = _decayed(p, g, h, T)
    m = state["exp_avg"] = T(h["beta1"]) * state["exp_avg"] + T(1 - h["beta1"]) * g
    v = state["exp_avg_sq"] = T(h["beta2"]) * state["exp_avg_sq"] + T(1 - h["beta2"]) * (g * g)
    log = -0.040821994520255166  # ln 0.96
    now, after = (h["beta1"] * (1 - 0.5 * exponential(log * i * h["momentum_decay"])) for i in (t, t + 1))
    product = state["mu_product"] = state.get("mu_product", 1.0) * now
    gradient_step = T(h["lr"] * (1 - now) / (1 - product))
    average_step = T(h["lr"] * after / (1 - product * after))
    root_correction = T(1 / math.sqrt(1 - power(h["beta2"], t)))
    return p - (decay + (gradient_step * g + average_step * m) / (np.sqrt(v) * root_correction + T(h["eps"])))


def radam(p, g, state, h, t, T):
    """Liu et al., arXiv 1908.03265."""
    g, decay = _decayed(p, g, h, T)
    m = state["exp_avg"] = T(h["beta1"]) * state["exp_avg"] + T(1 - h["beta1"]) * g
    v = state["exp_avg_sq"] = T(h["beta2"]) * state["exp_avg_sq"] + T(1 - h["beta2"]) * (g * g)
    faded = power(h["beta2"], t)
    longest = 2 / (1 - h["beta2"]) - 1
    length = longest - 2 * t * faded / (1 - faded)
    step = h["lr"] / (1 - power(h["beta1"], t))
    if length <= 5:
        return p - (decay + T(step) * m)
    rectified = (1 - faded) * (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return p - (decay + T(step * math.sqrt(rectified)) * (m / (np.sqrt(v) + T(h["eps"]))))


def lion(p, g, state, h, t, T):
    """Chen et al., arXiv 2302.06675."""
    m = state["exp_avg"]
    sign = np.sign(T(h["beta1"]) * m + T(1 - h["beta1"]) * g)
    state["exp_avg"] = T(h["beta2"]) * m + T(1 - h["beta2"]) * g
    return p - (T(h["lr"] * h["weight_decay"]) * p + T(h["lr"]) * sign)


def ademamix(p, g, state, h, t, T):
    """Pagliardini, Ablin, Grangier, arXiv 2409.03137."""
    alpha, beta3 = h["alpha"], h["beta3"]
    if t < h["t_alpha"]:
        alpha *= t / h["t_alpha"]
    if t < h["t_beta3"] and beta3 > h["beta1"] > 0:
        share, a, b = t / h["t_beta3"], logarithm(h["beta1"]), logarithm(beta3)
        beta3 = exponential(a * b / ((1 - share) * b + share * a))
    m = state["exp_avg"] = T(h["beta1"]) * state["exp_avg"] + T(1 - h["beta1"]) * g
    v = state["exp_avg_sq"] = T(h["beta2"]) * state["exp_avg_sq"] + T(1 - h["beta2"]) * (g * g)
    slow = state["exp_avg_slow"] = state["exp_avg_slow"] + T(1 - beta3) * (g - state["exp_avg_slow"])
    fast, root_correction = T(1 / (1 - power(h["beta1"], t))), T(1 / math.sqrt(1 - power(h["beta2"], t)))
    direction = (fast * m + T(alpha) * slow) / (np.sqrt(v) * root_correction + T(h["eps"]))
    return p - T(h["lr"]) * (direction + T(h["weight_decay"]) * p)


def schedule_free_adamw(p, g, state, h, t, T):
    """Defazio et al., arXiv 2405.15682; p is y."""
    z = p if t == 1 else state["z"]
    warm = min(1.0, t / h["warmup_steps"]) if h["warmup_steps"] else 1.0
    step = h["lr"] * warm * math.sqrt(1 - power(h["beta2"], t))
    lr_max = state["lr_max"] = max(state.get("lr_max", 0.0), step)
    weight = real_power(t, h["r"]) * real_power(lr_max, h["weight_lr_power"])
    total = state["weight_sum"] = state.get("weight_sum", 0.0) + weight
    average = weight / total if total > 0 else 0.0
    v = state["exp_avg_sq"] = T(h["beta2"]) * state["exp_avg_sq"] + T(1 - h["beta2"]) * (g * g)
    direction = g / (np.sqrt(v) + T(h["eps"])) + T(h["weight_decay"]) * p
    state["z"] = z - T(step) * direction
    return p + T(average) * (z - p) + T(step * (h["beta1"] * (1 - average) - 1)) * direction


def _norm(x):
    return grad_norm([x])


def lars(p, g, state, h, t, T):
    """You, Gitman, Ginsburg, arXiv 1708.03888."""
    p_norm, g_norm = _norm(p), _norm(g)
    trust = 1.0
    if p_norm and g_norm:
        trust = h["trust_coefficient"] * p_norm / (g_norm + h["weight_decay"] * p_norm + h["eps"])
    step = T(h["lr"]) * T(trust) * (g + T(h["weight_decay"]) * p)
    v = state["momentum_buffer"] = T(h["momentum"]) * state["momentum_buffer"] + step
    return p - v


def lamb(p, g, state, h, t, T):
    """You et al., arXiv 1904.00962."""
    m = state["exp_avg"] = T(h["beta1"]) * state["exp_avg"] + T(1 - h["beta1"]) * g
    v = state["exp_avg_sq"] = T(h["beta2"]) * state["exp_avg_sq"] + T(1 - h["beta2"]) * (g * g)
    step, root_correction = 1.0, 1.0
    if h["bias_correction"]:
        step = 1 / (1 - power(h["beta1"], t))
        root_correction = 1 / math.sqrt(1 - power(h["beta2"], t))
    u = T(step) * (m / (np.sqrt(v) * T(root_correction) + T(h["eps"]))) + T(h["weight_decay"]) * p
    p_norm, u_norm = _norm(p), _norm(u)
    trust = p_norm / u_norm if p_norm and u_norm else 1.0
    return p - T(h["lr"]) * T(trust) * u


def power(base, exponent):
    """base ** exponent by squaring: the same bits on every machine."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


def exponential(x):
    """e ** x, to 1e-11: a Taylor series of x / 2 ** 12, squared back. C libraries differ in the last bit of exp."""
    if not -745.2 <= x <= 709.8:
        return 0.0 if x < 0 else math.inf
    x *= 2.0**-12
    result = term = 1.0
    for n in range(1, 9):
        term *= x / n
        result += term
    for _ in range(12):
        result *= result
    return result


def logarithm(x):
    """ln x, for x > 0: x = m 2 ** e with m near 1, and 2 artanh((m - 1) / (m + 1))."""
    m, e = math.frexp(x)
    if m < 0.70710678118654752:
        m, e = 2 * m, e - 1
    y = (m - 1) / (m + 1)
    result, term = 0.0, y
    for n in range(1, 42, 2):
        result += term / n
        term *= y * y
    return e * 0.69314718055994531 + 2 * result


def real_power(base, exponent):
    if exponent == 0:
        return 1.0
    return exponential(exponent * logarithm(base)) if base > 0 else 0.0


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
KIN = {"lr": 0.03, "beta1": 0.7, "beta2": 0.95, "eps": 1e-5, "weight_decay": 0.1, "maximize": 1}
RMSPROP = {"lr": 0.03, "alpha": 0.7, "eps": 1e-3, "weight_decay": 0.05, "maximize": 1}
MIX = {"lr": 0.03, "beta1": 0.7, "beta2": 0.95, "beta3": 0.99, "eps": 1e-5, "weight_decay": 0.1, "maximize": 1}
FREE = {"lr": 0.03, "beta1": 0.7, "beta2": 0.95, "eps": 1e-5, "weight_decay": 0.1}
SETTINGS = {
    "sgd": [{"lr": 0.3, "weight_decay": 0.05, "maximize": 1}],
    "sgd_momentum": [
        {"lr": 0.03, "momentum": 0.7, "dampening": 0.2, "weight_decay": 0.05, "nesterov": 0},
        {"lr": 0.03, "momentum": 0.7, "dampening": 0.0, "weight_decay": 0.05, "nesterov": 1, "maximize": 1},
    ],
    "adagrad": [
        {"lr": 0.3, "initial_accumulator_value": 0.3},
        {
            "lr": 0.3,
            "lr_decay": 0.1,
            "weight_decay": 0.05,
            "initial_accumulator_value": 0.3,
            "eps": 1e-6,
            "maximize": 1,
        },
    ],
    "adam": [ADAM],
    "adam_amsgrad": [ADAM],
    "adamw": [ADAM],
    "adamw_amsgrad": [ADAM],
    "momentum": [{"lr": 0.3, "momentum": 0.7, "weight_decay": 0.05, "maximize": 1}],
    "adadelta": [{"lr": 0.5, "rho": 0.7, "eps": 1e-4, "weight_decay": 0.05, "maximize": 1}],
    "rmsprop": [RMSPROP],
    "rmsprop_momentum": [{**RMSPROP, "momentum": 0.7}],
    "rmsprop_centered": [RMSPROP],
    "rmsprop_centered_momentum": [{**RMSPROP, "momentum": 0.7}],
    "adamax": [{"lr": 0.03, "beta1": 0.7, "beta2": 0.95, "eps": 1e-5, "weight_decay": 0.1, "maximize": 1}],
    "nadam": [{**KIN, "momentum_decay": 0.3}, {**KIN, "decoupled_weight_decay": 1}],
    "radam": [KIN, {**KIN, "beta2": 0.3, "decoupled_weight_decay": 1}],
    "lion": [{"lr": 0.03, "beta1": 0.7, "beta2": 0.95, "weight_decay": 0.1, "maximize": 1}],
    "ademamix": [
        {**MIX, "alpha": 2.0, "t_alpha": 3, "t_beta3": 3},
        {**MIX, "beta1": 0.0, "alpha": 0.0, "t_beta3": 2},
    ],
    "schedule_free_adamw": [
        {**FREE, "warmup_steps": 3, "r": 0.5, "weight_lr_power": 1.5},
        {**FREE, "weight_decay": 0.0, "weight_lr_power": 0.0, "maximize": 1},
    ],
    "lars": [{"lr": 0.3, "momentum": 0.7, "weight_decay": 0.05, "trust_coefficient": 0.02, "eps": 1e-3, "maximize": 1}],
    "lamb": [{**ADAM, "lr": 0.01}],
}


class Optimizer:
    """Steps a list of arrays by one rule, in the type T; the caller's arrays stay as they are. ``kept`` is the type
    that parameters are rounded to after each step, to the nearest even; T where it is None."""

    def __init__(self, rule, hypers, states, params, T=np.float32, kept=None):
        self.update, self.hypers, self.T, self.kept, self.t = globals()[rule], hypers, T, kept or T, 0
        self.params = [np.array(p, self.kept) for p in params]
        first = T(hypers.get("initial_accumulator_value", 0))
        self.states = [{name: np.full(np.shape(p), first, T) for name in states} for p in params]

    def step(self, grads, scale=1.0, max_value=math.inf):
        self.t += 1
        if self.hypers.get("maximize"):
            scale = -scale
        with np.errstate(under="ignore"):
            for i, grad in enumerate(grads):
                g = np.asarray(grad).astype(self.T) * self.T(scale)
                g = np.clip(g, -self.T(max_value), self.T(max_value))
                p = self.update(self.params[i].astype(self.T), g, self.states[i], self.hypers, self.t, self.T)
                self.params[i] = p.astype(self.kept)


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
