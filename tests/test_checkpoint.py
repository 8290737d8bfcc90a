"""Checkpoints: a run that is killed goes on bit for bit, for every rule and every dtype; and what is refused."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import petrain
import pytest
from petrain import _core, optim
from petrain.files import load_tensors, save_tensors
from petrain.optim import load_checkpoint, lr_scheduler, save_checkpoint

ml_dtypes = pytest.importorskip("ml_dtypes")

RULES = _core.rules()
# What states and parameters may be kept in: state_dtype, parameters, rounding.
KEPT = [
    (None, "float32", "nearest"),
    ("bfloat16", "float32", "nearest"),
    ("int8", "float32", "nearest"),
    (None, "float64", "nearest"),
    (None, "bfloat16", "stochastic"),
    ("int8", "float16", "kahan"),
    ("bfloat16", "bfloat16", "master"),
]


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


class Run:
    """Some steps of one rule, with gradients that are a function of the step."""

    def __init__(self, rule, kept):
        state_dtype, dtype, rounding = kept
        rng = np.random.default_rng(0)
        dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
        self.params = [floats(rng, 12, 10).astype(dtype), floats(rng, 8, 300).astype(dtype)]

        class Rule(optim.Optimizer):
            _name = rule

        options = {"state_dtype": state_dtype, "rounding": rounding}
        if "rank" in RULES[rule]["hypers"]:
            options |= {"rank": 4, "update_proj_gap": 3}
        self.opt = Rule([{"params": self.params[:1]}, {"params": self.params[1:], "lr": 0.01}], options, seed=5)
        self.schedule = lr_scheduler.CosineAnnealingLR(self.opt, T_max=20)

    def train(self, first, last):
        for step in range(first, last):
            rng = np.random.default_rng(100 + step)
            self.opt.step([floats(rng, *p.shape).astype(p.dtype) for p in self.params], max_norm=3.0)
            self.schedule.step()

    def digest(self):
        arrays = [*self.params, *(a for states in self.opt.state_dict()["state"] for a in states.values())]
        return [a.tobytes().hex() for a in arrays]


def all_runs():
    """Every rule with every way to keep its numbers, by a name that a file can have."""
    for rule in RULES:
        for i, kept in enumerate(KEPT):
            yield f"{rule}-{i}", rule, kept


def train_and_die(folder):
    """Half of every run; then the process ends as if it had been killed."""
    for name, rule, kept in all_runs():
        run = Run(rule, kept)
        run.train(0, 4)
        save_checkpoint(Path(folder) / name, run.opt, run.params, {"step": 4, "schedule": run.schedule.state_dict()})
        run.train(4, 5)  # lost
    os._exit(9)


def resume(folder):
    """The other half."""
    digests = {}
    for name, rule, kept in all_runs():
        run = Run(rule, kept)
        for p in run.params:
            p[...] = 0
        extra = load_checkpoint(Path(folder) / name, run.opt, run.params)
        run.schedule.load_state_dict(extra["schedule"])
        run.train(extra["step"], 8)
        digests[name] = run.digest()
    (Path(folder) / "digests").write_text(json.dumps(digests))


def in_a_process(function, folder, **variables):
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    code = f"import test_checkpoint; test_checkpoint.{function}({str(folder)!r})"
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    killed = in_a_process("train_and_die", tmp_path, OMP_NUM_THREADS="1")
    assert killed.returncode == 9, killed.stderr
    resumed = in_a_process("resume", tmp_path, OMP_NUM_THREADS="2")
    assert resumed.returncode == 0, resumed.stderr
    digests = json.loads((tmp_path / "digests").read_text())
    for name, rule, kept in all_runs():
        run = Run(rule, kept)
        run.train(0, 8)
        assert digests[name] == run.digest(), name


def test_everything_is_in_the_file(tmp_path, rng):
    p = {"w": floats(rng, 3, 4), "b": np.zeros((), np.float32), "none": np.zeros((0, 3), np.float32)}
    opt = optim.NAdam(p, lr=0.3, state_dtype="int8")
    opt.step({name: np.ones_like(x) for name, x in p.items()})
    save_checkpoint(tmp_path / "c", opt, p, extra=[1, "two", {"three": 3.5}])
    copies = {name: np.zeros_like(x) for name, x in p.items()}
    resumed = optim.NAdam(copies, state_dtype="int8")
    assert load_checkpoint(tmp_path / "c", resumed, copies) == [1, "two", {"three": 3.5}]
    np.testing.assert_equal(copies, p)
    np.testing.assert_equal(resumed.state_dict(), opt.state_dict())
    tensors, texts = load_tensors(tmp_path / "c")
    assert sorted(texts) == ["extra", "format", "optimizer"]
    assert tensors["state.0.exp_avg"].dtype == np.int8


def test_parameters_may_be_kept_elsewhere(tmp_path, rng):
    p = floats(rng, 5)
    opt = optim.AdamW([p])
    opt.step([floats(rng, 5)])
    save_checkpoint(tmp_path / "c", opt)
    before = p.copy()
    opt.step([floats(rng, 5)])
    assert load_checkpoint(tmp_path / "c", opt) is None
    assert opt.state_dict()["steps"] == [1]
    assert (p != before).all()
    with pytest.raises(ValueError, match="expected a checkpoint with parameter 0, got one without"):
        load_checkpoint(tmp_path / "c", opt, [p])


def test_tensors_of_torch(tmp_path):
    torch = pytest.importorskip("torch")
    params = [torch.randn(4, 3, dtype=dtype) for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16)]
    params[0].requires_grad_()
    opt = optim.AdamW(params)
    opt.step([torch.ones(4, 3, dtype=p.dtype) for p in params])
    save_checkpoint(tmp_path / "c", opt, params)
    copies = [torch.zeros_like(p, requires_grad=p.requires_grad) for p in params]
    load_checkpoint(tmp_path / "c", optim.AdamW(copies), copies)
    assert all(torch.equal(a, b) for a, b in zip(params, copies, strict=True))


WITHOUT = """
import sys
if {without}: sys.modules["ml_dtypes"] = None
import numpy as np
from petrain.optim import AdamW, load_checkpoint, save_checkpoint
p = [np.arange(70, dtype=np.float32), np.ones((), np.float32)]
opt = AdamW(p, state_dtype="bfloat16")
if {save}:
    opt.step([np.arange(70, dtype=np.float32) / 7, np.ones((), np.float32)])
    save_checkpoint({path!r}, opt, p)
else:
    load_checkpoint({path!r}, opt, p)
print([x.tobytes().hex() for x in p], [a.tobytes().hex() for s in opt.state_dict()["state"] for a in s.values()])
"""


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("loaded", [True, False])
def test_bfloat16_states_need_no_ml_dtypes(tmp_path, saved, loaded):
    """Saved and loaded with and without it."""
    outputs = []
    for without, save in ((saved, True), (loaded, False)):
        code = WITHOUT.format(without=without, save=save, path=str(tmp_path / "c"))
        outputs.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert outputs[0] == outputs[1]


# ---- what is refused ----


def saved_run(tmp_path, rng):
    """A file, and an optimizer that has gone on since."""
    params = [floats(rng, 4, 3), floats(rng, 5)]
    opt = optim.AdamW(params, lr=0.5)
    opt.step([floats(rng, *p.shape) for p in params])
    save_checkpoint(tmp_path / "c", opt, params)
    opt.step([floats(rng, *p.shape) for p in params])
    return tmp_path / "c", opt, params


def change_text(key, change):
    def apply(tensors, texts):
        if change is None:
            del texts[key]
        elif isinstance(change, str):
            texts[key] = change
        else:
            value = json.loads(texts[key])
            change(value)
            texts[key] = json.dumps(value)

    return apply


def set_tensor(name, array):
    def apply(tensors, texts):
        if array is None:
            del tensors[name]
        else:
            tensors[name] = array

    return apply


BAD_FILES = {
    "another format": (change_text("format", "pt"), "expected the format 'petrain checkpoint 1', got 'pt'"),
    "no format": (change_text("format", None), "expected the format 'petrain checkpoint 1', got None"),
    "no description": (change_text("optimizer", None), "expected a checkpoint's description, got 'optimizer'"),
    "no JSON": (change_text("optimizer", "{"), "expected a checkpoint's description, got"),
    "no dict": (change_text("optimizer", "[]"), "expected a checkpoint's description, got list"),
    "another version": (change_text("optimizer", lambda d: d.update(version=9)), "expected version 1, got 9"),
    "another rule": (change_text("optimizer", lambda d: d["groups"][0].update(rule="adam")), "'adamw', got 'adam'"),
    "a bad group": (change_text("optimizer", lambda d: d.update(groups=[3])), "expected entries of group 0"),
    "a bad rate": (change_text("optimizer", lambda d: d["groups"][0].update(lr=-1)), "lr must be at least 0, got -1"),
    "a bad step": (change_text("optimizer", lambda d: d.update(steps=[1, -1])), "expected step count 1 to be"),
    "no state": (set_tensor("state.1.exp_avg", None), "expected states of parameter 1"),
    "a state's shape": (set_tensor("state.1.exp_avg", np.zeros(4, np.float32)), "shape of exp_avg of parameter 1"),
    "a state's dtype": (set_tensor("state.1.exp_avg", np.zeros(5)), "expected dtype of exp_avg of parameter 1"),
    "one state more": (set_tensor("state.2.exp_avg", np.zeros(5)), "got state.2.exp_avg too"),
    "one parameter more": (set_tensor("param.2", np.zeros(5)), "got param.2 too"),
    "no parameter": (set_tensor("param.1", None), "expected a checkpoint with parameter 1, got one without"),
    "a parameter's shape": (set_tensor("param.1", np.zeros(4, np.float32)), "parameter 1: expected float32 (5,), got"),
    "a parameter's dtype": (set_tensor("param.1", np.zeros(5)), "parameter 1: expected float32 (5,), got float64 (5,)"),
}


@pytest.mark.parametrize(("change", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_that_does_not_fit_changes_nothing(tmp_path, rng, change, message):
    path, opt, params = saved_run(tmp_path, rng)
    tensors, texts = load_tensors(path)
    change(tensors, texts)
    save_tensors(path, tensors, texts)
    before, copies = opt.state_dict(), [p.copy() for p in params]
    with pytest.raises((ValueError, petrain.Error)) as error:
        load_checkpoint(path, opt, params)
    assert message in str(error.value)
    np.testing.assert_equal(opt.state_dict(), before)
    np.testing.assert_equal(params, copies)


def test_parameters_that_do_not_fit(tmp_path, rng):
    path, opt, params = saved_run(tmp_path, rng)
    locked = params[1].copy()
    locked.flags.writeable = False
    before, copies = opt.state_dict(), [p.copy() for p in params]
    for given, message in (
        (params[:1], "params: expected the shapes [(4, 3), (5,)], got [(4, 3)]"),
        ([params[0], params[1][:4]], "params: expected the shapes [(4, 3), (5,)], got [(4, 3), (4,)]"),
        ([params[0], locked], "array 1: expected a writeable array, got a read-only one"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            load_checkpoint(path, opt, given)
    np.testing.assert_equal(opt.state_dict(), before)
    np.testing.assert_equal(params, copies)
    with pytest.raises(ValueError, match="params: expected the shapes"):
        save_checkpoint(path, opt, params[:1])
    named = optim.SGD({"a": params[0]})
    with pytest.raises(ValueError, match=r"params: expected the names \['a'\], got \['b'\]"):
        save_checkpoint(path, named, {"b": params[0]})


@pytest.mark.parametrize(("extra", "error"), [(float("nan"), ValueError), ({1, 2}, TypeError)])
def test_what_json_cannot_hold_leaves_the_old_file(tmp_path, rng, extra, error):
    path, opt, params = saved_run(tmp_path, rng)
    before = path.read_bytes()
    with pytest.raises(error):
        save_checkpoint(path, opt, params, extra)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["c"]


def test_no_such_file(tmp_path, rng):
    opt = optim.SGD([floats(rng, 3)])
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none", opt)
    (tmp_path / "text").write_text("no safetensors")
    with pytest.raises(petrain.Error):
        load_checkpoint(tmp_path / "text", opt)
