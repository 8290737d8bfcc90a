// What sparse weights of int8 need beside the dense integer product: the numbers of a row that a group meets, one after
// the other, and products of a single row with them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"

namespace petrain::kernels {

constexpr int kWindow = 16;        // inputs
constexpr int kGatherSlack = 16;   // bytes that may be written after the last, and read after the places
constexpr int kSparseOutputs = 16;  // of a group of int8

struct GatherArgs {
  const std::int8_t* row;
  const std::int32_t* positions;
  std::ptrdiff_t count;
  // Where every kWindow inputs have as many of them, `in_window`: their places there, else null.
  const std::uint8_t* places;
  int in_window;
  bool fours;  // they come in runs of a multiple of 4
  std::int8_t* to;
};

// sums[j] = Σ_s a[s] b[j][s], all of them from -127 to 127, b as [s / 4][output][4] with zeros up to a multiple of 4.
struct SparseRowArgs {
  const std::int8_t* a;
  const std::int8_t* panel;
  std::ptrdiff_t fours;
  std::int32_t* sums;
};

struct SparseInt8Table {
  void (*gather)(const GatherArgs&);
  void (*row)(const SparseRowArgs&);  // null: the dense product is as fast
};

}  // namespace petrain::kernels
