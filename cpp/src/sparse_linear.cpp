#include <algorithm>
#include <utility>

#include "checks.hpp"
#include "petrain/sparse.hpp"
#include "row_sums.hpp"
#include "sparse_float.hpp"
#include "sparse_int8.hpp"
#include "sparse_steps.hpp"

namespace petrain {
namespace {

std::int64_t rows_of(const ConstTensorView& array, std::int64_t features, const std::string& what) {
  require(array, DType::f32, array.shape, what);
  if (array.shape.empty() || array.shape.back() != features) {
    throw std::invalid_argument(what + ": expected shape (…, " + std::to_string(features) + "), got " +
                                shape_text(array.shape));
  }
  return array.size() / features;
}

void require_as_many_rows(const ConstTensorView& array, std::int64_t features, const ConstTensorView& x,
                          const std::string& what) {
  Shape shape = x.shape;
  shape.back() = features;
  require(array, DType::f32, shape, what);
  if (share_memory(array, x)) throw std::invalid_argument(what + ": expected memory of its own, got some of x");
}

}  // namespace

SparseLinear::SparseLinear(std::shared_ptr<const SparseTensor> weight) : weight_(std::move(weight)) {
  if (weight_ == nullptr) throw std::invalid_argument("w: expected a weight, got none");
  weight_->validate();
  steps_ = std::make_unique<const StepIndex>(steps_of(*weight_));
  if (weight_->values.dtype() == DType::i8) int8_ = std::make_unique<const SparseInt8>(*weight_, *steps_);
}

SparseLinear::~SparseLinear() = default;
SparseLinear::SparseLinear(SparseLinear&&) noexcept = default;
SparseLinear& SparseLinear::operator=(SparseLinear&&) noexcept = default;

void SparseLinear::forward(const ConstTensorView& x, const TensorView& y, const ConstTensorView& bias) const {
  if (int8_ != nullptr) return int8_->forward(x, y, bias);
  const std::int64_t rows = rows_of(x, in_features(), "x");
  require_as_many_rows(y, out_features(), x, "y");
  if (bias.data != nullptr) require(bias, DType::f32, {out_features()}, "bias");
  if (rows == 0) return;
  SparseFloat(*weight_, *steps_).forward(x.as<float>(), rows, y.as<float>(), bias.as<float>());
}

void SparseLinear::backward(const ConstTensorView& dy, const ConstTensorView& x, const TensorView& values,
                            const TensorView& dx) const {
  if (int8_ != nullptr) throw std::invalid_argument("w: expected 32 bits, got 8: the gradient is that of float32");
  const std::int64_t rows = rows_of(x, in_features(), "x");
  Shape outputs = x.shape;
  outputs.back() = out_features();
  require(dy, DType::f32, outputs, "gradient");
  require(values, DType::f32, weight_->values.shape(), "values");
  if (dx.data != nullptr) {
    require(dx, DType::f32, x.shape, "dx");
    if (share_memory(dx, dy)) throw std::invalid_argument("dx: expected memory of its own, got some of the gradient");
  }
  const SparseFloat product(*weight_, *steps_);
  product.backward_values(dy.as<float>(), x.as<float>(), rows, values.as<float>());
  if (dx.data != nullptr && rows > 0) product.backward_input(dy.as<float>(), rows, dx.as<float>());
}

SparseLinear::Gradients SparseLinear::backward(const ConstTensorView& dy, const ConstTensorView& x,
                                               const TensorView& dx) const {
  Gradients gradients{Tensor(DType::f32, weight_->values.shape()), Tensor(DType::f32, {out_features()})};
  backward(dy, x, gradients.values.view(), dx);
  add_rows(dy.as<float>(), dy.size() / out_features(), out_features(), gradients.bias.as<float>());
  return gradients;
}

}  // namespace petrain
