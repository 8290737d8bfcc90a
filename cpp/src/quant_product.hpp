// A weight as products read it, and products of rows with it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "int_gemm.hpp"
#include "quant_rows.hpp"

namespace petrain {

// Whether sums of products are scaled before they are added: in groups, and with all weights of 4 bits.
bool in_groups(const QuantTensor& weight);

// Rows of x, prepared for products with one weight; as run_blocks wants it. For one thread.
class RowBlocks {
 public:
  virtual ~RowBlocks() = default;
  virtual void fill(std::int64_t first, std::int64_t count) = 0;
  virtual void multiply(const Block<float>& block) = 0;
};

// What kernels read of a weight (n, k) that outlives this, packed at the first product. Of two kinds of weights: one
// scale for each sum, or groups (and all of 4 bits) whose sums are scaled before they are added.
class QuantProduct {
 public:
  explicit QuantProduct(const QuantTensor& weight);

  // The products, with the scales of both, of up to most_rows rows at a time. What is common to all threads is made
  // here, of the rows as they are; later on one thread may change them, see QuantRows::few.
  std::unique_ptr<RowBlocks> blocks(const QuantRows& rows, std::int64_t most_rows) const;
  BlockGrid grid(const QuantRows& rows) const;
  Tensor product(const QuantRows& rows) const;  // float32 (M, N)
  // Throws std::invalid_argument where a product with rows of this scale could be so large that y is not finite.
  void require_finite(const QuantRows& rows) const;

 private:
  class OfIntegers;
  class OfGroups;
  const GroupedMatrix& grouped() const;
  Tensor offsets(std::int32_t zero_point) const;

  const QuantTensor& weight_;
  std::int64_t n_, k_;
  bool in_groups_;
  float largest_scale_;
  std::unique_ptr<IntMatrix> matrix_;  // of the first kind, as these:
  Tensor scales_, zeros_;              // float32 and int32 (n,); no zeros: all zero points are 0
  mutable std::once_flag grouped_once_;
  mutable std::unique_ptr<GroupedMatrix> grouped_;  // of the second
};

}  // namespace petrain
