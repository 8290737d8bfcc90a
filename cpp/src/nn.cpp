#include "petrain/nn.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "checks.hpp"
#include "isa.hpp"
#include "labels.hpp"
#include "row_sums.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

Tensor pop(Tape& tape) {
  Tensor top = std::move(tape.back());
  tape.pop_back();
  return top;
}

std::shared_ptr<Weight> initial_weight(std::int64_t in_features, std::int64_t out_features, Init init,
                                       std::uint64_t seed) {
  if (in_features < 1 || out_features < 1) {
    throw std::invalid_argument("expected at least 1 feature in and out, got " + std::to_string(in_features) + " and " +
                                std::to_string(out_features));
  }
  Tensor values(DType::f32, {out_features, in_features});
  init_weight(values.view(), init, seed);
  return std::make_shared<DenseWeight>(std::move(values));
}

}  // namespace

Linear::Linear(std::int64_t in_features, std::int64_t out_features, bool bias, Init init, std::uint64_t seed)
    : weight_(initial_weight(in_features, out_features, init, seed)) {
  if (bias) bias_ = Tensor(DType::f32, {out_features});
}

Linear::Linear(std::shared_ptr<Weight> weight, Tensor bias) : weight_(std::move(weight)), bias_(std::move(bias)) {
  if (weight_ == nullptr) throw std::invalid_argument("weight: expected one, got none");
  if (!bias_.empty() || !bias_.shape().empty()) require(bias_.view(), DType::f32, {out_features()}, "bias");
}

Shape Linear::output_shape(const Shape& shape) const {
  if (shape.size() != 2 || shape[1] != in_features()) {
    throw std::invalid_argument("linear: expected an input of shape (rows, " + std::to_string(in_features()) +
                                "), got " + shape_text(shape));
  }
  return {shape[0], out_features()};
}

Tensor Linear::forward(Tensor x, Tape* tape) const {
  Tensor y = Tensor::uninitialized(DType::f32, output_shape(x.shape()));
  weight_->forward(x, bias_.empty() ? nullptr : bias_.as<float>(), y, tape);
  if (tape != nullptr) tape->push_back(std::move(x));
  return y;
}

Tensor Linear::backward(Tensor dy, Tape& tape, bool input_gradient) {
  const Tensor x = pop(tape);
  if (!bias_.empty()) {
    if (bias_gradient_.empty()) bias_gradient_ = Tensor(DType::f32, bias_.shape());
    std::fill_n(bias_gradient_.as<float>(), out_features(), 0.0f);
    add_rows(dy.as<float>(), dy.shape()[0], out_features(), bias_gradient_.as<float>());
  }
  Tensor dx;
  if (input_gradient) dx = Tensor::uninitialized(DType::f32, x.shape());
  weight_->backward(x, dy, input_gradient ? &dx : nullptr, tape);
  return dx;
}

void Linear::collect(const std::string& prefix, std::vector<NamedTensor>& tensors) {
  weight_->collect(prefix + ".weight", tensors);
  if (!bias_.empty()) tensors.push_back({prefix + ".bias", &bias_, &bias_gradient_});
}

Tensor ReLU::forward(Tensor x, Tape* tape) const {
  active_kernels().nn->relu(x.as<float>(), x.size());
  if (tape != nullptr) tape->push_back(x.clone());
  return x;
}

Tensor ReLU::backward(Tensor dy, Tape& tape, bool) {
  const Tensor y = pop(tape);
  active_kernels().nn->relu_backward(dy.as<float>(), y.as<float>(), dy.size());
  return dy;
}

Sequential::Sequential(std::vector<std::shared_ptr<Layer>> layers) : layers_(std::move(layers)) {
  if (layers_.empty()) throw std::invalid_argument("expected at least one layer, got none");
  for (const auto& layer : layers_) {
    if (layer == nullptr) throw std::invalid_argument("layers: expected layers, got none among them");
    if (in_features_ == 0) in_features_ = layer->features();
  }
  Shape shape = {1, in_features_};
  for (const auto& layer : layers_) shape = layer->output_shape(shape);
  std::map<const Tensor*, std::string> trained;
  for (const NamedTensor& tensor : tensors()) {
    if (tensor.gradient == nullptr) continue;
    const auto [first, fresh] = trained.emplace(tensor.gradient, tensor.name);
    if (fresh) continue;
    throw std::invalid_argument("layers: expected what is trained to be used once, got " + first->second + " as " +
                                tensor.name + " too");
  }
}

Tensor Sequential::forward(Tensor x, bool training) {
  if (!training) return predict(std::move(x));
  Shape shape = x.shape();
  for (const auto& layer : layers_) shape = layer->output_shape(shape);
  tape_.clear();
  for (const auto& layer : layers_) x = layer->forward(std::move(x), &tape_);
  output_shape_ = shape;
  return x;
}

Tensor Sequential::predict(Tensor x) const {
  Shape shape = x.shape();
  for (const auto& layer : layers_) shape = layer->output_shape(shape);
  for (const auto& layer : layers_) x = layer->forward(std::move(x), nullptr);
  return x;
}

Tensor Sequential::backward(Tensor dy, bool input_gradient) {
  if (tape_.empty()) throw std::invalid_argument("backward needs a forward pass with training before it");
  require(dy.view(), DType::f32, output_shape_, "gradient of the output");
  for (std::size_t i = layers_.size(); i-- > 0;)
    dy = layers_[i]->backward(std::move(dy), tape_, i > 0 || input_gradient);
  return dy;
}

std::vector<NamedTensor> Sequential::tensors() const {
  std::vector<NamedTensor> all;
  for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i]->collect(std::to_string(i), all);
  return all;
}

Loss cross_entropy(const ConstTensorView& logits, std::span<const std::int64_t> labels) {
  require_logits(logits, "logits");
  const std::int64_t rows = logits.shape[0], classes = logits.shape[1];
  require_labels(labels, rows, classes);
  const auto& kernel = *active_kernels().nn;
  Loss loss{0, Tensor::uninitialized(DType::f32, logits.shape)};
  for (std::int64_t i = 0; i < rows; ++i) {
    float* gradient = loss.gradient.as<float>() + i * classes;
    kernels::SoftmaxRow row{logits.as<float>() + i * classes, classes, gradient, 0, 0};
    kernel.softmax_row(row);
    loss.value += std::log(row.sum) - (static_cast<double>(row.logits[labels[i]]) - row.greatest);
    kernel.scale(gradient, static_cast<float>(1 / (row.sum * static_cast<double>(rows))), classes);
    gradient[labels[i]] -= static_cast<float>(1 / static_cast<double>(rows));
  }
  loss.value /= static_cast<double>(rows);
  return loss;
}

}  // namespace petrain
