// Exact integer products over all threads. What comes out is given as a function, so that sums become results while
// they are in the cache.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "int_pack.hpp"

namespace petrain {

// Rows [row, row + rows) and columns [column, column + columns) of a product. T: int32, or float for weights in groups.
template <class T>
struct Block {
  const T* sums;
  std::int64_t stride;
  std::int64_t row, rows, column, columns;
};

// Row i of A, k numbers, either where it lies or written to `scratch`. Called from several threads, and more than once
// for a row.
using RowOf = std::function<const std::int8_t*(std::int64_t i, std::int8_t* scratch)>;

// Memory of products with one B, for those that come again and again with so few rows that taking it would cost more
// than the product. B stays where it is.
class IntWorkspace {
 public:
  IntWorkspace(const IntMatrix& b, std::int64_t most_rows);
  explicit IntWorkspace(const GroupedMatrix& b);
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

// The same for weights in groups: sums are Σ_g float(Σ_{p in g} a[p] (b[p] - zero_point[g])) scale[g], in the order of
// the groups, each operation rounded to float32.
void grouped_product(std::int64_t m, const RowOf& row, const GroupedMatrix& b,
                     const std::function<void(const Block<float>&)>& done, IntWorkspace* workspace = nullptr);

}  // namespace petrain
