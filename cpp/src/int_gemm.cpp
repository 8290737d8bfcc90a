#include "int_gemm.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "isa.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

using kernels::kMostRows;
using kernels::kPanel;

constexpr std::int64_t kApart = 64;                   // bytes, so that equal places of rows lie in different cache sets
constexpr std::int64_t kProductsPerThread = 1 << 20;  // below this a thread costs more than it saves
constexpr std::int64_t kFewRows = 4;                  // with more, tiles of several rows are faster

std::int64_t rounded_up(std::int64_t x, std::int64_t step) { return (x + step - 1) / step * step; }
std::int64_t parts(std::int64_t size, std::int64_t part) { return (size + part - 1) / part; }

// What kernels read where a call has up to `most` rows.
std::int64_t read_rows(std::int64_t most) {
  return std::min<std::int64_t>(kMostRows, rounded_up(most, kernels::kRowStep));
}

// Cuts C (m, n) into blocks of up to kMostRows rows and kBlockColumns columns. With `only`, which is made of B, on the
// calling thread.
template <class T, class Rows, class Matrix, class Done>
void for_each_block(std::int64_t m, const RowOf& row_of, const Matrix& b, Rows* only, Done&& done) {
  const std::int64_t n = b.n(), k = b.k();
  const std::int64_t column_blocks = parts(n, kBlockColumns);
  const std::int64_t units = std::min(parts(m, kernels::kRowStep) * column_blocks, m * n * k / kProductsPerThread);
  const int threads = only != nullptr ? 1 : threads_for(units);
  // Many rows are shared out by rows, each of which is then prepared once; few by columns, so that B is read once.
  const bool by_rows = m >= 32 * threads;
  const std::int64_t height =
      std::min<std::int64_t>(kMostRows, by_rows ? rounded_up(parts(m, threads), kernels::kRowStep) : m);
  const std::int64_t row_blocks = parts(m, height), width = by_rows ? column_blocks : 1;
  std::vector<Rows> of_threads;
  of_threads.reserve(threads);
  for (int i = 0; only == nullptr && i < threads; ++i) of_threads.emplace_back(b, height);
  parallel(threads, [&](const Team& team) {
    const ChunkRange mine = team.share(row_blocks * column_blocks / width);
    Rows& rows = only != nullptr ? *only : of_threads[team.rank];
    alignas(64) T sums[kMostRows * kBlockColumns];
    std::int64_t filled = -1;
    for (std::int64_t unit = mine.begin; unit < mine.end; ++unit) {
      const std::int64_t block = unit * width / column_blocks, row = block * height;
      const std::int64_t count = std::min(height, m - row);
      if (block != filled) rows.fill(row_of, row, count);
      filled = block;
      const std::int64_t first = unit * width % column_blocks;
      for (std::int64_t c = first; c < first + width; ++c) {
        const std::int64_t column = c * kBlockColumns, columns = std::min(kBlockColumns, n - column);
        for (std::int64_t j = 0; j < columns; j += kPanel)
          rows.multiply((column + j) / kPanel, sums + j, kBlockColumns);
        done(Block<T>{sums, kBlockColumns, row, count, column, columns});
      }
    }
  });
}

// Rows of A for weights in groups, and the sums of each group of a row where weights have zero points.
class GroupedRows {
 public:
  GroupedRows(const GroupedMatrix& b, std::int64_t most_rows)
      : b_(b),
        kernel_(*active_kernels().grouped_gemm),
        wide_(active_kernels().int_gemm->wide),
        stride_(b.depth() * (b.bits() == 4 ? 1 : wide_.a_bytes) + kApart),
        scratch_(Tensor::uninitialized(DType::i8, {b.k() + kScratchSlack})),
        prepared_(DType::i8, {read_rows(most_rows), stride_}) {
    const std::int64_t rows = prepared_.shape()[0];
    if (b.bits() == 4) offsets_ = Tensor(DType::i32, {rows, b.depth() / kernels::kInt4Depth});
    if (!b.zeros().empty()) row_sums_ = Tensor(DType::i32, {rows, b.groups()});
  }

  void fill(const RowOf& row_of, std::int64_t first, std::int64_t count) {
    rows_ = static_cast<int>(count);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int8_t* row = row_of(first + i, scratch_.as<std::int8_t>());
      auto* to = prepared_.as<std::int8_t>() + i * stride_;
      if (b_.bits() == 4) {
        std::copy_n(row, b_.k(), to);
        kernel_.prepare_row(to, b_.depth(), offsets_.as<std::int32_t>() + i * (b_.depth() / kernels::kInt4Depth));
      } else {
        wide_.prepare_row(row, b_.k(), to);
      }
      if (row_sums_.empty()) continue;
      for (std::int64_t g = 0; g < b_.groups(); ++g) {
        const std::int64_t begin = g * b_.group_size(), end = std::min(begin + b_.group_size(), b_.k());
        row_sums_.as<std::int32_t>()[i * b_.groups() + g] = std::accumulate(row + begin, row + end, 0);
      }
    }
  }

  void multiply(std::int64_t panel, float* sums, std::int64_t stride) const {
    const float* scales = b_.scales().as<float>() + panel * b_.groups() * kPanel;
    const std::int32_t* zeros =
        b_.zeros().empty() ? nullptr : b_.zeros().as<std::int32_t>() + panel * b_.groups() * kPanel;
    if (b_.bits() == 4) {
      kernel_.tile({prepared_.as<std::int8_t>(), stride_, offsets_.as<std::int32_t>(), row_sums_.as<std::int32_t>(),
                    b_.panels().as<std::uint8_t>() + panel * b_.depth() * kPanel / 2, scales, zeros, sums, stride,
                    b_.groups(), b_.group_size(), rows_});
      return;
    }
    alignas(64) std::int32_t products[kMostRows * kPanel];
    for (int i = 0; i < rows_; ++i) std::fill_n(sums + i * stride, kPanel, 0.0F);
    for (std::int64_t g = 0; g < b_.groups(); ++g) {
      const std::int64_t begin = g * b_.group_size();
      wide_.tile({prepared_.as<std::int8_t>() + begin * wide_.a_bytes, stride_,
                  b_.panels().as<std::int8_t>() + (panel * b_.depth() + begin) * kPanel, nullptr, products, kPanel,
                  b_.group_size(), rows_});
      kernel_.add_scaled({products, zeros == nullptr ? nullptr : zeros + g * kPanel,
                          row_sums_.empty() ? nullptr : row_sums_.as<std::int32_t>() + g, b_.groups(),
                          scales + g * kPanel, sums, stride, rows_});
    }
  }

 private:
  const GroupedMatrix& b_;
  const kernels::GroupedGemmTable& kernel_;
  const kernels::IntRoute& wide_;
  std::int64_t stride_;
  Tensor scratch_, prepared_, offsets_, row_sums_;
  int rows_ = 0;
};

}  // namespace

IntRows::IntRows(const IntMatrix& b, std::int64_t most_rows)
    : packed_(b.packed()),
      column_sums_(b.column_sums().as<std::int32_t>()),
      kernel_(*active_kernels().int_gemm),
      route_(packed_.narrow ? kernel_.narrow : kernel_.wide),
      k_(b.k()),
      depth_(b.depth()),
      stride_(depth_ * route_.a_bytes),
      scratch_(Tensor::uninitialized(DType::i8, {k_ + kScratchSlack})),
      prepared_(DType::i8, {read_rows(most_rows), stride_}) {
  if (!packed_.first.empty()) transposed_ = Tensor(DType::i8, {k_, kMostRows});
}

void IntRows::fill(const RowOf& row, std::int64_t first, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    route_.prepare_row(row(first + i, scratch_.as<std::int8_t>()), k_, prepared_.as<std::int8_t>() + i * stride_);
  }
  rows_ = static_cast<int>(count);
  if (!transposed_.empty()) {
    kernel_.transpose(prepared_.as<std::int8_t>(), stride_, rows_, k_, transposed_.as<std::int8_t>());
  }
}

void IntRows::multiply(std::int64_t panel, std::int32_t* sums, std::int64_t stride) const {
  route_.tile({prepared_.as<std::int8_t>(), stride_, packed_.panels.as<std::int8_t>() + panel * depth_ * kPanel,
               column_sums_ + panel * kPanel, sums, stride, depth_, rows_});
  if (transposed_.empty()) return;
  kernel_.add_excess({transposed_.as<std::int8_t>(), packed_.excess_k.data(), packed_.excess_values.data(),
                      packed_.first.data() + panel * kPanel, sums, stride, rows_});
}

bool FewRows::fit(std::int64_t m) { return m <= kFewRows && active_kernels().int_gemm->row != nullptr; }

FewRows::FewRows(std::int64_t most_rows, std::int64_t k)
    : k_(k),
      rows_(static_cast<std::size_t>(std::min(most_rows, kFewRows))),
      scratch_(static_cast<std::size_t>(k + kScratchSlack)) {
  for (Row& row : rows_) row.steps.resize(static_cast<std::size_t>(k / 2 + 4));
}

void FewRows::prepare(std::int64_t m, const RowOf& row_of) {
  m_ = m;
  for (std::int64_t i = 0; i < m; ++i) {
    const std::int8_t* values = row_of(i, scratch_.data());
    Row& row = rows_[static_cast<std::size_t>(i)];
    row.step_count = active_kernels().int_gemm->row_steps(values, k_, row.steps.data());
    row.sum = std::accumulate(values, values + k_, 0);
  }
}

void FewRows::product(const IntMatrix& b, bool all_threads,
                      const std::function<void(const Block<std::int32_t>&)>& done) const {
  const kernels::IntGemmTable& kernel = *active_kernels().int_gemm;
  const std::int64_t n = b.n(), depth = b.depth(), blocks = parts(n, kBlockColumns);
  const auto* panels = b.shifted().as<std::uint8_t>();
  const int threads = all_threads ? threads_for(std::min(blocks, m_ * n * k_ / kProductsPerThread)) : 1;
  parallel(threads, [&](const Team& team) {
    const ChunkRange mine = team.share(blocks);
    alignas(64) std::int32_t sums[kFewRows * kBlockColumns];
    for (std::int64_t block = mine.begin; block < mine.end; ++block) {
      const std::int64_t column = block * kBlockColumns, columns = std::min(kBlockColumns, n - column);
      for (std::int64_t i = 0; i < m_; ++i) {
        const Row& row = rows_[static_cast<std::size_t>(i)];
        kernel.row({row.steps.data(), row.step_count, panels + column * depth, parts(columns, kPanel), depth, row.sum,
                    sums + i * kBlockColumns});
      }
      done({sums, kBlockColumns, 0, m_, column, columns});
    }
  });
}

struct IntWorkspace::Parts {
  std::optional<FewRows> few;
  std::optional<IntRows> rows;
  std::optional<GroupedRows> grouped;
};

IntWorkspace::IntWorkspace(const IntMatrix& b, std::int64_t most_rows) : parts_(std::make_unique<Parts>()) {
  if (FewRows::fit(1)) {
    parts_->few.emplace(most_rows, b.k());
    b.shifted();  // packed here, not by the first step
  }
  if (!FewRows::fit(most_rows)) parts_->rows.emplace(b, most_rows);
}

IntWorkspace::IntWorkspace(const GroupedMatrix& b, std::int64_t most_rows) : parts_(std::make_unique<Parts>()) {
  parts_->grouped.emplace(b, most_rows);
}

IntWorkspace::~IntWorkspace() = default;
IntWorkspace::IntWorkspace(IntWorkspace&&) noexcept = default;

void int_product(std::int64_t m, const RowOf& row, const IntMatrix& b,
                 const std::function<void(const Block<std::int32_t>&)>& done, IntWorkspace* workspace) {
  if (!FewRows::fit(m)) {
    for_each_block<std::int32_t, IntRows>(m, row, b, workspace == nullptr ? nullptr : &*workspace->parts().rows, done);
  } else if (workspace != nullptr) {
    workspace->parts().few->prepare(m, row);
    workspace->parts().few->product(b, false, done);
  } else {
    FewRows few(m, b.k());
    few.prepare(m, row);
    few.product(b, true, done);
  }
}

void grouped_product(std::int64_t m, const RowOf& row, const GroupedMatrix& b,
                     const std::function<void(const Block<float>&)>& done, IntWorkspace* workspace) {
  for_each_block<float, GroupedRows>(m, row, b, workspace == nullptr ? nullptr : &*workspace->parts().grouped, done);
}

}  // namespace petrain
