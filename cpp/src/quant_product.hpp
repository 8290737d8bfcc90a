// A weight as products read it, and products of rows with it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "int_gemm.hpp"
#include "quant_rows.hpp"

namespace petrain {

using FloatBlocks = std::function<void(const Block<float>&)>;

// What kernels read of a weight (n, k) that outlives this, packed at the first product. Of two kinds of weights: one
// scale for each sum, or groups (and all of 4 bits) whose sums are scaled before they are added.
class QuantProduct {
 public:
  explicit QuantProduct(const QuantTensor& weight);

  std::int64_t n() const { return n_; }
  bool in_groups() const { return in_groups_; }
  float largest_scale() const { return largest_scale_; }
  std::size_t nbytes() const;

  // The products of all rows, with the scales of both; `done` is called once for each block, from several threads.
  void multiply(const QuantRows& rows, const FloatBlocks& done) const;
  // The same for the rows and columns of one block, by the calling thread alone. Not for weights in groups.
  void multiply_block(const QuantRows& rows, const Block<float>& block) const;

 private:
  const GroupedMatrix& grouped() const;
  Tensor offsets(std::int32_t zero_point) const;
  Tensor row_sums(const QuantRows& rows) const;
  void rescale(const QuantRows& rows, const Tensor& offsets, const Tensor& row_sums, const Block<std::int32_t>& exact,
               const Block<float>& block) const;

  const QuantTensor& weight_;
  std::int64_t n_, k_;
  bool in_groups_;
  float largest_scale_;
  std::unique_ptr<IntMatrix> matrix_;  // of the first kind, as these:
  Tensor scales_, zeros_;              // float32 and int32 (n,); no zeros: all zero points are 0
  mutable std::once_flag grouped_once_;
  mutable std::unique_ptr<GroupedMatrix> grouped_;  // of the second
};

// A second product that is added to the first, block by block.
class Addend {
 public:
  Addend(const QuantProduct& weight, QuantRows rows);
  void add_to(const Block<float>& block) const;

 private:
  const QuantProduct& weight_;
  QuantRows rows_;
  Tensor all_;  // where that is faster than block by block: one row, or weights in groups
};

}  // namespace petrain
