"""Long calls let other threads run."""

import sys
import threading
import time

import numpy as np
import pytest
from petrain import quant
from petrain.quant import HessianObserver


@pytest.fixture
def count():
    """How often another thread has run."""
    ran, stop = [0], threading.Event()

    def run():
        while not stop.wait(0.0005):
            ran[0] += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)  # a call that holds the lock then keeps it until after ran[0] is read again
    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.01)
    yield lambda: ran[0]
    stop.set()
    thread.join()
    sys.setswitchinterval(interval)


def observed(kind):
    observer = kind()
    x = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    for scale in (1, 1e-9, 1e9):
        observer.observe(x * np.float32(scale))
    return observer


def hessian():
    observer = HessianObserver(1024)
    observer.observe(np.eye(1024, dtype=np.float32))
    return observer


W = np.zeros((4096, 4096), np.int8)
SCALE = np.ones(4096, np.float32)


@pytest.mark.once
@pytest.mark.parametrize(
    ("prepare", "call"),
    [
        (lambda: observed(quant.EntropyObserver), quant.EntropyObserver.range),
        (lambda: observed(quant.MSEObserver), quant.MSEObserver.range),
        (lambda: W, lambda w: quant.QuantTensor(w, SCALE)),
        (lambda: W, lambda w: quant.QuantTensor.from_packed(w, SCALE, None, w.shape)),
        (lambda: quant.QuantTensor(W, SCALE), quant.QuantTensor.clone),
        (lambda: hessian().state_dict(), HessianObserver(1024).load_state_dict),
    ],
)
def test_other_threads_run(prepare, call, count):
    argument = prepare()
    ran = []
    for _ in range(3):  # a busy machine may run the other thread later
        before = count()
        call(argument)
        ran.append(count() > before)
    assert sum(ran) >= 2
