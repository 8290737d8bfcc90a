#include <pybind11/stl.h>

#include "arrays.hpp"
#include "petrain/prune.hpp"

namespace petrain::python {
namespace {

// The weight, its mask, the errors before and after, and how many rows were only masked.
py::tuple as_tuple(Pruned pruned) {
  return py::make_tuple(as_numpy(std::move(pruned.w)), as_numpy(std::move(pruned.mask)), pruned.before, pruned.after,
                        pruned.kept);
}

}  // namespace

void register_prune(py::module_& module) {
  module.def(
      "keep_greatest",
      [](py::handle scores, std::int64_t pool, std::int64_t keep) {
        const ArrayRef array = borrow(scores, "scores", Access::read);
        return as_numpy(without_gil([&] { return keep_greatest(array.view, pool, keep); }));
      },
      py::arg("scores"), py::arg("pool"), py::arg("keep"));
  module.def(
      "block_means",
      [](py::handle scores, std::int64_t rows, std::int64_t columns) {
        const ArrayRef array = borrow(scores, "scores", Access::read);
        return as_numpy(without_gil([&] { return block_means(array.view, rows, columns); }));
      },
      py::arg("scores"), py::arg("rows"), py::arg("columns"));
  module.def(
      "apply_masks",
      [](const py::sequence& arrays, const py::sequence& masks) {
        const std::vector<ArrayRef> to = borrow_all(arrays, "array", Access::write);
        const std::vector<ArrayRef> from = borrow_all(masks, "mask", Access::read);
        std::vector<TensorView> views;
        for (const ArrayRef& array : to) views.push_back(array.view);
        const py::gil_scoped_release release;
        apply_masks(views, views_of(from));
      },
      py::arg("arrays"), py::arg("masks"));
  py::class_<ColumnSquares>(module, "ColumnSquares")
      .def(py::init<std::int64_t>(), py::arg("columns"))
      .def(
          "observe",
          [](ColumnSquares& self, py::handle x) {
            const ArrayRef array = borrow(x, "x", Access::read);
            without_gil([&] { self.observe(array.view); });
          },
          py::arg("x"))
      .def_property_readonly("count", &ColumnSquares::count)
      .def("sums", [](const ColumnSquares& self) { return as_numpy(self.sums().clone()); });
  module.def(
      "sparse_gpt",
      [](py::handle w, const HessianObserver& hessian, std::int64_t pool, std::int64_t keep, double damping) {
        const ArrayRef array = borrow(w, "w", Access::read);
        return as_tuple(without_gil([&] { return sparse_gpt(array.view, hessian, {pool, keep, damping}); }));
      },
      py::arg("w"), py::arg("hessian"), py::arg("pool"), py::arg("keep"), py::arg("damping"));
  module.def(
      "compensate",
      [](py::handle w, const HessianObserver& hessian, py::handle mask, double damping) {
        const ArrayRef array = borrow(w, "w", Access::read), keep = borrow(mask, "mask", Access::read);
        return as_tuple(without_gil([&] { return compensate(array.view, hessian, keep.view, damping); }));
      },
      py::arg("w"), py::arg("hessian"), py::arg("mask"), py::arg("damping"));
}

}  // namespace petrain::python
