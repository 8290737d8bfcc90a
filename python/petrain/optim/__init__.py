"""Update rules, in place on arrays of NumPy or PyTorch. See :class:`Optimizer` for what all of them take."""

from petrain._core import StepInfo
from petrain.optim import lr_scheduler
from petrain.optim.adagrad import Adagrad
from petrain.optim.adam import Adam, AdamW
from petrain.optim.base import Optimizer, ParamGroup
from petrain.optim.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "ParamGroup", "StepInfo", "lr_scheduler"]
