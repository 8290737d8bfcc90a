#include <pybind11/stl.h>

#include <cstring>
#include <map>
#include <stdexcept>

#include "arrays.hpp"
#include "petrain/safetensors.hpp"
#include "src/safetensors_format.hpp"

namespace petrain::python {
namespace {

std::size_t bytes_of(const ArrayRef& array) {
  return static_cast<std::size_t>(array.view.size()) * dtype_size(array.view.dtype);
}

// All targets are checked before the first is written.
void copy_bytes(const std::vector<py::object>& targets, const std::vector<py::object>& sources) {
  if (targets.size() != sources.size()) {
    throw std::invalid_argument("expected " + std::to_string(targets.size()) + " sources, got " +
                                std::to_string(sources.size()));
  }
  std::vector<ArrayRef> to, from;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const std::string what = "array " + std::to_string(i);
    to.push_back(borrow(targets[i], what, Access::write));
    from.push_back(borrow(sources[i], "source of " + what, Access::read));
    if (bytes_of(to[i]) != bytes_of(from[i])) {
      throw std::invalid_argument(what + ": expected " + std::to_string(bytes_of(to[i])) + " bytes, got " +
                                  std::to_string(bytes_of(from[i])));
    }
  }
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (bytes_of(to[i]) > 0) std::memcpy(to[i].view.data, from[i].view.data, bytes_of(to[i]));
  }
}

DType stored_dtype(const std::string& name) {
  for (const StoredDType& stored : kStoredDTypes) {
    if (name == dtype_name(stored.dtype)) return stored.dtype;
  }
  throw std::invalid_argument("dtype: expected one that files hold, got \"" + name + "\"");
}

}  // namespace

void register_safetensors(py::module_& module) {
  module.def("copy_bytes", &copy_bytes, py::arg("targets"), py::arg("sources"),
             "Overwrites arrays, whatever their dtypes, with the bytes of as many others.");
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

  module.def(
      "safetensors_size",
      [](const std::map<std::string, std::string>& metadata,
         const std::map<std::string, std::pair<std::string, Shape>>& tensors) {
        std::map<std::string, ConstTensorView> views;
        for (const auto& [name, form] : tensors) {
          views.emplace(name, ConstTensorView{nullptr, stored_dtype(form.first), form.second});
        }
        return safetensors_size(metadata, views);
      },
      py::arg("metadata"), py::arg("tensors"),
      "Bytes of the file of these metadata and tensors, each a dtype's name and a shape.");
}

}  // namespace petrain::python
