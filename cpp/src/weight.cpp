#include "petrain/weight.hpp"

#include "checks.hpp"
#include "gemm.hpp"
#include "isa.hpp"

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

}  // namespace

DenseWeight::DenseWeight(Tensor values) : values_(std::move(values)) { require_matrix(values_, DType::f32, "weight"); }

void DenseWeight::forward(const Tensor& x, const float* bias, Tensor& y, Tape*) const {
  gemm(matrix(x), matrix(values_).transposed(), y.as<float>(), out_features());
  if (bias == nullptr) return;
  const auto& kernel = *active_kernels().nn;
  for (std::int64_t row = 0; row < y.shape()[0]; ++row) {
    kernel.add_bias(y.as<float>() + row * out_features(), bias, out_features());
  }
}

void DenseWeight::backward(const Tensor& x, const Tensor& dy, Tensor* dx, Tape&) {
  gemm(matrix(dy).transposed(), matrix(x), like(gradient_, values_).as<float>(), in_features());
  if (dx != nullptr) gemm(matrix(dy), matrix(values_), dx->as<float>(), in_features());
}

void DenseWeight::collect(const std::string& name, std::vector<NamedTensor>& tensors) {
  tensors.push_back({name, &values_, &gradient_});
}

Int8Weight::Int8Weight(QuantTensor values)
    : quantized_(std::make_shared<QuantTensor>(std::move(values))), layer_(quantized_) {
  if (quantized_->spec != QuantSpec{}) {
    throw std::invalid_argument("weight: expected a scale for each output (" + spec_text({}) + "), got " +
                                spec_text(quantized_->spec));
  }
}

void Int8Weight::forward(const Tensor& x, const float* bias, Tensor& y, Tape*) const {
  LinearOptions options;
  if (bias != nullptr) options.bias = {bias, DType::f32, {out_features()}};
  layer_.forward(x.view(), y.view(), options);
}

void Int8Weight::backward(const Tensor&, const Tensor& dy, Tensor* dx, Tape&) {
  if (dx == nullptr) return;
  const Tensor values = dense();
  gemm(matrix(dy), matrix(values), dx->as<float>(), in_features());
}

void Int8Weight::collect(const std::string& name, std::vector<NamedTensor>& tensors) {
  tensors.push_back({name + ".values", &quantized_->values, nullptr});
  tensors.push_back({name + ".scale", &quantized_->scale, nullptr});
}

LowRankWeight::LowRankWeight(std::shared_ptr<Weight> a, std::shared_ptr<Weight> b)
    : a_(std::move(a)), b_(std::move(b)) {
  if (a_->in_features() != b_->out_features()) {
    throw std::invalid_argument("low rank: expected a (out, rank) and b (rank, in), got (" +
                                std::to_string(a_->out_features()) + ", " + std::to_string(a_->in_features()) +
                                ") and (" + std::to_string(b_->out_features()) + ", " +
                                std::to_string(b_->in_features()) + ")");
  }
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

}  // namespace petrain
