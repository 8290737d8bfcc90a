#include "int_gemm.hpp"

#include <numeric>

#include "isa.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

using kernels::kMostRows;
using kernels::kPanel;

constexpr std::int64_t kColumns = 64;                 // of a block, in whole panels
constexpr std::int64_t kProductsPerThread = 1 << 20;  // below this a thread costs more than it saves

std::int64_t rounded_up(std::int64_t x, std::int64_t step) { return (x + step - 1) / step * step; }
std::int64_t parts(std::int64_t size, std::int64_t part) { return (size + part - 1) / part; }

// One thread's rows of A, prepared.
class Rows {
 public:
  Rows(const IntMatrix& b, const kernels::IntGemmTable& kernel)
      : packed_(b.packed()),
        kernel_(kernel),
        route_(packed_.narrow ? kernel.narrow : kernel.wide),
        k_(b.k()),
        depth_(b.depth()),
        stride_(depth_ * route_.a_bytes),
        plain_(Tensor::uninitialized(DType::i8, {k_})),
        prepared_(DType::i8, {kMostRows * stride_}) {
    if (!packed_.first.empty()) transposed_ = Tensor(DType::u8, {k_, kMostRows});
  }

  void fill(const IntProduct& product, std::int64_t first, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      product.row(first + i, plain_.as<std::int8_t>());
      route_.prepare_row(plain_.as<std::int8_t>(), k_, prepared_.as<std::int8_t>() + i * stride_);
    }
    rows_ = static_cast<int>(count);
    if (!transposed_.empty()) {
      kernel_.transpose(prepared_.as<std::uint8_t>(), stride_, rows_, k_, transposed_.as<std::uint8_t>());
    }
  }

  void multiply(std::int64_t panel, std::int32_t* sums, std::int64_t stride) const {
    route_.tile({prepared_.as<std::int8_t>(), stride_, packed_.panels.as<std::int8_t>() + panel * depth_ * kPanel,
                 packed_.column_sums.as<std::int32_t>() + panel * kPanel, sums, stride, depth_, rows_});
    if (transposed_.empty()) return;
    kernel_.add_excess({transposed_.as<std::uint8_t>(), packed_.excess_k.data(), packed_.excess_values.data(),
                        packed_.first.data() + panel * kPanel, sums, stride, rows_});
  }

 private:
  const PackedInt8& packed_;
  const kernels::IntGemmTable& kernel_;
  const kernels::IntRoute& route_;
  std::int64_t k_, depth_, stride_;
  Tensor plain_, prepared_, transposed_;
  int rows_ = 0;
};

// One row: what costs time is reading B, once and in order.
void row_product(const IntProduct& product, const IntMatrix& b) {
  const kernels::IntGemmTable& kernel = *active_kernels().int_gemm;
  const std::int64_t n = b.n(), k = b.k(), depth = b.depth(), blocks = parts(n, kColumns);
  Tensor row = Tensor::uninitialized(DType::i8, {k});
  product.row(0, row.as<std::int8_t>());
  std::vector<kernels::RowStep> steps(k / 2 + 4);
  const std::ptrdiff_t count = kernel.row_steps(row.as<std::int8_t>(), k, steps.data());
  const std::int32_t row_sum = std::accumulate(row.as<std::int8_t>(), row.as<std::int8_t>() + k, 0);
  const auto* panels = b.shifted().as<std::uint8_t>();
  parallel(threads_for(std::min(blocks, n * k / kProductsPerThread)), [&](const Team& team) {
    const ChunkRange mine = team.share(blocks);
    alignas(64) std::int32_t sums[kColumns];
    for (std::int64_t block = mine.begin; block < mine.end; ++block) {
      const std::int64_t column = block * kColumns, columns = std::min(kColumns, n - column);
      kernel.row({steps.data(), count, panels + column * depth, parts(columns, kPanel), depth, row_sum, sums});
      product.done({sums, kColumns, 0, 1, column, columns});
    }
  });
}

}  // namespace

void int_product(const IntProduct& product, const IntMatrix& b) {
  if (product.m == 1 && active_kernels().int_gemm->row != nullptr) {
    row_product(product, b);
    return;
  }
  const std::int64_t m = product.m, n = b.n();
  const std::int64_t column_blocks = parts(n, kColumns);
  const int threads =
      threads_for(std::min(parts(m, kernels::kRowStep) * column_blocks, m * n * b.k() / kProductsPerThread));
  // Many rows are shared out by rows, each of which is then prepared once; few by columns, so that B is read once.
  const std::int64_t row_block = std::min<std::int64_t>(kMostRows, rounded_up(parts(m, threads), kernels::kRowStep));
  const bool by_rows = m >= 32 * threads;
  const std::int64_t height = by_rows ? row_block : std::min<std::int64_t>(m, kMostRows);
  const std::int64_t row_blocks = parts(m, height);
  const std::int64_t units = row_blocks * (by_rows ? 1 : column_blocks), width = by_rows ? column_blocks : 1;
  const kernels::IntGemmTable& kernel = *active_kernels().int_gemm;
  std::vector<Rows> of_threads;
  for (int i = 0; i < threads; ++i) of_threads.emplace_back(b, kernel);
  parallel(threads, [&](const Team& team) {
    const ChunkRange mine = team.share(units);
    Rows& rows = of_threads[team.rank];
    alignas(64) std::int32_t sums[kMostRows * kColumns];
    std::int64_t filled = -1;
    for (std::int64_t unit = mine.begin; unit < mine.end; ++unit) {
      const std::int64_t block = unit * width / column_blocks, row = block * height;
      const std::int64_t count = std::min(height, m - row);
      if (block != filled) rows.fill(product, row, count);
      filled = block;
      const std::int64_t first = unit * width % column_blocks;
      for (std::int64_t c = first; c < first + width; ++c) {
        const std::int64_t column = c * kColumns, columns = std::min(kColumns, n - column);
        for (std::int64_t j = 0; j < columns; j += kPanel) rows.multiply((column + j) / kPanel, sums + j, kColumns);
        product.done({sums, kColumns, row, count, column, columns});
      }
    }
  });
}

}  // namespace petrain
