#include <pybind11/stl.h>

#include <optional>

#include "arrays.hpp"
#include "petrain/qat.hpp"
#include "py_optimizer.hpp"
#include "src/quant_spec.hpp"

namespace petrain::python {
namespace {

// (bits, scheme, granularity, axis, group_size or None)
using SpecTuple = std::tuple<int, std::string, std::string, int, std::optional<std::int64_t>>;

QuantSpec spec_from(const SpecTuple& given) {
  const auto& [bits, scheme, granularity, axis, group_size] = given;
  return {bits, scheme_from(scheme), granularity_from(granularity), axis, group_size.value_or(0)};
}

ArrayRef borrow_zero_point(const py::object& zero_point) {
  return zero_point.is_none() ? ArrayRef{} : borrow(zero_point, "zero_point", Access::read);
}

void forward_into(py::handle x, py::handle scale, const py::object& zero_point, const SpecTuple& spec, py::handle out) {
  const ArrayRef from = borrow(x, "x", Access::read), scales = borrow(scale, "scale", Access::read);
  const ArrayRef zeros = borrow_zero_point(zero_point), to = borrow(out, "out", Access::write);
  const py::gil_scoped_release release;
  fake_quantize(from.view, scales.view, zeros.view, spec_from(spec), to.view);
}

void backward_into(py::handle x, py::handle scale, const py::object& zero_point, const SpecTuple& spec,
                   py::handle gradient, py::handle x_gradient, py::handle scale_gradient, double factor) {
  const ArrayRef from = borrow(x, "x", Access::read), scales = borrow(scale, "scale", Access::read);
  const ArrayRef zeros = borrow_zero_point(zero_point), given = borrow(gradient, "gradient", Access::read);
  const ArrayRef of_x = borrow(x_gradient, "x_gradient", Access::write);
  const ArrayRef of_scale = borrow(scale_gradient, "scale_gradient", Access::write);
  const py::gil_scoped_release release;
  fake_quantize_backward(from.view, scales.view, zeros.view, spec_from(spec), given.view, of_x.view, of_scale.view,
                         factor);
}

}  // namespace

void attach_fake_quantize(PyOptimizer& self, std::size_t param, py::handle scale, py::handle scale_gradient,
                          const SpecTuple& spec, py::handle out) {
  const std::vector<ArrayRef> arrays = {borrow(scale, "scale", Access::write),
                                        borrow(scale_gradient, "scale_gradient", Access::write),
                                        borrow(out, "out", Access::write)};
  {
    const py::gil_scoped_release release;
    self.core->attach_fake_quantize(param, {spec_from(spec), arrays[0].view, arrays[1].view, arrays[2].view});
  }
  self.copies[param] = arrays;
}

void detach_fake_quantize(PyOptimizer& self, std::size_t param) {
  self.core->detach_fake_quantize(param);
  self.copies.erase(param);
}

void register_qat(py::module_& module) {
  module.def("fake_quantize", &forward_into, py::arg("x"), py::arg("scale"), py::arg("zero_point"), py::arg("spec"),
             py::arg("out"));
  module.def("fake_quantize_backward", &backward_into, py::arg("x"), py::arg("scale"), py::arg("zero_point"),
             py::arg("spec"), py::arg("gradient"), py::arg("x_gradient"), py::arg("scale_gradient"), py::arg("factor"));
  module.def(
      "lsq_scale",
      [](py::handle x, const SpecTuple& spec) {
        const ArrayRef array = borrow(x, "x", Access::read);
        Tensor scale;
        {
          const py::gil_scoped_release release;
          scale = lsq_scale(array.view, spec_from(spec));
        }
        return as_numpy(std::move(scale));
      },
      py::arg("x"), py::arg("spec"));
  module.def(
      "lsq_factor", [](const Shape& shape, const SpecTuple& spec) { return lsq_factor(spec_from(spec), shape); },
      py::arg("shape"), py::arg("spec"));
  module.def(
      "bound_scales",
      [](py::handle scale, const SpecTuple& spec) {
        bound_scales(borrow(scale, "scale", Access::write).view, spec_from(spec));
      },
      py::arg("scale"), py::arg("spec"));
  module.def("attach_fake_quantize", &attach_fake_quantize, py::arg("optimizer"), py::arg("param"), py::arg("scale"),
             py::arg("scale_gradient"), py::arg("spec"), py::arg("out"));
  module.def("detach_fake_quantize", &detach_fake_quantize, py::arg("optimizer"), py::arg("param"));
}

}  // namespace petrain::python
