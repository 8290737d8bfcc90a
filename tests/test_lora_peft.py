"""Adapters against Hugging Face PEFT itself: its folders read here, and folders of here read by it."""

from __future__ import annotations

import warnings

import numpy as np
import petrain
import pytest
from petrain import lora
from petrain.files import load_tensors

torch = pytest.importorskip("torch", reason="torch is not installed")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what it imports
    peft = pytest.importorskip("peft", reason="peft is not installed")

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("default")]

SIZES = {"up": (12, 8), "block.down": (10, 12), "block.deep.up": (6, 10)}
CASES = {
    "LoRA": {"r": 3, "lora_alpha": 7},
    "rsLoRA": {"r": 4, "lora_alpha": 5, "use_rslora": True},
    "DoRA": {"r": 2, "lora_alpha": 2, "use_dora": True},
    "rsLoRA and DoRA": {"r": 2, "lora_alpha": 3, "use_dora": True, "use_rslora": True},
    "patterns": {
        "r": 2,
        "lora_alpha": 4,
        "rank_pattern": {"down": 3, "block.deep.*": 1},
        "alpha_pattern": {"^up": 9, r"de\w+.up": 2},
    },
    "gaussian": {"r": 2, "lora_alpha": 4, "init_lora_weights": "gaussian"},
    "PiSSA": {"r": 2, "lora_alpha": 4, "init_lora_weights": "pissa"},
    "PiSSA and rsLoRA": {"r": 3, "lora_alpha": 4, "init_lora_weights": "pissa", "use_rslora": True},
}


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up = torch.nn.Linear(8, 12)
        self.block = torch.nn.ModuleDict(
            {"down": torch.nn.Linear(12, 10, bias=False), "deep": torch.nn.ModuleDict({"up": torch.nn.Linear(10, 6)})}
        )

    def forward(self, x):
        return self.block["deep"]["up"](torch.relu(self.block["down"](torch.relu(self.up(x)))))


def tiny(dtype=torch.float32):
    torch.manual_seed(7)
    return Tiny().to(dtype)


def run(layers, x):
    hidden = np.maximum(layers["up"](x), 0)
    hidden = np.maximum(layers["block.down"](hidden), 0)
    return layers["block.deep.up"](hidden)


def state_of(model):
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


def config(**options):
    return peft.LoraConfig(target_modules=list(SIZES), **options)


def disturb(model):
    """Moves what is trained, as training would."""
    torch.manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))


X = np.random.default_rng(5).standard_normal((9, 8), np.float32)


@pytest.mark.parametrize("case", CASES)
def test_a_folder_of_peft_gives_its_outputs(tmp_path, case):
    theirs = peft.get_peft_model(tiny(), config(**CASES[case]))
    disturb(theirs)
    theirs.save_pretrained(tmp_path)
    expected = theirs(torch.from_numpy(X)).detach().numpy()
    layers = lora.load(tmp_path, state_of(tiny()))
    assert set(layers) == set(SIZES)
    np.testing.assert_allclose(run(layers, X), expected, rtol=1e-5, atol=2e-5)
    for layer in layers.values():
        layer.merge()
    np.testing.assert_allclose(run(layers, X), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alpha": 5},
        {"use_rslora": True, "alpha": 3},
        {"use_dora": True},
        {"use_dora": True, "use_rslora": True, "alpha": 3.5},
        {"init": "pissa", "alpha": 3},
        {"init": "pissa", "use_dora": True},
        {"ranks": (1, 2, 4), "alphas": (2, 2, 8)},
        {"ranks": (2, 3, 3), "alphas": (1, 5, 2.5), "use_rslora": True},
    ],
)
def test_a_folder_of_here_gives_its_outputs_in_peft(tmp_path, options):
    model = tiny()
    state = state_of(model)
    options = dict(options)
    ranks, alphas = options.pop("ranks", (2, 2, 2)), options.pop("alphas", (options.pop("alpha", 2),) * 3)
    rng = np.random.default_rng(1)
    layers = {}
    for name, rank, alpha in zip(SIZES, ranks, alphas, strict=True):
        layer = lora.Linear(state[f"{name}.weight"], state.get(f"{name}.bias"), rank=rank, alpha=alpha, **options)
        for array in layer.parameters().values():
            array += rng.standard_normal(array.shape, np.float32) * np.float32(0.2)
        layers[name] = layer
    lora.save(tmp_path, layers)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of tensors that are missing or not expected
        theirs = peft.PeftModel.from_pretrained(model, tmp_path)
    expected = theirs(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(run(layers, X), expected, rtol=1e-5, atol=2e-5)
    assert np.abs(expected - tiny()(torch.from_numpy(X)).detach().numpy()).max() > 0.05
    again = lora.load(tmp_path, state)
    np.testing.assert_allclose(run(again, X), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("options", [{}, {"use_dora": True}])
def test_gradients_are_those_of_peft(tmp_path, options):
    theirs = peft.get_peft_model(tiny(), config(r=2, lora_alpha=3, **options))
    disturb(theirs)
    theirs.save_pretrained(tmp_path)
    layer = lora.load(tmp_path, state_of(tiny()))["up"]
    module = theirs.base_model.model.up
    x = torch.from_numpy(X).requires_grad_()
    dy = torch.randn(9, 12)
    module(x).backward(dy)
    layer.forward(X, training=True)
    np.testing.assert_allclose(layer.backward(dy.numpy()), x.grad.numpy(), rtol=1e-4, atol=1e-5)
    got = {"lora_A": module.lora_A.default.weight.grad, "lora_B": module.lora_B.default.weight.grad}
    if options:
        got["lora_magnitude_vector"] = module.lora_magnitude_vector["default"].weight.grad
    for name, gradient in layer.gradients().items():
        np.testing.assert_allclose(gradient, got[name].numpy(), rtol=1e-4, atol=1e-5)


def test_keys_shapes_and_dtypes_are_those_of_peft(tmp_path):
    for dtype in (torch.float32, torch.bfloat16):
        for options in ({}, {"use_dora": True}):
            model = tiny(dtype)
            theirs = peft.get_peft_model(model, config(r=2, lora_alpha=3, **options), autocast_adapter_dtype=False)
            theirs.save_pretrained(tmp_path / "theirs")
            state = state_of(tiny())
            layers = {name: lora.Linear(state[f"{name}.weight"], rank=2, alpha=3, **options) for name in SIZES}
            lora.save(tmp_path / "ours", layers, dtype=str(dtype).removeprefix("torch."))
            read = [load_tensors(tmp_path / side / "adapter_model.safetensors") for side in ("theirs", "ours")]
            kinds = [{name: (array.shape, str(array.dtype)) for name, array in tensors.items()} for tensors, _ in read]
            assert kinds[0] == kinds[1]
            assert read[0][1] == read[1][1]


def test_an_adapter_in_bfloat16_on_a_base_in_bfloat16(tmp_path):
    theirs = peft.get_peft_model(tiny(torch.bfloat16), config(r=2, lora_alpha=3), autocast_adapter_dtype=False)
    disturb(theirs)
    theirs.save_pretrained(tmp_path)
    layers = lora.load(tmp_path, {name: t for name, t in state_of(tiny(torch.bfloat16)).items() if "bias" not in name})
    expected = theirs.base_model.model.block["down"](torch.from_numpy(X @ X.T @ X).repeat(1, 2)[:, :12].bfloat16())
    got = layers["block.down"](np.tile(X @ X.T @ X, (1, 2))[:, :12].copy())
    np.testing.assert_allclose(got, expected.detach().float().numpy(), rtol=0.03, atol=0.03 * np.abs(got).max())


def test_what_peft_would_have_change_the_base_is_refused(tmp_path):
    theirs = peft.get_peft_model(tiny(), config(r=2, init_lora_weights="olora"))
    theirs.save_pretrained(tmp_path)
    with pytest.raises(petrain.Error, match=r'init_lora_weights: expected one of true, .*, got "olora"'):
        lora.load(tmp_path, state_of(tiny()))
