"""What all rules share under PyTorch."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from petrain import optim
from petrain._core import StepInfo
from petrain.torch._attachment import Attachment, zero
from petrain.torch._documentation import documentation
from petrain.torch._groups import OWN, Group, Rule, arguments_of
from petrain.torch._layout import check_parameter

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT

# Arguments of torch.optim that choose an implementation or a mode. petrain has one of its own, so the first two change
# nothing; it cannot do what the last two ask for.
_IGNORED = ("foreach", "fused")
_REFUSED = ("capturable", "differentiable")


class Optimizer(torch.optim.Optimizer):
    """What all rules share. Use one of the subclasses, as the class of the same name in ``torch.optim``.

    Parameters are updated in place, without a copy, by one pass over all of them. They are tensors in CPU memory of
    float32, float64, float16 or bfloat16, in any shape; each may have gradients of any of these dtypes. What is not
    contiguous is updated too: in its own memory where its elements lie side by side in any order of the axes, and
    through a copy in each step where they do not. Gradients that are sparse in their rows, as those of
    ``torch.nn.Embedding(sparse=True)``, touch those rows alone.

    Beyond the arguments of torch.optim, the classes take by keyword, as do parameter groups:

        state_dtype: "float32", "bfloat16" or "int8", in which moving averages are kept. None: as the rule computes,
            float64 for float64 parameters, else float32. In ``state``, 8-bit codes are ``exp_avg_codes`` with
            ``exp_avg_scale``, for example.
        rounding: of 16-bit parameters: "nearest", "stochastic", "kahan" or "master"; see petrain.optim.Optimizer. The
            float32 copy of "master" follows what is written to a parameter between two steps, as by
            ``model.load_state_dict``, but not what is written into its memory behind torch's back: through
            ``p.data``, or a NumPy array of it.

    and by keyword, for all groups, ``seed`` of stochastic rounding. ``foreach`` and ``fused`` are accepted and change
    nothing.

    A group with "rule", the name of an update rule such as "adamw", follows that one instead, with its defaults.

    Attributes:
        last_step: StepInfo of the last step, with ``grad_norm`` and ``skipped``; None before the first.

    Raises:
        ValueError: here or by the first step: a hyperparameter is out of range; ``capturable`` or ``differentiable``
            is asked for; a parameter is not in CPU memory, is sparse, complex, quantized or of whole numbers, shares
            memory with another one or with itself, or has a shape that the rule cannot update. Nothing was changed.
        RuntimeError: a gradient is sparse in more than its rows.

    Example:
        >>> import torch, petrain.torch
        >>> p = torch.nn.Parameter(torch.ones(3))
        >>> opt = petrain.torch.AdamW([p], lr=0.1, weight_decay=0.0)
        >>> isinstance(opt, petrain.torch.Optimizer) and isinstance(opt, torch.optim.Optimizer)
        True
        >>> p.grad = torch.tensor([1.0, float("nan"), 1.0])
        >>> opt.step(zero_grads=True)
        >>> opt.last_step.skipped, p.tolist(), p.grad.tolist()
        (True, [1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    """

    last_step: StepInfo | None = None

    _rule: ClassVar[Rule]
    _signature: ClassVar[inspect.Signature]
    _fixed: ClassVar[dict[str, Any]]  # torch's arguments that petrain has no other value for
    _starts_at_once: ClassVar[bool] = False  # whether there is state before the first step
    _step_supports_amp_scaling = True  # see torch.amp.GradScaler.step

    _attachment: Attachment | None = None
    _seed: int = 0

    if TYPE_CHECKING:  # of each subclass, in truth, those that its documentation lists; see _constructor

        def __init__(self, params: ParamsT, *args: Any, **kwargs: Any) -> None: ...

    def __init_subclass__(cls, *, native: type[optim.Optimizer] | None = None, handles: tuple[str, ...] = ()) -> None:
        """``native`` is the rule's class in petrain.optim; ``handles``, arguments of torch's that it does not have, but
        that are seen to here."""
        super().__init_subclass__()
        if native is None:
            return
        own = arguments_of(native)
        twin = getattr(torch.optim, cls.__name__, None)
        theirs = own if twin is None else arguments_of(twin)
        extra = [own[name].replace(kind=inspect.Parameter.KEYWORD_ONLY) for name in own if name not in theirs]
        cls._signature = inspect.Signature([*theirs.values(), *extra])
        known = (*own, *handles, *_IGNORED, *_REFUSED)
        cls._fixed = {name: p.default for name, p in theirs.items() if name not in known}
        cls._rule = Rule(native, handles)
        cls.__init__ = _constructor(cls._signature)  # type: ignore[method-assign]
        cls.__doc__ = documentation(cls.__name__, native, twin is not None)

    def _setup(self, arguments: dict[str, Any]) -> None:
        params = arguments.pop("params")
        self._seed = arguments.pop("seed")
        if arguments.get("foreach") and arguments.get("fused"):
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        wrapped = arguments.pop("hypers", {})
        super().__init__(params, {**arguments, **wrapped})
        unknown = [name for name in wrapped if name not in self._rule.keys(self.param_groups[0])]
        if unknown:
            raise TypeError(f"{type(self).__name__} with this rule has no argument {unknown[0]!r}")
        if self._starts_at_once:
            self._attach()

    def add_param_group(self, param_group: Group) -> None:
        """As torch.optim.Optimizer does.

        Raises:
            ValueError: a parameter comes twice or cannot be updated, or a hyperparameter is out of range. Nothing was
                added.
        """
        if isinstance(param_group, dict) and "params" in param_group:
            if not isinstance(param_group["params"], (torch.Tensor, set)):
                param_group["params"] = list(param_group["params"])
                given = [p[1] if isinstance(p, tuple) else p for p in param_group["params"]]
                if len({id(p) for p in given}) != len(given):
                    raise ValueError("some parameters appear more than once in a parameter group")
            if "rule" in param_group:
                self._rule.complete(param_group, self.defaults["maximize"])
        super().add_param_group(param_group)
        try:
            self._rule.complete(param_group)
            self._check_group(param_group)
        except BaseException:
            self.param_groups.pop()
            raise

    def _check_group(self, group: Group) -> None:
        for name in _REFUSED:
            if group.get(name):
                raise ValueError(f"{name}=True is not supported by petrain.torch.{type(self).__name__}")
        for name, default in self._fixed.items():
            if name in group and group[name] is not default and group[name] != default:
                raise ValueError(f"{name}: petrain.torch.{type(self).__name__} supports {default!r} alone")
        for i, p in enumerate(group["params"]):
            check_parameter(p, f"parameter {i} of the group")
        self._rule.check(group)

    def _attach(self) -> Attachment | None:
        """None where no parameter has a gradient or a state."""
        self._attachment = None
        with torch.no_grad():
            attachment = Attachment(
                self._rule, self.param_groups, self.state, self._seed, everyone=self._starts_at_once
            )
            if attachment.members:
                attachment.show(self.param_groups, self.state)
                self._attachment = attachment
        return self._attachment

    def step(
        self,
        closure: Callable[[], Any] | None = None,
        *,
        grad_scale: float = 1.0,
        max_norm: float | None = None,
        max_value: float | None = None,
        zero_grads: bool = False,
        check_finite: bool = True,
    ) -> Any:
        """Update every parameter that has a gradient: unscale, check, clip, update and zero in two reads of the
        gradients. A gradient with NaN or an infinity in it changes nothing: see ``last_step.skipped``.

        Args:
            closure: evaluates the model again, with gradients, and returns the loss.
            grad_scale: what the loss was multiplied with; the gradients are divided by it.
            max_norm: clip the global L2 norm of the gradients to this, as torch.nn.utils.clip_grad_norm_ does.
            max_value: then clip every entry to ± this.
            zero_grads: set the gradients to zero afterwards.
            check_finite: false to read the gradients once instead of twice, as where they have been checked before.
                Then ``last_step.grad_norm`` is NaN, there is no ``max_norm``, and NaN in a gradient goes into the
                parameters. But the gradients of matrix rules (Adafactor, Muon, GaLore, APOLLO) are checked all the
                same: NaN in one of those skips the whole step, for the groups of other rules too.

        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        scale = getattr(self, "grad_scale", None)  # this and found_inf are set by a GradScaler, for one step
        if scale is not None:
            grad_scale *= float(scale)
        found_inf = getattr(self, "found_inf", None)
        if found_inf is not None and float(found_inf) > 0:
            self.last_step = StepInfo(float("nan"), True)
            if zero_grads:
                for p in chain.from_iterable(group["params"] for group in self.param_groups):
                    zero(p)
            return loss
        self.last_step = self._update(max_norm, grad_scale, max_value, zero_grads, check_finite)
        return loss

    def _update(self, *options: Any) -> StepInfo:
        for _ in range(2):
            attachment = self._attachment or self._attach()
            if attachment is None:
                return StepInfo()
            if attachment.push(self.param_groups):
                info = attachment.step(self.param_groups, self.state, *options)
                if info is not None:
                    return info
            self._attachment = None
        raise RuntimeError("the parameters or the state changed while a step was taken")

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the ``state_dict`` of an optimizer of this class, or of the class of the same name in torch.optim.
        Hyperparameters are those of the dict; ``state_dtype`` and ``rounding`` stay as they are.

        Raises:
            ValueError: it belongs to another model or another rule, or a value is out of range. Nothing was changed.
        """
        state_dict = dict(state_dict)
        for pre_hook in self._optimizer_load_state_dict_pre_hooks.values():
            result = pre_hook(self, state_dict)
            if result is not None:
                state_dict = result
        groups, state = self._matched(state_dict)
        with torch.no_grad():
            attachment = Attachment(self._rule, groups, state, self._seed, everyone=self._starts_at_once)
            self.__setstate__({"state": state, "param_groups": groups})
            if attachment.members:
                attachment.show(groups, state)
                self._attachment = attachment
        for post_hook in self._optimizer_load_state_dict_post_hooks.values():
            post_hook(self)

    def _matched(self, state_dict: Mapping[str, Any]) -> tuple[list[Group], defaultdict[Any, dict[str, Any]]]:
        """Groups and state of a state_dict with this optimizer's parameters in the place of their numbers."""
        saved = deepcopy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ValueError(f"state_dict: expected {len(self.param_groups)} parameter groups, got {len(saved)}")
        numbers: dict[Any, torch.Tensor] = {}
        for i, (new, group) in enumerate(zip(saved, self.param_groups, strict=True)):
            if len(new["params"]) != len(group["params"]):
                raise ValueError(
                    f"state_dict: expected {len(group['params'])} parameters in group {i}, got {len(new['params'])}"
                )
            numbers.update(zip(new["params"], group["params"], strict=True))
            for key, value in group.items():
                if key in ("params", *OWN) or (key not in new and key != "initial_lr"):
                    new[key] = value
            self._check_group(new)
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            state[numbers.get(key, key)] = dict(value) if isinstance(value, Mapping) else value
        return saved, state

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_seed": self._seed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._attachment = None


def _constructor(signature: inspect.Signature) -> Callable[..., None]:
    def __init__(self: Optimizer, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        self._setup(dict(bound.arguments))

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    __init__.__signature__ = inspect.Signature([own, *signature.parameters.values()])  # type: ignore[attr-defined]
    return __init__
