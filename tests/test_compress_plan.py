"""Every form of real layers, measured: bytes as in files, errors as computed by hand, scores that outlive a kill."""

import itertools

import numpy as np
import pytest
from compress_cases import layers_of
from petrain import compress, nn
from petrain.compress import CANDIDATES, Dense, Factorized, Layout, Option, Quantized, Samples
from petrain.compress.layout import weights_file

pytestmark = pytest.mark.once

W = np.ones((4, 32), np.float32)
NAMES = {form.name: form for form in CANDIDATES}


@pytest.fixture
def layers(rng):
    return layers_of(rng)


def forward(weight, x):
    return nn.Sequential(nn.Linear.from_weight(weight))(x)


def built(option, w, x):
    return NAMES[option.name].build(w, None if x is None else Samples(x))


def stands_for(weight):
    """The weight, from the stored arrays."""
    arrays = {name: array.astype(np.float64) for name, array in weight.tensors().items()}

    def matrix(name):
        if name in arrays:
            return arrays[name]
        return weight_part(weight, name).dense().astype(np.float64)

    if weight.format == "low_rank":
        return matrix(".a") @ matrix(".b")
    if weight.format == "residual":
        return matrix(".base") + matrix(".a") @ matrix(".b")
    return matrix("")


def weight_part(weight, name):
    return weight if name == "" else getattr(weight, name[1:])


def relative(y, exact):
    return float(np.sum((y - exact) ** 2) / np.sum(np.square(exact, dtype=np.float64)))


def test_bytes_are_those_of_the_file(layers, tmp_path):
    scores = compress.score(layers)
    for name, (w, x) in layers.items():
        for option in scores.options[name]:
            weight = built(option, w, x)
            assert option.nbytes == weight.nbytes == sum(array.nbytes for array in weight.tensors().values())
            compress.save({'naïve "name"\n': weight}, tmp_path / "w")
            size = scores.file.size({'naïve "name"\n': option.layout})
            assert size == (tmp_path / "w").stat().st_size
            loaded = compress.load(tmp_path / "w")['naïve "name"\n']
            assert (loaded.format, loaded.graph) == (weight.format, weight.graph)
            for part, array in weight.tensors().items():
                np.testing.assert_array_equal(loaded.tensors()[part], array)
            if x is not None:
                np.testing.assert_array_equal(forward(loaded, x), forward(weight, x))


def test_errors_are_those_of_the_outputs_or_of_the_weight(layers):
    scores = compress.score(layers).options
    for name, (w, x) in layers.items():
        for option in scores[name]:
            weight = built(option, w, x)
            np.testing.assert_allclose(weight.dense(), stands_for(weight), atol=1e-4)
            if x is None:
                assert option.error == pytest.approx(
                    relative(stands_for(weight), w.astype(np.float64)), rel=1e-3, abs=1e-12
                )
            else:
                y = forward(weight, x)
                assert option.error == pytest.approx(relative(y, x.astype(np.float64) @ w.T), rel=1e-3, abs=1e-9)
                np.testing.assert_allclose(y, x @ stands_for(weight).T, atol=0.02 * np.abs(y).max())
            assert option.seconds is None


def test_the_forms_that_fit(layers):
    names = {name: [option.name for option in options] for name, options in compress.score(layers).options.items()}
    assert names["seen"] == [form.name for form in CANDIDATES]
    assert not any("g32" in form or "g64" in form for form in names["odd"])  # 50 inputs
    assert len(set(NAMES)) == len(CANDIDATES)
    assert Factorized(0.25).rank_of((10, 50)) == 3
    assert Factorized(7).rank_of((10, 50)) == 7
    assert not Factorized(11).fits((10, 50))
    assert Factorized(8).fits((10, 50))
    assert not Factorized(9).fits((10, 50))


def test_each_form_is_good_at_what_it_is_for(layers):
    scores = {name: {o.name: o for o in options} for name, options in compress.score(layers).options.items()}
    assert all(options["float32"].error == 0 for options in scores.values())
    seen, unseen = scores["seen"], scores["unseen"]
    assert seen["int8"].error < seen["int4 g32"].error < seen["int4 g64"].error
    assert seen["int4 g32 + rank 8"].error < 0.5 * seen["int4 g32"].error  # 8 directions carry the inputs
    assert unseen["rank 0.125"].error < 1e-6 < unseen["rank 0.0625"].error
    assert unseen["rank 0.125 int8"].error < 1e-4


@pytest.mark.parametrize("budget", [6_000, 9_000, 20_000, 10**6])
def test_a_plan_is_a_file_of_the_size_that_it_says(layers, tmp_path, budget):
    plan = compress.plan(layers, budget_bytes=budget)
    weights = compress.build(plan, layers)
    assert sorted(weights) == sorted(layers)
    assert sum(weight.nbytes for weight in weights.values()) == plan.nbytes
    compress.save(weights, tmp_path / "w")
    assert (tmp_path / "w").stat().st_size == plan.file_bytes <= budget
    for choice in plan.layers:
        w, x = layers[choice.layer]
        if x is not None:
            assert relative(forward(weights[choice.layer], x), x @ w.T) == pytest.approx(
                choice.option.error, rel=1e-3, abs=1e-12
            )


def test_every_budget_from_the_least_up(layers):
    """Sizes add up only nearly: the header is padded, and its offsets have more digits or fewer."""
    scores = compress.score(layers, [Quantized(8), Quantized(4), Factorized(2, 8)])
    with pytest.raises(ValueError, match=r"budget_bytes: expected at least (\d+), .*, got 10") as refused:
        scores.plan(budget_bytes=10)
    least = int(str(refused.value).split()[4].rstrip(","))
    for budget in range(least, least + 400):
        assert scores.plan(budget_bytes=budget).file_bytes <= budget
    sizes = {
        names: scores.file.size({layer: o.layout for layer, o in zip(scores.options, names, strict=True)})
        for names in itertools.product(*scores.options.values())
    }
    assert least == min(sizes.values())
    for budget in range(least, max(sizes.values()) + 100, 61):
        plan = scores.plan(budget_bytes=budget)
        best = min(sum(o.error for o in names) for names, size in sizes.items() if size <= budget)
        assert plan.lower_bound <= best * (1 + 1e-12)
        assert plan.error <= 1.01 * best
        assert plan.gap > 0 or plan.error <= best * (1 + 1e-12)


def test_small_problems_against_every_choice(rng):
    """Layers of a few numbers, where the header is most of the file."""
    for _ in range(12):
        sizes = rng.integers(1, 40, (3, 4))
        options = {
            f"{'w' * int(rng.integers(1, 30))}{i}": [
                Option(
                    str(j),
                    int(n),
                    float(rng.random() ** 8),
                    None,
                    Layout('{"format":"float32"}', (("", "int8", (int(n),)),)),
                )
                for j, n in enumerate(layer)
            ]
            for i, layer in enumerate(sizes)
        }
        scores = compress.Scores(options, weights_file())
        choices = list(itertools.product(*options.values()))
        bytes_of = [scores.file.size({n: o.layout for n, o in zip(options, c, strict=True)}) for c in choices]
        for budget in range(min(bytes_of), max(bytes_of) + 20, 7):
            try:
                plan = scores.plan(budget_bytes=budget)
            except ValueError:
                assert budget < min(bytes_of) + 8  # the thinnest forms are so by themselves
                continue
            best = min(sum(o.error for o in c) for c, size in zip(choices, bytes_of, strict=True) if size <= budget)
            assert plan.file_bytes <= budget
            assert plan.lower_bound <= best * (1 + 1e-12)
            assert plan.gap > 0 or plan.error <= best * (1 + 1e-12)


def test_outputs_of_zeros_say_nothing(layers):
    """A layer behind which nothing is alive on the samples is judged by its weight."""
    w = np.random.default_rng(0).standard_normal((16, 64), np.float32)
    model = nn.Sequential(nn.Linear.from_weight(nn.DenseWeight(w), np.full(16, -100, np.float32)), nn.ReLU())
    x = np.ones((3, 64), np.float32)
    for given in (compress.score_model(model, x), compress.score({"a": (w, np.zeros((3, 64), np.float32))})):
        (options,) = given.options.values()
        assert {o.name for o in options if o.error == 0} == {"float32"}


@pytest.mark.parametrize("other", ["w.scale", "w.a", "w.a.values"])
def test_names_that_are_parts_of_others(other):
    with pytest.raises(ValueError, match="expected names that are no parts of others, got"):
        compress.score({"w": (W, None), other: (W, None)}, [Dense()])
    assert compress.score({"w": (W, None), "w.weight": (W, None)}, [Dense()]).options


def test_numbers_beyond_float32():
    w = np.full((4, 32), 3e38, np.float32)
    with pytest.raises(ValueError, match="layer 'a' as float32: expected outputs within float32"):
        compress.score({"a": (w, w)}, [Dense()])
    with pytest.raises(ValueError, match="outputs of layer 0: expected finite values"):
        compress.score_model(nn.Sequential(nn.Linear.from_weight(nn.DenseWeight(w))), w, [Dense()])
    assert compress.plan({"a": (W, None)}, budget_bytes=2**63 - 1).error == 0


def test_a_budget_of_time(layers):
    loose = compress.plan(layers, budget_ms=1e6)
    assert loose.choice == dict.fromkeys(layers, "float32")  # which is never slower than itself
    for choice in loose.layers:
        assert choice.option.seconds > 0
        assert all(o.seconds > choice.option.seconds for o in choice.refused)


class Repeated(Dense):
    """A form that takes many times as long as the layer as it is."""

    name = "repeated"

    def build(self, w, samples):
        weight = super().build(w, samples)
        for _ in range(30):
            weight = nn.LowRankWeight(nn.DenseWeight(np.eye(w.shape[0], dtype=np.float32)), weight)
        return weight


def test_times_are_seconds_and_what_is_slower_is_refused(layers):
    scores = compress.score({"unseen": layers["unseen"]}, [Repeated(), Dense()], timed=True)
    dense, slow = scores.options["unseen"]
    assert (dense.name, slow.name) == ("float32", "repeated")
    assert 3 * dense.seconds < slow.seconds < 1  # not the ratio
    (choice,) = scores.plan(budget_ms=1e6).layers
    assert choice.refused == (slow,)


def test_zeros_have_no_error():
    w = np.zeros((8, 64), np.float32)
    for x in (None, np.ones((3, 64), np.float32)):
        assert {option.error for option in compress.score({"a": (w, x)}).options["a"]} == {0.0}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: compress.plan({"a": (W, None)}), ValueError, "budget: expected budget_bytes or budget_ms"),
        (lambda: compress.plan({}, 10), ValueError, "layers: expected at least one, got none"),
        (lambda: compress.score({"a": W}), TypeError, r"layer 'a': expected \(weight, inputs\), got ndarray"),
        (lambda: compress.score({3: (W, None)}), TypeError, "layers: name: expected text, got int"),
        (lambda: compress.score({"a": (W * np.nan, None)}), ValueError, "layer 'a': weight: expected finite values"),
        (
            lambda: compress.score({"a": (W, W * np.inf)}),
            ValueError,
            "layer 'a': inputs: expected finite values, got inf",
        ),
        (
            lambda: compress.score({"a": (W, W[:, :31].copy())}),
            ValueError,
            r"inputs: expected \(rows, 32\), got \(4, 31\)",
        ),
        (
            lambda: compress.score({"a": (W, W[:0])}),
            ValueError,
            r"inputs: expected a float32 matrix, got float32 \(0, 32",
        ),
        (lambda: compress.score({"a": (W.T, None)}), ValueError, "weight: expected a C-contiguous array, got strides"),
        (
            lambda: compress.score({"a": (W.astype(np.float64), None)}),
            ValueError,
            "expected a float32 matrix, got float64",
        ),
        (lambda: compress.score({"a": (W, None)}, []), ValueError, "candidates: expected at least one"),
        (lambda: compress.score({"a": (W, None)}, [Dense()] * 2), ValueError, "candidates: .* different names"),
        (lambda: compress.plan({"a": (W, None)}, None, 1, [Quantized()]), ValueError, "expected 'float32' among them"),
        (lambda: compress.plan({"a": (W, None)}, 10), ValueError, r"budget_bytes: expected at least \d+, .*, got 10"),
        (lambda: Quantized(5), ValueError, "bits: expected 4 or 8, got 5"),
        (lambda: Quantized(4, 16), ValueError, "group_size: expected 32, 64, 128 or None, got 16"),
        (lambda: Quantized(4, 32, -1), ValueError, "residual_rank: expected an integer from 0"),
        (
            lambda: Factorized(0),
            ValueError,
            "rank: expected an integer of at least 1, or a number between 0 and 1, got 0",
        ),
        (lambda: Factorized(2.5), ValueError, "rank: expected an integer"),
        (lambda: Factorized("2"), TypeError, "rank: expected a number, got '2'"),
        (lambda: Factorized(2, bits=4), ValueError, "bits: expected 8 or 32, got 4"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
