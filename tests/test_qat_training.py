"""Training for few bits is worth it."""

import numpy as np
from petrain.optim import AdamW
from petrain.quant import LSQ, quantize


def losses(seed, bits=4):
    """Of a network of two layers whose weights are rounded: after training without, and with what training knows."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((256, 16), np.float32)
    y = np.tanh(x @ rng.standard_normal((16, 8), np.float32)) @ rng.standard_normal((8, 4), np.float32)
    w1, w2 = (rng.standard_normal(shape, np.float32) * np.float32(0.3) for shape in ((32, 16), (4, 32)))

    def loss_and_gradients(a, b):
        hidden = np.tanh(x @ a.T)
        error = hidden @ b.T - y
        back = (error @ b) * (1 - hidden**2)
        return float((error**2).mean()), [back.T @ x / len(x), error.T @ hidden / len(x)]

    opt = AdamW([w1, w2], lr=0.01, weight_decay=0.0)
    for _ in range(600):
        opt.step(loss_and_gradients(w1, w2)[1])
    rounded, _ = loss_and_gradients(*(quantize(w, bits).dequantize() for w in (w1, w2)))

    lsqs, copies = [LSQ(w, bits) for w in (w1, w2)], [np.empty_like(w) for w in (w1, w2)]
    opt = AdamW([w1, w2, *(lsq.scale for lsq in lsqs)], lr=0.01, weight_decay=0.0)
    for i in range(2):
        opt.attach_fake_quantize(i, lsqs[i], copies[i])
    for step in range(1000):
        opt.param_groups[0]["lr"] = 0.01 * (1 - step / 1000)
        opt.step([*loss_and_gradients(*copies)[1], *(lsq.scale_gradient for lsq in lsqs)])
    return rounded, loss_and_gradients(*copies)[0]


def test_training_for_4_bits_beats_rounding_afterwards():
    """About half the loss; with room for other machines' matrix products."""
    rounded, aware = np.mean([losses(seed) for seed in range(3)], axis=0)
    assert aware < 0.7 * rounded
