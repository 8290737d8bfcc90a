#include "layer_options.hpp"

namespace petrain::python {
namespace {

py::array forward(const QuantLinear& self, py::handle x, const py::object& bias,
                  const std::optional<std::string>& activation, const std::optional<std::pair<float, float>>& clip,
                  const Params& input, const Params& output, const py::object& residual_a, const py::object& residual_b,
                  bool weight_only) {
  const ArrayRef array = borrow(x, "x", Access::read);
  LayerOptions options(bias, activation, clip, input, output);
  options.values.weight_only = weight_only;
  if (!residual_a.is_none()) options.values.residual_a = &residual_a.cast<const QuantLinear&>();
  if (!residual_b.is_none()) options.values.residual_b = &residual_b.cast<const QuantLinear&>();
  Tensor y = options.result(self.output_shape(array.view.shape));
  {
    const py::gil_scoped_release release;
    self.forward(array.view, y.view(), options.values);
  }
  return as_numpy(std::move(y));
}

py::array low_rank_forward(py::handle x, const QuantLinear& a, const QuantLinear& b, const py::object& bias,
                           const std::optional<std::string>& activation,
                           const std::optional<std::pair<float, float>>& clip, const Params& input,
                           const Params& output, bool weight_only) {
  const ArrayRef array = borrow(x, "x", Access::read);
  LayerOptions options(bias, activation, clip, input, output);
  options.values.weight_only = weight_only;
  Shape shape = b.output_shape(array.view.shape);
  shape.back() = a.out_features();
  Tensor y = options.result(shape);
  {
    const py::gil_scoped_release release;
    low_rank(array.view, a, b, y.view(), options.values);
  }
  return as_numpy(std::move(y));
}

}  // namespace

void register_quant_linear(py::module_& module) {
  py::class_<QuantLinear, std::shared_ptr<QuantLinear>>(module, "QuantLinear")
      .def(py::init([](const std::shared_ptr<QuantTensor>& weight) { return QuantLinear(weight); }),
           py::arg("weight").none(false))
      .def("forward", &forward, py::arg("x"), py::arg("bias"), py::arg("activation"), py::arg("clip"),
           py::arg("x_params"), py::arg("y_params"), py::arg("residual_a"), py::arg("residual_b"),
           py::arg("weight_only"));

  module.def("low_rank_int8", &low_rank_forward, py::arg("x"), py::arg("a"), py::arg("b"), py::arg("bias"),
             py::arg("activation"), py::arg("clip"), py::arg("x_params"), py::arg("y_params"), py::arg("weight_only"));

  module.def(
      "matmul_int",
      [](py::handle a, py::handle b) {
        const ArrayRef left = borrow(a, "a", Access::read), right = borrow(b, "b", Access::read);
        Tensor result = without_gil([&] { return matmul_int(left.view, right.view); });
        return as_numpy(std::move(result));
      },
      py::arg("a"), py::arg("b"));
}

}  // namespace petrain::python
