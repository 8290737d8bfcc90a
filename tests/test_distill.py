"""Losses of distillation against float64 references, at extremes, and what they refuse."""

import numpy as np
import petrain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from petrain import distill, nn
from reference import distill as reference

LOGIT_LOSSES = ("kl_div", "soft_cross_entropy")
FEATURE_LOSSES = ("mse", "cosine")


def normal(*shape, seed=0, size=1.0):
    return np.random.default_rng(seed).normal(size=shape, scale=size).astype(np.float32)


def same(got, expected, rel=1e-12):
    assert got[0] == pytest.approx(expected[0], rel=rel, abs=1e-13)
    assert got[1].dtype == np.float32
    np.testing.assert_allclose(got[1], expected[1], rtol=1.2e-7, atol=1e-17)


@pytest.mark.parametrize("name", LOGIT_LOSSES)
@pytest.mark.parametrize("temperature", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("size", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (7, 2), (5, 15), (3, 16), (9, 17), (2, 5000)])
def test_soft_losses(name, temperature, size, rows, classes):
    student, teacher = normal(rows, classes, size=size), normal(rows, classes, seed=1, size=size)
    got = getattr(distill, name)(student, teacher, temperature)
    same(got, getattr(reference, name)(student, teacher, temperature), rel=1e-9 if size < 1 else 1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("classes", [1, 10, 1000])
def test_distillation(alpha, temperature, classes):
    student, teacher, labels = normal(13, classes, size=3), normal(13, classes, seed=1, size=3), np.arange(13) % classes
    got = distill.distillation(student, teacher, labels, temperature, alpha)
    same(got, reference.distillation(student, teacher, labels, temperature, alpha))


def test_distillation_ends_in_its_parts():
    student, teacher, labels = normal(8, 5), normal(8, 5, seed=1), np.arange(8) % 5
    loss, gradient = distill.distillation(student, teacher, labels, 4, alpha=1)
    soft, soft_gradient = distill.kl_div(student, teacher, 4)
    assert loss == soft
    np.testing.assert_array_equal(gradient, soft_gradient)
    loss, gradient = distill.distillation(student, teacher, labels, 4, alpha=0)
    hard, hard_gradient = nn.cross_entropy(student, labels)
    assert loss == pytest.approx(hard, rel=1e-6)
    np.testing.assert_allclose(gradient, hard_gradient, rtol=1e-5, atol=1e-8)


def test_equal_logits_are_exactly_zero():
    for size in (1e-30, 1.0, 1e30):
        logits = normal(6, 33, size=size)
        loss, gradient = distill.kl_div(logits, logits.copy(), 3)
        assert loss == 0
        np.testing.assert_array_equal(gradient, np.zeros_like(logits))


def test_nearly_equal_logits_keep_their_digits():
    teacher = normal(20, 10)
    student = teacher + normal(20, 10, seed=1, size=1e-3)
    expected, gradient = reference.kl_div(student, teacher, 2)
    got = distill.kl_div(student, teacher, 2)
    assert got[0] == pytest.approx(expected, rel=1e-8)
    np.testing.assert_allclose(got[1], gradient, rtol=1e-6, atol=1e-15)


def test_a_high_temperature_becomes_the_squares_of_centered_logits():
    student, teacher = normal(5, 9), normal(5, 9, seed=1)
    difference = np.float64(student) - teacher
    centered = difference - difference.mean(axis=1, keepdims=True)
    loss, gradient = distill.kl_div(student, teacher, 1e4)  # Hinton et al., equation 4
    assert loss == pytest.approx((centered**2).mean() / 2, rel=1e-3)
    np.testing.assert_allclose(gradient, centered / centered.size, rtol=2e-3, atol=1e-6)


def test_extreme_logits():
    big = 3e38
    rows = np.array(
        [[1e30, -1e30, 0], [-1e30, 1e30, 0], [big, -big, -big], [0, -800, 800], [0, 0, 0], [1e-45, -1e-45, 0]],
        np.float32,
    )
    for student in rows[:, None]:
        for teacher in rows[:, None]:
            for temperature in (1e-30, 1.0, 1e30):
                for name in LOGIT_LOSSES:
                    loss, gradient = getattr(distill, name)(student, teacher, temperature)
                    assert np.isfinite(loss)
                    assert loss >= 0
                    assert np.isfinite(gradient).all()
    loss, gradient = distill.kl_div(rows[:1], rows[1:2], 1)
    assert loss == pytest.approx(2e30)
    np.testing.assert_array_equal(gradient, np.array([[1, -1, 0]], np.float32))
    loss, gradient = distill.distillation(rows[:1], rows[1:2], np.array([2]), 1, 0.5)
    assert loss == pytest.approx(0.5 * 2e30 + 0.5 * 1e30)
    np.testing.assert_array_equal(gradient, np.array([[1, -0.5, -0.5]], np.float32))


def test_a_one_hot_teacher_is_a_label():
    student, labels = normal(12, 7), np.arange(12) % 7
    teacher = np.full((12, 7), -1e30, np.float32)
    teacher[np.arange(12), labels] = 1e30
    same(distill.kl_div(student, teacher, 1), reference.cross_entropy(student, labels))
    assert distill.soft_cross_entropy(student, teacher, 1)[0] == distill.kl_div(student, teacher, 1)[0]


@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.floats(1e-2, 1e2))
def test_gradients_of_a_row_sum_to_zero_and_kl_is_not_negative(classes, rows, seed, size, temperature):
    student, teacher = normal(rows, classes, seed=seed, size=size), normal(rows, classes, seed=seed + 1, size=size)
    loss, gradient = distill.kl_div(student, teacher, temperature)
    assert loss >= 0
    bound = 1e-6 * temperature / rows
    assert (np.abs(gradient.astype(np.float64).sum(axis=1)) <= bound * classes**0.5).all()


@pytest.mark.parametrize("name", FEATURE_LOSSES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 16), (7, 1000), (300, 70)])
@pytest.mark.parametrize("size", [1e-15, 1.0, 1e15])
def test_feature_losses(name, shape, size):
    student, teacher = normal(*shape, size=size), normal(*shape, seed=1, size=size)
    got, expected = getattr(distill, name)(student, teacher), getattr(reference, name)(student, teacher)
    assert got[0] == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(got[1], expected[1], rtol=1.3e-7, atol=1e-14 * np.abs(expected[1]).max() + 1e-40)


def test_mse_takes_any_shape():
    assert distill.mse(normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1))[1].shape == (2, 3, 4, 5)
    loss, gradient = distill.mse(np.array(1, np.float32), np.array(4, np.float32))
    assert (loss, gradient) == (9, -6)


def test_cosine_of_equal_opposite_and_no_directions():
    x = normal(4, 50)
    loss, gradient = distill.cosine(x, x.copy())
    assert loss == 0
    np.testing.assert_array_equal(gradient, np.zeros_like(x))
    assert distill.cosine(x, -x)[0] == pytest.approx(2, rel=1e-14)
    x[1] = 0
    x[2] = 1e-40
    for student, teacher in [(x, normal(4, 50)), (normal(4, 50), x)]:
        loss, gradient = distill.cosine(student, teacher)
        rows = [0, 3]
        assert loss == pytest.approx(
            (reference.cosine(student[rows], teacher[rows])[0] * 2 + 2) / 4, rel=1e-12, abs=1e-12
        )
        assert not gradient[[1, 2]].any()
        assert np.isfinite(gradient).all()


def test_lengths_do_not_overflow():
    for size in (1e-37, 3e38):
        x, y = np.full((1, 4), size, np.float32), np.array([[size, -size, size, size]], np.float32)
        loss, gradient = distill.cosine(x, y)
        assert loss == pytest.approx(0.5, rel=1e-14)
        assert np.isfinite(gradient).all()
        loss, gradient = distill.attention_transfer(x.reshape(1, 2, 2), np.ones((1, 1, 2), np.float32))
        assert loss < 1e-30
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("student", "teacher"), [((1, 1, 2), (1, 3, 2)), ((4, 6, 5, 7), (4, 3, 5, 7)), ((70, 16, 8, 9), (70, 4, 8, 9))]
)
def test_attention_transfer(student, teacher):
    student, teacher = normal(*student), normal(*teacher, seed=1)
    same(distill.attention_transfer(student, teacher), reference.attention_transfer(student, teacher))


def test_attention_of_nothing():
    student, teacher = normal(3, 2, 5), normal(3, 4, 5, seed=1)
    student[0] = 0
    teacher[1] = 0
    loss, gradient = distill.attention_transfer(student, teacher)
    expected, by_student = reference.attention_transfer(student[2:], teacher[2:])
    assert loss == pytest.approx((expected * 5 + 2) / 15, rel=1e-12)
    assert not gradient[:2].any()
    np.testing.assert_allclose(gradient[2], by_student[0] / 3, rtol=1.2e-7, atol=1e-15)
    maps = normal(2, 3, 4)
    loss, gradient = distill.attention_transfer(maps, maps.copy())
    assert loss == 0
    assert not gradient.any()


def test_against_finite_differences():
    student, teacher, labels = normal(6, 9), normal(6, 9, seed=1), np.arange(6) % 9
    direction = normal(6, 9, seed=2).astype(np.float64)
    maps = (normal(2, 3, 9), normal(2, 5, 9, seed=1))
    for loss, x in [
        (lambda x: distill.kl_div(x, teacher, 3), student),
        (lambda x: distill.distillation(x, teacher, labels, 3, 0.6), student),
        (lambda x: distill.mse(x, teacher), student),
        (lambda x: distill.cosine(x, teacher), student),
        (lambda x: distill.attention_transfer(x, maps[1]), maps[0]),
    ]:
        step = 2.0**-10
        along = direction.reshape(x.shape)
        high, low = (x + step * along).astype(np.float32), (x - step * along).astype(np.float32)
        moved = np.float64(high) - low
        assert loss(high)[0] - loss(low)[0] == pytest.approx(float((loss(x)[1] * moved).sum()), rel=1e-3, abs=1e-8)


def all_losses():
    student, teacher, labels = normal(130, 700), normal(130, 700, seed=1), np.arange(130)
    maps = normal(30, 8, 20, 20), normal(30, 3, 20, 20, seed=1)
    yield distill.kl_div(student, teacher, 2)
    yield distill.soft_cross_entropy(student, teacher, 2)
    yield distill.distillation(student, teacher, labels, 2, 0.7)
    yield distill.mse(student, teacher)
    yield distill.cosine(student, teacher)
    yield distill.attention_transfer(*maps)


def test_threads_change_nothing(threads):
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append([(loss, gradient.tobytes()) for loss, gradient in all_losses()])
    assert results[0] == results[1] == results[2]


def test_a_student_learns_from_the_teacher_alone(rng):
    x = rng.standard_normal((256, 8), np.float32)
    teacher = nn.Sequential(nn.Linear(8, 16, seed=1), nn.ReLU(), nn.Linear(16, 4, seed=2))
    student = nn.Sequential(nn.Linear(8, 24, seed=3), nn.ReLU(), nn.Linear(24, 4, seed=4))
    opt = petrain.optim.AdamW(student.parameters(), lr=0.02, weight_decay=0)
    losses = []
    for _ in range(200):
        loss, gradient = distill.kl_div(student.forward(x, training=True), teacher(x), 2)
        student.backward(gradient)
        opt.step(student.gradients())
        losses.append(loss)
    assert losses[-1] < 0.02 * losses[0]
    assert (student(x).argmax(axis=1) == teacher(x).argmax(axis=1)).mean() > 0.95


X, LABELS = normal(2, 4), np.array([0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: distill.kl_div(X, normal(2, 3)), r"teacher: expected shape \(2, 4\), got \(2, 3\)"),
        (lambda: distill.kl_div(X[0], X[0]), r"student: expected shape \(rows, classes\), not empty, got \(4,\)"),
        (lambda: distill.kl_div(X[:0], X[:0]), r"not empty, got \(0, 4\)"),
        (lambda: distill.kl_div(X.astype(np.float64), X), "student: expected dtype float32, got float64"),
        (lambda: distill.kl_div(X, X.astype(np.float16)), "teacher: expected dtype float32, got float16"),
        (lambda: distill.kl_div(X.T, X.T), "expected a C-contiguous array"),
        (lambda: distill.kl_div(X, X, 0), r"temperature: expected a number from 1e-30 to 1e\+30, got 0"),
        (lambda: distill.kl_div(X, X, -1), "temperature: expected .*, got -1"),
        (lambda: distill.kl_div(X, X, float("nan")), "temperature: expected .*, got nan"),
        (lambda: distill.soft_cross_entropy(X, X, float("inf")), "temperature: expected .*, got inf"),
        (lambda: distill.distillation(X, X, np.array([0, 4])), "label 1: expected 0 to 3, got 4"),
        (lambda: distill.distillation(X, X, np.array([-1, 0])), "label 0: expected 0 to 3, got -1"),
        (lambda: distill.distillation(X, X, np.array([0])), "expected 2 labels, got 1"),
        (lambda: distill.distillation(X, X, np.array([0.0, 1])), "labels: expected integers, got float64"),
        (lambda: distill.distillation(X, X, LABELS, 2, 1.5), "alpha: expected a number from 0 to 1, got 1.5"),
        (lambda: distill.distillation(X, X, LABELS, 2, float("nan")), "alpha: expected a number from 0 to 1, got nan"),
        (lambda: distill.distillation(X, X, LABELS, 0), "temperature: expected"),
        (lambda: distill.mse(X, X[:1]), r"teacher: expected shape \(2, 4\), got \(1, 4\)"),
        (lambda: distill.mse(X[:0], X[:0]), "student: expected at least one element"),
        (lambda: distill.cosine(X[0], X[0]), r"student: expected shape \(rows, features\), not empty, got \(4,\)"),
        (lambda: distill.cosine(X, X.astype(np.int8)), "teacher: expected dtype float32, got int8"),
        (lambda: distill.attention_transfer(X, X), r"student: expected shape \(samples, channels, places"),
        (lambda: distill.attention_transfer(normal(2, 3, 4), normal(2, 3, 5)), "teacher: expected the student's shape"),
        (lambda: distill.attention_transfer(normal(2, 3, 4), normal(1, 3, 4)), "teacher: expected the student's shape"),
        (lambda: distill.attention_transfer(normal(2, 3, 4), normal(2, 0, 4)), "not empty, got"),
        (lambda: distill.attention_transfer(normal(2, 3, 4), normal(2, 12)), "teacher: expected the student's shape"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["student", "teacher"])
def test_what_is_not_finite_is_refused(bad, where):
    for loss, shape in [
        (distill.kl_div, (40, 1000)),
        (lambda s, t: distill.distillation(s, t, np.zeros(40, int)), (40, 1000)),
        (distill.mse, (40, 1000)),
        (distill.cosine, (40, 1000)),
        (distill.attention_transfer, (2, 4, 5)),
    ]:
        arrays = {"student": normal(*shape), "teacher": normal(*shape)}
        arrays[where].reshape(-1)[-3] = bad
        with pytest.raises(ValueError, match=f"{where}: expected finite values, got {bad}"):
            loss(arrays["student"], arrays["teacher"])


def test_against_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    functional = torch.nn.functional
    temperature, alpha = 3.0, 0.7
    labels = torch.arange(11) % 6

    def soft(s, t):
        logs = functional.log_softmax(s / temperature, dim=1), functional.log_softmax(t / temperature, dim=1)
        return functional.kl_div(*logs, reduction="batchmean", log_target=True) * temperature**2

    def attention(x):
        return functional.normalize(x.pow(2).mean(1).flatten(1))

    rows = normal(11, 6), normal(11, 6, seed=1)
    maps = normal(4, 6, 5, 5), normal(4, 2, 5, 5, seed=1)
    cases = [
        (lambda s, t: distill.kl_div(s, t, temperature), soft, rows),
        (
            lambda s, t: distill.soft_cross_entropy(s, t, temperature),
            lambda s, t: functional.cross_entropy(s / temperature, (t / temperature).softmax(1)) * temperature**2,
            rows,
        ),
        (
            lambda s, t: distill.distillation(s, t, labels.numpy(), temperature, alpha),
            lambda s, t: alpha * soft(s, t) + (1 - alpha) * functional.cross_entropy(s, labels),
            rows,
        ),
        (distill.mse, functional.mse_loss, rows),
        (distill.cosine, lambda s, t: (1 - functional.cosine_similarity(s, t)).mean(), rows),
        (distill.attention_transfer, lambda s, t: (attention(s) - attention(t)).pow(2).mean(), maps),
    ]
    for ours, theirs, (student, teacher) in cases:
        twin = torch.from_numpy(student).double().requires_grad_()
        expected = theirs(twin, torch.from_numpy(teacher).double())
        expected.backward()
        loss, gradient = ours(student, teacher)
        assert loss == pytest.approx(expected.item(), rel=1e-10)
        np.testing.assert_allclose(gradient, twin.grad.numpy(), rtol=1e-6, atol=1e-10)
        loss, gradient = ours(torch.from_numpy(student), torch.from_numpy(teacher))  # through DLPack
        assert gradient.shape == student.shape


def test_a_gradient_beyond_float32_is_refused_and_one_within_is_finite():
    most = np.finfo(np.float32).max
    for size in (1, 2, 3):
        x, y = np.full(size, most), np.full(size, -most)
        with pytest.raises(ValueError, match="gradient: expected finite values, got inf at index"):
            distill.mse(x, y)
        value, gradient = distill.mse(x / 4, y / 4)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    value, gradient = distill.mse(np.full(4, most), np.full(4, -most))
    assert (gradient == most).all()
    assert value == pytest.approx(4 * float(most) ** 2)


def test_attention_of_the_smallest_activations_that_count():
    """Their gradients are the greatest there are."""
    greatest = 0.0
    for share in np.linspace(0.05, 0.95, 19):
        student = (np.sqrt([[[share, 1 - share]]]) * 1.3e-38).astype(np.float32)
        for teacher in ([[[0, 1]]], [[[1, 0]]]):
            value, gradient = distill.attention_transfer(student, np.array(teacher, np.float32))
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()
            greatest = max(greatest, np.abs(gradient).max())
    assert greatest > 1e37


@pytest.mark.parametrize("loss", [distill.kl_div, distill.soft_cross_entropy])
def test_temperatures(loss):
    logits = normal(2, 3)
    for temperature in (0, -1, 1e31, 1e-31, float("nan"), float("inf"), 10**400):
        with pytest.raises(ValueError, match="temperature: expected a number"):
            loss(logits, logits, temperature)
    for temperature in ("2", None, [2]):
        with pytest.raises(TypeError, match="temperature: expected a number"):
            loss(logits, logits, temperature)
    with pytest.raises(TypeError, match="alpha: expected a number"):
        distill.distillation(logits, logits, np.array([0, 1]), alpha="1")
    for temperature in (1e-30, 1e30):
        value, gradient = loss(logits, -logits, temperature)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
