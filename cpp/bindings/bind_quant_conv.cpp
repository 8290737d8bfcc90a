#include "layer_options.hpp"
#include "petrain/quant_conv.hpp"

namespace petrain::python {
namespace {

using Pair = std::array<std::int64_t, 2>;

py::array forward(const QuantConv& self, py::handle x, const Pair& stride, const Pair& padding, const Pair& dilation,
                  const py::object& bias, const std::optional<std::string>& activation,
                  const std::optional<std::pair<float, float>>& clip, const Params& input, const Params& output) {
  const ArrayRef array = borrow(x, "x", Access::read);
  const LayerOptions options(bias, activation, clip, input, output);
  const ConvWindow window{stride, padding, dilation};
  Tensor y = options.result(self.output_shape(array.view.shape, window));
  {
    const py::gil_scoped_release release;
    self.forward(array.view, y.view(), window, options.values);
  }
  return as_numpy(std::move(y));
}

}  // namespace

void register_quant_conv(py::module_& module) {
  py::class_<QuantConv>(module, "QuantConv")
      .def(py::init([](const std::shared_ptr<QuantTensor>& weight, std::int64_t groups) {
             return QuantConv(weight, groups);
           }),
           py::arg("weight").none(false), py::arg("groups"))
      .def("forward", &forward, py::arg("x"), py::arg("stride"), py::arg("padding"), py::arg("dilation"),
           py::arg("bias"), py::arg("activation"), py::arg("clip"), py::arg("x_params"), py::arg("y_params"));
}

}  // namespace petrain::python
