// Products with weights of 4 bits in plain loops, for processors without kernels of their own. What the others must
// give.
#pragma once

#include "grouped_gemm.hpp"

namespace petrain::kernels {
namespace {

using std::int32_t;
using std::int8_t;
using std::ptrdiff_t;

void prepare_row(const int8_t* a, ptrdiff_t depth, int32_t* offsets) {
  for (ptrdiff_t p = 0; p < depth; p += kInt4Depth) {
    int32_t sum = 0;
    for (int i = 0; i < kInt4Depth; ++i) sum += a[p + i];
    offsets[p / kInt4Depth] = -8 * sum;
  }
}

// Σ_{p in a group} a[p] b[p] for one column, b from 0 to 15.
int32_t products_of(const int8_t* a, const std::uint8_t* column, ptrdiff_t size) {
  int32_t sum = 0;
  for (ptrdiff_t p = 0; p < size; p += 8, column += kInt4Panel * 4) {
    for (int i = 0; i < 4; ++i) sum += a[p + i] * (column[i] & 15) + a[p + 4 + i] * (column[i] >> 4);
  }
  return sum;
}

void tile(const Int4TileArgs& args) {
  const ptrdiff_t blocks = args.group_size / kInt4Depth;
  for (int i = 0; i < args.rows; ++i) {
    const int8_t* a = args.a + i * args.a_stride;
    const int32_t* offsets = args.offsets + i * args.groups * blocks;
    for (int j = 0; j < kInt4Panel; ++j) {
      float sum = 0;
      for (ptrdiff_t g = 0; g < args.groups; ++g) {
        const ptrdiff_t begin = g * args.group_size;
        int32_t products = products_of(a + begin, args.panel + begin * kInt4Panel / 2 + j * 4, args.group_size);
        for (ptrdiff_t block = 0; block < blocks; ++block) products += offsets[g * blocks + block];
        if (args.zeros != nullptr) products -= args.zeros[g * kInt4Panel + j] * args.row_sums[i * args.groups + g];
        sum += static_cast<float>(products) * args.scales[g * kInt4Panel + j];
      }
      args.sums[i * args.sums_stride + j] = sum;
    }
  }
}

}  // namespace
}  // namespace petrain::kernels
