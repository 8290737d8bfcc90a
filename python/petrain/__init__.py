"""Train and shrink neural networks on a CPU.

>>> import numpy as np, petrain
>>> weights = [np.ones((2, 3), np.float32)]
>>> opt = petrain.optim.AdamW(weights, lr=0.1)
>>> info = opt.step([np.full((2, 3), 2.0, np.float32)], max_norm=1.0)
>>> round(info.grad_norm, 4)
4.899
"""

from petrain import compress, distill, files, lora, lowrank, nn, optim, prune, quant, sparse
from petrain._core import Error, __version__, cpu_info, get_num_threads, set_num_threads
from petrain._install import get_cmake_dir, get_include
from petrain.accumulate import GradAccumulator
from petrain.models import load, save

__all__ = [
    "Error",
    "GradAccumulator",
    "__version__",
    "compress",
    "cpu_info",
    "distill",
    "files",
    "get_cmake_dir",
    "get_include",
    "get_num_threads",
    "load",
    "lora",
    "lowrank",
    "nn",
    "optim",
    "prune",
    "quant",
    "save",
    "set_num_threads",
    "sparse",
]
