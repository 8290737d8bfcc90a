#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "arrays.hpp"
#include "petrain/quant_linear.hpp"

namespace petrain::python {
namespace {

using Params = std::optional<std::pair<float, std::int32_t>>;  // scale, zero point

std::optional<QuantParams> params_from(const Params& params) {
  if (!params) return std::nullopt;
  return QuantParams{params->first, params->second};
}

Activation activation_from(const std::optional<std::string>& name) {
  constexpr std::pair<const char*, Activation> kNames[] = {{"relu", Activation::relu},
                                                           {"gelu", Activation::gelu},
                                                           {"silu", Activation::silu},
                                                           {"tanh", Activation::tanh},
                                                           {"sigmoid", Activation::sigmoid}};
  if (!name) return Activation::none;
  for (const auto& [known, activation] : kNames) {
    if (*name == known) return activation;
  }
  throw std::invalid_argument(
      "activation: expected \"relu\", \"gelu\", \"silu\", \"tanh\", \"sigmoid\" or None, got \"" + *name + "\"");
}

// Options that keep their arrays alive.
struct Options {
  LinearOptions values;
  ArrayRef bias;

  Options(const py::object& bias_array, const std::optional<std::string>& activation,
          const std::optional<std::pair<float, float>>& clip, const Params& input, const Params& output) {
    if (!bias_array.is_none()) {
      bias = borrow(bias_array, "bias", Access::read);
      values.bias = bias.view;
    }
    values.activation = activation_from(activation);
    if (clip) values.clip = Clip{clip->first, clip->second};
    values.input = params_from(input);
    values.output = params_from(output);
  }

  Tensor result(const Shape& x, std::int64_t outputs) const {
    Shape shape = x;
    if (shape.empty()) shape.push_back(0);  // refused by the layer, which says what it expects
    shape.back() = outputs;
    return {values.output ? DType::i8 : DType::f32, shape};
  }
};

py::array forward(const QuantLinear& self, py::handle x, const py::object& bias,
                  const std::optional<std::string>& activation, const std::optional<std::pair<float, float>>& clip,
                  const Params& input, const Params& output, const py::object& residual_a,
                  const py::object& residual_b) {
  const ArrayRef array = borrow(x, "x", Access::read);
  Options options(bias, activation, clip, input, output);
  if (!residual_a.is_none()) options.values.residual_a = &residual_a.cast<const QuantLinear&>();
  if (!residual_b.is_none()) options.values.residual_b = &residual_b.cast<const QuantLinear&>();
  Tensor y = options.result(array.view.shape, self.out_features());
  {
    const py::gil_scoped_release release;
    self.forward(array.view, y.view(), options.values);
  }
  return as_numpy(std::move(y));
}

py::array low_rank_forward(py::handle x, const QuantLinear& a, const QuantLinear& b, const py::object& bias,
                           const std::optional<std::string>& activation,
                           const std::optional<std::pair<float, float>>& clip, const Params& input,
                           const Params& output) {
  const ArrayRef array = borrow(x, "x", Access::read);
  const Options options(bias, activation, clip, input, output);
  Tensor y = options.result(array.view.shape, a.out_features());
  {
    const py::gil_scoped_release release;
    low_rank(array.view, a, b, y.view(), options.values);
  }
  return as_numpy(std::move(y));
}

}  // namespace

void register_quant_linear(py::module_& module) {
  py::class_<QuantLinear>(module, "QuantLinear")
      .def(py::init([](const std::shared_ptr<QuantTensor>& weight) { return QuantLinear(weight); }), py::arg("weight"))
      .def("forward", &forward, py::arg("x"), py::arg("bias"), py::arg("activation"), py::arg("clip"),
           py::arg("x_params"), py::arg("y_params"), py::arg("residual_a"), py::arg("residual_b"))
      .def_property_readonly("packed_nbytes", &QuantLinear::packed_nbytes);

  module.def("low_rank_int8", &low_rank_forward, py::arg("x"), py::arg("a"), py::arg("b"), py::arg("bias"),
             py::arg("activation"), py::arg("clip"), py::arg("x_params"), py::arg("y_params"));

  module.def(
      "matmul_int",
      [](py::handle a, py::handle b) {
        const ArrayRef left = borrow(a, "a", Access::read), right = borrow(b, "b", Access::read);
        Tensor result;
        {
          const py::gil_scoped_release release;
          result = matmul_int(left.view, right.view);
        }
        return as_numpy(std::move(result));
      },
      py::arg("a"), py::arg("b"));
}

}  // namespace petrain::python
