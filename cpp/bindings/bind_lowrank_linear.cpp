#include <pybind11/stl.h>

#include <memory>
#include <optional>

#include "arrays.hpp"
#include "petrain/frozen_weight.hpp"
#include "petrain/lowrank_linear.hpp"

namespace petrain::python {
namespace {

ArrayRef borrow_or_none(const py::object& array, const std::string& what, Access access = Access::read) {
  return array.is_none() ? ArrayRef{} : borrow(array, what, access);
}

Shape result_shape(Shape shape, std::int64_t features) {
  if (!shape.empty()) shape.back() = features;
  return shape;
}

// The number of rows of a matrix, where it is one; the core refuses it otherwise.
std::int64_t rows_of(const ArrayRef& factor) { return factor.view.shape.empty() ? 0 : factor.view.shape[0]; }

py::tuple forward(py::handle x, py::handle a, py::handle b, const py::object& bias, float scale, const py::object& y) {
  const ArrayRef input = borrow(x, "x", Access::read);
  const ArrayRef left = borrow(a, "a", Access::read), right = borrow(b, "b", Access::read);
  const ArrayRef biases = borrow_or_none(bias, "bias");
  const ArrayRef sum = borrow_or_none(y, "y", Access::write);
  Tensor result, inner;
  if (y.is_none()) result = Tensor::uninitialized(DType::f32, result_shape(input.view.shape, rows_of(left)));
  {
    const py::gil_scoped_release release;
    inner = low_rank_linear(input.view, left.view, right.view, y.is_none() ? result.view() : sum.view,
                            {scale, biases.view, !y.is_none()});
  }
  return py::make_tuple(y.is_none() ? py::object(as_numpy(std::move(result))) : y, as_numpy(std::move(inner)));
}

py::tuple backward(py::handle gradient, py::handle x, py::handle a, py::handle b, const py::object& inner, float scale,
                   const py::object& dx) {
  const ArrayRef outer = borrow(gradient, "gradient", Access::read), input = borrow(x, "x", Access::read);
  const ArrayRef left = borrow(a, "a", Access::read), right = borrow(b, "b", Access::read);
  const ArrayRef middle = borrow_or_none(inner, "inner");
  const bool fresh = py::isinstance<py::bool_>(dx) && dx.cast<bool>();
  const bool added = !py::isinstance<py::bool_>(dx);
  const ArrayRef sum = added ? borrow(dx, "dx", Access::write) : ArrayRef{};
  Tensor result;
  if (fresh) result = Tensor::uninitialized(DType::f32, input.view.shape);
  LowRankGradients gradients;
  {
    const py::gil_scoped_release release;
    gradients = low_rank_linear_backward(outer.view, input.view, left.view, right.view, middle.view,
                                         fresh ? result.view() : sum.view, scale, added);
  }
  return py::make_tuple(fresh   ? py::object(as_numpy(std::move(result)))
                        : added ? dx
                                : py::none(),
                        as_numpy(std::move(gradients.a)), as_numpy(std::move(gradients.b)),
                        as_numpy(std::move(gradients.bias)));
}

// The weight as it is held in Python: an array, where uint16 is bfloat16 without ml_dtypes, or a QuantTensor of the
// core.
class Base {
 public:
  explicit Base(const py::object& base) {
    if (py::isinstance<QuantTensor>(base)) {
      quantized_ = base.cast<std::shared_ptr<QuantTensor>>();
    } else if (py::isinstance<py::array>(base) && base.attr("dtype").attr("name").cast<std::string>() == "uint16") {
      array_ = borrow(base.attr("view")("float16"), "base", Access::read);
      array_.view.dtype = DType::bf16;
    } else {
      array_ = borrow(base, "base", Access::read);
    }
  }
  FrozenWeight weight() const { return quantized_ ? FrozenWeight(*quantized_) : FrozenWeight(array_.view); }

 private:
  ArrayRef array_;
  std::shared_ptr<QuantTensor> quantized_;
};

py::array frozen_product(const py::object& base, py::handle rows, bool is_gradient) {
  const Base held(base);
  const FrozenWeight weight = held.weight();
  const ArrayRef array = borrow(rows, is_gradient ? "gradient" : "x", Access::read);
  const std::int64_t features = is_gradient ? weight.in_features() : weight.out_features();
  Tensor result = Tensor::uninitialized(DType::f32, result_shape(array.view.shape, features));
  {
    const py::gil_scoped_release release;
    if (is_gradient) {
      weight.backward(array.view, result.view());
    } else {
      weight.forward(array.view, result.view());
    }
  }
  return as_numpy(std::move(result));
}

}  // namespace

void register_lowrank_linear(py::module_& module) {
  module.def("low_rank_linear", &forward, py::arg("x"), py::arg("a"), py::arg("b"), py::arg("bias"), py::arg("scale"),
             py::arg("y"), "(y, scale x Bᵀ); y None: a new array, else it is added to.");
  module.def("low_rank_linear_backward", &backward, py::arg("gradient"), py::arg("x"), py::arg("a"), py::arg("b"),
             py::arg("inner"), py::arg("scale"), py::arg("dx"),
             "The gradients of x, a, b and a bias; dx: an array to which that of x is added, or whether it is wanted.");
  module.def(
      "frozen_forward", [](const py::object& base, py::handle x) { return frozen_product(base, x, false); },
      py::arg("base"), py::arg("x"), "x Wᵀ");
  module.def(
      "frozen_backward",
      [](const py::object& base, py::handle gradient) { return frozen_product(base, gradient, true); }, py::arg("base"),
      py::arg("gradient"), "dy W");
  module.def(
      "frozen_row_norms",
      [](const py::object& base, py::handle a, py::handle b, float scale) {
        const Base held(base);
        const ArrayRef left = borrow(a, "a", Access::read), right = borrow(b, "b", Access::read);
        Tensor norms;
        {
          const py::gil_scoped_release release;
          norms = held.weight().row_norms({left.view, right.view, scale});
        }
        return as_numpy(std::move(norms));
      },
      py::arg("base"), py::arg("a"), py::arg("b"), py::arg("scale"), "Of W + scale A B.");
  module.def(
      "frozen_merged",
      [](const py::object& base, py::handle a, py::handle b, float scale, const py::object& factors,
         const std::string& dtype) {
        const Base held(base);
        const ArrayRef left = borrow(a, "a", Access::read), right = borrow(b, "b", Access::read);
        const ArrayRef rows = borrow_or_none(factors, "factors");
        const DType to = float_dtype(dtype);
        Tensor merged;
        {
          const py::gil_scoped_release release;
          merged = held.weight().merged({left.view, right.view, scale}, rows.view, to);
        }
        return as_numpy(std::move(merged));
      },
      py::arg("base"), py::arg("a"), py::arg("b"), py::arg("scale"), py::arg("factors"), py::arg("dtype"),
      "W + scale A B, its rows times the factors unless they are None.");
}

}  // namespace petrain::python
