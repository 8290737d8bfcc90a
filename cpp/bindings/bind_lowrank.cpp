#include <pybind11/stl.h>

#include "arrays.hpp"
#include "petrain/lowrank.hpp"

namespace petrain::python {
namespace {

SvdMethod method_from(const std::string& name) {
  if (name == "auto") return SvdMethod::automatic;
  if (name == "full") return SvdMethod::full;
  if (name == "randomized") return SvdMethod::randomized;
  throw std::invalid_argument("method: expected \"auto\", \"full\" or \"randomized\", got \"" + name + "\"");
}

}  // namespace

void register_lowrank(py::module_& module) {
  module.def(
      "svd",
      [](py::handle a, std::int64_t k, std::int64_t oversample, std::optional<std::int64_t> n_iter,
         const std::string& method, std::uint64_t seed) {
        const ArrayRef array = borrow(a, "a", Access::read);
        const SvdOptions options{oversample, n_iter, method_from(method), seed};
        Svd result;
        {
          const py::gil_scoped_release release;
          result = svd(array.view, k, options);
        }
        return py::make_tuple(as_numpy(std::move(result.u)), as_numpy(std::move(result.s)),
                              as_numpy(std::move(result.vt)));
      },
      py::arg("a"), py::arg("k"), py::arg("oversample"), py::arg("n_iter"), py::arg("method"), py::arg("seed"),
      "(u, s, vt); n_iter None: until it gains nothing more.");
  module.def(
      "factorize",
      [](py::handle w, std::optional<std::int64_t> rank, std::optional<double> energy, std::optional<double> rel_error,
         std::uint64_t seed) {
        const ArrayRef array = borrow(w, "w", Access::read);
        LowRank factors;
        {
          const py::gil_scoped_release release;
          factors = factorize(array.view, {rank, energy, rel_error}, seed);
        }
        return py::make_tuple(as_numpy(std::move(factors.a)), as_numpy(std::move(factors.b)), factors.rel_error);
      },
      py::arg("w"), py::arg("rank"), py::arg("energy"), py::arg("rel_error"), py::arg("seed"), "(a, b, rel_error)");
  module.def(
      "low_rank_product",
      [](py::handle a, py::handle b) {
        const ArrayRef left = borrow(a, "a", Access::read), right = borrow(b, "b", Access::read);
        Tensor product;
        {
          const py::gil_scoped_release release;
          product = low_rank_product(left.view, right.view);
        }
        return as_numpy(std::move(product));
      },
      py::arg("a"), py::arg("b"));
}

}  // namespace petrain::python
