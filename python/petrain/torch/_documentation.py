"""The documentation of the classes, from that of their twins in petrain.optim."""

from __future__ import annotations

import inspect

from petrain.optim import Optimizer


def documentation(name: str, native: type[Optimizer], is_shared: bool) -> str:
    text = inspect.cleandoc(native.__doc__ or "").partition("Example:")[0].rstrip()
    like = f"The arguments are those of torch.optim.{name}. " if is_shared else ""
    return f"""{text}

{like}Parameters are float32, float64, float16 or bfloat16 tensors in CPU memory, of any layout; ``state_dtype``,
``rounding`` and ``seed``, and what is refused: see :class:`Optimizer`.

Example:
    >>> import torch, petrain.torch
{_EXAMPLES.get(name, _EXAMPLE.format(name=name))}"""


_EXAMPLE = """\
    >>> p = torch.nn.Parameter(torch.eye(3))
    >>> opt = petrain.torch.{name}([p], lr=0.01)
    >>> p.square().sum().backward()
    >>> opt.step(zero_grads=True)
    >>> bool(p.trace() < 3)
    True
"""
_OF_MATRICES = """\
    >>> model = torch.nn.Linear(8, 4)
    >>> groups = [{{"params": [model.weight]}}, {{"params": [model.bias], "rule": "adamw", "lr": 1e-3}}]
    >>> opt = petrain.torch.{name}(groups, lr=0.01{more})
    >>> before = model.weight.detach().clone()
    >>> model(torch.ones(2, 8)).square().sum().backward()
    >>> opt.step(zero_grads=True)
    >>> bool((model.weight != before).all())
    True
"""
_EXAMPLES = {
    "Muon": _OF_MATRICES.format(name="Muon", more=""),
    "GaLore": _OF_MATRICES.format(name="GaLore", more=", rank=2"),
    "APOLLO": _OF_MATRICES.format(name="APOLLO", more=", rank=2"),
    "ScheduleFreeAdamW": """\
    >>> p = torch.nn.Parameter(torch.eye(3))
    >>> opt = petrain.torch.ScheduleFreeAdamW([p], lr=0.01)
    >>> for _ in range(3):
    ...     p.square().sum().backward()
    ...     opt.step(zero_grads=True)
    >>> opt.eval()  # p is the average now: measure and save it
    >>> opt.train()  # and go on
    >>> bool(p.trace() < 3)
    True
""",
}
