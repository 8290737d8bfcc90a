"""Setting weights to zero: by scores, in patterns, with the others making up for it.

A mask is a bool array of the weight's shape, True where the weight stays. It comes from scores (:func:`magnitude`,
:func:`wanda`, :class:`Movement`, or an array of your own) and a pattern: any weights (:func:`unstructured`), any of
each row (:func:`rows`), n of every m neighbours (:func:`n_m`), :func:`blocks`, or whole :func:`channels`, which
:func:`cut_channels` then takes out for real. Of equal scores the earlier is kept. The same bytes on every instruction
set and for any number of threads.

>>> import numpy as np
>>> from petrain import prune
>>> w = np.array([[0.1, -0.7, 0.3, 0.2], [0.5, 0.5, 0.5, -0.5]], np.float32)
>>> mask = prune.n_m(prune.magnitude(w), 2, 4)
>>> pruned = prune.Masks([w], [mask])
>>> pruned.apply()  # and again after every step
>>> w
array([[ 0. , -0.7,  0.3,  0. ],
       [ 0.5,  0.5,  0. ,  0. ]], dtype=float32)
"""

from petrain.prune.channels import (
    cut_channels,
    cut_model,
)
from petrain.prune.compensation import (
    compensate,
    sparse_gpt,
)
from petrain.prune.masks import (
    Masks,
    blocks,
    channels,
    n_m,
    rows,
    unstructured,
)
from petrain.prune.schedule import cubic_sparsity
from petrain.prune.scores import (
    ColumnNorms,
    Movement,
    magnitude,
    wanda,
)

__all__ = [
    "ColumnNorms",
    "Masks",
    "Movement",
    "blocks",
    "channels",
    "compensate",
    "cubic_sparsity",
    "cut_channels",
    "cut_model",
    "magnitude",
    "n_m",
    "rows",
    "sparse_gpt",
    "unstructured",
    "wanda",
]
