"""Rules that see a tensor as a matrix, as a reader would write them: NumPy alone, in float64.

A rule takes the parameter p, the gradient g, the states and numbers by name, the hyperparameters h and the step
number t = 1, 2, …; it gives the new parameter and writes the states.
"""

import math

import numpy as np
from reference import optim


def adafactor(p, g, state, h, t):
    """Shazeer, Stern, arXiv 1804.04235, in the form of torch.optim.Adafactor."""
    beta = 1 - t ** h["beta2_decay"]
    length = min(h["lr"], 1 / math.sqrt(t)) if h["relative_step"] else h["lr"]
    if h["scale_parameter"]:
        length *= max(h["eps2"], rms(p))
    if p.ndim < 2:
        v = state["variance"] = beta * state.get("variance", 0) + (1 - beta) * g * g
    else:
        rows, cols = (g * g).mean(axis=-1, keepdims=True), (g * g).mean(axis=-2, keepdims=True)
        r = state["row_var"] = beta * state.get("row_var", 0) + (1 - beta) * rows
        c = state["col_var"] = beta * state.get("col_var", 0) + (1 - beta) * cols
        v = r * c / np.maximum(r.mean(axis=-2, keepdims=True), h["eps1"])
    u = g / np.sqrt(np.maximum(v, h["eps1"] ** 2))
    step = length * u / max(1, rms(u) / h["d"])
    if "momentum" in h:
        step = state["exp_avg"] = h["momentum"] * state.get("exp_avg", 0) + (1 - h["momentum"]) * step
    return p * (1 - h["lr"] * h["weight_decay"]) - step


adafactor_momentum = adafactor


def rms(x):
    return math.sqrt((x * x).mean())


def muon(p, g, state, h, t):
    """Jordan et al., kellerjordan.github.io/posts/muon, in the form of torch.optim.Muon."""
    mu = h["momentum"]
    m = state["momentum_buffer"] = mu * state.get("momentum_buffer", 0) + (1 - mu) * g
    x = orthogonalized((1 - mu) * g + mu * m if h["nesterov"] else m, h)
    rows, cols = p.shape
    ratio = 0.2 * math.sqrt(max(rows, cols)) if h["adjust_lr_fn"] else math.sqrt(max(1, rows / cols))
    return p * (1 - h["lr"] * h["weight_decay"]) - h["lr"] * ratio * x


def orthogonalized(x, h):
    x = x / max(np.linalg.norm(x), h["eps"])
    for _ in range(int(h["ns_steps"])):
        a = x @ x.T
        x = h["ns_a"] * x + (h["ns_b"] * a + h["ns_c"] * a @ a) @ x
    return x


def projects_left(shape, h):
    """Whether the first side is the one that is projected."""
    m, n = shape
    return [m < n, m >= n, True, False][int(h["proj_type"])]


def direction(base, low, state, h, t):
    """What the base rule makes of zeros, at a learning rate of 1 and without weight decay."""
    h = {**h, "lr": 1.0, "weight_decay": 0.0}
    return getattr(optim, base)(np.zeros(low.shape), low, state, h, t, np.float64)


def galore(base):
    """Zhao et al., arXiv 2403.03507."""

    def update(p, g, state, h, t):
        left, rank = projects_left(p.shape, h), int(h["rank"])
        if t == 1 or t - state["projector_step"] >= h["update_proj_gap"]:
            u, _, vt = np.linalg.svd(g, full_matrices=False)
            signs = np.sign(u[np.abs(u).argmax(axis=0), np.arange(u.shape[1])])
            state["projector"] = (u * signs)[:, :rank] if left else (vt.T * signs).T[:rank]
            state["projector_step"] = t
        projector = state["projector"]
        if left:
            update = projector @ direction(base, projector.T @ g, state, h, t)
        else:
            update = direction(base, g @ projector.T, state, h, t) @ projector
        return p + h["lr"] * h["scale"] * update - h["lr"] * h.get("weight_decay", 0) * p

    return update


def apollo(base):
    """Zhu et al., arXiv 2412.05270. The seed of the projection is in the states, put there by the test."""

    def update(p, g, state, h, t):
        left, rank = projects_left(p.shape, h), int(h["rank"])
        side = p.shape[0] if left else p.shape[1]
        projector = normals(int(state["projection_seed"]), rank * side).reshape(rank, side) / math.sqrt(rank)
        low = projector @ g if left else g @ projector.T
        step = direction(base, low, state, h, t)
        axis = (0 if left else 1) if h["scale_type"] == 0 else None
        scaled = h["scale"] * g * norm(step, axis) / norm(low, axis)
        length = np.linalg.norm(scaled)
        most = h["norm_growth"] * state["update_norm"]
        if 0 < most < length:
            scaled, length = scaled * most / length, most
        state["update_norm"] = length
        return p - h["lr"] * scaled - h["lr"] * h.get("weight_decay", 0) * p

    return update


def norm(x, axis):
    return np.sqrt((x * x).sum(axis=axis, keepdims=True))


def normals(seed, size):
    """Box–Muller on Philox4x32-10 (Salmon et al., SC 2011), as cpp/src/random.hpp describes it, of stream 0."""
    result = []
    for pair in range((size + 1) // 2):
        counter, key = [pair, 0, 0, 0], [seed & 0xFFFFFFFF, seed >> 32]
        for _ in range(10):
            a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
            counter = [(b >> 32) ^ counter[1] ^ key[0], b & 0xFFFFFFFF, (a >> 32) ^ counter[3] ^ key[1], a & 0xFFFFFFFF]
            key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
        first, second = (((counter[i] | counter[i + 1] << 32) >> 11) * 2.0**-53 for i in (0, 2))
        radius = math.sqrt(-2 * math.log(first + 2.0**-53))
        result += [radius * math.cos(2 * math.pi * second), radius * math.sin(2 * math.pi * second)]
    return np.array(result[:size])


def find(rule):
    for prefix, wrapper in (("galore_", galore), ("apollo_", apollo)):
        if rule.startswith(prefix):
            return wrapper(rule.removeprefix(prefix))
    return globals().get(rule)


# Settings that differ from the defaults in every hyperparameter that is not the base rule's.
FACTOR = {
    "lr": 0.3,
    "beta2_decay": -0.5,
    "eps1": 1e-5,
    "eps2": 0.5,
    "d": 0.5,
    "weight_decay": 0.1,
    "scale_parameter": 0,
    "maximize": 1,
}
FACTOR_SETTINGS = [FACTOR, {**FACTOR, "scale_parameter": 1, "lr": 0.05, "relative_step": 0, "eps2": 2.0}]
SETTINGS = {
    "adafactor": FACTOR_SETTINGS,
    "adafactor_momentum": [{**setting, "momentum": 0.7} for setting in FACTOR_SETTINGS],
    "muon": [
        {"lr": 0.1, "weight_decay": 0.3, "momentum": 0.5, "nesterov": 0, "ns_steps": 3, "maximize": 1},
        {"ns_a": 2.0, "ns_b": -1.5, "ns_c": 0.5, "eps": 50.0, "ns_steps": 7, "adjust_lr_fn": 1},
    ],
}
PROJECTED = {"rank": 4, "update_proj_gap": 3, "scale": 0.7, "lr": 0.05, "maximize": 1}
WRAPPED = {
    "galore": [PROJECTED, {**PROJECTED, "proj_type": 1, "update_proj_gap": 1}],
    "apollo": [{**PROJECTED, "norm_growth": 1.001}, {**PROJECTED, "rank": 1, "scale_type": 1, "proj_type": 1}],
}


def settings(rule):
    if rule in SETTINGS:
        return SETTINGS[rule]
    prefix, _, base = rule.partition("_")
    # The base rule's own settings too, where they leave it well-conditioned: a float32 and a float64 that differ in
    # their last bits then stay close.
    return [{**optim.SETTINGS[base][-1], **own} for own in WRAPPED[prefix]]
