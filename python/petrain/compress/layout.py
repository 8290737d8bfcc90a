"""What a file of compressed weights looks like, before there is one: its size to the byte."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from petrain import _core, nn

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class Layout:
    """How a weight is stored.

    Attributes:
        graph: the form, as the header of a file describes it: JSON.
        tensors: the name below that of the weight, the dtype and the shape of each array.
    """

    graph: str
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...]

    @staticmethod
    def of(weight: nn.Weight) -> Layout:
        tensors = weight.tensors()
        return Layout(weight.graph, tuple((name, str(a.dtype), a.shape) for name, a in sorted(tensors.items())))

    def below(self, name: str) -> dict[str, tuple[str, tuple[int, ...]]]:
        """The dtypes and shapes by the names in the file."""
        return {name + suffix: (dtype, shape) for suffix, dtype, shape in self.tensors}


@dataclass(frozen=True)
class FileOf:
    """A file that holds weights in forms which are still to be chosen.

    Attributes:
        key: of its metadata.
        graph: JSON.
        places: of a model, the layer of each weight by its name; None where the file holds weights alone.
        tensors: dtype and shape by name of all that is in the file whatever is chosen.
        layouts: by the name of the weight, where nothing is chosen.
    """

    key: str
    graph: str
    places: Mapping[str, int] | None = None
    tensors: Tensors = field(default_factory=dict)
    layouts: Mapping[str, Layout] = field(default_factory=dict)

    def size(self, chosen: Mapping[str, Layout]) -> int:
        """Bytes with these forms, header included."""
        graph, tensors = json.loads(self.graph), dict(self.tensors)
        for name, layout in {**self.layouts, **chosen}.items():
            form = json.loads(layout.graph)
            if self.places is None:
                graph["weights"][name] = form
            else:
                graph["layers"][self.places[name]]["weight"] = form
            tensors.update(layout.below(name))
        text = json.dumps(graph, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return _core.safetensors_size({self.key: text}, tensors)

    def weight_size(self, name: str, layout: Layout, before: int) -> int:
        """Bytes that a weight takes behind about so many others, but for a constant and the padding of the header."""
        others = {name + ".": ("int64", (before // 8,))}  # stored first, and a name of no form
        return _core.safetensors_size({self.key: layout.graph}, {**others, **layout.below(name)})


def weights_file() -> FileOf:
    """The file of :func:`petrain.compress.save`."""
    return FileOf("petrain.weights", _core.weights_graph({}))


def model_file(model: nn.Sequential, places: Mapping[str, int]) -> FileOf:
    """The file of :func:`petrain.save` for a model whose weights of these names, at these layers, are to be chosen."""
    layouts = {}
    for name, i in places.items():
        layer = model.layers[i]
        assert isinstance(layer, nn.Linear)
        layouts[name] = Layout.of(layer.weight)
    free = {name for weight, layout in layouts.items() for name in layout.below(weight)}
    fixed = {name: (str(a.dtype), a.shape) for name, a in model.tensors().items() if name not in free}
    return FileOf("petrain.model", _core.model_graph(model), places, fixed, layouts)
