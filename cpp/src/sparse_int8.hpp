// Products of rows with a sparse weight of int8: the numbers of x that a group meets are put side by side, and the rest
// is a dense integer product.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "int_pack.hpp"
#include "petrain/sparse.hpp"
#include "quant_product.hpp"
#include "sparse_steps.hpp"

namespace petrain {

class SparseInt8 {
 public:
  // They outlive this; the steps are those of steps_of(weight).
  SparseInt8(const SparseTensor& weight, const StepIndex& steps);

  void forward(const ConstTensorView& x, const TensorView& y, const ConstTensorView& bias) const;

 private:
  class Rows;
  class FewRows;

  struct Group {
    std::unique_ptr<IntMatrix> matrix;   // (outputs, steps); null without steps
    std::vector<std::int32_t> excess_k;  // inputs in the place of steps
  };

  std::int64_t count(std::int64_t g) const { return starts_[g + 1] - starts_[g]; }
  void gather(std::int64_t g, const std::int8_t* row, std::int8_t* to) const;
  void pack() const;
  void pack_panels() const;

  const SparseTensor& weight_;
  const std::vector<std::int32_t>& positions_;
  const std::vector<std::int64_t>& starts_;
  std::int64_t most_steps_ = 0;
  float largest_scale_;
  std::vector<std::uint8_t> places_;  // see GatherArgs; empty: there are none
  int in_window_ = 0;
  Tensor values_;  // int8, of each group (outputs, steps)
  mutable std::once_flag packed_once_, panels_once_;
  mutable std::vector<Group> groups_;
  mutable Tensor panels_;  // as kernels::SparseRowArgs has them, group after group
  std::vector<std::int64_t> panel_starts_;
};

}  // namespace petrain
