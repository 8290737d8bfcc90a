#include <pybind11/stl.h>

#include <utility>

#include "arrays.hpp"
#include "petrain/knapsack.hpp"
#include "src/checks.hpp"

namespace petrain::python {
namespace {

std::vector<std::vector<KnapsackOption>> options_from(const ArrayRef& costs, const ArrayRef& errors,
                                                      const std::vector<std::int64_t>& counts) {
  std::int64_t total = 0;
  for (const std::int64_t count : counts) total += count;
  require(costs.view, DType::i64, {total}, "costs");
  require(errors.view, DType::f64, {total}, "errors");
  const std::int64_t* cost = costs.view.as<std::int64_t>();
  const double* error = errors.view.as<double>();
  std::vector<std::vector<KnapsackOption>> layers;
  for (const std::int64_t count : counts) {
    std::vector<KnapsackOption> options;
    for (std::int64_t j = 0; j < count; ++j) options.push_back({*cost++, *error++});
    layers.push_back(std::move(options));
  }
  return layers;
}

}  // namespace

void register_knapsack(py::module_& module) {
  module.def(
      "solve_knapsack",
      [](py::handle costs, py::handle errors, const std::vector<std::int64_t>& counts, std::int64_t budget) {
        const auto layers =
            options_from(borrow(costs, "costs", Access::read), borrow(errors, "errors", Access::read), counts);
        KnapsackChoice choice;
        {
          const py::gil_scoped_release release;
          choice = solve_knapsack(layers, budget);
        }
        return py::make_tuple(choice.options, choice.cost, choice.error, choice.lower_bound, choice.gap);
      },
      py::arg("costs"), py::arg("errors"), py::arg("counts"), py::arg("budget"),
      "(options, cost, error, lower_bound, gap); the options of all layers in a row, so many of each.");
}

}  // namespace petrain::python
