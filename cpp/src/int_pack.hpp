// An int8 matrix in the form in which the integer product reads it.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "kernels/int_gemm.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

struct PackedInt8 {
  Tensor panels;        // int8, (panels, depth / 4, kPanel, 4)
  Tensor column_sums;   // int32, of all panels
  bool narrow = false;  // which route reads it
  // What was taken off for the narrow route: the entries of column j begin at first[j]. Empty where nothing was.
  std::vector<std::int32_t> first, excess_k;
  std::vector<std::int8_t> excess_values;

  std::size_t nbytes() const {
    return panels.nbytes() + column_sums.nbytes() + (first.size() + excess_k.size()) * sizeof(std::int32_t) +
           excess_values.size();
  }
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
  const Tensor& shifted() const;  // uint8: panels of the numbers + 128, for products with one row
  std::size_t nbytes() const;     // of what has been packed

 private:
  const std::int8_t* values_;
  std::int64_t n_, k_;
  mutable std::once_flag packed_once_, shifted_once_;
  mutable PackedInt8 packed_;
  mutable Tensor shifted_;
};

}  // namespace petrain
