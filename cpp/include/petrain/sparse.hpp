// Weights of linear layers without their zeros: n of every m inputs, or blocks, with positions that several outputs
// share, so that what is left out is not computed either.
//
//   petrain::SparseTensor small = petrain::compress(w, mask, {.group = 16, .n = 2, .m = 4});    // (N, K), 2:4
//   const petrain::SparseLinear layer(std::move(small));
//   layer.forward(x, y);                                                                  // (M, K) -> (M, N)
//
// Weights are float32, or int8 with a scale for each output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "petrain/tensor.hpp"

namespace petrain {

// What may be stored. The outputs are cut into groups of neighbours, all of which have the same positions.
struct SparsePattern {
  std::int64_t group = 16;  // outputs: 1, 2, 4, 8 or 16; int8: 16
  // Either n of every m neighbouring inputs, 1 <= n < m <= 16, or blocks of so many inputs, 1 to 64, which begin at a
  // multiple of that.
  std::int64_t n = 0, m = 0;
  std::int64_t columns = 0;

  bool blocks() const { return m == 0; }
  bool operator==(const SparsePattern&) const = default;
};

std::string pattern_text(const SparsePattern& pattern);  // "2:4 in groups of 16", "blocks of 16 x 4"

// A weight (N, K) as it is stored. The values may be changed; what changes something else sees to it that validate()
// still passes.
struct SparseTensor {
  // float32 or int8: (N / group, K / m * n, group), or (blocks, columns, group); the inputs in order within a group.
  Tensor values;
  Tensor scale;  // float32 (N,) of int8, which is from -127 to 127; else empty
  // n of m: the places among m neighbours, from the lowest bit of each byte on, as many bits each as m - 1 has; the
  // bits that are left over are 0. uint8.
  Tensor positions;
  // Blocks: those of group g are starts[g] … starts[g + 1] - 1, at these multiples of `columns`, ascending. int32.
  Tensor columns, starts;
  SparsePattern pattern;
  Shape shape;

  std::int64_t groups() const { return shape[0] / pattern.group; }
  std::size_t nbytes() const;
  SparseTensor clone() const;
  // Throws std::invalid_argument where the parts disagree, a position is out of order or range, or a number is not
  // finite.
  void validate() const;
};

// w: float32 (N, K); mask: uint8, 1 where a weight is stored; where all of a group have 0 for an input, or a block, it
// is left out. int8 as `quantize` has it, with a scale for each output. Where fewer than n of m are wanted, zeros are
// stored. Throws std::invalid_argument where a number is not finite, the pattern does not fit the shape, or a mask
// wants more than n of m.
SparseTensor compress(const ConstTensorView& w, const ConstTensorView& mask, const SparsePattern& pattern, int bits);

// The bytes that `blocks` stored blocks of this pattern take, or any weight of n of m.
std::int64_t sparse_nbytes(const Shape& shape, const SparsePattern& pattern, int bits, std::int64_t blocks);

// float32 (N, K), of int8 each the product with its scale.
Tensor dense(const SparseTensor& w);

class SparseInt8;
struct StepIndex;

class SparseLinear {
 public:
  // Throws as validate() does, and where int32 does not hold the sums.
  explicit SparseLinear(std::shared_ptr<const SparseTensor> weight);
  ~SparseLinear();
  SparseLinear(SparseLinear&&) noexcept;
  SparseLinear& operator=(SparseLinear&&) noexcept;

  const SparseTensor& weight() const { return *weight_; }
  std::int64_t out_features() const { return weight_->shape[0]; }
  std::int64_t in_features() const { return weight_->shape[1]; }

  // x (…, K), y (…, N), float32; bias (N,) or no data. float32: the products of what is stored, input after input,
  // then the bias, as a product of matrices computes them: the same bits for any number of threads and rows. int8: the
  // bits of QuantLinear with the same integers, x being (M, K) or (K,) and finite. The weight may not be changed by
  // others meanwhile; int8 is packed when the layer is made and at the first calls, so that its values may not change
  // from then on.
  void forward(const ConstTensorView& x, const TensorView& y, const ConstTensorView& bias = {}) const;

  // Of float32: dx = dy W, where it has data; the gradient of the values, and of a bias, are returned: (…, group),
  // (N,).
  struct Gradients {
    Tensor values, bias;
  };
  Gradients backward(const ConstTensorView& dy, const ConstTensorView& x, const TensorView& dx) const;
  // The same without that of a bias, with the gradient of the values in memory of the caller's.
  void backward(const ConstTensorView& dy, const ConstTensorView& x, const TensorView& values,
                const TensorView& dx) const;

 private:
  std::shared_ptr<const SparseTensor> weight_;
  std::unique_ptr<const StepIndex> steps_;
  std::unique_ptr<const SparseInt8> int8_;  // null: float32
};

// Writes all or nothing: see write_safetensors. The same weights give the same bytes.
void save_sparse(const std::string& path, const std::map<std::string, const SparseTensor*>& weights);
// The file is hostile until checked. Throws IoError where it cannot be read, Error where it is not such a file.
std::map<std::string, SparseTensor> load_sparse(const std::string& path);
std::map<std::string, SparseTensor> parse_sparse(std::span<const std::byte> bytes);

}  // namespace petrain
