"""What each form of each layer costs, bytes, error and time, measured; and what is chosen made."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from petrain import _core, nn
from petrain._params import Array
from petrain.compress.candidates import Candidate, Dense, Samples
from petrain.compress.choose import Scores, check_budget
from petrain.compress.defaults import CANDIDATES
from petrain.compress.journal import Journal
from petrain.compress.layout import weights_file
from petrain.compress.plan import Option, Plan
from petrain.compress.records import option_from, record_of
from petrain.compress.trial import Job, Trial, matrix
from petrain.files import require_text

_PARTS = {"a", "b", "base", "columns", "positions", "scale", "starts", "values", "zero_point"}  # of names in files

Layer = tuple[Array, Array | None]
OnScore = Callable[[int, int], None]


def plan(
    layers: Mapping[str, Layer],
    budget_bytes: int | None = None,
    budget_ms: float | None = None,
    candidates: Sequence[Candidate] = CANDIDATES,
    progress: str | os.PathLike[str] | None = None,
    on_score: OnScore | None = None,
) -> Plan:
    r"""Measure every form of every layer, and choose one each: the least error that fits the budget.

    The error of a layer is :math:`\|\hat{Y} - Y\|_F^2 / \|Y\|_F^2` of its outputs on the inputs, run as it would be:
    with the inputs in int8 where the form has them so; or, where there are no inputs, the same of the weight. Errors of
    layers are added up as if they had nothing to do with each other. For the layers of a whole model
    :func:`plan_model` measures what each does to the model's outputs.

    Args:
        layers: for each name the weight, float32 (N, K), and samples of its inputs, float32 (M, K), or None.
        budget_bytes: the most bytes of the file that :func:`save` writes, header included.
        budget_ms: the most milliseconds of one row through all layers, one after the other, on this machine with the
            current number of threads: the sum of what each takes when it is run again and again. Each form is run in
            turn with the layer as it is, and one that is slower is never taken.
        candidates: the forms to try; one that does not fit a layer is left out there. With ``budget_ms`` they have
            :class:`Dense` among them.
        progress: a file for what was measured: a plan that was interrupted goes on from there and ends the same. It is
            written as the work goes, a line for each form of each layer; what it holds is taken up only for the same
            layers, inputs and candidates, and times only for times.
        on_score: called with the number of forms that are measured and of those that there are, after each.

    Raises:
        ValueError: an argument is not as said, no budget or two are given, nothing fits the budget, or ``progress`` is
            of other layers.
        TypeError: an argument is of the wrong type.
        petrain.Error: the file at ``progress`` is something else.
        OSError: it cannot be read or written, or another process is writing it.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> layers = {name: (rng.standard_normal((64, 128), np.float32), None) for name in ("up", "down")}
        >>> small = plan(layers, budget_bytes=16_000)
        >>> small.choice, small.file_bytes
        ({'up': 'int4 g64 + rank 8', 'down': 'int8'}, 15792)
    """
    check_budget(budget_bytes, budget_ms)
    scores = score(layers, candidates, timed=budget_ms is not None, progress=progress, on_score=on_score)
    return scores.plan(budget_bytes, budget_ms)


def score(
    layers: Mapping[str, Layer],
    candidates: Sequence[Candidate] = CANDIDATES,
    *,
    timed: bool = False,
    progress: str | os.PathLike[str] | None = None,
    on_score: OnScore | None = None,
) -> Scores:
    """What :func:`plan` measures, for several plans from one measurement.

    Args:
        timed: whether to measure times.
        layers, candidates, progress, on_score: as for :func:`plan`.

    Example:
        >>> import numpy as np
        >>> w = np.random.default_rng(0).standard_normal((64, 128), np.float32)
        >>> from petrain.compress import Factorized, Quantized
        >>> for option in score({"up": (w, None)}, [Dense(), Quantized(8), Factorized(8, bits=8)]).options["up"]:
        ...     print(option.name, option.nbytes, f"{option.error:.1e}")
        float32 32768 0.0e+00
        int8 8448 4.2e-05
        rank 8 int8 1824 7.1e-01
    """
    if not layers:
        raise ValueError("layers: expected at least one, got none")
    jobs = [_job(name, layer) for name, layer in layers.items()]
    _require_apart(layers)
    options, _ = score_jobs(jobs, candidates, timed, progress, on_score)
    return Scores(options, weights_file())


def build(
    plan: Plan, layers: Mapping[str, Layer], candidates: Sequence[Candidate] = CANDIDATES
) -> dict[str, nn.Weight]:
    """The weights of a plan, by the name of the layer.

    Args:
        plan: of these layers and candidates.

    Raises:
        ValueError: a layer or a form of the plan is unknown.

    Example:
        >>> import numpy as np
        >>> layers = {"up": (np.random.default_rng(0).standard_normal((64, 128), np.float32), None)}
        >>> small = plan(layers, budget_bytes=9000)
        >>> weights = build(small, layers)
        >>> small.choice["up"], weights["up"].nbytes == small.nbytes
        ('int8', True)
        >>> nn.Sequential(nn.Linear.from_weight(weights["up"]))(np.ones((1, 128), np.float32)).shape
        (1, 64)
    """
    unknown = [name for name in plan.choice if name not in layers]
    if unknown:
        raise ValueError(f"layers: expected {unknown[0]!r} among them, got {sorted(layers)}")
    return build_jobs(plan, [_job(name, layers[name]) for name in plan.choice], candidates)


def save(weights: Mapping[str, nn.Weight], path: str | os.PathLike[str]) -> None:
    """Write weights, by name and each in its form, as a safetensors file: what :func:`plan` predicts the size of.

    All or nothing, as :func:`petrain.save`, which writes whole models. The same weights give the same bytes.

    Raises:
        OSError: the file cannot be written. The old file is as it was.
        ValueError: a name cannot be stored, or stands for two tensors. Nothing was written.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> layers = {"up": (np.random.default_rng(0).standard_normal((64, 128), np.float32), None)}
        >>> small = plan(layers, budget_bytes=9000)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(build(small, layers), f"{folder}/small.safetensors")
        ...     os.path.getsize(f"{folder}/small.safetensors") == small.file_bytes
        ...     load(f"{folder}/small.safetensors")["up"].format
        True
        'int8'
    """
    _core.save_weights(dict(weights), Path(path))


def load(path: str | os.PathLike[str]) -> dict[str, nn.Weight]:
    """Read the weights of a file that :func:`save` wrote.

    Raises:
        OSError: the file cannot be read.
        petrain.Error: it is not such a file; the message says what was expected and what came.
    """
    return _core.load_weights(Path(path))


def score_jobs(
    jobs: Sequence[Job],
    candidates: Sequence[Candidate],
    timed: bool,
    progress: str | os.PathLike[str] | None,
    on_score: OnScore | None,
    beside: Callable[[], float] | None = None,
) -> tuple[dict[str, list[Option]], float]:
    """The options of each job, in the order of the candidates but for the dense form, which comes first; and, where
    times are measured, what ``beside`` measures."""
    forms = _ordered(candidates, timed)
    names = [(job.name, form.name) for job in jobs for form in forms if form.fits(job.shape)]
    journal = Journal(progress, _fingerprint(jobs, forms, timed)) if progress is not None else None
    options: dict[str, list[Option]] = {job.name: [] for job in jobs}
    try:
        done = [] if journal is None else _taken_up(journal, names)
        for (name, _), option in zip(names, done, strict=False):
            options[name].append(option)
        count = len(done)
        for job in jobs:
            trial = Trial(job, timed)
            for form in [form for form in forms if form.fits(job.shape)][len(options[job.name]) :]:
                option = trial.run(form, next(iter(options[job.name]), None))
                if journal is not None:
                    journal.append({"layer": job.name, **record_of(option)})
                options[job.name].append(option)
                count += 1
                if on_score is not None:
                    on_score(count, len(names))
        other = 0.0
        if timed and beside is not None:
            if journal is not None and len(journal.records) > len(names):
                other = _other_from(journal, len(names))
            else:
                other = beside()
                if journal is not None:
                    journal.append({"other_seconds": other})
    finally:
        if journal is not None:
            journal.close()
    return options, other


def build_jobs(plan: Plan, jobs: Sequence[Job], candidates: Sequence[Candidate]) -> dict[str, nn.Weight]:
    """The weights of a plan for jobs, which may be more."""
    forms = {form.name: form for form in candidates}
    by_name = {job.name: job for job in jobs}
    weights = {}
    for name, chosen in plan.choice.items():
        if name not in by_name:
            raise ValueError(f"plan: expected layers among {sorted(by_name)}, got {name!r}")
        if chosen not in forms:
            raise ValueError(f"candidates: expected {chosen!r} among them, got {sorted(forms)}")
        job = by_name[name]
        weights[name] = forms[chosen].build(job.w, None if job.inputs is None else Samples(job.inputs))
    return weights


def _job(name: str, layer: Layer) -> Job:
    require_text("layers: name", name)
    if name == "__metadata__":
        raise ValueError(f"layers: expected another name than {name!r}, which files reserve")
    if not isinstance(layer, (tuple, list)) or len(layer) != 2:
        raise TypeError(f"layer {name!r}: expected (weight, inputs), got {type(layer).__name__}")
    w = matrix(f"layer {name!r}: weight", layer[0])
    inputs = None if layer[1] is None else matrix(f"layer {name!r}: inputs", layer[1])
    if inputs is not None and inputs.shape[1] != w.shape[1]:
        raise ValueError(f"layer {name!r}: inputs: expected (rows, {w.shape[1]}), got {inputs.shape}")
    return Job(name, w, inputs)


def _ordered(candidates: Sequence[Candidate], timed: bool) -> list[Candidate]:
    """The dense form first: the times of the others are in its terms."""
    names = [form.name for form in candidates]
    double = [name for i, name in enumerate(names) if name in names[:i]]
    if not names or double:
        raise ValueError(f"candidates: expected at least one, and different names, got {names}")
    dense = Dense().name
    if timed and dense not in names:
        raise ValueError(f"candidates: expected {dense!r} among them, to compare times with, got {names}")
    return sorted(candidates, key=lambda form: form.name != dense)


def _fingerprint(jobs: Sequence[Job], forms: Sequence[Candidate], timed: bool) -> str:
    machine = (_core.cpu_info()["isa"], _core.get_num_threads() if timed else None)
    digest = hashlib.sha256(repr((list(forms), timed, _core.__version__, machine)).encode())
    for job in jobs:
        arrays = {"weight": job.w, "inputs": job.inputs, "bias": job.bias}
        if job.after:
            after = nn.Sequential(*job.after)
            digest.update(_core.model_graph(after).encode())
            arrays |= after.tensors()
        for what, array in arrays.items():
            digest.update(repr((job.name, what, None if array is None else array.shape)).encode())
            if array is not None:
                digest.update(array.data)
    return digest.hexdigest()


def _require_apart(names: Iterable[str]) -> None:
    """That no weight is named as a part of another is."""
    known = set(names)
    for name in known:
        pieces = name.split(".")
        for i in range(1, len(pieces)):
            if pieces[i] in _PARTS and ".".join(pieces[:i]) in known:
                whole = ".".join(pieces[:i])
                raise ValueError(f"layers: expected names that are no parts of others, got {name!r} beside {whole!r}")


def _other_from(journal: Journal, line: int) -> float:
    record = journal.records[line]
    other = record.get("other_seconds")
    if len(journal.records) > line + 1 or not isinstance(other, float) or not abs(other) <= 1e9:
        raise _core.Error(f"{journal.path}, line {line + 2}: expected what a run takes beside, got {record}")
    return other


def _taken_up(journal: Journal, names: Sequence[tuple[str, str]]) -> list[Option]:
    options = []
    for i, record in enumerate(journal.records[: len(names)]):
        try:
            option = option_from(record)
            expected = names[i]
            given = record["layer"]
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise _core.Error(f"{journal.path}, line {i + 2}: expected a score, got {record}") from error
        if (given, option.name) != expected or option.layout is None:
            raise _core.Error(f"{journal.path}, line {i + 2}: expected the score of {expected}, got {record}")
        options.append(option)
    return options
