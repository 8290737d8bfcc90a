"""Layers in float64, as their definitions read."""

import numpy as np


def linear(x, weight, bias):
    return x @ weight.T + bias


def linear_backward(x, weight, dy):
    """Gradients of weight, bias and x."""
    return dy.T @ x, dy.sum(axis=0), dy @ weight


def relu(x):
    return np.maximum(x, 0)


def cross_entropy(logits, labels):
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    softmax = exponentials / exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = (np.log(exponentials.sum(axis=1)) - shifted[rows, labels]).mean()
    gradient = softmax.copy()
    gradient[rows, labels] -= 1
    return loss, gradient / len(labels)
