"""Size against accuracy: the planner, and each of its means alone.

    python bench/bench_pareto.py [--only digits] [--chart pareto.png] [--json out.json]

A perceptron is trained on scikit-learn's digits and one on Fashion-MNIST (784-256-128-10), and made smaller to every
size from 3% to 25% of its file in float32, without training it again:

    planner    forms chosen for each layer by compress.plan_model
    int8       every weight in int8
    SVD        float32 factors; ranks chosen by the planner, the factors the best for the outputs
    pruning    SparseGPT, every layer as sparse, counted with the fewest bytes that any storage needs: a bit for each
               weight, and four bytes for each that is kept

What comes out at a size is the best of that size or smaller. "Fine-tuned" is the planner's model, trained on for some
epochs with the original as its teacher. Samples for planning are 2,000 training images; test images are only counted.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import common
import fashion_mnist
import numpy as np
import petrain
from petrain import compress, distill, nn, prune, quant

PARTS = (0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.25)
FINE_TUNED = (0.03, 0.05, 0.08, 0.125)
SAMPLES = 2000


@dataclass(frozen=True)
class Data:
    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def accuracy(self, model: nn.Sequential) -> float:
        return float((model(self.test_x).argmax(axis=1) == self.test_y).mean())


@dataclass(frozen=True)
class Case:
    name: str
    data: Callable[[], Data]
    widths: tuple[int, ...]
    epochs: int
    tuning_epochs: int
    batch: int


@dataclass(frozen=True)
class Point:
    nbytes: int
    accuracy: float


def digits() -> Data:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype(np.float32), y.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:1347], order[1347:]
    return Data(x[train], y[train], x[test], y[test])


def fashion() -> Data:
    (x, y), (test_x, test_y) = fashion_mnist.load()
    return Data(x, y, test_x, test_y)


CASES = (
    Case("digits", digits, (64, 128, 64, 10), epochs=40, tuning_epochs=40, batch=32),
    Case("fashion", fashion, (784, 256, 128, 10), epochs=6, tuning_epochs=12, batch=128),
)


def new_model(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Layer] = []
    for i, (k, n) in enumerate(itertools.pairwise(widths)):
        layers += [nn.Linear(k, n, seed=i + 1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def train(
    model: nn.Sequential, data: Data, epochs: int, batch: int, lr: float, teacher: nn.Sequential | None = None
) -> None:
    """With a cosine schedule; with a teacher, nine parts of its softened answers to one of the labels."""
    opt = petrain.optim.AdamW(model.parameters(), lr=lr)
    rng, count = np.random.default_rng(0), len(data.y)
    known = None if teacher is None else teacher(data.x)
    steps = epochs * (count // batch)
    for step in range(steps):
        if step % (count // batch) == 0:
            order = rng.permutation(count)
        rows = order[step % (count // batch) * batch :][:batch]
        logits = model.forward(data.x[rows], training=True)
        if known is None:
            _, gradient = nn.cross_entropy(logits, data.y[rows])
        else:
            _, gradient = distill.distillation(logits, known[rows], data.y[rows], temperature=2, alpha=0.9)
        model.backward(gradient)
        opt.param_groups[0]["lr"] = lr * 0.5 * (1 + np.cos(np.pi * step / steps))
        opt.step(model.gradients())


def file_bytes(model: nn.Sequential) -> int:
    with tempfile.TemporaryDirectory() as folder:
        petrain.save(model, f"{folder}/m")
        return Path(f"{folder}/m").stat().st_size


def planned(model: nn.Sequential, scores: compress.Scores, data: Data, budget: int) -> nn.Sequential | None:
    """None where nothing is as small."""
    try:
        plan = scores.plan(budget_bytes=budget)
    except ValueError:
        return None
    small = compress.build_model(plan, model, data.x[:SAMPLES])
    if file_bytes(small) != plan.file_bytes:
        raise AssertionError(f"the plan says {plan.file_bytes} bytes, the file has {file_bytes(small)}")
    return small


def pruned(model: nn.Sequential, data: Data, sparsity: float) -> Point:
    x, layers, saved = data.x[:SAMPLES], [], 0
    for layer in model.layers:
        made = layer
        if isinstance(layer, nn.Linear):
            hessian = quant.HessianObserver(x.shape[1])
            hessian.observe(x)
            w = layer.weight.dense()
            sparse, mask, _ = prune.sparse_gpt(w, hessian, sparsity)
            made = nn.Linear.from_weight(nn.DenseWeight(sparse), layer.bias)
            saved += w.nbytes - 4 * int(np.count_nonzero(mask)) - (w.size + 7) // 8
        x = nn.Sequential(layer)(x)
        layers.append(made)
    small = nn.Sequential(*layers)
    return Point(file_bytes(model) - saved, data.accuracy(small))


def curves(case: Case, model: nn.Sequential, scores: compress.Scores, data: Data) -> dict[str, list[Point]]:
    whole, x = file_bytes(model), data.x[:SAMPLES]

    def sizes(scores: compress.Scores) -> list[Point]:
        points = []
        for part in PARTS:
            small = planned(model, scores, data, int(part * whole))
            if small is not None:
                points.append(Point(file_bytes(small), data.accuracy(small)))
        return points

    alone = [form for form in compress.CANDIDATES if isinstance(form, compress.Factorized) and form.bits == 32]
    int8 = compress.int8(model)
    tuned = []
    for part in FINE_TUNED:
        small = planned(model, scores, data, int(part * whole))
        if small is None:
            continue
        factors = compress.dequantize(small)
        train(factors, data, case.tuning_epochs, case.batch, 1e-3, teacher=model)
        small = compress.quantize_like(factors, small)
        tuned.append(Point(file_bytes(small), data.accuracy(small)))
    return {
        "planner": sizes(scores),
        "planner, fine-tuned": tuned,
        "int8": [Point(file_bytes(int8), data.accuracy(int8))],
        "SVD": sizes(compress.score_model(model, x, [compress.Dense(), *alone])),
        "pruning": [pruned(model, data, s) for s in (0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97)],
    }


def at(points: Sequence[Point], nbytes: float) -> float:
    """The best accuracy within so many bytes; 0 where nothing is as small."""
    return max((point.accuracy for point in points if point.nbytes <= nbytes), default=0.0)


def report_on(case: Case, report: common.Report) -> tuple[str, Point, dict[str, list[Point]]]:
    data = case.data()
    model = new_model(case.widths)
    train(model, data, case.epochs, case.batch, 1e-3)
    original = Point(file_bytes(model), data.accuracy(model))
    print(f"\n{case.name}: {original.nbytes:,} bytes, {original.accuracy:.2%} right")
    scores = compress.score_model(model, data.x[:SAMPLES])
    found = curves(case, model, scores, data)
    for name, points in found.items():
        for point in points:
            print(f"  {name:20} {original.nbytes / point.nbytes:5.1f}x smaller  {point.accuracy:.2%}")
    bars, threads = case.name == "fashion", petrain.get_num_threads()
    for name in ("int8", "SVD", "pruning"):
        # Where nothing of the other is as small there is nothing to compare with.
        sizes = [part * original.nbytes for part in PARTS] if name != "int8" else [found["int8"][0].nbytes]
        gains = [100 * (at(found["planner"], size) - at(found[name], size)) for size in sizes if at(found[name], size)]
        work = f"{case.name}: points gained, least of {len(gains)} sizes"
        bar = 0 if bars and name != "pruning" else None
        report.add(work, threads, (min(gains), min(gains), max(gains)), f"against {name} alone", bar, " ")
    for times, curve in ((8, "planner"), (20, "planner, fine-tuned")):
        reached = at(found[curve], original.nbytes / times)
        if reached == 0 and not bars:
            continue  # so small a file is mostly its header
        left = 0.5 - 100 * (original.accuracy - reached)
        work = f"{case.name}: {times} times smaller, half a point less loss"
        report.add(work, threads, (left, left, left), curve, 0 if bars else None, " ")
    print(scores.plan(budget_bytes=original.nbytes // 8))
    return case.name, original, found


def draw(path: str, cases: Sequence[tuple[str, Point, dict[str, list[Point]]]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(cases), 4.2), layout="constrained")
    for axes, (name, original, found) in zip(np.atleast_1d(figure.subplots(1, len(cases))), cases, strict=True):
        for curve, points in found.items():
            ordered = sorted(points, key=lambda point: point.nbytes)
            x = [100 * point.nbytes / original.nbytes for point in ordered]
            style = "o-" if len(points) > 1 else "*"
            axes.plot(
                x, [100 * point.accuracy for point in ordered], style, label=curve, markersize=9 if style == "*" else 4
            )
        axes.axhline(100 * original.accuracy, color="0.6", linewidth=1, linestyle=":")
        axes.text(2.9, 100 * original.accuracy, "float32", ha="left", va="bottom", color="0.4", fontsize=9)
        low = min(point.accuracy for point in found["planner"])
        axes.set(xscale="log", xlim=(2.8, 32), ylim=(100 * low - 6, 100 * original.accuracy + 1))
        axes.set(xlabel="size of the file, % of float32", ylabel="right answers, %", title=name)
        axes.set_xticks([3, 5, 10, 15, 25], ["3", "5", "10", "15", "25"], minor=False)
        axes.minorticks_off()
        axes.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=150)


def main() -> None:
    names = [case.name for case in CASES]
    arguments = common.arguments(__doc__ or "", names, chart=True)
    report = common.Report("pareto")
    cases = [report_on(case, report) for case in CASES if case.name in arguments.only]
    if arguments.chart:
        draw(arguments.chart, cases)
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
