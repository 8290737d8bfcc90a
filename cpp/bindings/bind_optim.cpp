#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <optional>
#include <tuple>

#include "arrays.hpp"
#include "petrain/optim.hpp"

namespace petrain::python {
namespace {

// The optimizer and the arrays that it updates.
struct PyOptimizer {
  std::vector<ArrayRef> params;
  std::unique_ptr<Optimizer> core;
};

using GroupTuple = std::tuple<std::string, std::map<std::string, double>, py::list>;

std::unique_ptr<PyOptimizer> make_optimizer(const std::vector<GroupTuple>& groups) {
  auto optimizer = std::make_unique<PyOptimizer>();
  std::vector<ParamGroup> core_groups;
  for (const auto& [rule, hypers, arrays] : groups) {
    ParamGroup group{rule, hypers, {}};
    for (const py::handle array : arrays) {
      const std::string what = "parameter " + std::to_string(optimizer->params.size());
      optimizer->params.push_back(borrow(array, what, Access::write));
      group.params.push_back(optimizer->params.back().view);
    }
    core_groups.push_back(std::move(group));
  }
  optimizer->core = std::make_unique<Optimizer>(std::move(core_groups));
  return optimizer;
}

StepOptions options_from(std::optional<double> max_norm) {
  StepOptions options;
  if (max_norm) options.max_norm = *max_norm;
  return options;
}

}  // namespace

void register_optim(py::module_& module) {
  module.def(
      "rules",
      [] {
        py::dict result;
        for (const RuleInfo& rule : rules()) {
          py::dict entry;
          entry["hypers"] = rule.hypers;
          entry["states"] = rule.states;
          result[py::str(rule.name)] = entry;
        }
        return result;
      },
      "Every update rule of this build: its hyperparameters with their defaults, and its state tensors.");

  py::class_<StepInfo>(module, "StepInfo", "What a step found and did.")
      .def_readonly("grad_norm", &StepInfo::grad_norm, "Global L2 norm of the gradients before clipping.")
      .def_readonly("skipped", &StepInfo::skipped, "True where a gradient was not finite: nothing was changed.")
      .def("__repr__", [](const StepInfo& info) {
        return "StepInfo(grad_norm=" + std::string(py::repr(py::float_(info.grad_norm))) +
               ", skipped=" + (info.skipped ? "True" : "False") + ")";
      });

  py::class_<GradAccumulator>(module, "GradAccumulator")
      .def(py::init<std::vector<Shape>>(), py::arg("shapes"))
      .def(
          "add",
          [](GradAccumulator& self, const py::sequence& grads, double weight) {
            const auto arrays = borrow_all(grads, "gradient", Access::read);
            const auto views = views_of(arrays);
            const py::gil_scoped_release release;
            return self.add(views, weight);
          },
          py::arg("grads"), py::arg("weight"))
      .def("reset", &GradAccumulator::reset)
      .def("mean",
           [](const GradAccumulator& self) {
             py::list result;
             for (Tensor& tensor : self.mean()) result.append(as_numpy(std::move(tensor)));
             return result;
           })
      .def_property_readonly("count", &GradAccumulator::count)
      .def_property_readonly("weight", &GradAccumulator::weight);

  py::class_<PyOptimizer>(module, "Optimizer")
      .def(py::init(&make_optimizer), py::arg("groups"))
      .def(
          "step",
          [](PyOptimizer& self, const py::sequence& grads, std::optional<double> max_norm) {
            const auto arrays = borrow_all(grads, "gradient", Access::read);
            const auto views = views_of(arrays);
            const py::gil_scoped_release release;
            return self.core->step(views, options_from(max_norm));
          },
          py::arg("grads"), py::arg("max_norm"))
      .def(
          "step_accumulated",
          [](PyOptimizer& self, GradAccumulator& accumulated, std::optional<double> max_norm) {
            const py::gil_scoped_release release;
            return self.core->step(accumulated, options_from(max_norm));
          },
          py::arg("accumulated"), py::arg("max_norm"))
      .def(
          "hyper",
          [](const PyOptimizer& self, std::size_t group, const std::string& name) {
            return self.core->hyper(group, name);
          },
          py::arg("group"), py::arg("name"))
      .def(
          "set_hyper",
          [](PyOptimizer& self, std::size_t group, const std::string& name, double value) {
            self.core->set_hyper(group, name, value);
          },
          py::arg("group"), py::arg("name"), py::arg("value"))
      .def("shapes",
           [](const PyOptimizer& self) {
             std::vector<Shape> shapes;
             shapes.reserve(self.core->param_count());
             for (std::size_t i = 0; i < self.core->param_count(); ++i) shapes.push_back(self.core->shape(i));
             return shapes;
           })
      .def(
          "steps", [](const PyOptimizer& self, std::size_t param) { return self.core->steps(param); }, py::arg("param"))
      .def(
          "set_steps",
          [](PyOptimizer& self, std::size_t param, std::int64_t steps) { self.core->set_steps(param, steps); },
          py::arg("param"), py::arg("steps"))
      .def(
          "state",
          [](const py::object& self, std::size_t param) {
            Optimizer& core = *self.cast<PyOptimizer&>().core;
            const auto& names = core.rule(core.group_of(param)).states;
            py::dict result;
            for (std::size_t i = 0; i < names.size(); ++i)
              result[py::str(names[i])] = as_numpy(core.state(param, i), self);
            return result;
          },
          py::arg("param"), "The state arrays of one parameter, by name, without a copy.");
}

}  // namespace petrain::python
