// Rows of A, prepared for exact products with Bᵀ, and such products over all threads.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "int_blocks.hpp"
#include "int_pack.hpp"

namespace petrain {

// Row i of A, k numbers, either where it lies or written to `scratch`, which has kScratchSlack bytes more. Called from
// several threads, and more than once for a row.
constexpr std::int64_t kScratchSlack = 32;
using RowOf = std::function<const std::int8_t*(std::int64_t i, std::int8_t* scratch)>;

// A (m, k) times Bᵀ. `done` is called once for every block, from several threads.
void int_product(std::int64_t m, const RowOf& row, const IntMatrix& b,
                 const std::function<void(const Block<std::int32_t>&)>& done);

// One row or a few, prepared once for all threads and all B: what costs time with them is reading B.
class FewRows {
 public:
  // Whether this instruction set has a way of its own for so many rows; else IntRows are as fast.
  static bool fit(std::int64_t m);
  explicit FewRows(std::int64_t k);

  void prepare(std::int64_t m, const RowOf& row_of);
  // The sums of all rows with the columns of the block.
  void multiply(const IntMatrix& b, const Block<std::int32_t>& block) const;

 private:
  struct Row {
    std::vector<kernels::RowEight> steps;
    std::ptrdiff_t step_count = 0;
    std::int32_t sum = 0;
  };
  std::int64_t k_, m_ = 0;
  std::vector<Row> rows_;
  std::vector<std::int8_t> scratch_;
};

// Up to most_rows rows of A, but no more than kMostRows, prepared for products with B. For one thread.
class IntRows {
 public:
  IntRows(const IntMatrix& b, std::int64_t most_rows, RowOf row);

  void fill(std::int64_t first, std::int64_t count);
  void multiply(const Block<std::int32_t>& block) const;

 private:
  RowOf row_;
  const PackedInt8& packed_;
  const std::int32_t* column_sums_;
  const kernels::IntGemmTable& kernel_;
  const kernels::IntRoute& route_;
  std::int64_t k_, depth_, stride_;
  Tensor scratch_, prepared_, transposed_;
  int rows_ = 0;
};

// The same for weights in groups: sums are Σ_g float(Σ_{p in g} a[p] (b[p] - zero_point[g])) scale[g], in the order of
// the groups, each operation rounded to float32.
class GroupedRows {
 public:
  GroupedRows(const GroupedMatrix& b, std::int64_t most_rows, RowOf row);

  void fill(std::int64_t first, std::int64_t count);
  void multiply(const Block<float>& block) const;

 private:
  void multiply_panel(std::int64_t panel, float* sums, std::int64_t stride) const;

  RowOf row_;
  const GroupedMatrix& b_;
  const kernels::GroupedGemmTable& kernel_;
  const kernels::IntRoute& wide_;
  std::int64_t stride_;
  Tensor scratch_, prepared_;
  Tensor offsets_, row_sums_;  // int32, of rows: of the eights of 4-bit numbers; of groups, where B has zero points
  int rows_ = 0;
};

}  // namespace petrain
