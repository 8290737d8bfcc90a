#include <pybind11/stl.h>

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

}  // namespace

void register_lowrank(py::module_& module) {
  module.def(
      "svd",
      [](py::handle a, std::int64_t k, std::int64_t oversample, std::optional<std::int64_t> n_iter,
         const std::string& method, std::uint64_t seed, double tol) {
        const ArrayRef array = borrow(a, "a", Access::read);
        const SvdOptions options{oversample, n_iter, method_from(method), seed, tol};
        Svd result = without_gil([&] { return svd(array.view, k, options); });
        return py::make_tuple(as_numpy(std::move(result.u)), as_numpy(std::move(result.s)),
                              as_numpy(std::move(result.vt)));
      },
      py::arg("a"), py::arg("k"), py::arg("oversample"), py::arg("n_iter"), py::arg("method"), py::arg("seed"),
      py::arg("tol"), "(u, s, vt); n_iter None: as many as tol needs.");
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
