"""Plans of whole models: files of the predicted size, errors of the outputs, and what they choose."""

import itertools
import json

import numpy as np
import petrain
import pytest
from petrain import compress, nn
from petrain.compress import Dense, Factorized, Option, Quantized

pytestmark = pytest.mark.once

FORMS = [Dense(), Quantized(8), Quantized(4), Quantized(4, 32), Quantized(8, residual_rank=2), Factorized(4, 8)]


@pytest.fixture
def model():
    nn.manual_seed(3)
    layers = [nn.ReLU(), nn.Linear(32, 40), nn.ReLU(), nn.Linear(40, 64, bias=False), nn.ReLU(), nn.Linear(64, 5)]
    return nn.Sequential(*layers)


@pytest.fixture
def x(rng):
    return rng.standard_normal((200, 6), np.float32) @ rng.standard_normal((6, 32), np.float32)


def relative(y, exact):
    return float(np.sum((y.astype(np.float64) - exact) ** 2) / np.sum(np.square(exact, dtype=np.float64)))


def with_weight(model, i, weight):
    layers = list(model.layers)
    layers[i] = nn.Linear.from_weight(weight, layers[i].bias)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("budget", [8_000, 10_000, 20_000, 10**6])
def test_the_file_has_the_size_that_the_plan_says(model, x, tmp_path, budget):
    plan = compress.plan_model(model, x, budget_bytes=budget)
    small = compress.build_model(plan, model, x)
    petrain.save(small, tmp_path / "small.safetensors")
    assert (tmp_path / "small.safetensors").stat().st_size == plan.file_bytes <= budget
    assert f"the file {plan.file_bytes:,} bytes" in str(plan)
    np.testing.assert_array_equal(petrain.load(tmp_path / "small.safetensors")(x), small(x))
    assert relative(small(x), model(x)) <= 3 * plan.error + 1e-12


def test_errors_are_those_of_the_models_outputs(model, x):
    scores = compress.score_model(model, x, FORMS)
    assert list(scores.options) == ["1.weight", "3.weight", "5.weight"]
    inputs = nn.Sequential(*model.layers[:3])(x)
    for option in scores.options["3.weight"]:
        form = next(form for form in FORMS if form.name == option.name)
        weight = form.build(model.layers[3].weight.dense(), compress.Samples(inputs))
        assert option.error == pytest.approx(relative(with_weight(model, 3, weight)(x), model(x)), rel=1e-6)


def test_of_every_choice_the_plan_has_the_least_error(model, x):
    scores = compress.score_model(model, x, FORMS)
    choices = list(itertools.product(*scores.options.values()))
    sizes = [scores.file.size({n: o.layout for n, o in zip(scores.options, c, strict=True)}) for c in choices]
    for budget in range(min(sizes), max(sizes), 997):
        plan = scores.plan(budget_bytes=budget)
        fits = [sum(o.error for o in c) for c, size in zip(choices, sizes, strict=True) if size <= budget]
        assert plan.file_bytes <= budget
        assert plan.lower_bound <= min(fits) * (1 + 1e-12)
        assert plan.error <= 1.01 * min(fits)


def test_what_is_compressed_already_is_planned_anew(model, x, tmp_path):
    small = compress.int8(compress.low_rank(model, {1: 20, 3: 20}))
    plan = compress.plan_model(small, x, budget_bytes=7_000)
    again = compress.build_model(plan, small, x)
    petrain.save(again, tmp_path / "m")
    assert (tmp_path / "m").stat().st_size == plan.file_bytes <= 7_000
    assert relative(again(x), small(x)) < 0.05


def test_a_budget_of_time(model, x):
    scores = compress.score_model(model, x, FORMS, timed=True)
    plan = scores.plan(budget_ms=1e3)
    assert plan.seconds == pytest.approx(sum(c.option.seconds for c in plan.layers) + scores.other_seconds)
    assert 0 < plan.seconds < 0.1
    assert plan.file_bytes == scores.file.size({c.layer: c.option.layout for c in plan.layers})
    with pytest.raises(ValueError, match="budget_ms: expected at least"):
        scores.plan(budget_ms=0)


def test_scores_are_taken_up_only_for_the_same_model(model, x, tmp_path):
    path = tmp_path / "scores"
    first = compress.score_model(model, x, FORMS, progress=path)
    calls = []
    assert compress.score_model(model, x, FORMS, progress=path, on_score=lambda *c: calls.append(c)) == first
    assert calls == []
    model.layers[5].bias[0] += 1
    with pytest.raises(ValueError, match="expected the scores of these layers and candidates"):
        compress.score_model(model, x, FORMS, progress=path)


def test_plans_in_files(model, x, tmp_path):
    plan = compress.plan_model(model, x, budget_bytes=9_000, candidates=FORMS)
    timed = compress.plan_options(
        {"a": [Option("float32", 10, 0.0, 1e-3), Option("int8", 3, 0.1, 2e-3)]}, budget_ms=10.0
    )
    for given in (plan, timed):
        compress.save_plan(given, tmp_path / "plan.json")
        assert compress.load_plan(tmp_path / "plan.json") == given
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    loaded = compress.build_model(plan, model, x, FORMS)
    assert loaded.nbytes == plan.nbytes + sum(4 * n for n in (40, 5))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.pop("layers"),
        lambda r: r.update(format="petrain plan 9"),
        lambda r: r.update(error="x"),
        lambda r: r.update(budget_bytes=-1),
        lambda r: r["layers"][0].update(layer=3),
        lambda r: r["layers"][0].pop("chosen"),
        lambda r: r["layers"][0]["chosen"].update(nbytes="x"),
        lambda r: r["layers"][0]["chosen"].update(graph="[[["),
        lambda r: r["layers"][0]["chosen"].update(tensors=3),
        lambda r: r["layers"].append(None),
        lambda r: r["layers"].clear(),
        lambda r: r["layers"].append(r["layers"][0]),
        lambda r: r.update(error=None),
        lambda r: r.update(gap=-5.0),
        lambda r: r.update(lower_bound=float("inf")),
        lambda r: r.update(budget_bytes=None),
        lambda r: r.update(budget_ms=1.0),
        lambda r: r.update(file_bytes="1"),
        lambda r: r["layers"][0].update(cheaper=0),
        lambda r: r["layers"][0].update(layer="\ud800"),
        lambda r: r["layers"][0]["chosen"].update(seconds=1e300),
        lambda r: r["layers"][0]["chosen"].update(graph='{"format":"\\ud800"}'),
        lambda r: r["layers"][0]["chosen"].update(graph="[" * 100_000),
    ],
)
def test_hostile_plans_are_refused(model, x, tmp_path, change):
    path = tmp_path / "plan.json"
    compress.save_plan(compress.plan_model(model, x, 9_000, candidates=FORMS), path)
    record = json.loads(path.read_text())
    change(record)
    for text in (json.dumps(record), "", "[]", "\x00", "[" * 5000):
        path.write_text(text)
        with pytest.raises(petrain.Error, match=r"plan\.json: expected a file of 'petrain plan 1', got another"):
            compress.load_plan(path)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, x: compress.plan_model(m, x), ValueError, "budget: expected budget_bytes or budget_ms"),
        (lambda m, x: compress.plan_model(m, x, 10), ValueError, r"budget_bytes: expected at least \d+, .*, got 10"),
        (
            lambda m, x: compress.plan_model(m, x[:, :31].copy(), 10**6),
            ValueError,
            r"linear: expected an input of shape",
        ),
        (
            lambda m, x: compress.plan_model(m, x[:0], 10**6),
            ValueError,
            "inputs: expected a float32 matrix, got float32",
        ),
        (lambda m, x: compress.plan_model(m, x * np.nan, 10**6), ValueError, "inputs: expected finite values, got nan"),
        (lambda m, x: compress.plan_model(nn.Sequential(nn.ReLU()), x, 10**6), ValueError, "expected one with linear"),
    ],
)
def test_refusals(model, x, call, error, message):
    with pytest.raises(error, match=message):
        call(model, x)


def test_a_plan_of_another_model_is_refused(model, x):
    plan = compress.plan_model(model, x, 9_000, candidates=FORMS)
    with pytest.raises(ValueError, match=r"candidates: expected .* among them"):
        compress.build_model(plan, model, x, [Dense()])
    with pytest.raises(ValueError, match=r"plan: expected layers among \['0.weight'\], got '1.weight'"):
        compress.build_model(plan, nn.Sequential(nn.Linear(32, 5)), x, FORMS)
