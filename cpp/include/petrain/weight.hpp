// The weight of a linear layer, an (out, in) matrix W, in the form in which it is stored. Compressing a layer is
// giving it another Weight; layers do not know which one they hold.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "petrain/quant_linear.hpp"
#include "petrain/sparse.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

// A stored tensor of a model: its name and, where it is trained, the gradient of the last backward pass.
struct NamedTensor {
  std::string name;
  Tensor* value;
  Tensor* gradient;  // null: not trained, and not to be changed
};

// What forward passes keep for the backward pass: a stack, filled forwards and emptied backwards.
using Tape = std::vector<Tensor>;

class Weight {
 public:
  virtual ~Weight() = default;

  virtual const char* format() const = 0;  // "float32", "int8", "low_rank", …
  virtual std::int64_t out_features() const = 0;
  virtual std::int64_t in_features() const = 0;

  // y = x Wᵀ + bias for x (rows, in) and y (rows, out); bias may be null. Keeps on the tape, where there is one,
  // what backward needs beside x.
  virtual void forward(const Tensor& x, const float* bias, Tensor& y, Tape* tape) const = 0;
  // The gradients of what is trained in this weight, from x and dy; where dx is not null, dx = dy W.
  virtual void backward(const Tensor& x, const Tensor& dy, Tensor* dx, Tape& tape) = 0;

  // Every stored tensor, named `name` or below it: name.a, name.values, …
  virtual void collect(const std::string& name, std::vector<NamedTensor>& tensors) = 0;
  virtual Tensor dense() const = 0;  // the matrix that this stands for, float32
};

class DenseWeight final : public Weight {
 public:
  explicit DenseWeight(Tensor values);  // float32 (out, in)

  const char* format() const override { return "float32"; }
  std::int64_t out_features() const override { return values_.shape()[0]; }
  std::int64_t in_features() const override { return values_.shape()[1]; }
  void forward(const Tensor& x, const float* bias, Tensor& y, Tape* tape) const override;
  void backward(const Tensor& x, const Tensor& dy, Tensor* dx, Tape& tape) override;
  void collect(const std::string& name, std::vector<NamedTensor>& tensors) override;
  Tensor dense() const override { return values_.clone(); }
  Tensor& values() { return values_; }

 private:
  Tensor values_, gradient_;
};

// Integers of 8 or 4 bits in any format that QuantLinear takes. The activations are quantized as they come, row by row.
// Not trained itself; gradients pass through it.
class QuantWeight final : public Weight {
 public:
  explicit QuantWeight(std::shared_ptr<QuantTensor> values);  // (out, in)

  const char* format() const override { return quantized_->spec == QuantSpec{} ? "int8" : "quantized"; }
  std::int64_t out_features() const override { return quantized_->shape[0]; }
  std::int64_t in_features() const override { return quantized_->shape[1]; }
  void forward(const Tensor& x, const float* bias, Tensor& y, Tape* tape) const override;
  void backward(const Tensor& x, const Tensor& dy, Tensor* dx, Tape& tape) override;
  void collect(const std::string& name, std::vector<NamedTensor>& tensors) override;
  Tensor dense() const override { return dequantize(*quantized_); }
  const QuantTensor& values() const { return *quantized_; }
  const std::shared_ptr<QuantTensor>& shared_values() const { return quantized_; }
  const QuantLinear& layer() const { return layer_; }

 private:
  std::shared_ptr<QuantTensor> quantized_;  // which must not change: the layer keeps a packed copy
  QuantLinear layer_;
};

// W = A B with A (out, rank) and B (rank, in), each in a form of its own.
class LowRankWeight final : public Weight {
 public:
  LowRankWeight(std::shared_ptr<Weight> a, std::shared_ptr<Weight> b);

  const char* format() const override { return "low_rank"; }
  std::int64_t out_features() const override { return a_->out_features(); }
  std::int64_t in_features() const override { return b_->in_features(); }
  std::int64_t rank() const { return a_->in_features(); }
  void forward(const Tensor& x, const float* bias, Tensor& y, Tape* tape) const override;
  void backward(const Tensor& x, const Tensor& dy, Tensor* dx, Tape& tape) override;
  void collect(const std::string& name, std::vector<NamedTensor>& tensors) override;
  Tensor dense() const override;
  const std::shared_ptr<Weight>& a() const { return a_; }
  const std::shared_ptr<Weight>& b() const { return b_; }

 private:
  std::shared_ptr<Weight> a_, b_;
};

// W = Q + A B: integers, and low-rank integers for what they leave, with A (out, rank) and B (rank, in). Not trained.
class ResidualWeight final : public Weight {
 public:
  ResidualWeight(std::shared_ptr<QuantWeight> base, std::shared_ptr<QuantWeight> a, std::shared_ptr<QuantWeight> b);

  const char* format() const override { return "residual"; }
  std::int64_t out_features() const override { return base_->out_features(); }
  std::int64_t in_features() const override { return base_->in_features(); }
  void forward(const Tensor& x, const float* bias, Tensor& y, Tape* tape) const override;
  void backward(const Tensor& x, const Tensor& dy, Tensor* dx, Tape& tape) override;
  void collect(const std::string& name, std::vector<NamedTensor>& tensors) override;
  Tensor dense() const override;
  const std::shared_ptr<QuantWeight>& base() const { return base_; }
  const std::shared_ptr<QuantWeight>& a() const { return a_; }
  const std::shared_ptr<QuantWeight>& b() const { return b_; }

 private:
  std::shared_ptr<QuantWeight> base_, a_, b_;
};

// Without its zeros. float32 values are trained: what is not stored stays zero.
class SparseWeight final : public Weight {
 public:
  explicit SparseWeight(std::shared_ptr<SparseTensor> values);  // (out, in)

  const char* format() const override { return "sparse"; }
  std::int64_t out_features() const override { return values_->shape[0]; }
  std::int64_t in_features() const override { return values_->shape[1]; }
  void forward(const Tensor& x, const float* bias, Tensor& y, Tape* tape) const override;
  void backward(const Tensor& x, const Tensor& dy, Tensor* dx, Tape& tape) override;
  void collect(const std::string& name, std::vector<NamedTensor>& tensors) override;
  Tensor dense() const override { return petrain::dense(*values_); }
  const std::shared_ptr<SparseTensor>& values() const { return values_; }

 private:
  bool trained() const { return values_->scale.empty(); }

  std::shared_ptr<SparseTensor> values_;
  SparseLinear layer_;
  Tensor gradient_;
};

}  // namespace petrain
