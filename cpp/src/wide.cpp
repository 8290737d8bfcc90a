#include "wide.hpp"

#include <algorithm>

#include "isa.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kPanel = kernels::kWideColumns;
constexpr std::int64_t kDepth = 2048;  // rows of B that are packed at a time: a panel stays in the second-level cache
constexpr std::int64_t kRows = 32;     // rows of A in one unit of work
constexpr std::int64_t kSerialWork = 1 << 19;  // multiply-adds below which a second thread costs more than it brings

// C = A B, where at(p, j) is element (p, j) of B; with `upper`, only the blocks on and above C's diagonal.
template <class At>
WideMatrix product(const ConstMatrix& a, std::int64_t columns, const At& at, bool upper) {
  WideMatrix c(a.rows, columns);
  const auto& kernel = *active_kernels().wide;
  const std::int64_t panels = c.stride / kPanel, row_blocks = (a.rows + kRows - 1) / kRows;
  std::vector<double> packed(panels * kPanel * std::min(a.cols, kDepth));
  const bool serial = a.rows * a.cols * c.stride <= kSerialWork;
  in_step(serial ? 1 : threads_for(panels * row_blocks), [&](const SteppingTeam& team) {
    for (std::int64_t p0 = 0; p0 < a.cols; p0 += kDepth) {
      const std::int64_t depth = std::min(kDepth, a.cols - p0);
      const ChunkRange packing = team.share(panels);
      for (std::int64_t panel = packing.begin; panel < packing.end; ++panel) {
        double* target = packed.data() + panel * kPanel * depth;
        for (std::int64_t p = 0; p < depth; ++p) {
          for (std::int64_t j = panel * kPanel; j < (panel + 1) * kPanel; ++j) {
            *target++ = j < columns ? at(p0 + p, j) : 0.0;
          }
        }
      }
      team.barrier();
      const ChunkRange units = team.share(panels * row_blocks);
      for (std::int64_t unit = units.begin; unit < units.end; ++unit) {
        const std::int64_t panel = unit / row_blocks, i0 = unit % row_blocks * kRows;
        if (upper && (panel + 1) * kPanel <= i0) continue;
        kernel.multiply({a.data + i0 * a.row_stride + p0 * a.col_stride, a.row_stride, a.col_stride,
                         packed.data() + panel * kPanel * depth, c.row(i0) + panel * kPanel, c.stride,
                         std::min(kRows, a.rows - i0), depth});
      }
      team.barrier();
    }
  });
  return c;
}

}  // namespace

WideMatrix gram(const ConstMatrix& x) {
  const auto at = [&](std::int64_t p, std::int64_t j) -> double { return x.data[p * x.row_stride + j * x.col_stride]; };
  WideMatrix g = product(x.transposed(), x.cols, at, true);
  for (std::int64_t i = 0; i < g.rows; ++i) {
    for (std::int64_t j = 0; j < i; ++j) g.row(i)[j] = g.row(j)[i];
  }
  return g;
}

WideMatrix multiply(const ConstMatrix& a, const WideMatrix& b, std::int64_t columns) {
  return product(a, columns, [&](std::int64_t p, std::int64_t j) { return b.row(p)[j]; }, false);
}

WideMatrix multiply(const ConstMatrix& a, const ConstMatrix& b) {
  const auto at = [&](std::int64_t p, std::int64_t j) -> double { return b.data[p * b.row_stride + j * b.col_stride]; };
  return product(a, b.cols, at, false);
}

}  // namespace petrain
