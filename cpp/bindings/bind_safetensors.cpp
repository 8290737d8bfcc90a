#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>
#include <map>

#include "arrays.hpp"
#include "petrain/safetensors.hpp"

namespace petrain::python {

using Path = std::filesystem::path;

void register_safetensors(py::module_& module) {
  module.def(
      "read_safetensors",
      [](const Path& path) {
        SafetensorsFile file;
        {
          const py::gil_scoped_release release;
          file = read_safetensors(path.string());
        }
        py::dict tensors;
        for (auto& [name, tensor] : file.tensors) tensors[py::str(name)] = as_numpy(std::move(tensor));
        return py::make_tuple(file.metadata, tensors);
      },
      py::arg("path"), "The metadata and the tensors of a safetensors file.");

  module.def(
      "write_safetensors",
      [](const Path& path, const std::map<std::string, std::string>& metadata,
         const std::map<std::string, py::object>& tensors) {
        std::vector<ArrayRef> arrays;  // keeps the memory that the views show
        std::map<std::string, ConstTensorView> views;
        for (const auto& [name, tensor] : tensors) {
          arrays.push_back(borrow(tensor, "tensor \"" + name + "\"", Access::read));
          views.emplace(name, arrays.back().view);
        }
        const py::gil_scoped_release release;
        write_safetensors(path.string(), metadata, views);
      },
      py::arg("path"), py::arg("metadata"), py::arg("tensors"),
      "Replace or create a safetensors file, all or nothing.");
}

}  // namespace petrain::python
