#include <pybind11/stl.h>

#include <atomic>
#include <memory>
#include <optional>

#include "arrays.hpp"
#include "labels.hpp"
#include "petrain/model.hpp"
#include "petrain/nn.hpp"
#include "src/random.hpp"

namespace petrain::python {
namespace {

constexpr std::pair<const char*, Init> kInits[] = {{"xavier_uniform", Init::xavier_uniform},
                                                   {"xavier_normal", Init::xavier_normal},
                                                   {"he_uniform", Init::he_uniform},
                                                   {"he_normal", Init::he_normal}};

Init init_from(const std::string& name) {
  std::string names;
  for (const auto& [known, init] : kInits) {
    if (name == known) return init;
    names += (names.empty() ? "" : ", ") + std::string(known);
  }
  throw std::invalid_argument("init: expected one of " + names + ", got \"" + name + "\"");
}

// Seeds for layers that were not given one: the same sequence after every manual_seed.
std::uint64_t base_seed = 0, layers_seeded = 0;  // guarded by the GIL

std::uint64_t seed_or_next(std::optional<std::uint64_t> seed) {
  return seed ? *seed : random_bits(base_seed, 0, layers_seeded++);
}

// The core owns its activations: what comes in is copied. A single sample becomes a batch of one.
Tensor tensor_from(py::handle array, const std::string& what) {
  ArrayRef ref = borrow(array, what, Access::read);
  if (ref.view.dtype != DType::f32) {
    throw std::invalid_argument(what + ": expected dtype float32, got " + dtype_name(ref.view.dtype));
  }
  if (ref.view.shape.size() == 1) ref.view.shape.insert(ref.view.shape.begin(), 1);
  return copy_of(ref);
}

py::array forward(Sequential& model, const py::object& x, bool training) {
  Tensor input = tensor_from(x, "x");
  const bool single = py::len(x.attr("shape")) == 1;
  Tensor output;
  {
    const py::gil_scoped_release release;
    output = model.forward(std::move(input), training);
  }
  py::array result = as_numpy(std::move(output));
  return single ? py::array(result.attr("__getitem__")(0)) : result;
}

enum class Which { all, trained, gradients };

py::dict named_arrays(const py::object& self, Which which) {
  py::dict result;
  for (const NamedTensor& tensor : self.cast<Sequential&>().tensors()) {
    if (which != Which::all && tensor.gradient == nullptr) continue;
    Tensor* array = which == Which::gradients ? tensor.gradient : tensor.value;
    if (which == Which::gradients && array->shape() != tensor.value->shape()) {
      throw std::invalid_argument("no gradients yet: call forward with training=True, then backward");
    }
    // What is derived from a tensor that is not trained must not fall behind it.
    const bool fixed = tensor.gradient == nullptr;
    result[py::str(tensor.name)] = fixed ? read_only(*array, self) : as_numpy(array->view(), self);
  }
  return result;
}

std::size_t stored_bytes(const std::vector<NamedTensor>& tensors) {
  std::size_t bytes = 0;
  for (const NamedTensor& tensor : tensors) bytes += tensor.value->nbytes();
  return bytes;
}

std::size_t weight_bytes(Weight& weight) {
  std::vector<NamedTensor> tensors;
  weight.collect("", tensors);
  return stored_bytes(tensors);
}

py::dict weight_tensors(const py::object& self) {
  std::vector<NamedTensor> tensors;
  self.cast<Weight&>().collect("", tensors);
  py::dict result;
  for (const NamedTensor& tensor : tensors) result[py::str(tensor.name)] = read_only(*tensor.value, self);
  return result;
}

std::string linear_text(const Linear& layer) {
  return "Linear(" + std::to_string(layer.in_features()) + ", " + std::to_string(layer.out_features()) +
         (layer.has_bias() ? "" : ", bias=False") + ")";
}

// What a Python object of this type works with.
template <class Core>
std::shared_ptr<Core> core_of(const py::object& object, const std::string& type) {
  if (py::hasattr(object, "_core") && py::isinstance<Core>(object.attr("_core"))) {
    return object.attr("_core").cast<std::shared_ptr<Core>>();
  }
  throw py::type_error("values: expected a " + type + ", got " +
                       py::type::of(object).attr("__name__").cast<std::string>());
}

void register_weights(py::module_& module) {
  py::class_<Weight, std::shared_ptr<Weight>>(
      module, "Weight", "The weight of a linear layer, a float32 matrix (out, in) in the form in which it is stored.")
      .def_property_readonly("format", &Weight::format,
                             "\"float32\", \"int8\" (a scale for each output), \"quantized\" (integers in another "
                             "way), \"low_rank\", \"residual\" or \"sparse\".")
      .def_property_readonly("shape",
                             [](const Weight& self) { return py::make_tuple(self.out_features(), self.in_features()); })
      .def_property_readonly("nbytes", &weight_bytes, "Bytes that it is stored in.")
      .def_property_readonly("graph", &weight_graph, "The form as the header of a file describes it, JSON.")
      .def("tensors", &weight_tensors,
           "The stored arrays, in place and read-only, by name: \"\", \".values\", \".a.scale\", …")
      .def(
          "dense", [](const Weight& self) { return as_numpy(self.dense()); },
          "The matrix (out, in) that this stands for, as a new float32 array.");
  py::class_<DenseWeight, Weight, std::shared_ptr<DenseWeight>>(module, "DenseWeight", "Stored as float32 (out, in).")
      .def(py::init([](py::handle values) {
             const ArrayRef ref = borrow(values, "values", Access::read);
             if (ref.view.shape.size() != 2)
               throw std::invalid_argument("values: expected shape (out, in), got " + shape_text(ref.view.shape));
             return std::make_shared<DenseWeight>(tensor_from(values, "values"));
           }),
           py::arg("values"), "Copies a float32 array of shape (out, in).");
  py::class_<QuantWeight, Weight, std::shared_ptr<QuantWeight>>(
      module, "QuantWeight",
      "Stored as int8 or int4 (out, in), with scales along axis 0 or one for all; the inputs are quantized row by row.")
      .def(py::init([](const py::object& values) {
             return std::make_shared<QuantWeight>(core_of<QuantTensor>(values, "petrain.quant.QuantTensor"));
           }),
           py::arg("values"), "Holds a petrain.quant.QuantTensor (out, in), without a copy.")
      .def_property_readonly(
          "values",
          [](const QuantWeight& self) {
            const py::object type = py::module_::import("petrain.quant").attr("QuantTensor");
            return type.attr("_from_core")(self.shared_values());
          },
          "The petrain.quant.QuantTensor, without a copy.");
  py::class_<SparseWeight, Weight, std::shared_ptr<SparseWeight>>(
      module, "SparseWeight",
      "Stored without its zeros; float32 values are trained, and what is not stored stays zero.")
      .def(py::init([](const py::object& values) {
             return std::make_shared<SparseWeight>(core_of<SparseTensor>(values, "petrain.sparse.SparseTensor"));
           }),
           py::arg("values"), "Holds a petrain.sparse.SparseTensor (out, in), without a copy.")
      .def_property_readonly(
          "values",
          [](const SparseWeight& self) {
            return py::module_::import("petrain.sparse").attr("SparseTensor")(self.values());
          },
          "The petrain.sparse.SparseTensor, without a copy.");
  py::class_<LowRankWeight, Weight, std::shared_ptr<LowRankWeight>>(
      module, "LowRankWeight", "W = A B with A (out, rank) and B (rank, in), each a Weight in a form of its own.")
      .def(py::init<std::shared_ptr<Weight>, std::shared_ptr<Weight>>(), py::arg("a"), py::arg("b"))
      .def_property_readonly("rank", &LowRankWeight::rank)
      .def_property_readonly("a", &LowRankWeight::a)
      .def_property_readonly("b", &LowRankWeight::b);
  py::class_<ResidualWeight, Weight, std::shared_ptr<ResidualWeight>>(
      module, "ResidualWeight",
      "W = Q + A B with Q (out, in), A (out, rank) and B (rank, in), all of them QuantWeights.")
      .def(py::init<std::shared_ptr<QuantWeight>, std::shared_ptr<QuantWeight>, std::shared_ptr<QuantWeight>>(),
           py::arg("base").none(false), py::arg("a").none(false), py::arg("b").none(false))
      .def_property_readonly("base", &ResidualWeight::base)
      .def_property_readonly("a", &ResidualWeight::a)
      .def_property_readonly("b", &ResidualWeight::b);
}

void register_layers(py::module_& module) {
  py::class_<Layer, std::shared_ptr<Layer>>(module, "Layer", "What layers share.")
      .def_property_readonly("type", &Layer::type);
  py::class_<Linear, Layer, std::shared_ptr<Linear>>(module, "Linear", R"doc(
y = x Wᵀ + b, for x of shape (rows, in_features) and W of shape (out_features, in_features), float32.

Args:
    in_features, out_features: at least 1.
    bias: whether there is a b, of shape (out_features,), zero at first.
    init: how W is drawn: "he_uniform", "he_normal", "xavier_uniform" or "xavier_normal".
    seed: of the draw; without it the next of the sequence that manual_seed starts.

>>> from petrain import nn
>>> layer = nn.Linear(64, 10)
>>> layer.weight.shape, layer.weight.format, layer.bias.shape
((10, 64), 'float32', (10,))
)doc")
      .def(py::init([](std::int64_t in_features, std::int64_t out_features, bool bias, const std::string& init,
                       std::optional<std::uint64_t> seed) {
             return std::make_shared<Linear>(in_features, out_features, bias, init_from(init), seed_or_next(seed));
           }),
           py::arg("in_features"), py::arg("out_features"), py::arg("bias") = true, py::arg("init") = "he_uniform",
           py::arg("seed") = py::none())
      .def_static(
          "from_weight",
          [](std::shared_ptr<Weight> weight, const py::object& bias) {
            Tensor values;
            if (!bias.is_none()) values = copy_of(borrow(bias, "bias", Access::read));
            return std::make_shared<Linear>(std::move(weight), std::move(values));
          },
          py::arg("weight"), py::arg("bias") = py::none(), "A layer with this Weight and a copy of this bias.")
      .def_property_readonly("in_features", &Linear::in_features)
      .def_property_readonly("out_features", &Linear::out_features)
      .def_property_readonly("weight", &Linear::weight)
      .def_property_readonly(
          "bias",
          [](const py::object& self) -> py::object {
            auto& layer = self.cast<Linear&>();
            if (!layer.has_bias()) return py::none();
            return as_numpy(layer.bias().view(), self);
          },
          "float32 (out_features,), in place, or None.")
      .def("__repr__", &linear_text);
  py::class_<ReLU, Layer, std::shared_ptr<ReLU>>(module, "ReLU", "max(x, 0), elementwise.")
      .def(py::init<>())
      .def("__repr__", [](const ReLU&) { return "ReLU()"; });
}

void register_sequential(py::module_& module) {
  py::class_<Sequential>(module, "Sequential", R"doc(
Layers, one after the other.

>>> import numpy as np
>>> from petrain import nn
>>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
>>> logits = model.forward(np.ones((2, 4), np.float32), training=True)
>>> loss, gradient = nn.cross_entropy(logits, np.array([0, 2]))
>>> model.backward(gradient)
>>> sorted(model.gradients())
['0.bias', '0.weight', '2.bias', '2.weight']
)doc")
      .def(py::init([](const py::args& layers) {
        return std::make_unique<Sequential>(layers.cast<std::vector<std::shared_ptr<Layer>>>());
      }))
      .def("forward", &forward, py::arg("x"), py::arg("training") = false,
           "float32 (rows, features) or one sample (features,). With training, keeps what backward needs.")
      .def(
          "__call__", [](Sequential& self, const py::object& x) { return forward(self, x, false); }, py::arg("x"),
          "forward without training.")
      .def(
          "backward",
          [](Sequential& self, const py::object& gradient, bool input_gradient) -> py::object {
            Tensor dy = tensor_from(gradient, "gradient");
            Tensor dx;
            {
              const py::gil_scoped_release release;
              dx = self.backward(std::move(dy), input_gradient);
            }
            if (!input_gradient) return py::none();
            return as_numpy(std::move(dx));
          },
          py::arg("gradient"), py::arg("input_gradient") = false,
          "From the gradient of the output, after a forward pass with training: sets gradients() and, with "
          "input_gradient, returns that of x.")
      .def(
          "parameters", [](const py::object& self) { return named_arrays(self, Which::trained); },
          "The trained arrays by name, in place.")
      .def(
          "gradients", [](const py::object& self) { return named_arrays(self, Which::gradients); },
          "Their gradients of the last backward pass, in place; the next one overwrites them.")
      .def(
          "tensors", [](const py::object& self) { return named_arrays(self, Which::all); },
          "Every stored array by name, in place.")
      .def_property_readonly("layers", [](const Sequential& self) { return self.layers(); })
      .def_property_readonly(
          "nbytes", [](const Sequential& self) { return stored_bytes(self.tensors()); }, "Bytes of all stored arrays.")
      .def("__len__", [](const Sequential& self) { return self.layers().size(); })
      .def("__repr__", [](const Sequential& self) {
        std::string text;
        for (const auto& layer : self.layers())
          text += (text.empty() ? "" : ", ") + std::string(py::repr(py::cast(layer)));
        return "Sequential(" + text + ")";
      });
}

}  // namespace

void register_nn(py::module_& module) {
  register_weights(module);
  register_layers(module);
  register_sequential(module);
  module.def(
      "manual_seed",
      [](std::uint64_t seed) {
        base_seed = seed;
        layers_seeded = 0;
      },
      py::arg("seed"), "Start the sequence of seeds for layers that are not given one. It starts at 0 by itself.");
  module.def(
      "cross_entropy",
      [](py::handle logits, const py::array& labels) {
        const LabelArray indices = labels_from(labels);
        const ArrayRef ref = borrow(logits, "logits", Access::read);
        Loss loss = cross_entropy(ref.view, span_of(indices));
        return py::make_tuple(loss.value, as_numpy(std::move(loss.gradient)));
      },
      py::arg("logits"), py::arg("labels"));
  module.def(
      "init_uniform",
      [](py::handle array, double low, double high, std::uint64_t seed) {
        init_uniform(borrow(array, "array", Access::write).view, low, high, seed);
      },
      py::arg("array"), py::arg("low"), py::arg("high"), py::arg("seed"));
  module.def(
      "init_normal",
      [](py::handle array, double mean, double deviation, std::uint64_t seed) {
        init_normal(borrow(array, "array", Access::write).view, mean, deviation, seed);
      },
      py::arg("array"), py::arg("mean"), py::arg("deviation"), py::arg("seed"));
  module.def(
      "init_weight",
      [](py::handle array, const std::string& init, std::uint64_t seed) {
        init_weight(borrow(array, "array", Access::write).view, init_from(init), seed);
      },
      py::arg("array"), py::arg("init"), py::arg("seed"));
}

}  // namespace petrain::python
