#include "grouped_gemm.hpp"

#if !defined(PETRAIN_PLAIN)
#include "grouped_gemm_vectors.hpp"
#else
#include "grouped_gemm_plain.hpp"
#endif

namespace petrain::kernels {
namespace {

void add_scaled(const AddScaledArgs& args) {
  const float* __restrict scales = args.scales;
  for (int i = 0; i < args.rows; ++i) {
    const int32_t* __restrict products = args.products + i * kInt4Panel;
    float* __restrict sums = args.sums + i * args.sums_stride;
    if (args.zeros == nullptr) {
#pragma omp simd
      for (int j = 0; j < kInt4Panel; ++j) sums[j] += static_cast<float>(products[j]) * scales[j];
    } else {
      const int32_t* __restrict zeros = args.zeros;
      const int32_t row_sum = args.row_sums[i * args.row_sums_stride];
#pragma omp simd
      for (int j = 0; j < kInt4Panel; ++j) sums[j] += static_cast<float>(products[j] - zeros[j] * row_sum) * scales[j];
    }
  }
}

}  // namespace

extern const GroupedGemmTable PETRAIN_TABLE(grouped_gemm) = {prepare_row, tile, add_scaled};

}  // namespace petrain::kernels
