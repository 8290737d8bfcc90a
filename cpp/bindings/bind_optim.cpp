#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <optional>
#include <tuple>

#include "py_optimizer.hpp"
#include "step_options.hpp"

namespace petrain::python {
namespace {

// (rule, hyperparameters, arrays, state_dtype or None, rounding); the last two may be left out.
using GroupTuple = py::tuple;

template <class Value>
Value named(const std::string& what, const std::string& name,
            std::initializer_list<std::pair<const char*, Value>> known) {
  std::string names;
  for (const auto& [own, value] : known) {
    if (name == own) return value;
    names += (names.empty() ? "" : ", ") + std::string(own);
  }
  throw std::invalid_argument(what + ": expected one of " + names + ", got \"" + name + "\"");
}

DType low_dtype(const std::string& what, const std::string& name) {
  return named<DType>(what, name, {{"float32", DType::f32}, {"bfloat16", DType::bf16}, {"int8", DType::i8}});
}

ParamGroup group_from(const py::tuple& given, PyOptimizer& optimizer) {
  ParamGroup group{given[0].cast<std::string>(), given[1].cast<std::map<std::string, double>>()};
  if (given.size() > 3 && !given[3].is_none()) {
    group.state_dtype = low_dtype("state_dtype", given[3].cast<std::string>());
  }
  if (given.size() > 4) {
    group.rounding = named<Rounding>("rounding", given[4].cast<std::string>(),
                                     {{"nearest", Rounding::nearest},
                                      {"stochastic", Rounding::stochastic},
                                      {"kahan", Rounding::kahan},
                                      {"master", Rounding::master}});
  }
  for (const py::handle array : given[2].cast<py::list>()) {
    const std::string what = "parameter " + std::to_string(optimizer.params.size());
    optimizer.params.push_back(borrow(array, what, Access::write));
    group.params.push_back(optimizer.params.back().view);
  }
  return group;
}

std::unique_ptr<PyOptimizer> make_optimizer(const std::vector<GroupTuple>& groups, std::uint64_t seed) {
  auto optimizer = std::make_unique<PyOptimizer>();
  std::vector<ParamGroup> core_groups;
  core_groups.reserve(groups.size());
  for (const py::tuple& group : groups) core_groups.push_back(group_from(group, *optimizer));
  optimizer->core = std::make_unique<Optimizer>(std::move(core_groups), seed);
  return optimizer;
}

void add_group(PyOptimizer& self, const py::tuple& given) {
  const std::size_t before = self.params.size();
  try {
    self.core->add_group(group_from(given, self));
  } catch (...) {
    self.params.resize(before);
    throw;
  }
}

// Gradients are arrays or, by rows, pairs of int64 indices and an array. `rows` stays empty where there is no pair.
std::vector<ArrayRef> borrow_gradients(const py::sequence& grads, Access access, std::vector<ArrayRef>& indices,
                                       std::vector<Rows>& rows) {
  bool by_rows = false;
  for (const py::handle grad : grads) by_rows = by_rows || py::isinstance<py::tuple>(grad);
  if (!by_rows) return borrow_all(grads, "gradient", access);
  std::vector<ArrayRef> arrays;
  for (const py::handle grad : grads) {
    const std::string what = "gradient " + std::to_string(arrays.size());
    if (!py::isinstance<py::tuple>(grad)) {
      rows.emplace_back();
      arrays.push_back(grad.is_none() ? ArrayRef{} : borrow(grad, what, access));
      continue;
    }
    const auto pair = py::reinterpret_borrow<py::tuple>(grad);
    if (pair.size() != 2)
      throw std::invalid_argument(what + ": expected (indices, rows), got a tuple of " + std::to_string(pair.size()));
    indices.push_back(borrow(pair[0], what + ": indices", Access::read));
    const TensorView& view = indices.back().view;
    if (view.dtype != DType::i64 || view.shape.size() != 1) {
      throw std::invalid_argument(what + ": indices: expected int64 of shape (n,), got " + dtype_name(view.dtype) +
                                  " of shape " + shape_text(view.shape));
    }
    static const std::int64_t none = 0;  // no rows at all are still rows
    const std::int64_t* data = view.size() > 0 ? view.as<std::int64_t>() : &none;
    rows.emplace_back(data, static_cast<std::size_t>(view.size()));
    arrays.push_back(borrow(pair[1], what, access));
  }
  return arrays;
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
          entry["memory"] = rule.memory;
          entry["matrix"] = rule.matrix;
          entry["fixed"] = rule.fixed;
          entry["choices"] = rule.choices;
          result[py::str(rule.name)] = entry;
        }
        return result;
      },
      "Every update rule of this build: its hyperparameters with their defaults, and its state tensors.");
  module.def(
      "check_hypers", &check_hypers, py::arg("rule"), py::arg("hypers"),
      "ValueError where the rule has no such hyperparameter, or a value is out of the range that set_hyper takes.");
  module.def("check_shape", &check_shape, py::arg("rule"), py::arg("hypers"), py::arg("shape"),
             "ValueError where the rule has no use for a parameter of this shape.");

  py::class_<StepInfo>(module, "StepInfo", "What a step found and did.")
      .def(py::init([](double grad_norm, bool skipped) { return StepInfo{grad_norm, skipped}; }),
           py::arg("grad_norm") = 0.0, py::arg("skipped") = false)
      .def_readonly("grad_norm", &StepInfo::grad_norm, "Global L2 norm of the gradients before clipping.")
      .def_readonly("skipped", &StepInfo::skipped, "True where a gradient was not finite: nothing was changed.")
      .def("__repr__", [](const StepInfo& info) {
        return "StepInfo(grad_norm=" + std::string(py::repr(py::float_(info.grad_norm))) +
               ", skipped=" + (info.skipped ? "True" : "False") + ")";
      });

  py::class_<GradAccumulator>(module, "GradAccumulator")
      .def(py::init([](std::vector<Shape> shapes, const std::string& dtype) {
             return std::make_unique<GradAccumulator>(std::move(shapes), low_dtype("dtype", dtype));
           }),
           py::arg("shapes"), py::arg("dtype") = "float32")
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
      .def_property_readonly("nbytes", &GradAccumulator::nbytes)
      .def_property_readonly("count", &GradAccumulator::count)
      .def_property_readonly("weight", &GradAccumulator::weight);

  py::class_<PyOptimizer>(module, "Optimizer")
      .def(py::init(&make_optimizer), py::arg("groups"), py::arg("seed") = 0)
      .def("add_group", &add_group, py::arg("group"))
      .def(
          "step",
          [](PyOptimizer& self, const py::sequence& grads, std::optional<double> max_norm, double grad_scale,
             std::optional<double> max_value, bool zero_grads, bool check_finite, bool allow_missing) {
            auto options = options_from(max_norm, grad_scale, max_value, zero_grads, check_finite);
            options.allow_missing = allow_missing;
            std::vector<ArrayRef> indices;
            std::vector<Rows> rows;
            const auto arrays = borrow_gradients(grads, zero_grads ? Access::write : Access::read, indices, rows);
            const auto views = views_of(arrays);
            options.rows = rows;
            const py::gil_scoped_release release;
            return self.core->step(views, options);
          },
          py::arg("grads"), py::arg("max_norm") = py::none(), py::arg("grad_scale") = 1.0,
          py::arg("max_value") = py::none(), py::arg("zero_grads") = false, py::arg("check_finite") = true,
          py::arg("allow_missing") = false)
      .def(
          "step_accumulated",
          [](PyOptimizer& self, GradAccumulator& accumulated, std::optional<double> max_norm, double grad_scale,
             std::optional<double> max_value, bool check_finite) {
            const auto options = options_from(max_norm, grad_scale, max_value, false, check_finite);
            const py::gil_scoped_release release;
            return self.core->step(accumulated, options);
          },
          py::arg("accumulated"), py::arg("max_norm") = py::none(), py::arg("grad_scale") = 1.0,
          py::arg("max_value") = py::none(), py::arg("check_finite") = true)
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
             for (std::size_t i = 0; i < self.core->param_count(); ++i) shapes.push_back(self.core->param(i).shape);
             return shapes;
           })
      .def(
          "steps", [](const PyOptimizer& self, std::size_t param) { return self.core->steps(param); }, py::arg("param"))
      .def(
          "set_steps",
          [](PyOptimizer& self, std::size_t param, std::int64_t steps) { self.core->set_steps(param, steps); },
          py::arg("param"), py::arg("steps"))
      .def(
          "param",
          [](const py::object& self, std::size_t param) {
            return as_numpy(self.cast<PyOptimizer&>().core->param(param), self);
          },
          py::arg("param"), "One parameter, in place.")
      .def(
          "group_of", [](const PyOptimizer& self, std::size_t param) { return self.core->group_of(param); },
          py::arg("param"))
      .def(
          "state",
          [](const py::object& self, std::size_t param) {
            py::dict result;
            for (const auto& [name, view] : self.cast<PyOptimizer&>().core->state(param)) {
              result[py::str(name)] = as_numpy(view, self);
            }
            return result;
          },
          py::arg("param"), "The state arrays of one parameter, by name, without a copy.")
      .def(
          "memory", [](const PyOptimizer& self, std::size_t param) { return self.core->memory(param); },
          py::arg("param"), "The numbers that the rule keeps for one parameter.")
      .def(
          "set_memory",
          [](PyOptimizer& self, std::size_t param, const std::string& name, double value) {
            self.core->set_memory(param, name, value);
          },
          py::arg("param"), py::arg("name"), py::arg("value"))
      .def_property_readonly("state_bytes", [](const PyOptimizer& self) { return self.core->state_bytes(); });
}

}  // namespace petrain::python
