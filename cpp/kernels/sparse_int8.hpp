// What sparse weights of int8 need beside the dense integer product: the numbers of a row that a group meets, one after
// the other, and products of a single row with them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"

namespace petrain::kernels {

constexpr int kWindow = 16;         // inputs
constexpr int kGatherSlack = 16;    // bytes that may be written after the last, and read after the places
constexpr int kSparseOutputs = 16;  // of a group of int8

struct GatherArgs {
  const std::int8_t* row;
  const std::int32_t* positions;
  std::ptrdiff_t count;
  // Where every kWindow inputs have as many of them, `in_window`: their places there, else null.
  const std::uint8_t* places;
  int in_window;
  std::int8_t* to;
};

// sums[j] = Σ_s a[s] b[j][s], all of them from -127 to 127, b as [s / 4][output][4] with zeros up to a multiple of 4.
// a: gathered; or with positions, which then come in runs of a multiple of 4, the whole row.
struct SparseRowArgs {
  const std::int8_t* a;
  const std::int32_t* positions;
  const std::int8_t* panel;
  std::ptrdiff_t fours;
  std::int32_t* sums;
};

constexpr int kFoursRows = 32;

// Of kFoursRows rows, what the steps of a group meet: [step / 4][row][4], the rows in an order of its own.
struct FoursArgs {
  const std::int8_t* transposed;  // as IntGemmTable::transpose makes it, from the first of these rows on
  const std::int32_t* positions;
  std::ptrdiff_t count;
  std::ptrdiff_t fours;  // what is beyond `count` may be anything
  std::uint8_t* to;      // aligned to 32 bytes
};

// The narrow route of the dense product, for rows in this form. Without column_sums: exact for all from -127 to 127.
struct FoursTileArgs {
  const std::uint8_t* fours;
  std::ptrdiff_t count;             // of them; even with column_sums
  const std::int8_t* panel;         // aligned to 32 bytes
  const std::int32_t* column_sums;  // Σ_s b[j][s]
  std::int32_t* sums;               // kSparseOutputs of them for a row, written up to a multiple of 4 rows
  int rows;
};

// All but `gather` are null where the dense product reads gathered rows as fast.
struct SparseInt8Table {
  void (*gather)(const GatherArgs&);
  void (*row)(const SparseRowArgs&);
  void (*fours)(const FoursArgs&);
  void (*tile)(const FoursTileArgs&);
};

}  // namespace petrain::kernels
