#include <pybind11/stl/filesystem.h>

#include "bindings.hpp"
#include "petrain/model.hpp"

namespace petrain::python {

void register_model(py::module_& module) {
  module.def(
      "save_model",
      [](const Sequential& model, const std::filesystem::path& path) { save_model(model, path.string()); },
      py::arg("model"), py::arg("path"), py::call_guard<py::gil_scoped_release>());
  module.def(
      "load_model", [](const std::filesystem::path& path) { return load_model(path.string()); }, py::arg("path"),
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace petrain::python
