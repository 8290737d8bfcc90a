// An int8 matrix in the form in which the integer product reads it.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "kernels/grouped_gemm.hpp"
#include "kernels/int_gemm.hpp"
#include "petrain/quant.hpp"

namespace petrain {

struct PackedInt8 {
  Tensor panels;        // int8, (panels, depth / 4, kPanel, 4)
  bool narrow = false;  // which route reads it
  // What was taken off for the narrow route: the entries of column j begin at first[j]. Empty where nothing was.
  std::vector<std::int32_t> first, excess_k;
  std::vector<std::int8_t> excess_values;
};

// An (n, k) matrix of int8 that somebody else owns and does not change, packed at the first product with it.
class IntMatrix {
 public:
  IntMatrix(const std::int8_t* values, std::int64_t n, std::int64_t k) : values_(values), n_(n), k_(k) {}

  std::int64_t n() const { return n_; }
  std::int64_t k() const { return k_; }
  std::int64_t depth() const;  // k, rounded up as the panels have it
  std::int64_t panel_count() const;
  const PackedInt8& packed() const;
  const Tensor& column_sums() const;  // int32, Σ_p b[j][p] of the columns of all panels
  const Tensor& shifted() const;      // uint8: panels of the numbers + 128, for products with few rows

 private:
  const std::int8_t* values_;
  std::int64_t n_, k_;
  mutable std::once_flag packed_once_, sums_once_, shifted_once_;
  mutable PackedInt8 packed_;
  mutable Tensor column_sums_, shifted_;
};

// Weights whose scale changes along k, or whose numbers have 4 bits, packed when they are made.
class GroupedMatrix {
 public:
  // w: (n, k), 4 bits in any format, or 8 bits in groups.
  explicit GroupedMatrix(const QuantTensor& w);

  std::int64_t n() const { return n_; }
  std::int64_t k() const { return k_; }
  std::int64_t depth() const { return group_size_ * groups_; }  // k, rounded up
  int bits() const { return bits_; }
  std::int64_t groups() const { return groups_; }
  std::int64_t group_size() const { return group_size_; }
  const Tensor& panels() const { return panels_; }  // as kernels/grouped_gemm.hpp or kernels/int_gemm.hpp say
  const Tensor& scales() const { return scales_; }  // float32, (panels, groups, kPanel)
  const Tensor& zeros() const { return zeros_; }    // int32 in the same shape; empty: all zero

 private:
  std::int64_t n_, k_, groups_, group_size_;
  int bits_;
  Tensor panels_, scales_, zeros_;
};

}  // namespace petrain
