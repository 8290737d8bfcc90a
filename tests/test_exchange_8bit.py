"""Optimizer states from and to bitsandbytes' and torchao's 8-bit layouts."""

import hashlib
import re

import numpy as np
import pytest
from optim_cases import spoil
from petrain import optim
from petrain.optim import exchange
from petrain.optim.exchange import _dynamic

SIZES = [(64, 80), (4096,), (5000,), (10,)]  # whole blocks, a last block that is shorter, too small for codes


def floats(rng, *shape):
    return (rng.standard_normal(shape) * 10 ** rng.uniform(-4, 1, shape)).astype(np.float32)


def state_arrays(optimizer):
    return optimizer.state_dict()["state"]


def coded(rng, shape, signed):
    """A state as the libraries have it: every code occurs, and a block of zeros."""
    size = int(np.prod(shape))
    codes = rng.integers(0, 256, size).astype(np.uint8)
    scales = (10 ** rng.uniform(-8, 2, -(-size // 256))).astype(np.float32)
    scales[1] = 0
    return codes.reshape(shape), scales, _dynamic.dynamic_map(signed)


def test_the_tables_are_those_of_the_libraries():
    """By their bytes, which test_equal_to_bitsandbytes and test_equal_to_torchao compare with the libraries'."""
    for signed, digest in ((True, "e732639a65f497b4"), (False, "305f002cc11278fb")):
        table = _dynamic.dynamic_map(signed)
        assert (table.dtype, table.size, np.unique(table).size) == (np.float32, 256, 256)
        assert (0.0 in table, table[-1]) == (True, 1.0)
        assert hashlib.sha256(table.tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("signed", [True, False])
def test_nearest_codes(rng, signed):
    values = floats(rng, 5000)
    values[::7] = 0
    values[256:512] = 0
    if not signed:
        values = np.abs(values)
    result = _dynamic.encode(values, _dynamic.dynamic_map(signed), 0.0)
    back, scale = result.decode(), np.repeat(result.scales, 256)[:5000]
    np.testing.assert_array_equal(back[values == 0], 0)
    np.testing.assert_array_equal(result.scales[1], 0)
    scaled = values[scale > 0] / scale[scale > 0]
    distance = np.abs(scaled[:, None] - result.table[None, :])
    np.testing.assert_array_equal(np.abs(scaled - result.table[result.codes[scale > 0]]), distance.min(axis=1))


def same_table(table):
    """Exactly, where torch has instructions that fuse a product and a sum; else nearly."""
    import torch

    ours = _dynamic.dynamic_map(bool(table[0] < 0))
    fused = torch.backends.cpu.get_cpu_capability() != "DEFAULT"
    np.testing.assert_allclose(table.numpy(), ours, rtol=0 if fused else 2.0**-22)


# ---- bitsandbytes ----

BITSANDBYTES = [
    ("Adam", {"betas": (0.8, 0.9)}, ("exp_avg", "exp_avg_sq")),
    ("AdamW", {"weight_decay": 0.1}, ("exp_avg", "exp_avg_sq")),
    ("Lion", {"betas": (0.8, 0.9), "weight_decay": 0.1}, ("exp_avg",)),
    ("SGD", {"momentum": 0.8, "weight_decay": 0.1}, ("momentum_buffer",)),
]
every_bitsandbytes = pytest.mark.parametrize(("name", "arguments", "states"), BITSANDBYTES)


def bitsandbytes_state(rng, name, arguments, states, wrapped=False):
    state = {}
    for i, shape in enumerate(SIZES):
        parts = {}
        for number in range(1, len(states) + 1):
            if np.prod(shape) < 4096:
                parts[f"state{number}"] = np.abs(floats(rng, *shape))
            else:
                parts |= zip(
                    (f"state{number}", f"absmax{number}", f"qmap{number}"), coded(rng, shape, number == 1), strict=True
                )
        state[i] = {"step": 7, "__bnb_optimizer_quant_state__": parts} if wrapped else {"step": 7, **parts}
    betas = (arguments["momentum"], 0.0) if name == "SGD" else arguments.get("betas", (0.9, 0.999))
    group = {"lr": 0.5, "betas": betas, "eps": 1e-6, "weight_decay": arguments.get("weight_decay", 0.0)}
    return {"state": state, "param_groups": [{**group, "params": [0, 1, 2, 3]}]}


@every_bitsandbytes
@pytest.mark.parametrize("wrapped", [False, True])
def test_from_and_to_bitsandbytes(rng, name, arguments, states, wrapped):
    given = bitsandbytes_state(rng, name, arguments, states, wrapped)
    opt = getattr(optim, name)([floats(rng, *shape) for shape in SIZES], **arguments)
    exchange.from_bitsandbytes_state_dict(opt, given)
    assert opt.param_groups[0]["lr"] == 0.5
    assert opt.state_dict()["steps"] == [7] * 4
    back = exchange.to_bitsandbytes_state_dict(opt)
    for i, arrays in enumerate(state_arrays(opt)):
        flat = given["state"][i].get("__bnb_optimizer_quant_state__", given["state"][i])
        assert sorted(back["state"][i]) == sorted({"step": 7, **flat})
        for number, state in enumerate(states, 1):
            want = flat[f"state{number}"]
            if f"qmap{number}" in flat:
                scale = np.repeat(flat[f"absmax{number}"], 256)[: want.size].reshape(want.shape)
                want = flat[f"qmap{number}"][want] * scale
            np.testing.assert_array_equal(arrays[state], want)
        for key, value in flat.items():
            np.testing.assert_array_equal(back["state"][i][key], value, strict=key != "step")
    for key in ("lr", "weight_decay", "params"):
        assert back["param_groups"][0][key] == given["param_groups"][0][key]
    assert back["param_groups"][0]["betas"][: len(states)] == given["param_groups"][0]["betas"][: len(states)]


def test_what_has_changed_gets_new_codes(rng):
    given = bitsandbytes_state(rng, *BITSANDBYTES[2])
    opt = optim.Lion([floats(rng, *shape) for shape in SIZES], betas=(0.8, 0.9))
    exchange.from_bitsandbytes_state_dict(opt, given)
    live = opt._live_state()["state"][2]["exp_avg"]
    live[300] = 1000.0
    back = exchange.to_bitsandbytes_state_dict(opt)["state"][2]
    others = np.r_[0:256, 512:5000]
    np.testing.assert_array_equal(back["state1"][others], given["state"][2]["state1"][others])
    assert (back["absmax1"][1], back["state1"][300]) == (1000.0, 255)
    assert back["absmax1"][0] == given["state"][2]["absmax1"][0]
    table = _dynamic.dynamic_map(True)
    np.testing.assert_array_equal(table[back["state1"][256:512]], np.eye(256)[44])


@every_bitsandbytes
@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_states_in_fewer_bits_round(rng, name, arguments, states, dtype):
    given = bitsandbytes_state(rng, name, arguments, states)
    opts = [
        getattr(optim, name)([floats(rng, *shape) for shape in SIZES], state_dtype=kept, **arguments)
        for kept in (None, dtype)
    ]
    for opt in opts:
        exchange.from_bitsandbytes_state_dict(opt, given)
    full, low = (exchange._values.read(opt) for opt in opts)
    for want, got in zip(full, low, strict=True):
        for key, value in want.items():
            most = np.abs(value).max()
            np.testing.assert_allclose(got[key], value, rtol=0.04, atol=most * 2.0**-12)


def test_equal_to_bitsandbytes(rng):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("bitsandbytes.functional")
    import bitsandbytes

    for signed in (True, False):
        same_table(functional.create_dynamic_map(signed))
    param = torch.nn.Parameter(torch.from_numpy(floats(rng, 5000)))
    theirs = bitsandbytes.optim.AdamW8bit([param], lr=0.5)
    states = {"step": 9}
    for number, signed in ((1, True), (2, False)):
        values = torch.from_numpy(floats(rng, 5000) if signed else np.abs(floats(rng, 5000)))
        table = functional.create_dynamic_map(signed)
        codes, quantized = functional.quantize_blockwise(values, code=table, blocksize=256)
        states |= {f"state{number}": codes, f"qmap{number}": table, f"absmax{number}": quantized.absmax}
    theirs.state[param] = states

    ours = optim.AdamW([param.detach().numpy().copy()])
    exchange.from_bitsandbytes_state_dict(ours, theirs.state_dict())
    for number, name in ((1, "exp_avg"), (2, "exp_avg_sq")):
        parts = (states[f"state{number}"], states[f"absmax{number}"], states[f"qmap{number}"])
        want = functional.dequantize_blockwise(parts[0], absmax=parts[1], code=parts[2], blocksize=256)
        np.testing.assert_array_equal(state_arrays(ours)[0][name], want.numpy())
    again = bitsandbytes.optim.AdamW8bit([torch.nn.Parameter(torch.zeros(5000))])
    again.load_state_dict(exchange.to_bitsandbytes_state_dict(ours, torch.from_numpy))
    (loaded,) = again.state.values()
    assert sorted(loaded) == sorted(states)
    for key, value in states.items():
        np.testing.assert_array_equal(np.asarray(loaded[key]), np.asarray(value))
    assert again.param_groups[0]["lr"] == 0.5


# ---- torchao ----


def torchao_state(rng, amsgrad=False, block=256):
    names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[: 3 if amsgrad else 2]
    state = {}
    for i, shape in enumerate(SIZES):
        state[i] = {"step": np.array(5, np.float32)}
        for name in names:
            if np.prod(shape) % 256 or np.prod(shape) < 4096:
                state[i][name] = np.abs(floats(rng, *shape))
            else:
                codes, scales, table = coded(rng, shape, name == "exp_avg")
                scales = np.resize(scales, codes.size // block)
                state[i][name] = {"codes": codes, "scale": scales, "qmap": table, "signed": name == "exp_avg"}
    group = {"lr": np.array(0.5, np.float32), "betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.1, "amsgrad": amsgrad}
    return {"state": state, "param_groups": [{**group, "params": [0, 1, 2, 3]}]}


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("block", [256, 64])
def test_from_and_to_torchao(rng, name, amsgrad, block):
    given = torchao_state(rng, amsgrad, block)
    opt = getattr(optim, name)([floats(rng, *shape) for shape in SIZES], amsgrad=amsgrad)
    exchange.from_torchao_state_dict(opt, given)
    for i, arrays in enumerate(state_arrays(opt)):
        for key, array in arrays.items():
            want = given["state"][i][key]
            if isinstance(want, dict):
                want = want["qmap"][want["codes"]] * np.repeat(want["scale"], block).reshape(want["codes"].shape)
            np.testing.assert_array_equal(array, want)
    np.testing.assert_equal(exchange.to_torchao_state_dict(opt), given)


def test_equal_to_torchao(rng):
    torch = pytest.importorskip("torch")
    torchao = pytest.importorskip("torchao.optim")
    subclass = pytest.importorskip("torchao.optim.subclass_8bit").OptimState8bit
    param = torch.nn.Parameter(torch.from_numpy(floats(rng, 64, 80)))
    theirs = torchao.AdamW8bit([param], lr=0.5)
    states = {"step": torch.tensor(9.0)}
    for name, signed in (("exp_avg", True), ("exp_avg_sq", False)):
        values = floats(rng, 64, 80) if signed else np.abs(floats(rng, 64, 80))
        values[:8] = 0
        states[name] = subclass.zeros((64, 80), signed, 256)
        states[name].copy_(torch.from_numpy(values))
        same_table(states[name].qmap)
        fresh = _dynamic.encode(values, states[name].qmap.numpy(), 1e-12)
        np.testing.assert_array_equal(fresh.codes, states[name].codes.numpy())
        np.testing.assert_array_equal(fresh.scales, states[name].scale.numpy())
    theirs.state[param] = states

    ours = optim.AdamW([param.detach().numpy().copy()])
    exchange.from_torchao_state_dict(ours, theirs.state_dict())
    for name in ("exp_avg", "exp_avg_sq"):
        np.testing.assert_array_equal(state_arrays(ours)[0][name], states[name].dequantize().numpy())
    again = torchao.AdamW8bit([torch.nn.Parameter(torch.zeros(64, 80))])
    again.load_state_dict(exchange.to_torchao_state_dict(ours, torch.from_numpy, subclass))
    (loaded,) = again.state.values()
    assert float(again.param_groups[0]["lr"]) == 0.5
    assert float(loaded["step"]) == 9
    for name in ("exp_avg", "exp_avg_sq"):
        for part in ("codes", "scale", "qmap"):
            assert torch.equal(getattr(loaded[name], part), getattr(states[name], part))


# ---- what is refused ----


BAD = [
    (spoil("state", 0, "absmax1", ...), "expected absmax1 in parameter 0, got"),
    (spoil("state", 0, "absmax1", np.ones(3, np.float32)), "expected a scale for each 256 of the 5120 codes of state1"),
    (
        spoil("state", 0, "absmax1", np.full(20, np.inf, np.float32)),
        "expected scales of state1 of parameter 0 to be finite",
    ),
    (
        spoil("state", 0, "qmap1", np.ones(16, np.float32)),
        "expected shape (256,) of the table of state1 of parameter 0",
    ),
    (
        spoil("state", 0, "state1", np.ones(5120, np.uint8)),
        "expected shape (64, 80) of the codes of state1 of parameter 0",
    ),
    (
        spoil("state", 0, "state1", np.ones((64, 80), np.int8)),
        "expected codes of state1 of parameter 0 to be of dtype uint8",
    ),
    (spoil("state", 0, "qmap1", np.ones(256, np.float32)[::-1] * np.arange(256, 0, -1, np.float32)), "to be ascending"),
    (spoil("state", 3, "state2", ...), "expected state2 in parameter 3, got"),
    (spoil("state", 3, "step", "7"), "expected step of parameter 3 to be a number, got '7'"),
    (spoil("param_groups", 0, "betas", ...), "expected betas in group 0, got"),
    (spoil("param_groups", 0, "lr", -1.0), "lr must be at least 0, got -1"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_what_does_not_fit_is_refused(rng, change, message):
    given = bitsandbytes_state(rng, *BITSANDBYTES[1])
    change(given)
    opt = optim.AdamW([floats(rng, *shape) for shape in SIZES])
    before = opt.state_dict()
    with pytest.raises(ValueError, match="state_dict: .*" + re.escape(message)):
        exchange.from_bitsandbytes_state_dict(opt, given)
    np.testing.assert_equal(opt.state_dict(), before)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Adagrad", {}, "group 0: expected a rule of adam, adamw, lion, sgd_momentum, got adagrad"),
        ("Adam", {"weight_decay": 0.1}, "group 0: expected weight_decay 0, as in bitsandbytes, got 0.1"),
        ("AdamW", {"bias_correction": False}, "group 0: expected bias_correction 1, as in bitsandbytes, got 0.0"),
        ("Lion", {"maximize": True}, "group 0: expected maximize 0, as in bitsandbytes, got 1.0"),
        ("SGD", {"momentum": 0.9, "nesterov": True}, "group 0: expected nesterov 0, as in bitsandbytes, got 1.0"),
    ],
)
def test_rules_that_bitsandbytes_has_not(rng, name, arguments, message):
    opt = getattr(optim, name)([floats(rng, 3)], **arguments)
    with pytest.raises(ValueError, match=re.escape(message)):
        exchange.to_bitsandbytes_state_dict(opt)
    with pytest.raises(ValueError, match=re.escape(message)):
        exchange.from_bitsandbytes_state_dict(opt, {"state": {}, "param_groups": [{"params": [0]}]})


def test_adam_does_not_take_over_decoupled_weight_decay(rng):
    given = bitsandbytes_state(rng, *BITSANDBYTES[1])
    opt = optim.Adam([floats(rng, *shape) for shape in SIZES])
    with pytest.raises(ValueError, match=r"expected AdamW to take over a weight_decay of 0\.1, got Adam"):
        exchange.from_bitsandbytes_state_dict(opt, given)


def test_what_torchao_has_not(rng):
    with pytest.raises(ValueError, match=r"group 0: expected a rule of adam, adam_amsgrad, adamw, .*, got lion"):
        exchange.to_torchao_state_dict(optim.Lion([floats(rng, 3)]))
    opt = optim.AdamW([floats(rng, *shape) for shape in SIZES])
    with pytest.raises(ValueError, match="expected amsgrad False of group 0, got True"):
        exchange.from_torchao_state_dict(opt, torchao_state(rng, amsgrad=True))
    given = torchao_state(rng)
    given["state"][0]["exp_avg"]["scale"] = np.zeros(0, np.float32)
    with pytest.raises(
        ValueError, match=r"expected a scale for each .* of the 5120 codes of exp_avg of parameter 0, got 0"
    ):
        exchange.from_torchao_state_dict(opt, given)
