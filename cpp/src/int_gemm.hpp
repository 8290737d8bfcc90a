// Exact integer products over all threads. What comes out is given as a function, so that sums become results while
// they are in the cache.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "int_pack.hpp"

namespace petrain {

// Rows [row, row + rows) and columns [column, column + columns) of a product, in scratch that its receiver may change.
// T: int32, or float for weights in groups.
template <class T>
struct Block {
  T* sums;
  std::int64_t stride;
  std::int64_t row, rows, column, columns;
};

// Row i of A, k numbers, either where it lies or written to `scratch`, which has kScratchSlack bytes more. Called from
// several threads, and more than once for a row.
constexpr std::int64_t kScratchSlack = 32;
using RowOf = std::function<const std::int8_t*(std::int64_t i, std::int8_t* scratch)>;

// Memory of products with one B, which outlives it, for products that come again and again with so few rows that taking
// memory would cost more than the product.
class IntWorkspace {
 public:
  IntWorkspace(const IntMatrix& b, std::int64_t most_rows);
  IntWorkspace(const GroupedMatrix& b, std::int64_t most_rows);
  ~IntWorkspace();
  IntWorkspace(IntWorkspace&&) noexcept;
  IntWorkspace& operator=(IntWorkspace&&) = delete;

  struct Parts;
  Parts& parts() { return *parts_; }

 private:
  std::unique_ptr<Parts> parts_;
};

// A (m, k) times Bᵀ. `done` is called once for every block, from several threads; with a workspace, made of this B,
// from the calling thread alone.
void int_product(std::int64_t m, const RowOf& row, const IntMatrix& b,
                 const std::function<void(const Block<std::int32_t>&)>& done, IntWorkspace* workspace = nullptr);

// One row or a few, prepared: what costs time with them is reading B.
class FewRows {
 public:
  // Whether this instruction set has a way of its own for so many rows; else int_product is as fast.
  static bool fit(std::int64_t m);
  FewRows(std::int64_t most_rows, std::int64_t k);

  void prepare(std::int64_t m, const RowOf& row);
  void product(const IntMatrix& b, bool all_threads, const std::function<void(const Block<std::int32_t>&)>& done) const;

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
  IntRows(const IntMatrix& b, std::int64_t most_rows);

  void fill(const RowOf& row, std::int64_t first, std::int64_t count);
  // The sums of all rows with one panel of B.
  void multiply(std::int64_t panel, std::int32_t* sums, std::int64_t stride) const;

 private:
  const PackedInt8& packed_;
  const std::int32_t* column_sums_;
  const kernels::IntGemmTable& kernel_;
  const kernels::IntRoute& route_;
  std::int64_t k_, depth_, stride_;
  Tensor scratch_, prepared_, transposed_;
  int rows_ = 0;
};

constexpr std::int64_t kBlockColumns = 64;  // the most that a block has, in whole panels

// The same for weights in groups: sums are Σ_g float(Σ_{p in g} a[p] (b[p] - zero_point[g])) scale[g], in the order of
// the groups, each operation rounded to float32.
void grouped_product(std::int64_t m, const RowOf& row, const GroupedMatrix& b,
                     const std::function<void(const Block<float>&)>& done, IntWorkspace* workspace = nullptr);

}  // namespace petrain
