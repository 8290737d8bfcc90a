"""A core optimizer made for the tensors of a torch optimizer, and remade where they are no longer the same."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch

from petrain import _core
from petrain._core import StepInfo
from petrain._params import rule_info
from petrain.torch._codes import fit_codes, other_forms
from petrain.torch._groups import Group, Rule, Structure, may_change
from petrain.torch._layout import check_apart, check_parameter, readable_gradient, target_of, tensor_over
from petrain.torch._masters import Masters
from petrain.torch._messages import numbered

# torch keeps no "step" for these. To petrain it says whether there was a first step, and where random numbers begin.
_UNCOUNTED = ("sgd", "sgd_momentum", "muon")


class Member(NamedTuple):
    param: torch.Tensor
    target: torch.Tensor  # what the core updates
    what: str
    structure: Structure

    @property
    def is_copy(self) -> bool:
        return self.target.data_ptr() != self.param.data_ptr()

    @property
    def layout(self) -> torch.Tensor:
        """As which gradients must lie."""
        return self.target if self.is_copy else self.param


class _Slot:
    """A group, as it was pushed to the core."""

    def __init__(self, structure: Structure, core_index: int | None, keys: tuple[str, ...]) -> None:
        self.structure = structure
        self.core_index = core_index
        self.read = itemgetter(*keys, "state_dtype", "rounding")
        self.values: Any = None
        self.may_change = False
        self.hypers: dict[str, float] = {}


class Attachment:
    """Has as members the parameters that have a gradient or a state, or all of them. Nothing that was there before is
    written to until :meth:`show`.

    Raises:
        ValueError: the groups, a parameter or the state cannot be used.
    """

    def __init__(
        self,
        rule: Rule,
        groups: list[Group],
        state: Mapping[torch.Tensor, Mapping[str, Any]],
        seed: int,
        *,
        everyone: bool = False,
    ) -> None:
        self._rule = rule
        self.members: list[Member] = []
        self._slots: list[_Slot] = []
        core_groups: list[Any] = []
        self._numbers: list[int] = []  # of the members, among all parameters
        number = -1
        for group in groups:
            structure, hypers = rule.of(group)
            targets = []
            for p in group["params"]:
                number += 1
                what = f"parameter {number}"
                if not (everyone or p.grad is not None or state.get(p)):
                    continue
                check_parameter(p, what)
                member = Member(p, target_of(p, what, keeps_shape=rule_info(structure[0])["matrix"]), what, structure)
                self.members.append(member)
                self._numbers.append(number)
                targets.append(member.target)
            self._slots.append(_Slot(structure, len(core_groups) if targets else None, rule.keys(group)))
            if targets:
                hypers.pop("lr")  # which may be 0, but for a new optimizer of the core
                core_groups.append((structure[0], hypers, targets, *structure[1:]))
        if not self.members:
            return
        copied = [i for i, member in enumerate(self.members) if member.is_copy]
        check_apart([member.param for member in self.members], copied, [member.what for member in self.members])
        with numbered(self._numbers):
            self.core = _core.Optimizer(core_groups, seed)
        self.push(groups)
        self.copies = [member for member in self.members if member.is_copy]
        count = len(self.members)
        self._steps = np.zeros(count, np.float32)
        self._memory = np.zeros((count, max(len(self.core.memory(i)) for i in range(count))))
        self.entries = [self._take(i, member, state.get(member.param) or {}) for i, member in enumerate(self.members)]
        both = zip(self.members, self.entries, strict=True)
        self._masters = Masters([(member.param, own["master"]) for member, own in both if "master" in own])

    def _take(self, index: int, member: Member, old: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The core's state of a member as tensors by torch's names, with the values of ``old``."""
        arrays = self.core.state(index)
        old = {name: value for name, value in old.items() if value is not None}
        entries = {}
        rule, state_dtype, rounding = member.structure
        counts = rule not in _UNCOUNTED
        if counts or rounding == "stochastic" or state_dtype is not None:
            entries["step"] = torch.from_numpy(self._steps)[index]
        for column, name in enumerate(rule_info(rule)["memory"]):
            entries[name] = torch.from_numpy(self._memory)[index, column]
        numbers = len(entries)
        for name, array in arrays.items():
            entries[_shown(name, arrays)] = tensor_over(array, member.param, member.target)
        if not old:
            return entries
        old = fit_codes(old, entries, f"state of {member.what}")
        self._take_numbers(index, member, old, list(entries)[:numbers], counts)
        for name, tensor in list(entries.items())[numbers:]:
            _copy(tensor, name, old, entries, member)
        return entries

    def _take_numbers(self, index: int, member: Member, old: Mapping[str, Any], names: list[str], counts: bool) -> None:
        for name in names:
            if name not in old:
                if name == "step" and not counts:
                    continue
                raise ValueError(f"state of {member.what}: expected {name!r}, got {sorted(map(str, old))}")
            try:
                value = float(old[name])
            except OverflowError:  # an integer that no float can hold
                value = float("inf")
            if name == "step":
                if not 0 <= value < 2**62:
                    raise ValueError(f"state of {member.what}: expected a step of at least 0, got {value}")
                self.core.set_steps(index, int(value))
            elif not np.isfinite(value):
                raise ValueError(f"state of {member.what}: expected {name} to be finite, got {value}")
            else:
                self.core.set_memory(index, name, value)
        if "step" not in old and "momentum_buffer" in old:
            self.core.set_steps(index, 1)  # the buffer is no longer empty, which is all that the rule asks

    def show(self, groups: list[Group], state: dict[torch.Tensor, dict[str, Any]]) -> None:
        """Put the core's memory into ``state``."""
        for member, entries in zip(self.members, self.entries, strict=True):
            if entries:
                own = state.setdefault(member.param, {})
                for name in other_forms(entries):
                    own.pop(name, None)
                own.update(entries)
        members = [(m.param, m.layout, tuple(e)) for m, e in zip(self.members, self.entries, strict=True)]
        lists = [group["params"] for group in groups]
        touch = torch.autograd.graph.increment_version
        self._tensors = _core.TensorSteps(self.core, lists, state, members, self._steps, self._memory, touch)

    def push(self, groups: list[Group]) -> bool:
        """Bring the core's hyperparameters up to date; false where the groups ask for another core."""
        if len(groups) != len(self._slots):
            return False
        for group, slot in zip(groups, self._slots, strict=True):
            values = slot.read(group)
            if not slot.may_change and values == slot.values:
                continue
            structure, hypers = self._rule.of(group)
            if structure != slot.structure:
                return False
            if slot.core_index is not None:
                for name, value in hypers.items():
                    if slot.hypers.get(name) != value:
                        self.core.set_hyper(slot.core_index, name, value)
                        slot.hypers[name] = value
            slot.may_change = any(map(may_change, values))
            slot.values = values
        return True

    def step(
        self,
        groups: list[Group],
        state: dict[torch.Tensor, dict[str, Any]],
        max_norm: float | None,
        grad_scale: float,
        max_value: float | None,
        zero_grads: bool,
        check_finite: bool,
    ) -> StepInfo | None:
        """One step; None where it was not taken, since the tensors are no longer the same."""
        lists = [group["params"] for group in groups]
        options = (max_norm, grad_scale, max_value, zero_grads, check_finite)
        for member in self.copies:
            member.target.copy_(member.param.detach())
        readable: dict[int, Any] = {}
        self._masters.follow()
        with numbered(self._numbers):
            result = self._tensors.step(lists, state, readable, *options)
        if isinstance(result, list):
            for index in result:
                member = self.members[index]
                readable[index] = readable_gradient(member.param, member.layout, member.what)
            with numbered(self._numbers):
                result = self._tensors.step(lists, state, readable, *options)
        if not isinstance(result, StepInfo):
            return None
        with torch.no_grad():
            if not result.skipped:
                for member in self.copies:
                    if member.param.grad is not None:
                        member.param.copy_(member.target)
            if zero_grads:
                for index in readable:
                    zero(self.members[index].param)
        self._masters.remember()
        return result


def zero(p: torch.Tensor) -> None:
    if p.grad is not None:
        p.grad.detach().zero_()


def _shown(name: str, arrays: Mapping[str, Any]) -> str:
    """8-bit codes must not be taken for what they stand for, as torch.optim would."""
    return f"{name}_codes" if f"{name}_scale" in arrays else name


def _copy(
    tensor: torch.Tensor, name: str, old: Mapping[str, Any], entries: Mapping[str, torch.Tensor], member: Member
) -> None:
    if name not in old:
        if name in ("master", "compensation"):
            return  # as they are at the start
        if name == "momentum_buffer" and set(old) <= {"step"}:
            return  # SGD without momentum, until now
        raise ValueError(f"state of {member.what}: expected {name!r}, got {sorted(map(str, old))}")
    given = torch.as_tensor(old[name])
    if given.shape != tensor.shape:
        raise ValueError(
            f"state of {member.what}: expected {name} of shape {tuple(tensor.shape)}, got {tuple(given.shape)}"
        )
    tensor.copy_(given)
