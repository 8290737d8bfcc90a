#include <pybind11/stl.h>

#include <tuple>

#include "arrays.hpp"
#include "petrain/lowrank.hpp"
#include "petrain/rounding.hpp"

namespace petrain::python {
namespace {

SvdMethod method_from(const std::string& name) {
  if (name == "auto") return SvdMethod::automatic;
  if (name == "full") return SvdMethod::full;
  if (name == "randomized") return SvdMethod::randomized;
  throw std::invalid_argument("method: expected \"auto\", \"full\" or \"randomized\", got \"" + name + "\"");
}

py::tuple numbers(const Certificate& certificate) {
  return py::make_tuple(certificate.error, certificate.norm, certificate.output_error, certificate.output_norm);
}

py::tuple decomposition(py::handle a, std::optional<std::int64_t> k, std::optional<double> energy,
                        std::optional<double> rel_error, std::int64_t oversample, std::optional<std::int64_t> n_iter,
                        const std::string& method, std::uint64_t seed, double tol, std::int64_t memory_limit,
                        bool drop_pages, const py::object& progress, const py::object& save,
                        const std::optional<std::tuple<py::array, py::array, std::vector<double>>>& resumed) {
  const ArrayRef array = borrow(a, "a", Access::read);
  const SvdOptions options{oversample, n_iter, method_from(method), seed, tol};
  SvdControl control{memory_limit, drop_pages, {}, {}, nullptr};
  if (!progress.is_none()) {
    control.progress = [&](std::int64_t done, std::int64_t expected) {
      const py::gil_scoped_acquire acquire;
      progress(done, expected);
    };
  }
  if (!save.is_none()) {
    control.save = [&](SvdState state) {
      const py::gil_scoped_acquire acquire;
      save(as_numpy(std::move(state.directions)), as_numpy(std::move(state.images)), state.numbers);
    };
  }
  SvdState state;
  if (resumed) {
    const auto& [directions, images, numbers_of_state] = *resumed;
    state = {copy_of(borrow(directions, "state", Access::read)), copy_of(borrow(images, "state", Access::read)),
             numbers_of_state};
    control.resumed = &state;
  }
  Svd result = without_gil([&] {
    return k ? svd(array.view, *k, options, control)
             : svd(array.view, Keep{std::nullopt, energy, rel_error}, options, control);
  });
  return py::make_tuple(as_numpy(std::move(result.u)), as_numpy(std::move(result.s)), as_numpy(std::move(result.vt)));
}

}  // namespace

void register_lowrank(py::module_& module) {
  module.def("svd", &decomposition, py::arg("a"), py::arg("k"), py::arg("energy"), py::arg("rel_error"),
             py::arg("oversample"), py::arg("n_iter"), py::arg("method"), py::arg("seed"), py::arg("tol"),
             py::arg("memory_limit"), py::arg("drop_pages"), py::arg("progress"), py::arg("save"), py::arg("resumed"),
             "(u, s, vt); n_iter None: as many as tol needs; progress, save and resumed: or None.");
  module.def(
      "factorize",
      [](py::handle w, std::optional<std::int64_t> rank, std::optional<double> energy, std::optional<double> rel_error,
         std::uint64_t seed, std::optional<const HessianObserver*> inputs, double damping) {
        const ArrayRef array = borrow(w, "w", Access::read);
        const Keep keep{rank, energy, rel_error};
        LowRank factors = without_gil([&] {
          return !inputs ? factorize(array.view, keep, seed)
                         : factorize_outputs(array.view, **inputs, keep, damping, seed);
        });
        return py::make_tuple(as_numpy(std::move(factors.a)), as_numpy(std::move(factors.b)),
                              numbers(factors.certificate));
      },
      py::arg("w"), py::arg("rank"), py::arg("energy"), py::arg("rel_error"), py::arg("seed"), py::arg("inputs"),
      py::arg("damping"), "(a, b, numbers of the certificate)");
  module.def(
      "certify",
      [](py::handle w, py::handle a, py::handle b, std::optional<const HessianObserver*> inputs) {
        const ArrayRef matrix = borrow(w, "w", Access::read), left = borrow(a, "a", Access::read),
                       right = borrow(b, "b", Access::read);
        Certificate certificate =
            without_gil([&] { return certify(matrix.view, left.view, right.view, inputs.value_or(nullptr)); });
        return numbers(certificate);
      },
      py::arg("w"), py::arg("a"), py::arg("b"), py::arg("inputs"), "(error, norm, output_error, output_norm)");
  module.def(
      "certify_rows",
      [](py::handle w, py::handle a, py::handle b, const std::vector<double>& weights) {
        const ArrayRef matrix = borrow(w, "w", Access::read), left = borrow(a, "a", Access::read),
                       right = borrow(b, "b", Access::read);
        return numbers(without_gil([&] { return certify_rows(matrix.view, left.view, right.view, weights); }));
      },
      py::arg("w"), py::arg("a"), py::arg("b"), py::arg("weights"), "(error, norm, output_error, output_norm)");
  module.def(
      "certify_core",
      [](py::handle w, py::handle a, py::handle core, py::handle b) {
        const ArrayRef matrix = borrow(w, "w", Access::read), left = borrow(a, "a", Access::read),
                       middle = borrow(core, "core", Access::read), right = borrow(b, "b", Access::read);
        return numbers(without_gil([&] { return certify_core(matrix.view, left.view, middle.view, right.view); }));
      },
      py::arg("w"), py::arg("a"), py::arg("core"), py::arg("b"), "(error, norm, 0, 0)");
  module.def(
      "fit_right",
      [](py::handle w, py::handle a) {
        const ArrayRef matrix = borrow(w, "w", Access::read), left = borrow(a, "a", Access::read);
        Tensor b = without_gil([&] { return fit_right(matrix.view, left.view); });
        return as_numpy(std::move(b));
      },
      py::arg("w"), py::arg("a"));
  module.def(
      "fit_left",
      [](py::handle w, py::handle b, std::optional<const HessianObserver*> inputs) {
        const ArrayRef matrix = borrow(w, "w", Access::read), right = borrow(b, "b", Access::read);
        Tensor a = without_gil([&] { return fit_left(matrix.view, right.view, inputs.value_or(nullptr)); });
        return as_numpy(std::move(a));
      },
      py::arg("w"), py::arg("b"), py::arg("inputs"));
  module.def(
      "low_rank_product",
      [](py::handle a, py::handle b) {
        const ArrayRef left = borrow(a, "a", Access::read), right = borrow(b, "b", Access::read);
        Tensor product = without_gil([&] { return low_rank_product(left.view, right.view); });
        return as_numpy(std::move(product));
      },
      py::arg("a"), py::arg("b"));
}

}  // namespace petrain::python
