// Integer products in plain loops, for processors without kernels of their own. What the others must give.
#pragma once

#include "int_gemm_same.hpp"

namespace petrain::kernels {
namespace {

using std::int32_t;
using std::int8_t;
using std::ptrdiff_t;

void tile(const IntTileArgs& args) {
  for (int row = 0; row < args.rows; ++row) {
    const auto* a = static_cast<const int8_t*>(args.a) + row * args.a_stride;
    int32_t* sums = args.sums + row * args.sums_stride;
    for (int j = 0; j < kPanel; ++j) sums[j] = 0;
    for (ptrdiff_t p = 0; p < args.k; p += 4) {
      const int8_t* b = args.panel + p * kPanel;
      for (int j = 0; j < kPanel; ++j) {
        for (int i = 0; i < 4; ++i) sums[j] += a[p + i] * b[j * 4 + i];
      }
    }
  }
}

constexpr IntRoute kRoute = {sizeof(int8_t), prepare_same, tile};
constexpr IntGemmTable kIntGemm = {kRoute, kRoute, false, nullptr, nullptr, nullptr, nullptr};

}  // namespace
}  // namespace petrain::kernels
