"""Update rules, in place on float32 arrays.

Every class takes ``params`` as a list of arrays, a dict of arrays by name, or a list of dicts, one for each
group, with the arrays under "params" and hyperparameters that differ from the defaults beside them. An array is a
NumPy array or a CPU tensor that exports DLPack; it must be C-contiguous and writeable and is changed in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, ClassVar

from petrain import _core
from petrain._core import StepInfo
from petrain._params import Arrays, flatten, in_order, is_group_list, split
from petrain._state import check_state
from petrain.accumulate import GradAccumulator

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "ParamGroup", "StepInfo"]

_STATE_VERSION = 1


class ParamGroup(MutableMapping[str, Any]):
    """The hyperparameters of one group. Writing one, as in ``opt.param_groups[0]["lr"] = 0.1``, takes effect at
    the next step; a value out of range raises ValueError."""

    def __init__(self, core: _core.Optimizer, index: int, rule: str) -> None:
        self._core = core
        self._index = index
        self.rule = rule
        names = list(_core.rules()[rule]["hypers"])
        self._has_betas = "beta1" in names
        self._names = [n for n in names if not n.startswith("beta")] + (["betas"] if self._has_betas else [])

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        if name == "betas":
            return tuple(self._core.hyper(self._index, beta) for beta in ("beta1", "beta2"))
        return self._core.hyper(self._index, name)

    def __setitem__(self, name: str, value: Any) -> None:
        before = self[name] if name in self._names else None
        try:
            for key, number in flatten({name: value}).items():
                self._core.set_hyper(self._index, key, number)
        except ValueError:
            if name == "betas" and before is not None:  # the first may have been written
                self[name] = before
            raise

    def __delitem__(self, name: str) -> None:
        raise TypeError("a hyperparameter cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"ParamGroup({self.rule}, {dict(self)})"


class Optimizer:
    """What all update rules share. Use one of the subclasses."""

    defaults: Mapping[str, Any]
    param_groups: list[ParamGroup]

    def __init__(self, params: Arrays | Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        groups = list(params) if is_group_list(params) else [{"params": params}]
        names: list[str] | None = []
        core_groups = []
        for group in groups:
            if not isinstance(group, Mapping) or "params" not in group:
                raise ValueError('each group must be a dict with the key "params"')
            group_names, arrays = split(group["params"])
            names = None if names is None or group_names is None else names + group_names
            hypers = {**defaults, **{key: value for key, value in group.items() if key != "params"}}
            rule, hypers = self._rule(hypers)
            core_groups.append((rule, flatten(hypers), arrays))
        if names is not None and len(set(names)) != len(names):
            raise ValueError("each parameter name may be given once")
        self._names = names
        self._core = _core.Optimizer(core_groups)
        self.param_groups = [ParamGroup(self._core, i, rule) for i, (rule, _, _) in enumerate(core_groups)]

    _name: ClassVar[str]

    def _rule(self, hypers: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The core's rule for a group, and the hyperparameters that it has."""
        return self._name, hypers

    def step(self, grads: Arrays | GradAccumulator, max_norm: float | None = None) -> StepInfo:
        """Update every parameter once.

        Args:
            grads: float32 arrays with the parameters' shapes: a list in their order, a dict by their names, or a
                GradAccumulator, of which the mean is taken and which is empty afterwards.
            max_norm: clip the global L2 norm of the gradients to this, as torch.nn.utils.clip_grad_norm_ does;
                the gradients themselves are not written to.

        Returns:
            StepInfo: ``grad_norm`` before clipping, and ``skipped``: true where a gradient was NaN or infinite.
            Then nothing was changed: no parameter, no state, no step count.

        Raises:
            ValueError: number, names, shapes or dtypes do not match. Nothing was changed.
        """
        if isinstance(grads, GradAccumulator):
            if None not in (self._names, grads._names) and self._names != grads._names:
                raise ValueError(f"the accumulator has parameters {grads._names}, the optimizer {self._names}")
            return self._core.step_accumulated(grads._core, max_norm)
        return self._core.step(in_order(grads, self._names, "grads"), max_norm)

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
            "groups": [{"rule": group.rule, **group} for group in self.param_groups],
            "names": None if self._names is None else list(self._names),
            "steps": [self._core.steps(i) for i in params],
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
            group.update({key: value for key, value in values.items() if key != "rule"})
        for i, (step, arrays) in enumerate(zip(state["steps"], state["state"], strict=True)):
            self._core.set_steps(i, step)
            for name, array in own["state"][i].items():
                array[...] = arrays[name]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.param_groups})"


class SGD(Optimizer):
    r"""Stochastic gradient descent with momentum, in the form of torch.optim.SGD.

    .. math::
        g &\leftarrow g + \lambda p \\
        v &\leftarrow \mu v + (1 - \tau) g \quad\text{(the first v is g)} \\
        p &\leftarrow p - \eta v \quad\text{or, with Nesterov,}\quad p - \eta (g + \mu v)

    Without momentum there is no state. Source: Sutskever et al., ICML 2013.

    Args:
        params: float32 arrays; see the module.
        lr: :math:`\eta` > 0.
        momentum: :math:`\mu` ≥ 0.
        dampening: :math:`\tau` ≥ 0.
        weight_decay: :math:`\lambda` ≥ 0.
        nesterov: look ahead; needs momentum and no dampening.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0, 2.0], np.float32)
        >>> opt = SGD([p], lr=0.5, momentum=0.9)
        >>> info = opt.step([np.array([1.0, 1.0], np.float32)])
        >>> p
        array([0.5, 1.5], dtype=float32)
    """

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, _hypers(locals()))

    def _rule(self, hypers: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if hypers["nesterov"] and (hypers["momentum"] <= 0 or hypers["dampening"] != 0):
            raise ValueError(
                "nesterov needs momentum > 0 and dampening = 0, "
                f"got momentum {hypers['momentum']} and dampening {hypers['dampening']}"
            )
        if hypers["momentum"] != 0:
            return "sgd_momentum", hypers
        return "sgd", {key: value for key, value in hypers.items() if key not in ("momentum", "dampening", "nesterov")}


class Adagrad(Optimizer):
    r"""Adagrad, in the form of torch.optim.Adagrad.

    .. math::
        g &\leftarrow g + \lambda p \\
        s &\leftarrow s + g^2 \\
        p &\leftarrow p - \frac{\eta}{1 + (t - 1)\,\gamma} \frac{g}{\sqrt{s} + \epsilon}

    Source: Duchi, Hazan, Singer, JMLR 12, 2011.

    Args:
        params: float32 arrays; see the module.
        lr: :math:`\eta` > 0.
        lr_decay: :math:`\gamma` ≥ 0.
        weight_decay: :math:`\lambda` ≥ 0.
        eps: :math:`\epsilon` > 0.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = Adagrad([p], lr=0.5).step([np.array([4.0], np.float32)])
        >>> p
        array([0.5], dtype=float32)
    """

    _name = "adagrad"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(params, _hypers(locals()))


class Adam(Optimizer):
    r"""Adam; weight decay is added to the gradient, as in torch.optim.Adam.

    .. math::
        g &\leftarrow g + \lambda p \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        p &\leftarrow p - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Source: Kingma, Ba, arXiv 1412.6980.

    Args:
        params: float32 arrays; see the module.
        lr: :math:`\eta` > 0.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon` > 0.
        weight_decay: :math:`\lambda` ≥ 0.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = Adam([p], lr=0.5).step([np.array([4.0], np.float32)])
        >>> p
        array([0.5], dtype=float32)
    """

    _name = "adam"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, _hypers(locals()))


class AdamW(Optimizer):
    r"""Adam with decoupled weight decay, as in torch.optim.AdamW.

    .. math::
        p &\leftarrow (1 - \eta\lambda)\, p \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        p &\leftarrow p - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Source: Loshchilov, Hutter, arXiv 1711.05101.

    Args:
        params: float32 arrays; see the module.
        lr: :math:`\eta` > 0.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon` > 0.
        weight_decay: :math:`\lambda` ≥ 0.

    Example:
        >>> import numpy as np
        >>> p = np.array([1.0], np.float32)
        >>> info = AdamW([p], lr=0.5, weight_decay=0.1).step([np.array([4.0], np.float32)])
        >>> p
        array([0.45], dtype=float32)
    """

    _name = "adamw"

    def __init__(
        self,
        params: Arrays | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, _hypers(locals()))


def _hypers(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters among the local variables of a constructor."""
    return {name: value for name, value in arguments.items() if name not in ("self", "params", "__class__")}
