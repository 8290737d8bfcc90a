#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "arrays.hpp"
#include "petrain/rounding.hpp"
#include "src/quant_spec.hpp"

namespace petrain::python {
namespace {

// The quantized weight, the errors before and after, and how many channels were kept.
py::tuple as_tuple(Rounded rounded) {
  return py::make_tuple(std::move(rounded.q), rounded.before, rounded.after, rounded.kept);
}

py::tuple state_of(const HessianObserver& self) {
  HessianObserver::State state = without_gil([&] { return self.state(); });
  return py::make_tuple(as_numpy(std::move(state.hessian)), as_numpy(std::move(state.sum)),
                        as_numpy(std::move(state.pending)), state.count);
}

void register_observer(py::module_& module) {
  py::class_<HessianObserver>(module, "HessianObserver")
      .def(py::init<std::int64_t>(), py::arg("in_features"))
      .def_static(
          "from_state",
          [](py::handle hessian, py::handle sum, py::handle pending, std::int64_t count) {
            const ArrayRef squares = borrow(hessian, "hessian", Access::read), sums = borrow(sum, "sum", Access::read);
            const ArrayRef rows = borrow(pending, "pending", Access::read);
            const py::gil_scoped_release release;
            return HessianObserver({copy_of(squares), copy_of(sums), copy_of(rows), count});
          },
          py::arg("hessian"), py::arg("sum"), py::arg("pending"), py::arg("count"))
      .def(
          "observe",
          [](HessianObserver& self, py::handle x) {
            const ArrayRef array = borrow(x, "x", Access::read);
            without_gil([&] { self.observe(array.view); });
          },
          py::arg("x"))
      .def(
          "merge", [](HessianObserver& self, const HessianObserver& other) { without_gil([&] { self.merge(other); }); },
          py::arg("other"))
      .def_property_readonly("in_features", &HessianObserver::in_features)
      .def_property_readonly("count", &HessianObserver::count)
      .def("hessian", [](const HessianObserver& self) { return as_numpy(without_gil([&] { return self.hessian(); })); })
      .def("mean", [](const HessianObserver& self) { return as_numpy(self.mean()); })
      .def("state", &state_of);
}

}  // namespace

void register_rounding(py::module_& module) {
  register_observer(module);

  module.def(
      "gptq",
      [](py::handle w, const HessianObserver& hessian, int bits, const std::string& scheme,
         const std::string& granularity, std::optional<std::int64_t> group_size, double damping, bool act_order) {
        const ArrayRef array = borrow(w, "w", Access::read);
        const QuantSpec spec{bits, scheme_from(scheme), granularity_from(granularity), 0, group_size.value_or(0)};
        return as_tuple(without_gil([&] { return gptq(array.view, hessian, spec, {damping, act_order}); }));
      },
      py::arg("w"), py::arg("hessian"), py::arg("bits"), py::arg("scheme"), py::arg("granularity"),
      py::arg("group_size"), py::arg("damping"), py::arg("act_order"));

  module.def(
      "round_coordinate_descent",
      [](py::handle w, const QuantTensor& q, const HessianObserver& hessian, int passes, double damping) {
        const ArrayRef array = borrow(w, "w", Access::read);
        return as_tuple(
            without_gil([&] { return round_coordinate_descent(array.view, q, hessian, {passes, damping}); }));
      },
      py::arg("w"), py::arg("q"), py::arg("hessian"), py::arg("passes"), py::arg("damping"));

  module.def(
      "output_square",
      [](py::handle w, const HessianObserver& hessian) {
        const ArrayRef array = borrow(w, "w", Access::read);
        return without_gil([&] { return output_square(array.view, hessian); });
      },
      py::arg("w"), py::arg("hessian"));

  module.def(
      "mean_output",
      [](py::handle w, const HessianObserver& hessian) {
        const ArrayRef array = borrow(w, "w", Access::read);
        return as_numpy(without_gil([&] { return mean_output(array.view, hessian); }));
      },
      py::arg("w"), py::arg("hessian"));
}

}  // namespace petrain::python
