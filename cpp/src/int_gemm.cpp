#include "int_gemm.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

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

}  // namespace

BlockGrid::BlockGrid(std::int64_t rows, std::int64_t columns, std::int64_t k, std::int64_t most_rows, bool all_threads)
    : m(rows), n(columns), column_blocks(parts(n, kBlockColumns)) {
  const std::int64_t units = std::min(parts(m, kernels::kRowStep) * column_blocks, m * n * k / kProductsPerThread);
  threads = all_threads ? threads_for(units) : 1;
  // Many rows are shared out by rows, each of which is then prepared once; few by columns, so that B is read once.
  const bool by_rows = m >= 32 * threads;
  height = std::min(most_rows, by_rows ? rounded_up(parts(m, threads), kernels::kRowStep) : m);
  width = by_rows ? column_blocks : 1;
  shares = parts(m, height) * column_blocks / width;
}

bool FewRows::fit(std::int64_t m) { return m <= kFewRows && active_kernels().int_gemm->row != nullptr; }

FewRows::FewRows(std::int64_t k) : k_(k), scratch_(static_cast<std::size_t>(k + kScratchSlack)) {}

void FewRows::prepare(std::int64_t m, const RowOf& row_of) {
  m_ = m;
  if (rows_.size() < static_cast<std::size_t>(m)) rows_.resize(static_cast<std::size_t>(m));
  for (std::int64_t i = 0; i < m; ++i) {
    const std::int8_t* values = row_of(i, scratch_.data());
    Row& row = rows_[static_cast<std::size_t>(i)];
    row.steps.resize(static_cast<std::size_t>(k_ / 2 + 4));
    row.step_count = active_kernels().int_gemm->row_steps(values, k_, row.steps.data());
    row.sum = std::accumulate(values, values + k_, 0);
  }
}

void FewRows::multiply(const IntMatrix& b, const Block<std::int32_t>& block) const {
  const auto* panels = b.shifted().as<std::uint8_t>() + block.column * b.depth();
  for (std::int64_t i = 0; i < m_; ++i) {
    const Row& row = rows_[static_cast<std::size_t>(i)];
    active_kernels().int_gemm->row({row.steps.data(), row.step_count, panels, parts(block.columns, kPanel), b.depth(),
                                    row.sum, block.sums + i * block.stride});
  }
}

IntRows::IntRows(const IntMatrix& b, std::int64_t most_rows, RowOf row)
    : row_(std::move(row)),
      packed_(b.packed()),
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

void IntRows::fill(std::int64_t first, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    route_.prepare_row(row_(first + i, scratch_.as<std::int8_t>()), k_, prepared_.as<std::int8_t>() + i * stride_);
  }
  rows_ = static_cast<int>(count);
  if (!transposed_.empty()) {
    kernel_.transpose(prepared_.as<std::int8_t>(), stride_, rows_, k_, transposed_.as<std::int8_t>());
  }
}

void IntRows::multiply(const Block<std::int32_t>& block) const {
  for (std::int64_t j = 0; j < block.columns; j += kPanel) {
    const std::int64_t panel = (block.column + j) / kPanel;
    std::int32_t* sums = block.sums + j;
    route_.tile({prepared_.as<std::int8_t>(), stride_, packed_.panels.as<std::int8_t>() + panel * depth_ * kPanel,
                 column_sums_ + panel * kPanel, sums, block.stride, depth_, rows_});
    if (transposed_.empty()) continue;
    kernel_.add_excess({transposed_.as<std::int8_t>(), packed_.excess_k.data(), packed_.excess_values.data(),
                        packed_.first.data() + panel * kPanel, sums, block.stride, rows_});
  }
}

GroupedRows::GroupedRows(const GroupedMatrix& b, std::int64_t most_rows, RowOf row)
    : row_(std::move(row)),
      b_(b),
      kernel_(*active_kernels().grouped_gemm),
      wide_(active_kernels().int_gemm->wide),
      stride_(b.depth() * (b.bits() == 4 ? 1 : wide_.a_bytes) + kApart),
      scratch_(Tensor::uninitialized(DType::i8, {b.k() + kScratchSlack})),
      prepared_(DType::i8, {read_rows(most_rows), stride_}) {
  const std::int64_t rows = prepared_.shape()[0];
  if (b.bits() == 4) offsets_ = Tensor(DType::i32, {rows, b.depth() / kernels::kInt4Depth});
  if (!b.zeros().empty()) row_sums_ = Tensor(DType::i32, {rows, b.groups()});
}

void GroupedRows::fill(std::int64_t first, std::int64_t count) {
  rows_ = static_cast<int>(count);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int8_t* row = row_(first + i, scratch_.as<std::int8_t>());
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

void GroupedRows::multiply(const Block<float>& block) const {
  for (std::int64_t j = 0; j < block.columns; j += kPanel)
    multiply_panel((block.column + j) / kPanel, block.sums + j, block.stride);
}

void GroupedRows::multiply_panel(std::int64_t panel, float* sums, std::int64_t stride) const {
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

namespace {

struct FewWithB {
  const FewRows& rows;
  const IntMatrix& b;

  void fill(std::int64_t, std::int64_t) {}
  void multiply(const Block<std::int32_t>& block) const { rows.multiply(b, block); }
};

}  // namespace

void int_product(std::int64_t m, const RowOf& row, const IntMatrix& b,
                 const std::function<void(const Block<std::int32_t>&)>& done) {
  const BlockGrid grid(m, b.n(), b.k());
  if (!FewRows::fit(m)) {
    const auto make = [&](std::int64_t height) { return std::make_unique<IntRows>(b, height, row); };
    for_each_block<std::int32_t>(grid, make, done);
    return;
  }
  FewRows few(b.k());
  few.prepare(m, row);
  b.shifted();  // packed here, where threads are free
  const auto make = [&](std::int64_t) { return std::make_unique<FewWithB>(FewWithB{few, b}); };
  for_each_block<std::int32_t>(grid, make, done);
}

}  // namespace petrain
