#include <pybind11/stl.h>

#include <optional>

#include "arrays.hpp"
#include "petrain/quant.hpp"
#include "petrain/quant_file.hpp"
#include "src/quant_spec.hpp"

namespace petrain::python {
namespace {

QuantSpec spec_from(int bits, const std::string& scheme, const std::string& granularity, int axis,
                    std::optional<std::int64_t> group_size) {
  return {bits, scheme_from(scheme), granularity_from(granularity), axis, group_size.value_or(0)};
}

ArrayRef borrow_or_none(const py::object& array, const std::string& what) {
  return array.is_none() ? ArrayRef{} : borrow(array, what, Access::read);
}
Tensor copy_or_none(const ArrayRef& array) { return array.view.data == nullptr ? Tensor() : copy_of(array); }

py::array integers_of(const py::object& self) {
  auto& q = self.cast<QuantTensor&>();
  if (q.spec.bits == 8) return read_only(q.values, self);
  Tensor integers = Tensor::uninitialized(DType::i8, q.shape);
  {
    const py::gil_scoped_release release;
    unpack(q, 0, integers.size(), integers.as<std::int8_t>());
  }
  return as_numpy(std::move(integers));
}

py::array dequantized(const QuantTensor& self, const std::string& dtype) {
  const DType to = float_dtype(dtype);
  Tensor result;
  {
    const py::gil_scoped_release release;
    result = dequantize(self, to);
  }
  return as_numpy(std::move(result));
}

void register_tensor(py::module_& module) {
  py::class_<QuantTensor, std::shared_ptr<QuantTensor>>(module, "QuantTensor")
      .def_static(
          "from_integers",
          [](py::handle values, py::handle scale, const py::object& zero_point, int bits, const std::string& scheme,
             const std::string& granularity, int axis, std::optional<std::int64_t> group_size) {
            const ArrayRef integers = borrow(values, "values", Access::read);
            const ArrayRef scales = borrow(scale, "scale", Access::read);
            const ArrayRef zero_points = borrow_or_none(zero_point, "zero_point");
            const QuantSpec spec = spec_from(bits, scheme, granularity, axis, group_size);
            const py::gil_scoped_release release;
            return QuantTensor::from_integers(integers.view, copy_of(scales), copy_or_none(zero_points), spec);
          },
          py::arg("values"), py::arg("scale"), py::arg("zero_point"), py::arg("bits"), py::arg("scheme"),
          py::arg("granularity"), py::arg("axis"), py::arg("group_size"))
      .def_static(
          "from_packed",
          [](py::handle packed, py::handle scale, const py::object& zero_point, Shape shape, int bits,
             const std::string& scheme, const std::string& granularity, int axis,
             std::optional<std::int64_t> group_size) {
            const ArrayRef integers = borrow(packed, "packed", Access::read);
            const ArrayRef scales = borrow(scale, "scale", Access::read);
            const ArrayRef zero_points = borrow_or_none(zero_point, "zero_point");
            const QuantSpec spec = spec_from(bits, scheme, granularity, axis, group_size);
            const py::gil_scoped_release release;
            return QuantTensor(copy_of(integers), copy_of(scales), copy_or_none(zero_points), spec, std::move(shape));
          },
          py::arg("packed"), py::arg("scale"), py::arg("zero_point"), py::arg("shape"), py::arg("bits"),
          py::arg("scheme"), py::arg("granularity"), py::arg("axis"), py::arg("group_size"))
      .def_property_readonly("values", &integers_of)
      .def_property_readonly("packed",
                             [](const py::object& self) { return read_only(self.cast<QuantTensor&>().values, self); })
      .def_property_readonly("scale",
                             [](const py::object& self) { return read_only(self.cast<QuantTensor&>().scale, self); })
      .def_property_readonly("zero_point",
                             [](const py::object& self) -> py::object {
                               auto& zero_point = self.cast<QuantTensor&>().zero_point;
                               if (zero_point.empty()) return py::none();
                               return read_only(zero_point, self);
                             })
      .def_property_readonly("shape", [](const QuantTensor& self) { return py::tuple(py::cast(self.shape)); })
      .def_property_readonly("bits", [](const QuantTensor& self) { return self.spec.bits; })
      .def_property_readonly("scheme", [](const QuantTensor& self) { return scheme_name(self.spec.scheme); })
      .def_property_readonly("granularity",
                             [](const QuantTensor& self) { return granularity_name(self.spec.granularity); })
      .def_property_readonly("axis", [](const QuantTensor& self) { return self.spec.axis; })
      .def_property_readonly("group_size",
                             [](const QuantTensor& self) -> std::optional<std::int64_t> {
                               if (self.spec.group_size == 0) return std::nullopt;
                               return self.spec.group_size;
                             })
      .def_property_readonly("nbytes", &QuantTensor::nbytes)
      .def("clone", &QuantTensor::clone, py::call_guard<py::gil_scoped_release>())
      .def("dequantize", &dequantized, py::arg("dtype"));
}

void register_files(py::module_& module) {
  module.def(
      "save_quant",
      [](const py::object& path, const std::map<std::string, const QuantTensor*>& arrays) {
        const std::string file_name = path_from(path);
        const py::gil_scoped_release release;
        save_quant(file_name, arrays);
      },
      py::arg("path"), py::arg("arrays"));
  module.def(
      "load_quant",
      [](const py::object& path) {
        const std::string file_name = path_from(path);
        std::map<std::string, QuantTensor> arrays;
        {
          const py::gil_scoped_release release;
          arrays = load_quant(file_name);
        }
        py::dict result;
        for (auto& [name, array] : arrays) result[py::str(name)] = py::cast(std::move(array));
        return result;
      },
      py::arg("path"));
}

}  // namespace

void register_quant(py::module_& module) {
  register_tensor(module);
  register_files(module);

  module.def(
      "range_params",
      [](double low, double high, int bits, const std::string& scheme) {
        const QuantParams params = range_params(low, high, bits, scheme_from(scheme));
        return py::make_tuple(static_cast<double>(params.scale), params.zero_point);
      },
      py::arg("low"), py::arg("high"), py::arg("bits"), py::arg("scheme"));

  module.def(
      "quantize",
      [](py::handle w, int bits, const std::string& scheme, const std::string& granularity, int axis,
         std::optional<std::int64_t> group_size) {
        const ArrayRef array = borrow(w, "w", Access::read);
        const QuantSpec spec = spec_from(bits, scheme, granularity, axis, group_size);
        const py::gil_scoped_release release;
        return quantize(array.view, spec);
      },
      py::arg("w"), py::arg("bits"), py::arg("scheme"), py::arg("granularity"), py::arg("axis"), py::arg("group_size"));
}

}  // namespace petrain::python
