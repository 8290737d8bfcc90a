#include <pybind11/stl.h>
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
  module.def("model_graph", &model_graph, py::arg("model"), "The graph as the header of the file has it, JSON.");
  module.def("weights_graph", &weights_graph, py::arg("weights"), "The same of weights by name.");
  module.def(
      "save_weights",
      [](const std::map<std::string, std::shared_ptr<Weight>>& weights, const std::filesystem::path& path) {
        save_weights(weights, path.string());
      },
      py::arg("weights"), py::arg("path"), py::call_guard<py::gil_scoped_release>());
  module.def(
      "load_weights", [](const std::filesystem::path& path) { return load_weights(path.string()); }, py::arg("path"),
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace petrain::python
