#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <string>

#include "arrays.hpp"
#include "petrain/sparse.hpp"

namespace petrain::python {
namespace {

ArrayRef borrow_or_none(const py::object& array, const std::string& what, Access access = Access::read) {
  return array.is_none() ? ArrayRef{} : borrow(array, what, access);
}

Tensor copy_or_none(const py::object& array, const std::string& what) {
  return array.is_none() ? Tensor() : copy_of(borrow(array, what, Access::read));
}

Shape with_last(Shape shape, std::int64_t features) {
  if (!shape.empty()) shape.back() = features;
  return shape;
}

// In place; only float32 values may be changed.
py::object part(Tensor& tensor, const py::object& owner, bool writeable) {
  if (tensor.shape().empty()) return py::none();
  py::array array = as_numpy(tensor.view(), owner);
  if (!writeable) array.attr("setflags")(py::arg("write") = false);
  return array;
}

SparsePattern pattern_from(std::int64_t group, std::int64_t n, std::int64_t m, std::int64_t columns) {
  return {group, n, m, columns};
}

py::array forward(const SparseLinear& self, py::handle x, const py::object& bias) {
  const ArrayRef array = borrow(x, "x", Access::read), biases = borrow_or_none(bias, "bias");
  Tensor y = Tensor::uninitialized(DType::f32, with_last(array.view.shape, self.out_features()));
  {
    const py::gil_scoped_release release;
    self.forward(array.view, y.view(), biases.view);
  }
  return as_numpy(std::move(y));
}

py::tuple backward(const SparseLinear& self, py::handle gradient, py::handle x, bool need_x) {
  const ArrayRef outer = borrow(gradient, "gradient", Access::read), input = borrow(x, "x", Access::read);
  Tensor dx;
  if (need_x) dx = Tensor::uninitialized(DType::f32, input.view.shape);
  SparseLinear::Gradients gradients;
  {
    const py::gil_scoped_release release;
    gradients = self.backward(outer.view, input.view, need_x ? dx.view() : TensorView{});
  }
  return py::make_tuple(need_x ? py::object(as_numpy(std::move(dx))) : py::none(),
                        as_numpy(std::move(gradients.values)), as_numpy(std::move(gradients.bias)));
}

}  // namespace

void register_sparse(py::module_& module) {
  py::class_<SparseTensor, std::shared_ptr<SparseTensor>>(module, "SparseTensor")
      .def_static(
          "from_parts",
          [](py::handle values, const py::object& scale, const py::object& positions, const py::object& columns,
             const py::object& starts, const Shape& shape, std::int64_t group, std::int64_t n, std::int64_t m,
             std::int64_t inputs) {
            SparseTensor w;
            w.values = copy_of(borrow(values, "values", Access::read));
            w.scale = copy_or_none(scale, "scale");
            w.positions = copy_or_none(positions, "positions");
            w.columns = copy_or_none(columns, "columns");
            w.starts = copy_or_none(starts, "starts");
            w.shape = shape;
            w.pattern = {group, n, m, inputs};
            without_gil([&] { w.validate(); });
            return w;
          },
          py::arg("values"), py::arg("scale"), py::arg("positions"), py::arg("columns"), py::arg("starts"),
          py::arg("shape"), py::arg("group"), py::arg("n"), py::arg("m"), py::arg("inputs"))
      .def_property_readonly("values",
                             [](const py::object& self) {
                               auto& w = self.cast<SparseTensor&>();
                               return part(w.values, self, w.values.dtype() == DType::f32);
                             })
      .def_property_readonly("scale",
                             [](const py::object& self) { return part(self.cast<SparseTensor&>().scale, self, false); })
      .def_property_readonly(
          "positions", [](const py::object& self) { return part(self.cast<SparseTensor&>().positions, self, false); })
      .def_property_readonly(
          "columns", [](const py::object& self) { return part(self.cast<SparseTensor&>().columns, self, false); })
      .def_property_readonly(
          "starts", [](const py::object& self) { return part(self.cast<SparseTensor&>().starts, self, false); })
      .def_property_readonly("shape", [](const SparseTensor& self) { return py::tuple(py::cast(self.shape)); })
      .def_property_readonly("pattern",
                             [](const SparseTensor& self) {
                               const SparsePattern& p = self.pattern;
                               return py::make_tuple(p.group, p.n, p.m, p.columns);
                             })
      .def_property_readonly("nbytes", &SparseTensor::nbytes)
      .def("clone", &SparseTensor::clone, py::call_guard<py::gil_scoped_release>())
      .def("dense", [](const SparseTensor& self) { return as_numpy(without_gil([&] { return dense(self); })); });

  module.def(
      "sparse_compress",
      [](py::handle w, py::handle mask, std::int64_t group, std::int64_t n, std::int64_t m, std::int64_t columns,
         int bits) {
        const ArrayRef array = borrow(w, "w", Access::read), keep = borrow(mask, "mask", Access::read);
        return without_gil([&] { return compress(array.view, keep.view, pattern_from(group, n, m, columns), bits); });
      },
      py::arg("w"), py::arg("mask"), py::arg("group"), py::arg("n"), py::arg("m"), py::arg("columns"), py::arg("bits"));
  module.def(
      "sparse_nbytes",
      [](const Shape& shape, std::int64_t group, std::int64_t n, std::int64_t m, std::int64_t columns, int bits,
         std::int64_t blocks) { return sparse_nbytes(shape, pattern_from(group, n, m, columns), bits, blocks); },
      py::arg("shape"), py::arg("group"), py::arg("n"), py::arg("m"), py::arg("columns"), py::arg("bits"),
      py::arg("blocks"));

  module.def(
      "save_sparse",
      [](const py::object& path, const std::map<std::string, const SparseTensor*>& weights) {
        const std::string file_name = path_from(path);
        const py::gil_scoped_release release;
        save_sparse(file_name, weights);
      },
      py::arg("path"), py::arg("weights"));
  module.def(
      "load_sparse",
      [](const py::object& path) {
        const std::string file_name = path_from(path);
        std::map<std::string, SparseTensor> weights = without_gil([&] { return load_sparse(file_name); });
        py::dict result;
        for (auto& [name, weight] : weights) {
          result[py::str(name)] = py::cast(std::make_shared<SparseTensor>(std::move(weight)));
        }
        return result;
      },
      py::arg("path"));

  py::class_<SparseLinear>(module, "SparseLinear")
      .def(py::init([](const std::shared_ptr<SparseTensor>& weight) { return SparseLinear(weight); }),
           py::arg("weight").none(false))
      .def("forward", &forward, py::arg("x"), py::arg("bias"))
      .def("backward", &backward, py::arg("gradient"), py::arg("x"), py::arg("need_x"),
           "The gradients of x, of the values and of a bias.");
}

}  // namespace petrain::python
