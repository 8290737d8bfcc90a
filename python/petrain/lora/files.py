"""Adapters in the layout of Hugging Face PEFT: a folder with a configuration and a safetensors file."""

from __future__ import annotations

import math
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from petrain import _core
from petrain._bfloat16 import from_bfloat16, is_bfloat16, to_bfloat16
from petrain._params import Array, Floats
from petrain.files import load_tensors, require_text, save_tensors
from petrain.lora.config import Config, check_name, config_of, parse_config
from petrain.lora.layer import Dtype, Linear
from petrain.quant import QuantTensor

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_SUFFIXES = {".lora_A.weight": "lora_A", ".lora_B.weight": "lora_B", ".lora_magnitude_vector": "magnitude"}
_LARGEST_CONFIG = 1 << 24


def save(
    folder: str | os.PathLike[str],
    layers: Mapping[str, Linear],
    *,
    base_model: str | None = None,
    dtype: Dtype = "float32",
) -> None:
    """Write the adapters of several layers as ``PeftModel.from_pretrained`` reads them.

    What is subtracted of a layer (PiSSA) is written as further ranks, so that the adapter is for the base as it is.
    The bases are not written. Both files are written and synced under other names in the folder and then take the
    place of old ones; an old configuration that differs goes first, so that it is never found beside new weights.

    Args:
        folder: where to; made where there is none.
        layers: by the name of the module in the model: "model.layers.0.self_attn.q_proj". With or without rsLoRA and
            DoRA alike; ranks and alphas may differ.
        base_model: what is recorded as ``base_model_name_or_path``.
        dtype: of the tensors; 16 bits are rounded to the nearest, half to even.

    Raises:
        OSError: a file cannot be written.
        ValueError: there is no layer, they differ in what one folder can hold, a name cannot be that of a module, a
            value is not finite in ``dtype``, or ``dtype`` is none of these, or is bfloat16 without ml_dtypes. Nothing
            was written.
        TypeError: ``layers`` is no dict of adapted layers by name. Nothing was written.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> w = np.eye(4, dtype=np.float32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(folder, {"query": Linear(w, rank=2)})
        ...     sorted(os.listdir(folder)), load(folder, {"query.weight": w})
        (['adapter_config.json', 'adapter_model.safetensors'], {'query': Linear(4, 4, rank=2, alpha=2)})
    """
    _check_layers(layers)
    if base_model is not None:
        require_text("base_model", base_model)
    tensors: dict[str, np.ndarray] = {}
    shapes: dict[str, tuple[int, float]] = {}
    for name, layer in layers.items():
        b, a = layer._factors()
        rank = a.shape[0]
        shapes[name] = rank, layer.scaling * (math.sqrt(rank) if layer.use_rslora else rank)
        if layer.origin is None:
            shapes[name] = rank, layer.alpha
        parts = {".lora_A.weight": a, ".lora_B.weight": b}
        if layer.lora_magnitude_vector is not None:
            parts[".lora_magnitude_vector"] = layer.lora_magnitude_vector
        for suffix, part in parts.items():
            tensors[_PREFIX + name + suffix] = _stored(name + suffix, part, dtype)
    _publish(Path(folder), config_of(layers, shapes, base_model), tensors)


def load(folder: str | os.PathLike[str], state: Mapping[str, Array | QuantTensor]) -> dict[str, Linear]:
    """Read an adapter of type LoRA that PEFT, or :func:`save`, has written.

    Both files are taken for hostile until they are checked. What would change what a layer computes and is not known
    here is refused: trained biases, ``modules_to_save``, adapters of embeddings and convolutions, starts that change
    the base other than "pissa".

    Args:
        folder: with adapter_config.json and adapter_model.safetensors.
        state: the model's weights (out, in) and biases by their names, as ``petrain.files.load_tensors`` or a
            state_dict gives them: "model.layers.0.self_attn.q_proj.weight". A weight may be a QuantTensor. More may be
            there than the adapter is for.

    Returns:
        The adapted layers, by the names of their modules. The bases are used in place.

    Raises:
        OSError: a file cannot be read.
        petrain.Error: the files are not a correct adapter for this model; the message says what was expected and what
            came.
        TypeError: ``state`` is no dict.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state: expected a dict of arrays by name, got {type(state).__name__}")
    path = Path(folder)
    try:
        config = parse_config(_read(path / CONFIG))
    except _core.Error as error:
        raise _core.Error(f"{CONFIG}: {error}") from None
    tensors, _ = load_tensors(path / WEIGHTS)
    modules = _by_module(tensors)
    return {name: _layer(name, parts, config, state) for name, parts in modules.items()}


def _check_layers(layers: Mapping[str, Linear]) -> None:
    if not isinstance(layers, Mapping):
        raise TypeError(f"layers: expected a dict of adapted layers by name, got {type(layers).__name__}")
    for name, layer in layers.items():
        require_text("layer name", name)
        if not isinstance(layer, Linear):
            raise TypeError(f"layer {name!r}: expected an adapted layer, got {type(layer).__name__}")
        if not name or len(name) > 512 or any(suffix in name for suffix in (".lora_A", ".lora_B", ".lora_magnitude")):
            raise ValueError(f"layer name: expected that of a module, of at most 512 characters, got {name[:60]!r}")
    for what in ("use_rslora", "use_dora"):
        if len({getattr(layer, what) for layer in layers.values()}) > 1:
            raise ValueError(f"{what}: expected the same of all layers, got both")
    if not layers:
        raise ValueError("layers: expected at least one, got none")


def _stored(name: str, part: Floats, dtype: Dtype) -> np.ndarray:
    """The part as it is written."""
    if dtype not in ("float32", "float16", "bfloat16"):
        raise ValueError(f'dtype: expected "float32", "float16" or "bfloat16", got {dtype!r}')
    result: Any = np.ascontiguousarray(part)
    if dtype == "float16":
        with np.errstate(over="ignore"):
            result = result.astype(np.float16)
    elif dtype == "bfloat16":
        try:
            import ml_dtypes
        except ImportError:
            raise ValueError('dtype: expected "float32" or "float16" without ml_dtypes, got "bfloat16"') from None
        result = to_bfloat16(result, np.dtype(ml_dtypes.bfloat16))
    if not np.isfinite(result.astype(np.float32)).all():
        raise ValueError(f"{name}: expected values that are finite in {dtype}, got others")
    return result  # type: ignore[no-any-return]


def _publish(folder: Path, config: str, tensors: Mapping[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG, WEIGHTS):
        if (folder / name).is_dir():
            raise IsADirectoryError(f"expected a file, got a folder: {folder / name}")
    staging = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
    try:
        save_tensors(staging / WEIGHTS, tensors, {"format": "pt"})
        with open(staging / CONFIG, "w", encoding="utf-8", newline="\n") as file:
            file.write(config)
            file.flush()
            os.fsync(file.fileno())
        if (folder / CONFIG).exists() and (folder / CONFIG).read_bytes() != config.encode():
            os.unlink(folder / CONFIG)
        for name in (WEIGHTS, CONFIG):
            os.replace(staging / name, folder / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> bytes:
    """A regular file that is not large: opening a pipe would wait."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(f"expected a regular file, got another: {path}")
        if facts.st_size > _LARGEST_CONFIG:
            raise _core.Error(f"expected at most {_LARGEST_CONFIG} bytes, got {facts.st_size}")
        return file.read(_LARGEST_CONFIG)


def _by_module(tensors: Mapping[str, np.ndarray]) -> dict[str, dict[str, Floats]]:
    modules: dict[str, dict[str, Floats]] = {}
    for key, tensor in tensors.items():
        suffix = next((end for end in _SUFFIXES if key.endswith(end)), None)
        name = key[len(_PREFIX) : -len(suffix)] if suffix is not None else ""
        if suffix is None or not key.startswith(_PREFIX) or not name:
            expected = ", ".join(f"{_PREFIX}….{end[1:]}" for end in _SUFFIXES)
            raise _core.Error(f"{WEIGHTS}: expected tensors {expected}, got {key[:80]!r}")
        check_name(name)
        modules.setdefault(name, {})[_SUFFIXES[suffix]] = _float32(key, tensor)
    if not modules:
        raise _core.Error(f"{WEIGHTS}: expected at least one adapted module, got none")
    return modules


def _float32(key: str, tensor: np.ndarray) -> Floats:
    if is_bfloat16(tensor):
        tensor = from_bfloat16(tensor)
    elif tensor.dtype == np.float16:
        tensor = tensor.astype(np.float32)
    if tensor.dtype != np.float32:
        raise _core.Error(f"tensor {key!r}: expected float32, float16 or bfloat16, got {tensor.dtype}")
    if not np.isfinite(tensor).all():
        raise _core.Error(f"tensor {key!r}: expected finite values, got others")
    return tensor


def _layer(name: str, parts: Mapping[str, Floats], config: Config, state: Mapping[str, Array | QuantTensor]) -> Linear:
    wanted = ["lora_A", "lora_B", *(["magnitude"] if config.use_dora else [])]
    if sorted(parts) != sorted(wanted):
        raise _core.Error(f"module {name!r}: expected the tensors {', '.join(wanted)}, got {', '.join(sorted(parts))}")
    if f"{name}.weight" not in state:
        raise _core.Error(f"module {name!r}: expected {name + '.weight'!r} in the state, got none")
    rank = config.rank_of(name)
    a = parts["lora_A"]
    if a.ndim != 2 or a.shape[0] != rank:
        raise _core.Error(f"module {name!r}: lora_A: expected shape ({rank}, in), got {a.shape}")
    base = state[f"{name}.weight"]
    options: dict[str, Any] = {"alpha": config.alpha_of(name), "use_rslora": config.use_rslora}
    try:
        if config.pissa:
            start = Linear(base, rank=rank, init="pissa", **options)
            options["origin"] = start.origin
        bias = state.get(f"{name}.bias")
        if bias is not None:
            for known_to_torch in ("detach", "float"):  # NumPy knows neither its gradients nor its bfloat16
                bias = getattr(bias, known_to_torch)() if hasattr(bias, known_to_torch) else bias
            bias = _float32(f"{name}.bias", np.asarray(bias))
        return Linear.from_parts(base, a, parts["lora_B"], bias, magnitude=parts.get("magnitude"), **options)
    except (TypeError, ValueError) as error:
        raise _core.Error(f"module {name!r}: {error}") from None
