#include <pybind11/stl.h>

#include <map>

#include "arrays.hpp"
#include "petrain/safetensors.hpp"

namespace petrain::python {
namespace {

// A path as Python's own functions take it, with their errors: str, bytes or os.PathLike.
std::string path_from(const py::object& path) {
  PyObject* bytes = nullptr;
  if (PyUnicode_FSConverter(path.ptr(), &bytes) == 0) throw py::error_already_set();
  return py::reinterpret_steal<py::bytes>(bytes);
}

}  // namespace

void register_safetensors(py::module_& module) {
  module.def(
      "read_safetensors",
      [](const py::object& path) {
        const std::string name = path_from(path);
        SafetensorsFile file;
        {
          const py::gil_scoped_release release;
          file = read_safetensors(name);
        }
        py::dict tensors;
        for (auto& [key, tensor] : file.tensors) tensors[py::str(key)] = as_numpy(std::move(tensor));
        return py::make_tuple(file.metadata, tensors);
      },
      py::arg("path"), "The metadata and the tensors of a safetensors file.");

  module.def(
      "write_safetensors",
      [](const py::object& path, const std::map<std::string, std::string>& metadata,
         const std::map<std::string, py::object>& tensors) {
        const std::string file_name = path_from(path);
        std::vector<ArrayRef> arrays;  // keeps the memory that the views show
        std::map<std::string, ConstTensorView> views;
        for (const auto& [name, tensor] : tensors) {
          arrays.push_back(borrow(tensor, "tensor \"" + name + "\"", Access::read));
          views.emplace(name, arrays.back().view);
        }
        const py::gil_scoped_release release;
        write_safetensors(file_name, metadata, views);
      },
      py::arg("path"), py::arg("metadata"), py::arg("tensors"),
      "Replace or create a safetensors file, all or nothing.");
}

}  // namespace petrain::python
