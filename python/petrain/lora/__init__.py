"""Low-rank adapters: a frozen weight, and a small update beside it that is trained.

A layer's base may be float32, float16, bfloat16 or a QuantTensor; it is never written to. Adapters are saved and loaded
in the layout of Hugging Face PEFT.
"""

from petrain.lora.files import load, save
from petrain.lora.groups import gradients, parameter_groups, parameters
from petrain.lora.layer import Linear
from petrain.lora.start import loftq

__all__ = [
    "Linear",
    "gradients",
    "load",
    "loftq",
    "parameter_groups",
    "parameters",
    "save",
]
