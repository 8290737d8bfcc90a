#include "petrain/weight.hpp"

#include "checks.hpp"
#include "gemm.hpp"
#include "petrain/frozen_weight.hpp"
#include "row_sums.hpp"
#include "sparse_graph.hpp"

namespace petrain {
namespace {

ConstMatrix matrix(const Tensor& tensor) { return {tensor.as<float>(), tensor.shape()[0], tensor.shape()[1]}; }

void require_matrix(const Tensor& tensor, DType dtype, const std::string& what) {
  if (tensor.shape().size() != 2) {
    throw std::invalid_argument(what + ": expected 2 dimensions (out, in), got shape " + shape_text(tensor.shape()));
  }
  require(tensor.view(), dtype, tensor.shape(), what);
  if (tensor.empty()) throw std::invalid_argument(what + " is empty: shape " + shape_text(tensor.shape()));
}

// The gradient's memory is taken at the first backward pass: a model that is only run needs none.
Tensor& like(Tensor& gradient, const Tensor& values) {
  if (gradient.shape() != values.shape()) gradient = Tensor(DType::f32, values.shape());
  return gradient;
}

// dx = dy W
void multiply(const Tensor& dy, const Tensor& w, Tensor& dx) {
  gemm(matrix(dy), matrix(w), dx.as<float>(), w.shape()[1]);
}

void require_pair(const Weight& a, const Weight& b) {
  if (a.in_features() == b.out_features()) return;
  const auto text = [](const Weight& w) { return shape_text({w.out_features(), w.in_features()}); };
  throw std::invalid_argument("low rank: expected a (out, rank) and b (rank, in), got " + text(a) + " and " + text(b));
}

LinearOptions with_bias(const float* bias, std::int64_t out_features) {
  LinearOptions options;
  if (bias != nullptr) options.bias = {bias, DType::f32, {out_features}};
  return options;
}

}  // namespace

DenseWeight::DenseWeight(Tensor values) : values_(std::move(values)) { require_matrix(values_, DType::f32, "weight"); }

void DenseWeight::forward(const Tensor& x, const float* bias, Tensor& y, Tape*) const {
  gemm(matrix(x), matrix(values_).transposed(), y.as<float>(), out_features());
  add_bias(y.as<float>(), y.shape()[0], out_features(), bias);
}

void DenseWeight::backward(const Tensor& x, const Tensor& dy, Tensor* dx, Tape&) {
  gemm(matrix(dy).transposed(), matrix(x), like(gradient_, values_).as<float>(), in_features());
  if (dx != nullptr) multiply(dy, values_, *dx);
}

void DenseWeight::collect(const std::string& name, std::vector<NamedTensor>& tensors) {
  tensors.push_back({name, &values_, &gradient_});
}

QuantWeight::QuantWeight(std::shared_ptr<QuantTensor> values) : quantized_(std::move(values)), layer_(quantized_) {}

void QuantWeight::forward(const Tensor& x, const float* bias, Tensor& y, Tape*) const {
  layer_.forward(x.view(), y.view(), with_bias(bias, out_features()));
}

void QuantWeight::backward(const Tensor&, const Tensor& dy, Tensor* dx, Tape&) {
  if (dx != nullptr) FrozenWeight(*quantized_).backward(dy.view(), dx->view());
}

void QuantWeight::collect(const std::string& name, std::vector<NamedTensor>& tensors) {
  tensors.push_back({name + ".values", &quantized_->values, nullptr});
  tensors.push_back({name + ".scale", &quantized_->scale, nullptr});
  if (!quantized_->zero_point.empty()) tensors.push_back({name + ".zero_point", &quantized_->zero_point, nullptr});
}

ResidualWeight::ResidualWeight(std::shared_ptr<QuantWeight> base, std::shared_ptr<QuantWeight> a,
                               std::shared_ptr<QuantWeight> b)
    : base_(std::move(base)), a_(std::move(a)), b_(std::move(b)) {
  if (base_ == nullptr || a_ == nullptr || b_ == nullptr) {
    throw std::invalid_argument("residual: expected three weights, got none");
  }
  require_pair(*a_, *b_);
  if (a_->out_features() != out_features() || b_->in_features() != in_features()) {
    throw std::invalid_argument("residual: expected a (" + std::to_string(out_features()) + ", rank) and b (rank, " +
                                std::to_string(in_features()) + "), got " + shape_text(a_->values().shape) + " and " +
                                shape_text(b_->values().shape));
  }
}

void ResidualWeight::forward(const Tensor& x, const float* bias, Tensor& y, Tape*) const {
  LinearOptions options = with_bias(bias, out_features());
  options.residual_a = &a_->layer();
  options.residual_b = &b_->layer();
  base_->layer().forward(x.view(), y.view(), options);
}

void ResidualWeight::backward(const Tensor&, const Tensor& dy, Tensor* dx, Tape&) {
  if (dx != nullptr) multiply(dy, dense(), *dx);
}

void ResidualWeight::collect(const std::string& name, std::vector<NamedTensor>& tensors) {
  base_->collect(name + ".base", tensors);
  a_->collect(name + ".a", tensors);
  b_->collect(name + ".b", tensors);
}

Tensor ResidualWeight::dense() const {
  Tensor result = base_->dense();
  const Tensor a = a_->dense(), b = b_->dense();
  gemm(matrix(a), matrix(b), result.as<float>(), in_features(), true);
  return result;
}

LowRankWeight::LowRankWeight(std::shared_ptr<Weight> a, std::shared_ptr<Weight> b)
    : a_(std::move(a)), b_(std::move(b)) {
  if (a_ == nullptr || b_ == nullptr) throw std::invalid_argument("low rank: expected two weights, got none");
  require_pair(*a_, *b_);
}

void LowRankWeight::forward(const Tensor& x, const float* bias, Tensor& y, Tape* tape) const {
  Tensor inner = Tensor::uninitialized(DType::f32, {x.shape()[0], rank()});
  b_->forward(x, nullptr, inner, tape);
  a_->forward(inner, bias, y, tape);
  if (tape != nullptr) tape->push_back(std::move(inner));
}

void LowRankWeight::backward(const Tensor& x, const Tensor& dy, Tensor* dx, Tape& tape) {
  const Tensor inner = std::move(tape.back());
  tape.pop_back();
  Tensor inner_gradient = Tensor::uninitialized(DType::f32, inner.shape());
  a_->backward(inner, dy, &inner_gradient, tape);
  b_->backward(x, inner_gradient, dx, tape);
}

void LowRankWeight::collect(const std::string& name, std::vector<NamedTensor>& tensors) {
  a_->collect(name + ".a", tensors);
  b_->collect(name + ".b", tensors);
}

Tensor LowRankWeight::dense() const {
  const Tensor a = a_->dense(), b = b_->dense();
  Tensor result = Tensor::uninitialized(DType::f32, {out_features(), in_features()});
  gemm(matrix(a), matrix(b), result.as<float>(), in_features());
  return result;
}

SparseWeight::SparseWeight(std::shared_ptr<SparseTensor> values) : values_(std::move(values)), layer_(values_) {}

void SparseWeight::forward(const Tensor& x, const float* bias, Tensor& y, Tape*) const {
  layer_.forward(x.view(), y.view(), with_bias(bias, out_features()).bias);
}

void SparseWeight::backward(const Tensor& x, const Tensor& dy, Tensor* dx, Tape&) {
  if (trained()) {
    layer_.backward(dy.view(), x.view(), like(gradient_, values_->values).view(),
                    dx == nullptr ? TensorView{} : dx->view());
  } else if (dx != nullptr) {
    multiply(dy, dense(), *dx);
  }
}

void SparseWeight::collect(const std::string& name, std::vector<NamedTensor>& tensors) {
  for_each_part(*values_, [&](const std::string& part, Tensor& tensor) {
    const bool is_trained = trained() && &tensor == &values_->values;
    tensors.push_back({name + "." + part, &tensor, is_trained ? &gradient_ : nullptr});
  });
}

}  // namespace petrain
