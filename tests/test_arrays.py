"""What cannot be used in place is refused with a typed error, and nothing is changed."""

import re

import numpy as np
import petrain
import pytest

ml_dtypes = pytest.importorskip("ml_dtypes", reason="needs ml_dtypes")

SHAPE = (4, 6)


def unaligned():
    return np.frombuffer(bytearray(4 * 24 + 1), np.float32, count=24, offset=1).reshape(SHAPE)


def read_only():
    array = np.ones(SHAPE, np.float32)
    array.flags.writeable = False
    return array


FOUND_DTYPE = "dtype float32, float64, float16, bfloat16, int8, uint8, int32 or int64, got "

# What comes, the error, and a part of its message.
REFUSED = {
    "int32": (lambda: np.ones(SHAPE, np.int32), ValueError, "float32, float64, float16 or bfloat16, got int32"),
    "float8": (lambda: np.ones(SHAPE, ml_dtypes.float8_e4m3), ValueError, FOUND_DTYPE + "float8_e4m3"),
    "bool": (lambda: np.ones(SHAPE, np.bool_), ValueError, FOUND_DTYPE + "bool"),
    "complex": (lambda: np.ones(SHAPE, np.complex64), ValueError, FOUND_DTYPE + "complex64"),
    "object": (lambda: np.ones(SHAPE, object), ValueError, FOUND_DTYPE + "object"),
    "text": (lambda: np.full(SHAPE, "a"), ValueError, FOUND_DTYPE + "<U1"),
    "big endian": (lambda: np.ones(SHAPE, ">f4"), ValueError, "expected native byte order, got >f4"),
    "every second row": (lambda: np.ones((8, 6), np.float32)[::2], ValueError, "expected a C-contiguous array, got"),
    "transposed": (lambda: np.ones((6, 4), np.float32).T, ValueError, "expected a C-contiguous array, got"),
    "reversed": (lambda: np.ones(SHAPE, np.float32)[::-1], ValueError, "expected a C-contiguous array, got"),
    "unaligned": (unaligned, ValueError, "expected an aligned array, got an unaligned one"),
    "list": (lambda: [[1.0] * 6] * 4, TypeError, "expected a NumPy array or a CPU tensor, got list"),
    "number": (lambda: np.float32(1), TypeError, "expected a NumPy array or a CPU tensor, got float32"),
}
AS_GRADIENT = {
    **REFUSED,
    "none": (lambda: None, ValueError, "has no gradient"),
    "another shape": (lambda: np.ones((6, 4), np.float32), ValueError, "expected shape (4, 6), got (6, 4)"),
    "flat": (lambda: np.ones(24, np.float32), ValueError, "expected shape (4, 6), got (24,)"),
}
AS_PARAMETER = {
    **REFUSED,
    "none": (lambda: None, TypeError, "expected a NumPy array or a CPU tensor, got NoneType"),
    "read-only": (read_only, ValueError, "expected a writeable array, got a read-only one"),
    "broadcast": (lambda: np.broadcast_to(np.ones(6, np.float32), SHAPE), ValueError, "expected a C-contiguous"),
}


def table(cases):
    return pytest.mark.parametrize(("make", "error", "message"), list(cases.values()), ids=list(cases))


@table(AS_PARAMETER)
def test_parameter_refused(make, error, message):
    good = np.ones(3, np.float32)
    with pytest.raises(error, match="parameter 1: .*" + re.escape(message)):
        petrain.optim.AdamW([good, make()])
    assert (good == 1).all()


@table(AS_GRADIENT)
def test_gradient_refused(make, error, message):
    params = [np.ones(3, np.float32), np.ones(SHAPE, np.float32)]
    opt = petrain.optim.AdamW(params)
    opt.step([p * 0.5 for p in params])
    params_before, state_before = [p.copy() for p in params], opt.state_dict()
    with pytest.raises(error, match="gradient 1: .*" + re.escape(message)):
        opt.step([params[0] * 0.5, make()])
    for p, before in zip(params, params_before, strict=True):
        np.testing.assert_array_equal(p, before)
    np.testing.assert_equal(opt.state_dict(), state_before)


@table(AS_GRADIENT)
def test_accumulated_gradient_refused(make, error, message):
    acc = petrain.GradAccumulator([np.ones(3, np.float32), np.ones(SHAPE, np.float32)])
    good = [np.full(3, 2, np.float32), np.full(SHAPE, 2, np.float32)]
    acc.add(good)
    with pytest.raises(error, match="gradient 1: .*" + re.escape(message)):
        acc.add([good[0], make()])
    assert (acc.count, acc.weight) == (1, 1.0)
    np.testing.assert_equal(acc.mean(), good)


def test_a_read_only_gradient_is_read():
    p = np.ones(SHAPE, np.float32)
    petrain.optim.SGD([p], lr=1.0).step([read_only()])
    assert (p == 0).all()


@pytest.mark.parametrize(("first", "second"), [((0, 8), (0, 8)), ((0, 8), (7, 9)), ((4, 8), (0, 5)), ((0, 8), (2, 3))])
def test_parameters_that_share_memory_are_refused(first, second):
    memory = np.ones(16, np.float32)
    arrays = [np.ones(2, np.float32), memory[slice(*first)], memory[slice(*second)]]
    with pytest.raises(ValueError, match="parameters 1 and 2 share memory: each parameter may be given once"):
        petrain.optim.SGD(arrays)


def test_neighbours_in_memory_are_not_shared():
    memory = np.ones(16, np.float32)
    opt = petrain.optim.SGD([memory[8:], memory[:0], memory[:8], memory[8:8]], lr=1.0)
    opt.step([np.full(8, 2, np.float32), memory[:0], np.full(8, 3, np.float32), memory[:0]])
    np.testing.assert_array_equal(memory, [-2] * 8 + [-1] * 8)


def test_a_gradient_that_shares_memory_with_a_parameter_is_refused():
    memory = np.ones(16, np.float32)
    opt = petrain.optim.SGD([np.ones(2, np.float32), memory[:8]], lr=1.0)
    for grad in (memory[:8], memory[1:9], memory[7:15]):
        with pytest.raises(ValueError, match="gradient 1 shares memory with parameter 1"):
            opt.step([np.ones(2, np.float32), grad])
    assert (memory == 1).all()
    opt.step([np.ones(2, np.float32), memory[8:]])
    assert (memory[:8] == 0).all()


@pytest.mark.parametrize(("grads", "count"), [([], 0), ([1], 1), ([1, 1, 1], 3)])
def test_the_number_of_gradients_must_match(grads, count):
    p = [np.ones(2, np.float32), np.ones(2, np.float32)]
    opt, acc = petrain.optim.SGD(p), petrain.GradAccumulator(p)
    grads = [np.ones(2, np.float32) for _ in grads]
    with pytest.raises(ValueError, match=f"expected 2 gradients, got {count}"):
        opt.step(grads)
    with pytest.raises(ValueError, match=f"expected 2 gradients, got {count}"):
        acc.add(grads)
    assert (p[0] == 1).all()
    assert acc.count == 0


@pytest.mark.parametrize("params", [[], {}, [{"params": []}]], ids=str)
def test_no_parameters(params):
    with pytest.raises(ValueError, match="expected at least one parameter, got none"):
        petrain.optim.AdamW(params)


@pytest.mark.parametrize("params", [np.ones(3, np.float32), 3, None], ids=["array", "number", "none"])
def test_params_that_are_no_list(params):
    with pytest.raises(TypeError, match="expected a list or a dict of arrays, got"):
        petrain.optim.AdamW(params)
    with pytest.raises(TypeError, match="expected a list or a dict of arrays, got"):
        petrain.GradAccumulator(params)


def test_the_optimizer_keeps_its_parameters_alive():
    opt = petrain.optim.SGD([np.ones(100_000, np.float32)], lr=1.0)
    assert opt.step([np.ones(100_000, np.float32)]).grad_norm == pytest.approx(100_000**0.5)
