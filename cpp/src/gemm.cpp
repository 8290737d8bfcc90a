#include "gemm.hpp"

#include <algorithm>
#include <memory>

#include "isa.hpp"
#include "petrain/tensor.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

// A block of A (kBlockM × kBlockK) stays in the second-level cache, a strip of B (kBlockK × kBlockN) in the third.
// kGroupN columns are the unit of work beside kBlockM rows, so that short matrices too use all threads.
constexpr std::int64_t kBlockM = 96, kBlockK = 512, kBlockN = 4096, kGroupN = 256;
// Of B: A is read where it lies. Of A: B is, where the product is deep enough to pay for turning it.
constexpr std::int64_t kFew = 96, kDeep = 128;
static_assert(kGemmDepth % kBlockK == 0);
static_assert(kBlockM % 12 == 0 && kBlockM % 6 == 0 && kGroupN % 32 == 0, "whole panels of every instruction set");

constexpr std::int64_t blocks(std::int64_t size, std::int64_t block) { return (size + block - 1) / block; }

// Multiply-adds below which a second thread is not worth waking: 50 µs of one.
constexpr std::int64_t kSerialWork = 1 << 21;
// The same in elements of a matrix that is read once.
constexpr std::int64_t kSerialRead = 1 << 19;

// C = A B or C += A B, where B is read where it lies.
void gemm_of_few_rows(const ConstMatrix& a, const ConstMatrix& b, float* c, std::int64_t c_stride, bool accumulate) {
  const bool by_columns = b.row_stride == 1;
  const auto& kernel = *active_kernels().gemv;
  const bool in_place = a.rows == 1 && a.col_stride == 1;
  Tensor turned = Tensor::uninitialized(DType::f32, {in_place ? 0 : a.cols, a.rows});
  for (std::int64_t i = 0; i < a.rows && !in_place; ++i) {
    for (std::int64_t k = 0; k < a.cols; ++k) {
      turned.as<float>()[k * a.rows + i] = a.data[i * a.row_stride + k * a.col_stride];
    }
  }
  const std::int64_t chunks = blocks(b.cols, kernels::kFewRowsColumns);
  parallel(b.cols * a.cols <= kSerialRead ? 1 : threads_for(chunks), [&](const Team& team) {
    const ChunkRange mine = team.share(chunks);
    for (std::int64_t chunk = mine.begin; chunk < mine.end; ++chunk) {
      const std::int64_t j = chunk * kernels::kFewRowsColumns;
      const std::int64_t n = std::min<std::int64_t>(kernels::kFewRowsColumns, b.cols - j);
      (by_columns ? kernel.by_columns : kernel.by_rows)(
          {in_place ? a.data : turned.as<float>(), b.data + j * b.col_stride, by_columns ? b.col_stride : b.row_stride,
           c + j, c_stride, a.rows, n, a.cols, kBlockK, accumulate});
    }
  });
}

}  // namespace

void gemm(const ConstMatrix& a, const ConstMatrix& b, float* c, std::int64_t c_stride, bool accumulate) {
  const std::int64_t m = a.rows, n = b.cols, k = a.cols;
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (!accumulate) {
      for (std::int64_t i = 0; i < m; ++i) std::fill_n(c + i * c_stride, n, 0.0f);
    }
    return;
  }
  if (m <= kernels::kMostFewRows && (b.row_stride == 1 || b.col_stride == 1)) {
    return gemm_of_few_rows(a, b, c, c_stride, accumulate);
  }
  if (m <= kFew && n > kFew && k >= kDeep && (b.row_stride == 1 || b.col_stride == 1)) {
    Tensor turned = Tensor::uninitialized(DType::f32, {n, m});
    float* sums = turned.as<float>();
    for (std::int64_t i = 0; i < m && accumulate; ++i) {
      for (std::int64_t j = 0; j < n; ++j) sums[j * m + i] = c[i * c_stride + j];
    }
    gemm(b.transposed(), a.transposed(), sums, m, accumulate);
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) c[i * c_stride + j] = sums[j * m + i];
    }
    return;
  }
  const kernels::GemmTable& kernel = *active_kernels().gemm;
  const bool by_rows = n <= kFew && a.col_stride == 1, by_columns = n <= kFew && a.row_stride == 1;
  const std::int64_t block_m = by_columns ? kernels::kMostColumns : kBlockM, m_blocks = blocks(m, block_m);
  const std::int64_t most_units = m_blocks * blocks(std::min(n, kBlockN), kGroupN);
  const int threads = m * n * k <= kSerialWork ? 1 : threads_for(most_units);
  const std::int64_t depth = std::min(k, kBlockK);
  const std::int64_t rows = std::min(m, kBlockM) + kernel.mr, columns = std::min(n, kBlockN) + kernel.nr;
  Tensor packed_b = Tensor::uninitialized(DType::f32, {depth * columns});
  Tensor packed_a = Tensor::uninitialized(DType::f32, {threads, by_rows || by_columns ? 0 : depth * rows});
  in_step(threads, [&](const SteppingTeam& team) {
    float* own_a = packed_a.as<float>() + team.rank * depth * rows;
    for (std::int64_t n0 = 0; n0 < n; n0 += kBlockN) {
      const std::int64_t n_size = std::min(kBlockN, n - n0), groups = blocks(n_size, kGroupN);
      for (std::int64_t k0 = 0; k0 < k; k0 += kBlockK) {
        const std::int64_t k_size = std::min(kBlockK, k - k0);
        const ChunkRange packing = team.share(groups);
        const std::int64_t first = packing.begin * kGroupN, last = std::min(packing.end * kGroupN, n_size);
        if (first < last) {
          kernel.pack_b({b.data + k0 * b.row_stride + (n0 + first) * b.col_stride, b.col_stride, b.row_stride,
                         last - first, k_size, packed_b.as<float>() + first * k_size});
        }
        team.barrier();
        const ChunkRange units = team.share(m_blocks * groups);
        std::int64_t packed_block = -1;
        for (std::int64_t unit = units.begin; unit < units.end; ++unit) {
          const std::int64_t m_block = unit / groups, group = unit % groups;
          const std::int64_t m0 = m_block * block_m, m_size = std::min(block_m, m - m0);
          const std::int64_t j0 = group * kGroupN, j_size = std::min(kGroupN, n_size - j0);
          const float* from = a.data + m0 * a.row_stride + k0 * a.col_stride;
          kernels::BlockArgs block{from,
                                   packed_b.as<float>() + j0 * k_size,
                                   c + m0 * c_stride + n0 + j0,
                                   c_stride,
                                   m_size,
                                   j_size,
                                   k_size,
                                   accumulate || k0 > 0,
                                   by_rows ? a.row_stride : a.col_stride};
          if (by_rows || by_columns) {
            (by_rows ? kernel.block_of_rows : kernel.block_of_columns)(block);
            continue;
          }
          if (m_block != packed_block) kernel.pack_a({from, a.row_stride, a.col_stride, m_size, k_size, own_a});
          packed_block = m_block;
          block.a = own_a;
          kernel.block(block);
        }
        team.barrier();  // before the next strip of B takes the place of this one
      }
    }
  });
}

}  // namespace petrain
