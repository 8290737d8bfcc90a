"""Learning rates as a reader would write them: of step t and the base, by the schedule's formula."""

import itertools
import math


def ConstantLR(t, base, factor=1 / 3, total_iters=5):
    return base * (factor if t < total_iters else 1)


def StepLR(t, base, step_size, gamma=0.1):
    return base * gamma ** (t // step_size)


def MultiStepLR(t, base, milestones, gamma=0.1):
    return base * gamma ** sum(step <= t for step in milestones)


def ExponentialLR(t, base, gamma):
    return base * gamma**t


def LinearLR(t, base, start_factor=1 / 3, end_factor=1.0, total_iters=5):
    share = min(t, total_iters) / total_iters
    return base * (start_factor * (1 - share) + end_factor * share)


def PolynomialLR(t, base, total_iters=5, power=1.0):
    return base * (1 - min(t, total_iters) / total_iters) ** power


def LambdaLR(t, base, lr_lambda):
    return base * lr_lambda(t)


def CosineAnnealingLR(t, base, T_max, eta_min=0.0):
    return eta_min + (base - eta_min) * (1 + math.cos(math.pi * t / T_max)) / 2


def CosineAnnealingWarmRestarts(t, base, T_0, T_mult=1, eta_min=0.0):
    while t >= T_0:
        t, T_0 = t - T_0, T_0 * T_mult
    return eta_min + (base - eta_min) * (1 + math.cos(math.pi * t / T_0)) / 2


def InverseSquareRootLR(t, base, warmup_steps, timescale=None, start_factor=0.0):
    """Vaswani et al., arXiv 1706.03762."""
    if t < warmup_steps:
        return base * (start_factor + (1 - start_factor) * t / warmup_steps)
    scale = timescale or warmup_steps or 10_000
    return base / math.sqrt((t - warmup_steps + scale) / scale)


def WarmupCosineLR(t, base, warmup_steps, total_steps, start_factor=0.0, end_factor=0.0, num_cycles=1):
    """transformers.get_cosine_with_hard_restarts_schedule_with_warmup, with factors at both ends."""
    if t < warmup_steps:
        return base * (start_factor + (1 - start_factor) * t / warmup_steps)
    if t >= total_steps:
        return base * end_factor
    share = (t - warmup_steps) * num_cycles / (total_steps - warmup_steps)
    return base * (end_factor + (1 - end_factor) * (1 + math.cos(math.pi * (share % 1))) / 2)


def OneCycleLR(
    t,
    base,
    max_lr,
    total_steps,
    pct_start=0.3,
    anneal_strategy="cos",
    base_momentum=0.85,
    max_momentum=0.95,
    div_factor=25.0,
    final_div_factor=1e4,
    three_phase=False,
):
    """(learning rate, momentum), by way of the corners of the cycle. Smith, Topin, arXiv 1708.07120."""
    first, last = max_lr / div_factor, max_lr / div_factor / final_div_factor
    corners = [(0, first, max_momentum), (pct_start * total_steps - 1, max_lr, base_momentum)]
    if three_phase:
        corners.append((2 * pct_start * total_steps - 2, first, max_momentum))
    corners.append((total_steps - 1, last, max_momentum))
    (begin, *low), (end, *high) = next(pair for pair in itertools.pairwise(corners) if t <= pair[1][0])
    share = (t - begin) / (end - begin)
    if anneal_strategy == "cos":
        share = (1 - math.cos(math.pi * share)) / 2
    return tuple(a + (b - a) * share for a, b in zip(low, high, strict=True))
