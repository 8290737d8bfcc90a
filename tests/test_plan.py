"""Plans: what is chosen under a budget, what is said about it, and what is refused."""

import itertools
from dataclasses import replace

import pytest
from petrain.compress import Option, plan_options

FORMS = ["float32", "int8", "int4", "rank 4"]


def layers_of(rng, count):
    layers = {}
    for i in range(count):
        size, time = int(rng.integers(1000, 9000)), float(rng.uniform(1e-5, 9e-5))
        layers[f"layer {i}"] = [
            Option("float32", 4 * size, 0.0, time),
            Option("int8", size + 40, float(rng.uniform(1e-5, 1e-4)), time * float(rng.uniform(0.3, 1.2))),
            Option("int4", size // 2 + 80, float(rng.uniform(1e-3, 1e-2)), time * float(rng.uniform(0.3, 1.2))),
            Option("rank 4", size // 3, float(rng.uniform(1e-2, 1)), time * float(rng.uniform(0.1, 1.2))),
        ]
    return layers


@pytest.mark.parametrize("part", [0.05, 0.2, 0.5])
def test_bytes_against_every_choice(rng, part):
    layers = layers_of(rng, 6)
    least, most = (sum(pick(o.nbytes for o in options) for options in layers.values()) for pick in (min, max))
    budget = least + int(part * (most - least))
    plan = plan_options(layers, budget_bytes=budget)
    every = itertools.product(*layers.values())
    best = min(sum(o.error for o in choice) for choice in every if sum(o.nbytes for o in choice) <= budget)
    assert plan.error == pytest.approx(best, rel=1e-12)
    assert (plan.gap, plan.budget_bytes, plan.budget_ms) == (0, budget, None)
    assert list(plan.choice) == list(layers)
    chosen = [next(o for o in layers[name] if o.name == form) for name, form in plan.choice.items()]
    assert chosen == [layer.option for layer in plan.layers]
    assert plan.nbytes == sum(o.nbytes for o in chosen) <= budget
    assert plan.error == sum(o.error for o in chosen)
    assert plan.seconds == pytest.approx(sum(o.seconds for o in chosen))


@pytest.mark.parametrize("part", [0.1, 0.4, 1.0])
def test_a_budget_of_time_takes_nothing_that_is_slower_than_the_layer_as_it_is(rng, part):
    layers = layers_of(rng, 6)
    fast = {name: [o for o in options if o.seconds <= options[0].seconds] for name, options in layers.items()}
    assert any(len(fast[name]) < len(layers[name]) for name in layers)
    least, most = (sum(pick(o.seconds for o in options) for options in fast.values()) for pick in (min, max))
    budget = (least + part * (most - least)) * 1e3 + 1e-5
    plan = plan_options(layers, budget_ms=budget)
    assert all(layer.option in fast[layer.layer] for layer in plan.layers)
    for layer in plan.layers:
        assert set(layer.refused) == set(layers[layer.layer]) - set(fast[layer.layer])
    assert plan.seconds * 1e3 <= budget
    every = itertools.product(*fast.values())
    best = min(sum(o.error for o in choice) for choice in every if sum(o.seconds for o in choice) * 1e3 <= budget)
    assert plan.error == pytest.approx(best, rel=1e-12, abs=1e-300)


def test_a_slower_option_is_not_taken_for_a_better_error():
    layers = {"a": [Option("float32", 40, 0.5, 1e-3), Option("better", 40, 0.0, 1.000001e-3)]}
    assert plan_options(layers, budget_ms=9).choice == {"a": "float32"}
    assert plan_options(layers, budget_bytes=40).choice == {"a": "better"}
    other = {"a": [Option("now", 40, 0.5, 2e-3), Option("float32", 40, 0.0, 1e-3)]}
    assert plan_options(other, budget_ms=9, reference="now").choice == {"a": "float32"}


def test_what_was_passed_over():
    forms = [Option("float32", 400, 0.0), Option("int8", 104, 1e-4), Option("int4", 60, 1e-2), Option("poor", 61, 0.5)]
    (layer,) = plan_options({"a": forms}, budget_bytes=110).layers
    assert (layer.option, layer.cheaper, layer.better) == (forms[1], forms[2], forms[0])
    (layer,) = plan_options({"a": forms}, budget_bytes=60).layers
    assert (layer.option, layer.cheaper, layer.better) == (forms[2], None, forms[1])
    (layer,) = plan_options({"a": forms}, budget_bytes=1000).layers
    assert (layer.option, layer.cheaper, layer.better) == (forms[0], forms[1], None)


def test_the_table():
    layers = {
        "first": [
            Option("now", 4000, 0.0, 3e-3),
            Option("q8", 1040, 1e-4, 5e-4),
            Option("int4", 620, 1e-2, 4e-3),
        ],
        "second": [Option("now", 400, 0.0, 1e-4), Option("int8", 140, 2e-4, 5e-5)],
    }
    table = str(plan_options(layers, budget_ms=0.6, reference="now")).splitlines()
    assert table == [
        "layer   chosen   error  bytes    time  next cheaper                 next better                  refused",
        "first   q8      0.0001  1,040  500 µs                               now: +2.5 ms, error -0.0001  1 slower",
        "second  now          0    400  100 µs  int8: -50 µs, error +0.0002",
        "total           0.0001  1,440  600 µs",
        "budget 600 µs: no other choice has a smaller error",
    ]


def test_the_gap_is_said():
    plan = plan_options({"a": [Option("float32", 4, 0.25)]}, budget_bytes=4)
    assert str(plan).endswith("budget 4 bytes: no other choice has a smaller error")
    assert str(replace(plan, gap=0.0123)).endswith("budget 4 bytes: within 1.2% of the least error")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Option(3, 1, 0.0), TypeError, "name: expected text, got 3"),
        (lambda: Option("a", -1, 0.0), ValueError, "option 'a': nbytes: expected an integer from 0 to"),
        (lambda: Option("a", 1.5, 0.0), TypeError, "option 'a': nbytes: expected an integer, got 1.5"),
        (lambda: Option("a", 2**63, 0.0), ValueError, "option 'a': nbytes: expected an integer from 0 to"),
        (lambda: Option("a", 1, float("nan")), ValueError, "option 'a': error: expected a finite number .* got nan"),
        (
            lambda: Option("a", 1, -0.1),
            ValueError,
            "option 'a': error: expected a finite number of at least 0, got -0.1",
        ),
        (lambda: Option("a", 1, None), TypeError, "option 'a': error: expected a number, got None"),
        (lambda: Option("a", 1, 0.0, float("inf")), ValueError, "option 'a': seconds: expected a finite number"),
        (lambda: Option("a", 1, 0.0, "1"), TypeError, "option 'a': seconds: expected a number, got '1'"),
    ],
)
def test_options_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


ONE = [Option("float32", 40, 0.0, 1e-3), Option("int8", 14, 0.1, 5e-4)]


@pytest.mark.parametrize(
    ("layers", "budget", "error", "message"),
    [
        ({"a": ONE}, {}, ValueError, "budget: expected budget_bytes or budget_ms, got None and None"),
        ({"a": ONE}, {"budget_bytes": 1, "budget_ms": 1}, ValueError, "budget: expected budget_bytes or budget_ms"),
        ({}, {"budget_bytes": 1}, ValueError, "layers: expected at least one, got none"),
        ({"a": []}, {"budget_bytes": 1}, ValueError, "layer 'a': expected at least one option, got none"),
        ({"a": [("int8", 1, 0.0)]}, {"budget_bytes": 1}, TypeError, "layer 'a': expected Options, got tuple"),
        ({"a": ONE * 2}, {"budget_bytes": 1}, ValueError, "layer 'a': expected options of different names, got two"),
        ({"a": ONE, "b": ONE}, {"budget_bytes": 27}, ValueError, "budget_bytes: expected at least 28, got 27"),
        ({"a": ONE, "b": ONE}, {"budget_ms": 0.9}, ValueError, "budget_ms: expected at least 1.0, got 0.9"),
        ({"a": ONE}, {"budget_bytes": -1}, ValueError, "budget_bytes: expected an integer from 0 to"),
        ({"a": ONE}, {"budget_bytes": 1.5}, TypeError, "budget_bytes: expected an integer, got 1.5"),
        ({"a": ONE}, {"budget_ms": float("nan")}, ValueError, "budget_ms: expected from 0 to 1e12, got nan"),
        ({"a": ONE}, {"budget_ms": "9"}, TypeError, "budget_ms: expected a number, got '9'"),
        ({"a": ONE[1:]}, {"budget_ms": 9}, ValueError, r"layer 'a': expected an option 'float32' .* got \['int8'\]"),
        (
            {"a": [Option("int8", 1, 0.0)]},
            {"budget_ms": 9},
            ValueError,
            "option 'int8': expected measured seconds, got",
        ),
        ({"a": [Option("x", 2**63 - 1, 0.0), ONE[0]], "b": ONE}, {"budget_bytes": 99}, ValueError, r"below 2\*\*63"),
    ],
)
def test_refusals(layers, budget, error, message):
    with pytest.raises(error, match=message):
        plan_options(layers, **budget)
