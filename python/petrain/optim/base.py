"""What all update rules share: groups, the fused step, state dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from petrain import _core
from petrain._core import StepInfo
from petrain._params import BETAS, Array, Arrays, flatten, in_order, is_group_list, rule_info, split
from petrain._state import check_state
from petrain.accumulate import GradAccumulator

if TYPE_CHECKING:
    from petrain.quant.qat import LSQ

_STATE_VERSION = 1

# What a group says beside the rule's hyperparameters; fixed once the optimizer is made.
_OPTIONS = {"state_dtype": None, "rounding": "nearest"}
# What the optimizer's arguments say for groups of another rule too.
_SHARED = ("maximize", *_OPTIONS)


class ParamGroup(MutableMapping[str, Any]):
    """The hyperparameters of one group. Writing one, as in ``opt.param_groups[0]["lr"] = 0.1``, takes effect at
    the next step; a value out of range raises ValueError. lr may be set to 0, as schedules do, but not made so.
    ``options`` holds what cannot be changed."""

    def __init__(self, core: _core.Optimizer, index: int, rule: str, options: Mapping[str, Any]) -> None:
        self._core = core
        self._index = index
        self.rule = rule
        self.options = dict(options)
        self.initial_lr: float | None = None  # lr before a schedule changed it
        names = list(rule_info(rule)["hypers"])
        self._choices = rule_info(rule)["choices"]
        self._betas = [name for name in names if name in BETAS]
        self._names = [name for name in names if name not in self._betas] + (["betas"] if self._betas else [])

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        if name == "betas":
            return tuple(self._core.hyper(self._index, beta) for beta in self._betas)
        value = self._core.hyper(self._index, name)
        return self._choices[name][int(value)] if name in self._choices else value

    def __setitem__(self, name: str, value: Any) -> None:
        before = self[name] if name in self._names else None
        try:
            for key, number in flatten({name: value}, self.rule).items():
                self._core.set_hyper(self._index, key, number)
        except ValueError:
            if name == "betas" and before is not None:  # the first may have been written
                self[name] = before
            raise
        if name == "lr":
            self.initial_lr = None

    def __delitem__(self, name: str) -> None:
        raise TypeError("a hyperparameter cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"ParamGroup({self.rule}, {dict(self)})"


class Optimizer:
    """What all update rules share. Use one of the subclasses.

    Every class takes, beside its hyperparameters:

        params: a list of arrays, a dict of arrays by name, or a list of dicts, one for each group, with the arrays
            under "params" and what differs from the defaults beside them. A group with "rule", a name like "adamw",
            follows that rule instead of the class's, with that rule's defaults, but for maximize, state_dtype and
            rounding. An array is a NumPy array or a CPU tensor that exports DLPack: float32, float64, float16 or
            bfloat16 (ml_dtypes, torch), of any shape, C-contiguous and writeable; it is changed in place.
        maximize: climb instead of descend.
        state_dtype: "float32", "bfloat16" or "int8", in which moving averages are kept; None: as the rule computes,
            float64 for float64 parameters, else float32. "int8" is 8-bit codes in groups of 64 with a float32 scale:
            1.0625 bytes for each number. What must not lose bits is kept in full all the same.
        rounding: of 16-bit parameters: "nearest", "stochastic" (right on average; reproducible from ``seed``, for any
            number of threads), "kahan" (what was cut is kept in 16 bits beside the parameter) or "master" (a float32
            copy is kept, and each step writes the parameter from it: what else is written to the parameter between
            two steps is lost, unless it is written to ``state_dict()["state"][i]["master"]`` too and loaded).
        seed: of the random numbers of stochastic rounding.
    """

    defaults: Mapping[str, Any]
    param_groups: list[ParamGroup]
    _name: ClassVar[str]

    def __init__(
        self, params: Arrays | Sequence[Mapping[str, Any]], defaults: Mapping[str, Any], *, seed: int = 0
    ) -> None:
        self.defaults = dict(defaults)
        groups = list(params) if is_group_list(params) else [{"params": params}]
        split_groups = [self._split(group) for group in groups]
        named = [names for names, *_ in split_groups if names is not None]
        self._names = [name for names in named for name in names] if len(named) == len(groups) else None
        if self._names is not None and len(set(self._names)) != len(self._names):
            raise ValueError("each parameter name may be given once")
        self._core = _core.Optimizer([_core_group(*group[1:]) for group in split_groups], seed)
        self.param_groups = [
            ParamGroup(self._core, i, rule, options) for i, (_, rule, _, options, _) in enumerate(split_groups)
        ]

    def _split(
        self, group: Mapping[str, Any]
    ) -> tuple[list[str] | None, str, dict[str, float], dict[str, Any], list[Array]]:
        """Names, rule, hyperparameters, options and arrays of a group as users write it."""
        if not isinstance(group, Mapping) or "params" not in group:
            raise ValueError('each group must be a dict with the key "params"')
        names, arrays = split(group["params"])
        own = {key: value for key, value in group.items() if key not in ("params", "rule")}
        shared = {key: self.defaults[key] for key in _SHARED if key in self.defaults}
        values = {**(shared if "rule" in group else self.defaults), **own}
        options = {key: values.pop(key, default) for key, default in _OPTIONS.items()}
        rule, hypers = (group["rule"], values) if "rule" in group else self._rule(values)
        if not isinstance(rule, str):
            raise TypeError(f"rule: expected the name of an update rule, got {type(rule).__name__}")
        return names, rule, flatten(hypers, rule), options, arrays

    def _rule(self, hypers: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The core's rule for a group, and the hyperparameters that it has."""
        return self._name, hypers

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters, as a group dict, to those that are updated."""
        names, rule, hypers, options, arrays = self._split(group)
        if (names is None) != (self._names is None):
            raise ValueError("parameters must all be given by name, or all without")
        if names is not None and self._names is not None and set(names) & set(self._names):
            raise ValueError("each parameter name may be given once")
        self._core.add_group(_core_group(rule, hypers, options, arrays))
        if names is not None and self._names is not None:
            self._names += names
        self.param_groups.append(ParamGroup(self._core, len(self.param_groups), rule, options))

    def step(
        self,
        grads: Arrays | GradAccumulator,
        *,
        grad_scale: float = 1.0,
        max_norm: float | None = None,
        max_value: float | None = None,
        zero_grads: bool = False,
        check_finite: bool = True,
    ) -> StepInfo:
        """Update every parameter once: unscale, check, clip, update and zero in two reads of the gradients.

        Args:
            grads: arrays with the parameters' shapes, of any float dtype: a list in their order, a dict by their
                names, or a GradAccumulator, of which the mean is taken and which is empty afterwards. The gradient of
                some rows of a parameter (N, …) alone, as of an embedding, is a pair (indices, rows): int64 (n,) and
                (n, …). Only those rows, and their states, are touched; rows that come twice are added up.
            grad_scale: what the loss was multiplied with, as in mixed-precision training; the gradients are divided
                by it.
            max_norm: clip the global L2 norm of the unscaled gradients to this, as torch.nn.utils.clip_grad_norm_
                does.
            max_value: then clip every entry to ± this, as torch.nn.utils.clip_grad_value_ does.
            zero_grads: set the gradients to zero afterwards. Without it they are not written to.
            check_finite: false to read the gradients once instead of twice, as where they have been checked before.
                Then ``grad_norm`` is NaN, there is no ``max_norm``, and NaN in a gradient goes into the parameters. But
                the gradients of matrix rules (Adafactor, Muon, GaLore, APOLLO) are checked all the same: NaN in one of
                those skips the whole step, for the groups of other rules too.

        Returns:
            StepInfo: ``grad_norm`` of the unscaled gradients before clipping, and ``skipped``: true where a gradient
            was NaN or infinite, or is so in the type that the rule computes in. Then no parameter, no state and no step
            count was changed.

        Raises:
            ValueError: number, names, shapes or dtypes do not match. Nothing was changed.
        """
        if isinstance(grads, GradAccumulator):
            if None not in (self._names, grads._names) and self._names != grads._names:
                raise ValueError(f"the accumulator has parameters {grads._names}, the optimizer {self._names}")
            return self._core.step_accumulated(grads._core, max_norm, grad_scale, max_value, check_finite)
        arrays = in_order(grads, self._names, "grads")
        return self._core.step(arrays, max_norm, grad_scale, max_value, zero_grads, check_finite)

    def attach_fake_quantize(self, param: str | int, lsq: LSQ, out: Array) -> None:
        """Train a parameter as the fake-quantized copy of it that ``lsq`` makes, within :meth:`step`.

        The model computes with ``out``, and ``step`` takes the gradient of ``out`` in the place of the parameter's:
        it goes to the parameter where that is within the range of the integers, and makes ``lsq.scale_gradient``.
        Then ``out`` is written for the next step, while the parameter is in the processor's cache: all of it costs
        little beside the step, where ``lsq.forward`` and ``lsq.backward`` read everything again.

        The scales are trained where ``lsq.scale`` is a parameter too; its gradient is ``lsq.scale_gradient``, from the
        step before: the new scale must be known before the first element of ``out`` is written, so scales are one step
        behind the weights. ``zero_grads`` leaves it. ``grad_norm``, and clipping by it, take the gradient of ``out`` as
        it is given. A skipped step changes neither ``out`` nor the scales nor ``scale_gradient``.

        Args:
            param: the name, or the index, of a float32 parameter. Its rule may not be a matrix rule (Adafactor, Muon,
                GaLore, APOLLO), nor may that of the scale.
            lsq: made for an array of the parameter's shape.
            out: float32, or int8 for the integers (to be multiplied with ``lsq.scale``), in the parameter's shape. Is
                written here, and by every step.

        Whoever changes the parameter or the scales otherwise, as by loading a checkpoint, attaches again.

        Raises:
            ValueError: an argument is not as said, memory is used twice, or the parameter is not finite. Nothing was
                changed.
            KeyError, IndexError: there is no such parameter, or no such axis.

        Example:
            >>> import numpy as np
            >>> from petrain.optim import AdamW
            >>> from petrain.quant import LSQ
            >>> w = np.array([[0.9, -0.4, 0.1]], np.float32)
            >>> lsq, w_hat = LSQ(w, bits=4), np.empty_like(w)
            >>> opt = AdamW([{"params": [w]}, {"params": [lsq.scale], "weight_decay": 0.0}], lr=0.01)
            >>> opt.attach_fake_quantize(0, lsq, w_hat)
            >>> for _ in range(200):
            ...     error = w_hat - np.array([[0.7, -0.3, 0.1]], np.float32)
            ...     info = opt.step([error, lsq.scale_gradient])
            >>> bool(np.abs(w_hat - [[0.7, -0.3, 0.1]]).max() < 0.06)
            True
        """
        _core.attach_fake_quantize(self._core, self._index(param), lsq.scale, lsq.scale_gradient, lsq._spec, out)

    def detach_fake_quantize(self, param: str | int) -> None:
        """Undo :meth:`attach_fake_quantize`: the gradient is the parameter's own again."""
        _core.detach_fake_quantize(self._core, self._index(param))

    def _index(self, param: str | int) -> int:
        if isinstance(param, int):
            return param
        if self._names is None or param not in self._names:
            raise KeyError(f"expected a parameter of {self._names or 'an optimizer without names'}, got {param!r}")
        return self._names.index(param)

    @property
    def state_bytes(self) -> int:
        """Bytes of all state arrays."""
        return self._core.state_bytes

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs: hyperparameters, step counts and copies of the state arrays."""
        state = self._live_state()
        state["state"] = [{name: array.copy() for name, array in arrays.items()} for arrays in state["state"]]
        return state

    def _live_state(self) -> dict[str, Any]:
        """The state_dict with the arrays themselves."""
        params = range(len(self._core.shapes()))
        return {
            "version": _STATE_VERSION,
            "groups": [{"rule": group.rule, **group.options, **group} for group in self.param_groups],
            "names": None if self._names is None else list(self._names),
            "steps": [self._core.steps(i) for i in params],
            "memory": [self._core.memory(i) for i in params],
            "state": [self._core.state(i) for i in params],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave, so that the run goes on bit for bit.

        Raises:
            ValueError: it belongs to another version, rule or model, or a value is out of range. Nothing was changed.
            TypeError: it is no dict.
        """
        own = self._live_state()
        check_state(state, own)
        for group, values in zip(self.param_groups, state["groups"], strict=True):
            group.update({name: values[name] for name in group})
        for i, arrays in enumerate(state["state"]):
            self._core.set_steps(i, state["steps"][i])
            for name, number in state["memory"][i].items():
                self._core.set_memory(i, name, number)
            for name, array in own["state"][i].items():
                array[...] = arrays[name]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.param_groups})"


def hypers_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What a constructor was given, from its local variables: everything but params and seed."""
    return {name: value for name, value in arguments.items() if name not in ("self", "params", "seed", "__class__")}


def _core_group(
    rule: str, hypers: dict[str, float], options: Mapping[str, Any], arrays: list[Array]
) -> tuple[str, dict[str, float], list[Array], str | None, str]:
    return rule, hypers, arrays, options["state_dtype"], options["rounding"]
