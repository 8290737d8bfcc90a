"""Plans for whole models: what each form of each layer does to the model's outputs."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from petrain import nn
from petrain._params import Array
from petrain.compress.candidates import Candidate, forward_of
from petrain.compress.choose import Scores, check_budget
from petrain.compress.defaults import CANDIDATES
from petrain.compress.layout import model_file
from petrain.compress.measure import OnScore, build_jobs, score_jobs
from petrain.compress.plan import Plan
from petrain.compress.trial import Job, matrix, race

SECONDS = 0.2  # that the model and its layers, one after the other, are run in turn


def plan_model(
    model: nn.Sequential,
    inputs: Array,
    budget_bytes: int | None = None,
    budget_ms: float | None = None,
    candidates: Sequence[Candidate] = CANDIDATES,
    progress: str | os.PathLike[str] | None = None,
    on_score: OnScore | None = None,
) -> Plan:
    r"""Measure every form of every linear layer of a model, and choose one each: the least error that fits the budget.

    The error of a form is :math:`\|\hat{Y} - Y\|_F^2 / \|Y\|_F^2` of the model's outputs on the samples when this layer
    alone takes it. Errors of layers are added up.

    Args:
        model: what its weights stand for is compressed, in whatever form they are. It is not changed.
        inputs: samples as the model will see them, float32 (rows, features); a few hundred, of the training data.
        budget_bytes: the most bytes of the file that :func:`petrain.save` writes of the compressed model, header
            included.
        budget_ms: the most milliseconds that the compressed model takes for one row, on this machine with the current
            number of threads.
        candidates, progress, on_score: as for :func:`plan`.

    Raises:
        ValueError, TypeError, petrain.Error, OSError: as :func:`plan`; the model has no linear layer.

    Example:
        >>> import numpy as np
        >>> from petrain import nn
        >>> nn.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))
        >>> x = np.random.default_rng(0).standard_normal((300, 32), np.float32)
        >>> plan = plan_model(model, x, budget_bytes=3_200)
        >>> small = build_model(plan, model, x)
        >>> plan.choice
        {'0.weight': 'int4', '2.weight': 'int8'}
        >>> plan.file_bytes <= 3_200 and small.nbytes < model.nbytes / 3
        True
    """
    check_budget(budget_bytes, budget_ms)
    scores = score_model(model, inputs, candidates, timed=budget_ms is not None, progress=progress, on_score=on_score)
    return scores.plan(budget_bytes, budget_ms)


def score_model(
    model: nn.Sequential,
    inputs: Array,
    candidates: Sequence[Candidate] = CANDIDATES,
    *,
    timed: bool = False,
    progress: str | os.PathLike[str] | None = None,
    on_score: OnScore | None = None,
) -> Scores:
    """What :func:`plan_model` measures, for several plans from one measurement; arguments as there.

    Args:
        timed: whether to measure times.
    """
    jobs = _jobs(model, inputs)
    options, other = score_jobs(
        list(jobs.values()), candidates, timed, progress, on_score, lambda: _other_seconds(model, jobs, inputs[:1])
    )
    file = model_file(model, {job.name: i for i, job in jobs.items()})
    return Scores(options, file, other)


def build_model(
    plan: Plan, model: nn.Sequential, inputs: Array, candidates: Sequence[Candidate] = CANDIDATES
) -> nn.Sequential:
    """The model of a plan: a copy in which each linear layer has the form that was chosen for it.

    Args:
        plan, model, inputs, candidates: of :func:`plan_model`.

    Raises:
        ValueError: a layer or a form of the plan is unknown.
    """
    jobs = _jobs(model, inputs)
    weights = build_jobs(plan, list(jobs.values()), candidates)
    layers = []
    for i, layer in enumerate(model.layers):
        weight = weights.get(jobs[i].name) if i in jobs else None
        if weight is not None:
            assert isinstance(layer, nn.Linear)
            layer = nn.Linear.from_weight(weight, layer.bias)
        layers.append(layer)
    return nn.Sequential(*layers)


def _jobs(model: nn.Sequential, inputs: Array) -> dict[int, Job]:
    """The linear layers by their place."""
    x, layers, jobs = matrix("inputs", inputs), model.layers, {}
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Linear):
            jobs[i] = Job(f"{i}.weight", layer.weight.dense(), x, layer.bias, tuple(layers[i + 1 :]))
        x = matrix(f"outputs of layer {i}", nn.Sequential(layer)(x))
    if not jobs:
        raise ValueError(f"model: expected one with linear layers, got {model}")
    return jobs


def _other_seconds(model: nn.Sequential, jobs: dict[int, Job], first: Array) -> float:
    """What the model takes beside its layers; less than 0 where they are faster together."""
    layers = [(forward_of(nn.DenseWeight(job.w), job.bias), _first_row(job)) for job in jobs.values()]
    dense = {i: nn.Linear.from_weight(nn.DenseWeight(job.w), job.bias) for i, job in jobs.items()}
    whole = nn.Sequential(*(dense.get(i, layer) for i, layer in enumerate(model.layers)))

    def run_layers() -> None:
        for layer, x in layers:
            layer(x)

    seconds, ratio = race(run_layers, lambda: whole(first), SECONDS)
    return seconds * (ratio - 1)


def _first_row(job: Job) -> np.ndarray:
    assert job.inputs is not None
    return job.inputs[:1]
