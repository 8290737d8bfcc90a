"""The stages of ``petrain demo``, in order."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

import petrain
from petrain import nn
from petrain.compress import int8
from petrain.demo import data, page, table
from petrain.demo.compression import Compressed, compress, file_size, score
from petrain.demo.evaluation import check_file, evaluate
from petrain.demo.measure import BATCHES, latencies, memory
from petrain.demo.output import COMPRESSED, METRICS, ORIGINAL, REPORT, Output
from petrain.demo.progress import Stages
from petrain.demo.results import ModelResult, Results, SizePoint, SweepPoint
from petrain.demo.settings import FINE_TUNING, SWEEP, Settings, training
from petrain.demo.training import accuracy, new_model, train

_MEASURING, _WRITING = 40, 40  # in the time of an epoch, for the progress bar


def run(settings: Settings) -> Results:
    """Do everything, write the report and print its table.

    Raises:
        OSError: the folder cannot be written. That is found first, and nothing is left behind.
        petrain.Error: the budget is too small, or a saved model answers differently.
    """
    start = time.perf_counter()
    threads = petrain.get_num_threads()
    console = Console(quiet=settings.quiet, highlight=False)
    units = settings.epochs + FINE_TUNING.epochs * (1 + len(SWEEP)) + _MEASURING + _WRITING
    with Output(settings.out) as output, Stages(console, units) as stages:
        petrain.set_num_threads(settings.threads)
        try:
            results = _work(settings, output, stages)
        finally:
            petrain.set_num_threads(threads)
        paths = output.publish()
    table.show(console, results, paths, time.perf_counter() - start)
    return results


def _work(settings: Settings, output: Output, stages: Stages) -> Results:
    def tick(_: object) -> None:
        stages.advance()

    stages.begin("train")
    digits = data.load(settings.seed)
    model = new_model(settings.seed)
    epochs = train(model, digits, training(settings.epochs), settings.seed, tick)
    petrain.save(model, output.staging / ORIGINAL)
    original_bytes = (output.staging / ORIGINAL).stat().st_size
    stages.end(f"loss {epochs[-1].loss:.4f}, accuracy {epochs[-1].test_accuracy:.2%} after epoch {len(epochs)}")

    stages.begin("compress")
    budget = settings.budget.nbytes(original_bytes)
    scores = score(model, digits)
    compressed = compress(model, scores, digits, budget, settings.seed, tick)
    petrain.save(compressed.small, output.staging / COMPRESSED)
    ranks = [str(layer.rank or "whole") for layer in compressed.layers]
    small_bytes = (output.staging / COMPRESSED).stat().st_size
    stages.end(f"{small_bytes:,} of {original_bytes:,} bytes, ranks {', '.join(ranks)}")

    stages.begin("sizes")
    others = sorted({int(part * original_bytes) for part in SWEEP} - {budget})
    candidates = [compress(model, scores, digits, size, settings.seed, tick) for size in others]
    candidates = sorted([*candidates, compressed], key=lambda candidate: candidate.budget)
    sweep = [_sweep_point(candidate, digits, output.staging) for candidate in candidates]
    stages.end(f"{len(sweep)} budgets from {sweep[0].budget:,} bytes to {sweep[-1].budget:,}")

    stages.begin("measure")
    files = (output.staging / ORIGINAL, output.staging / COMPRESSED)
    made = (model, compressed.small)
    models = [check_file(path, kept, digits.test_x) for path, kept in zip(files, made, strict=True)]
    original, small = _measure(models, files, digits, settings.threads)
    stages.advance(_MEASURING)
    stages.end("both files answer as the models did, bit for bit")

    stages.begin("report")
    results = Results(
        settings=settings,
        budget=budget,
        images=(len(digits.train_y), len(digits.test_y)),
        original=original,
        compressed=small,
        layers=compressed.layers,
        training=epochs,
        truncated_accuracy=compressed.truncated_accuracy,
        fine_tuning=compressed.epochs,
        sweep=sweep,
        int8_alone=_size_point(int8(model), digits, output.staging),
        seconds=stages.seconds,
    )
    output.write(REPORT, page.html(results, digits))
    output.write(METRICS, results.to_json())
    stages.advance(_WRITING)
    stages.end("charts and page")
    return results


def _measure(
    models: list[nn.Sequential], files: tuple[Path, ...], digits: data.Digits, threads: int
) -> list[ModelResult]:
    times = {batch: latencies(models, digits.test_x, batch) for batch in BATCHES}
    rows, features = max(BATCHES), digits.test_x.shape[1]
    return [
        ModelResult(
            file=path.name,
            file_bytes=path.stat().st_size,
            array_bytes=model.nbytes,
            quality=evaluate(model, digits.test_x, digits.test_y),
            latency={batch: seconds[i] for batch, seconds in times.items()},
            memory=memory(path, rows, features, threads),
        )
        for i, (model, path) in enumerate(zip(models, files, strict=True))
    ]


def _size_point(model: nn.Sequential, digits: data.Digits, scratch: Path) -> SizePoint:
    return SizePoint(file_size(model, scratch), accuracy(model, digits.test_x, digits.test_y))


def _sweep_point(candidate: Compressed, digits: data.Digits, scratch: Path) -> SweepPoint:
    return SweepPoint(
        candidate.budget,
        candidate.ranks,
        float32=_size_point(candidate.factors, digits, scratch),
        int8=_size_point(candidate.small, digits, scratch),
    )
