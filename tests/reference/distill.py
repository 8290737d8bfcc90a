"""Losses of distillation in float64, as their definitions read: values, and gradients by the student."""

import numpy as np


def log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def kl_div(student, teacher, temperature):
    student, teacher = np.float64(student), np.float64(teacher)
    log_q, log_p = log_softmax(student / temperature), log_softmax(teacher / temperature)
    p = np.exp(log_p)
    value = temperature**2 * (p * (log_p - log_q)).sum(axis=1).mean()
    return value, temperature * (np.exp(log_q) - p) / len(p)


def soft_cross_entropy(student, teacher, temperature):
    value, gradient = kl_div(student, teacher, temperature)
    log_p = log_softmax(np.float64(teacher) / temperature)
    entropy = -(np.exp(log_p) * log_p).sum(axis=1).mean()
    return value + temperature**2 * entropy, gradient


def cross_entropy(student, labels):
    log_q = log_softmax(np.float64(student))
    one_hot = np.eye(log_q.shape[1])[labels]
    return -(one_hot * log_q).sum(axis=1).mean(), (np.exp(log_q) - one_hot) / len(labels)


def distillation(student, teacher, labels, temperature, alpha):
    soft, soft_gradient = kl_div(student, teacher, temperature)
    hard, hard_gradient = cross_entropy(student, labels)
    return alpha * soft + (1 - alpha) * hard, alpha * soft_gradient + (1 - alpha) * hard_gradient


def mse(student, teacher):
    difference = np.float64(student) - np.float64(teacher)
    return (difference**2).mean(), 2 * difference / difference.size


def normalized(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def through_norm(x, gradient):
    """The gradient by x from that of x / |x|."""
    unit = normalized(x)
    along = (gradient * unit).sum(axis=1, keepdims=True)
    return (gradient - along * unit) / np.linalg.norm(x, axis=1, keepdims=True)


def cosine(student, teacher):
    student, teacher = np.float64(student), np.float64(teacher)
    cosines = (normalized(student) * normalized(teacher)).sum(axis=1)
    return (1 - cosines).mean(), through_norm(student, -normalized(teacher) / len(student))


def attention_transfer(student, teacher):
    student, teacher = np.float64(student), np.float64(teacher)
    samples = len(student)
    q_student, q_teacher = ((x**2).sum(axis=1).reshape(samples, -1) for x in (student, teacher))
    difference = normalized(q_student) - normalized(q_teacher)
    by_map = through_norm(q_student, 2 * difference / difference.size)
    by_map = by_map.reshape(samples, 1, *student.shape[2:])
    return (difference**2).mean(), by_map * 2 * student
