r"""Losses by which a small model, the student, learns from a large one, the teacher.

Each returns its value and the gradient with respect to what it was given of the student; the teacher is a constant.
Several are put together by adding values and gradients:

>>> import numpy as np
>>> from petrain import distill, nn
>>> rng = np.random.default_rng(0)
>>> x, labels = rng.standard_normal((64, 8), np.float32), rng.integers(0, 3, 64)
>>> teacher = nn.Sequential(nn.Linear(8, 32, seed=1), nn.ReLU(), nn.Linear(32, 3, seed=2))
>>> student = nn.Sequential(nn.Linear(8, 3, seed=3))
>>> logits = student.forward(x, training=True)
>>> loss, gradient = distill.distillation(logits, teacher(x), labels, temperature=4, alpha=0.9)
>>> student.backward(gradient)

Everything is computed in float64 from float32 arrays and rounded once, so the bytes are the same on every instruction
set and for any number of threads, and any finite logits are safe: where a class has no chance, its part is zero.
"""

from __future__ import annotations

import numpy as np

from petrain import _core
from petrain._numbers import required
from petrain._params import Array, Floats

__all__ = ["attention_transfer", "cosine", "distillation", "kl_div", "mse", "soft_cross_entropy"]

Loss = tuple[float, Floats]


def kl_div(student_logits: Array, teacher_logits: Array, temperature: float = 2.0) -> Loss:
    r"""How far the student's softened probabilities are from the teacher's, the mean over the rows of

    .. math:: T^2 \sum_c p_c \log (p_c / q_c), \qquad p = \text{softmax}(z_t / T), \quad q = \text{softmax}(z_s / T)

    Its gradient is :math:`T (q - p) / \text{rows}`: the factor :math:`T^2` keeps its size when T changes. It is never
    below 0, and exactly 0 where the logits are equal. Its rounding error is about :math:`10^{-16} T^2`.

    Source: Hinton, Vinyals, Dean, arXiv 1503.02531.

    Args:
        student_logits: float32, ``(rows, classes)``.
        teacher_logits: the same of the teacher.
        temperature: T, from 1e-30 to 1e30; 2 to 5 is common.

    Returns:
        The loss, and its gradient by ``student_logits``, float32.

    Raises:
        ValueError: dtype or shape is not as said, a value is NaN or infinite, or the temperature is out of range.
        TypeError: the temperature is no number.

    Example:
        >>> import numpy as np
        >>> loss, gradient = kl_div(np.zeros((1, 2), np.float32), np.array([[100, 0]], np.float32), temperature=1)
        >>> round(loss, 4), gradient  # log 2
        (0.6931, array([[-0.5,  0.5]], dtype=float32))
    """
    return _core.kl_div(student_logits, teacher_logits, required(temperature, "temperature"))


def soft_cross_entropy(student_logits: Array, teacher_logits: Array, temperature: float = 2.0) -> Loss:
    r"""The cross-entropy of the student's probabilities with the teacher's for labels: the mean over the rows of
    :math:`-T^2 \sum_c p_c \log q_c`.

    It is :func:`kl_div` and :math:`T^2` times the teacher's entropy, which the student cannot change: the gradient is
    the same.

    Source, Args, Returns, Raises: as for :func:`kl_div`.

    Example:
        >>> import numpy as np
        >>> logits = np.zeros((1, 4), np.float32)
        >>> round(soft_cross_entropy(logits, logits, temperature=1)[0], 4)  # log 4
        1.3863
    """
    return _core.soft_cross_entropy(student_logits, teacher_logits, required(temperature, "temperature"))


def distillation(
    student_logits: Array, teacher_logits: Array, labels: np.ndarray, temperature: float = 2.0, alpha: float = 0.5
) -> Loss:
    r"""What the teacher says and what the labels say: :math:`\alpha \cdot` :func:`kl_div` :math:`+\, (1 - \alpha)
    \cdot` :func:`petrain.nn.cross_entropy`, in one pass.

    Source: Hinton, Vinyals, Dean, arXiv 1503.02531, section 2.

    Args:
        student_logits: float32, ``(rows, classes)``.
        teacher_logits: the same of the teacher.
        labels: integers ``(rows,)``, from 0 to classes - 1.
        temperature: as for :func:`kl_div`; the labels are always at temperature 1.
        alpha: the teacher's part, from 0 to 1; 0.5 to 0.9 is common.

    Returns:
        The loss, and its gradient by ``student_logits``, float32.

    Raises:
        ValueError: as for :func:`kl_div`, or a label or ``alpha`` is out of range.
        TypeError: the temperature or ``alpha`` is no number.

    Example:
        >>> import numpy as np
        >>> logits = np.zeros((1, 2), np.float32)
        >>> loss, gradient = distillation(logits, logits, np.array([0]), alpha=0.5)
        >>> round(loss, 4), gradient  # half of log 2
        (0.3466, array([[-0.25,  0.25]], dtype=float32))
    """
    return _core.distillation(
        student_logits,
        teacher_logits,
        np.asarray(labels),
        required(temperature, "temperature"),
        required(alpha, "alpha"),
    )


def mse(student: Array, teacher: Array) -> Loss:
    """The mean of (student - teacher)² over all elements, for features within the two models.

    Source: Romero et al., FitNets, arXiv 1412.6550.

    Args:
        student: float32, of any shape. Where the teacher's is another, a layer that is trained with the student comes
            between.
        teacher: the same of the teacher.

    Returns:
        The loss, and its gradient by ``student``, float32.

    Raises:
        ValueError: dtype or shape is not as said, an array is empty, a value is NaN or infinite, or the gradient leaves
            float32, as it may with fewer than four elements.

    Example:
        >>> import numpy as np
        >>> mse(np.array([1.0, 2.0], np.float32), np.array([1.0, 4.0], np.float32))
        (2.0, array([ 0., -2.], dtype=float32))
    """
    return _core.mse_loss(student, teacher)


def cosine(student: Array, teacher: Array) -> Loss:
    r"""The mean over the rows of :math:`1 - \cos(s, t)`: features may differ in length, not in direction.

    A row of the student or of the teacher that is shorter than 2⁻¹²⁶ has no direction: it counts as 1 and has no
    gradient. (torch divides by at least 1e-8 in the place of the length.)

    Args:
        student: float32, ``(rows, features)``.
        teacher: the same of the teacher.

    Returns:
        The loss, and its gradient by ``student``, float32.

    Raises:
        ValueError: dtype or shape is not as said, an array is empty, or a value is NaN or infinite.

    Example:
        >>> import numpy as np
        >>> loss, gradient = cosine(np.array([[2, 0]], np.float32), np.array([[0, 3]], np.float32))
        >>> round(loss, 4), gradient
        (1.0, array([[ 0. , -0.5]], dtype=float32))
    """
    return _core.cosine_loss(student, teacher)


def attention_transfer(student: Array, teacher: Array) -> Loss:
    r"""How far the student looks at other places than the teacher does.

    With :math:`Q = \sum_c A_c^2`, the squares of all channels at each place, and the length of Q over the places of a
    sample, it is the mean over samples and places of

    .. math:: \big( Q_s / \|Q_s\| - Q_t / \|Q_t\| \big)^2

    as the authors' program computes it. The numbers of channels may differ. A sample whose activations are all zero has
    Q / ‖Q‖ = 0 and no gradient.

    Source: Zagoruyko, Komodakis, arXiv 1612.03928, section 3.1.

    Args:
        student: float32, ``(samples, channels, places...)``: activations of a convolution.
        teacher: the same of the teacher, with channels of its own.

    Returns:
        The loss, and its gradient by ``student``, float32.

    Raises:
        ValueError: dtype or shape is not as said, an array is empty, or a value is NaN or infinite.

    Example:
        >>> import numpy as np
        >>> maps = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
        >>> loss, gradient = attention_transfer(maps, 5 * maps[:, :, ::-1].copy())
        >>> loss > 0, gradient.shape, attention_transfer(maps, 3 * maps)[0] < 1e-30
        (True, (1, 2, 2, 3), True)
    """
    return _core.attention_transfer(student, teacher)
