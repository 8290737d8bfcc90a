// Layers with forward and backward passes, and losses.
//
//   petrain::Sequential model({std::make_shared<petrain::Linear>(64, 10, true, petrain::Init::he_uniform, seed)});
//   petrain::Tensor logits = model.forward(std::move(x), true);
//   petrain::Loss loss = petrain::cross_entropy(logits, labels);
//   model.backward(std::move(loss.gradient));
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "petrain/init.hpp"
#include "petrain/tensor.hpp"
#include "petrain/weight.hpp"

namespace petrain {

class Layer {
 public:
  virtual ~Layer() = default;

  virtual const char* type() const = 0;                // "linear", "relu"
  virtual std::int64_t features() const { return 0; }  // that go in; 0 where any number does
  // The shape that comes out where `shape` goes in; std::invalid_argument where it does not fit.
  virtual Shape output_shape(const Shape& shape) const = 0;
  // Batches of rows: x (rows, features). Keeps on the tape, where there is one, what backward needs.
  virtual Tensor forward(Tensor x, Tape* tape) const = 0;
  // From the gradient of the output: gradients of what is trained here, and, where wanted, of the input.
  virtual Tensor backward(Tensor dy, Tape& tape, bool input_gradient) = 0;
  virtual void collect(const std::string&, std::vector<NamedTensor>&) {}
};

// y = x Wᵀ + b, for W (out, in) in any stored form.
class Linear final : public Layer {
 public:
  Linear(std::int64_t in_features, std::int64_t out_features, bool bias, Init init, std::uint64_t seed);
  Linear(std::shared_ptr<Weight> weight, Tensor bias);  // bias: float32 (out,), or empty for none

  const char* type() const override { return "linear"; }
  Shape output_shape(const Shape& shape) const override;
  Tensor forward(Tensor x, Tape* tape) const override;
  Tensor backward(Tensor dy, Tape& tape, bool input_gradient) override;
  void collect(const std::string& prefix, std::vector<NamedTensor>& tensors) override;

  std::int64_t features() const override { return in_features(); }
  std::int64_t in_features() const { return weight_->in_features(); }
  std::int64_t out_features() const { return weight_->out_features(); }
  bool has_bias() const { return !bias_.empty(); }
  Tensor& bias() { return bias_; }
  const std::shared_ptr<Weight>& weight() const { return weight_; }

 private:
  std::shared_ptr<Weight> weight_;
  Tensor bias_, bias_gradient_;
};

class ReLU final : public Layer {
 public:
  const char* type() const override { return "relu"; }
  Shape output_shape(const Shape& shape) const override { return shape; }
  Tensor forward(Tensor x, Tape* tape) const override;
  Tensor backward(Tensor dy, Tape& tape, bool input_gradient) override;
};

class Sequential {
 public:
  // std::invalid_argument where a layer does not take what the one before it gives.
  explicit Sequential(std::vector<std::shared_ptr<Layer>> layers);

  // x: float32 (rows, features). With training, keeps what the next backward needs. Without, it may be called
  // from several threads at once.
  Tensor forward(Tensor x, bool training = false);
  Tensor predict(Tensor x) const;
  // After a forward pass with training: sets the gradients of every trained tensor and returns that of x where it
  // is wanted, else an empty Tensor.
  Tensor backward(Tensor dy, bool input_gradient = false);

  const std::vector<std::shared_ptr<Layer>>& layers() const { return layers_; }
  std::int64_t in_features() const { return in_features_; }  // 0 where no layer asks for a number
  std::vector<NamedTensor> tensors() const;                  // named "0.weight", "0.bias", …

 private:
  std::vector<std::shared_ptr<Layer>> layers_;
  Tape tape_;
  Shape output_shape_;
  std::int64_t in_features_ = 0;
};

struct Loss {
  double value;
  Tensor gradient;
};

// The mean over rows of -log softmax(logits)[label], and its gradient. logits: float32 (rows, classes).
Loss cross_entropy(const ConstTensorView& logits, std::span<const std::int64_t> labels);

}  // namespace petrain
