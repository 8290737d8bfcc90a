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

void multiply_panel(const kernels::WideArgs& args) { active_kernels().wide->multiply(args); }
void multiply_panel(const kernels::Wide64Args& args) { active_kernels().wide->multiply64(args); }

// C = A times the first columns of B; with `upper`, only the blocks on and above C's diagonal.
template <class T, class U>
WideMatrix product(const ConstMatrixOf<T>& a, const ConstMatrixOf<U>& b, std::int64_t columns, bool upper) {
  WideMatrix c(a.rows, columns);
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
            *target++ = j < columns ? b.data[(p0 + p) * b.row_stride + j * b.col_stride] : 0.0;
          }
        }
      }
      team.barrier();
      const ChunkRange units = team.share(panels * row_blocks);
      for (std::int64_t unit = units.begin; unit < units.end; ++unit) {
        const std::int64_t panel = unit / row_blocks, i0 = unit % row_blocks * kRows;
        if (upper && (panel + 1) * kPanel <= i0) continue;
        multiply_panel(kernels::WideArgsOf<T>{a.data + i0 * a.row_stride + p0 * a.col_stride, a.row_stride,
                                              a.col_stride, packed.data() + panel * kPanel * depth,
                                              c.row(i0) + panel * kPanel, c.stride, std::min(kRows, a.rows - i0),
                                              depth});
      }
      team.barrier();
    }
  });
  return c;
}

}  // namespace

template <class T>
WideMatrix gram(const ConstMatrixOf<T>& x) {
  WideMatrix g = product(x.transposed(), x, x.cols, true);
  for (std::int64_t i = 0; i < g.rows; ++i) {
    for (std::int64_t j = 0; j < i; ++j) g.row(i)[j] = g.row(j)[i];
  }
  return g;
}

template <class T, class U>
WideMatrix multiply(const ConstMatrixOf<T>& a, const ConstMatrixOf<U>& b) {
  return product(a, b, b.cols, false);
}

template WideMatrix gram(const ConstMatrix&);
template WideMatrix gram(const ConstMatrixOf<double>&);
template WideMatrix multiply(const ConstMatrix&, const ConstMatrix&);
template WideMatrix multiply(const ConstMatrix&, const ConstMatrixOf<double>&);
template WideMatrix multiply(const ConstMatrixOf<double>&, const ConstMatrixOf<double>&);

}  // namespace petrain
