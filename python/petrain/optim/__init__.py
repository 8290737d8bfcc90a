"""Update rules, in place on arrays of NumPy or PyTorch. See :class:`Optimizer` for what all of them take."""

from petrain._core import StepInfo
from petrain.optim import exchange, lr_scheduler
from petrain.optim.adafactor import Adafactor
from petrain.optim.adagrad import Adadelta, Adagrad
from petrain.optim.adam import Adam, AdamW
from petrain.optim.adam_kin import Adamax, NAdam, RAdam
from petrain.optim.ademamix import AdEMAMix
from petrain.optim.base import Optimizer, ParamGroup
from petrain.optim.checkpoint import load_checkpoint, save_checkpoint
from petrain.optim.layerwise import LAMB, LARS
from petrain.optim.lion import Lion
from petrain.optim.muon import Muon
from petrain.optim.projected import APOLLO, GaLore
from petrain.optim.rmsprop import RMSprop
from petrain.optim.schedule_free import ScheduleFreeAdamW
from petrain.optim.sgd import SGD, Momentum

__all__ = [
    "APOLLO",
    "LAMB",
    "LARS",
    "SGD",
    "AdEMAMix",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "GaLore",
    "Lion",
    "Momentum",
    "Muon",
    "NAdam",
    "Optimizer",
    "ParamGroup",
    "RAdam",
    "RMSprop",
    "ScheduleFreeAdamW",
    "StepInfo",
    "exchange",
    "load_checkpoint",
    "lr_scheduler",
    "save_checkpoint",
]
