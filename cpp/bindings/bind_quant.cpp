#include "arrays.hpp"
#include "petrain/quant.hpp"
#include "src/quant_spec.hpp"

namespace petrain::python {
namespace {

QuantTensor from_parts(py::handle values, py::handle scale, int axis, const py::object& zero_point) {
  Tensor zeros;
  if (!zero_point.is_none()) zeros = copy_of(borrow(zero_point, "zero_point", Access::read));
  return {copy_of(borrow(values, "values", Access::read)), copy_of(borrow(scale, "scale", Access::read)), axis,
          std::move(zeros)};
}

// Without a copy and read-only: what is derived from the parts must not fall behind them.
template <Tensor QuantTensor::* part>
py::array part_of(const py::object& self) {
  py::array array = as_numpy((self.cast<QuantTensor&>().*part).view(), self);
  array.attr("setflags")(py::arg("write") = false);
  return array;
}

py::array linear_new(py::handle x, const QuantTensor& w, const py::object& bias) {
  ArrayRef input = borrow(x, "x", Access::read), biases;
  if (!bias.is_none()) biases = borrow(bias, "bias", Access::read);
  const Shape& shape = input.view.shape;
  const std::int64_t outputs = w.shape().empty() ? 0 : w.shape()[0];
  Tensor y(DType::f32, shape.size() == 1 ? Shape{outputs} : Shape{shape.empty() ? 0 : shape[0], outputs});
  {
    const py::gil_scoped_release release;
    linear(input.view, w, biases.view, y.view());
  }
  return as_numpy(std::move(y));
}

}  // namespace

void register_quant(py::module_& module) {
  py::class_<QuantTensor>(module, "QuantTensor")
      .def(py::init(&from_parts), py::arg("values"), py::arg("scale"), py::arg("axis"), py::arg("zero_point"))
      .def_property_readonly("values", &part_of<&QuantTensor::values>)
      .def_property_readonly("scale", &part_of<&QuantTensor::scale>)
      .def_property_readonly("zero_point", &part_of<&QuantTensor::zero_point>)
      .def_readonly("axis", &QuantTensor::axis)
      .def_property_readonly("nbytes", &QuantTensor::nbytes)
      .def("dequantize", [](const QuantTensor& self) {
        Tensor result;
        {
          const py::gil_scoped_release release;
          result = dequantize(self);
        }
        return as_numpy(std::move(result));
      });

  module.def(
      "range_params",
      [](double low, double high, int bits, const std::string& scheme) {
        const QuantParams params = range_params(low, high, bits, scheme_from(scheme));
        return py::make_tuple(static_cast<double>(params.scale), params.zero_point);
      },
      py::arg("low"), py::arg("high"), py::arg("bits"), py::arg("scheme"));

  module.def(
      "quantize",
      [](py::handle w, int axis) {
        const ArrayRef array = borrow(w, "w", Access::read);
        const py::gil_scoped_release release;
        return quantize(array.view, axis);
      },
      py::arg("w"), py::arg("axis"));

  module.def("linear_int8", &linear_new, py::arg("x"), py::arg("w"), py::arg("bias"));

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
