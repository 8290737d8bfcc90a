"""Optimizer states from and to other libraries: torch, bitsandbytes and torchao. None of them is needed here."""

from petrain.optim.exchange._bitsandbytes import from_bitsandbytes_state_dict, to_bitsandbytes_state_dict
from petrain.optim.exchange._torch import from_torch_state_dict, to_torch_state_dict
from petrain.optim.exchange._torchao import from_torchao_state_dict, to_torchao_state_dict

__all__ = [
    "from_bitsandbytes_state_dict",
    "from_torch_state_dict",
    "from_torchao_state_dict",
    "to_bitsandbytes_state_dict",
    "to_torch_state_dict",
    "to_torchao_state_dict",
]
