#include "sparse_float.hpp"

#include <algorithm>
#include <array>

#include "isa.hpp"
#include "row_sums.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kCached = 4096;         // floats of x that stay in the first-level cache beside a group
constexpr std::int64_t kRowsTogether = 96;     // rows whose packed x stays in the second-level cache
constexpr std::int64_t kGroupsTogether = 16;   // in a unit of work
constexpr std::int64_t kManyRows = 5;          // for groups of 4, whose vectors would be short otherwise
constexpr std::int64_t kSerialWork = 1 << 20;  // products below which a second thread is not worth waking

std::int64_t parts(std::int64_t size, std::int64_t part) { return (size + part - 1) / part; }

// x (rows, k) as [column][lanes].
void pack(const float* x, std::int64_t rows, std::int64_t k, std::int64_t lanes, float* to) {
  for (std::int64_t j = 0; j < k; ++j) {
    for (std::int64_t i = 0; i < rows; ++i) to[j * lanes + i] = x[i * k + j];
  }
}

}  // namespace

SparseFloat::SparseFloat(const SparseTensor& weight, const StepIndex& steps)
    : group_(weight.pattern.group),
      groups_(weight.groups()),
      n_(weight.shape[0]),
      k_(weight.shape[1]),
      values_(weight.values.as<float>()),
      positions_(steps.positions),
      starts_(steps.starts) {}

kernels::SparseSteps SparseFloat::steps(std::int64_t g, std::int64_t first, std::int64_t last) const {
  const std::int32_t *begin = positions_.data() + starts_[g], *end = positions_.data() + starts_[g + 1];
  if (first > 0) begin = std::lower_bound(begin, end, first);
  if (last < k_) end = std::lower_bound(begin, end, last);
  return {values_ + (begin - positions_.data()) * group_, begin, end - begin};
}

void SparseFloat::forward(const float* x, std::int64_t rows, float* y, const float* bias) const {
  if (group_ < 4 || (group_ == 4 && rows >= kManyRows)) {
    forward_lanes(x, rows, y);
  } else {
    forward_rows(x, rows, y);
  }
  add_bias(y, rows, n_, bias);
}

// Panels of a few rows each, as even as can be. The columns of a panel are taken in parts, so that a group's steps and
// x stay in the first-level cache: sums go on where they were.
void SparseFloat::forward_rows(const float* x, std::int64_t rows, float* y) const {
  const kernels::SparseTable& kernel = *active_kernels().sparse;
  const std::int64_t panels = parts(rows, kernel.most_rows(static_cast<int>(group_)));
  const std::int64_t height = parts(rows, panels), in_block = std::max<std::int64_t>(1, kRowsTogether / height);
  const std::int64_t part = panels == 1 ? k_ : std::min(k_, kCached / height);
  const std::int64_t blocks = parts(panels, in_block), chunks = parts(groups_, kGroupsTogether);
  const auto work = static_cast<std::int64_t>(positions_.size()) * group_ * rows;
  const int threads = work < kSerialWork ? 1 : threads_for(blocks * chunks);
  const auto first_row = [&](std::int64_t panel) { return rows * panel / panels; };
  Tensor packed;
  if (rows > 1) packed = Tensor::uninitialized(DType::f32, {rows, k_});
  const float* const columns = rows > 1 ? packed.as<float>() : x;
  in_step(threads, [&](const SteppingTeam& team) {
    const ChunkRange mine = team.share(rows > 1 ? panels : 0);
    for (std::int64_t p = mine.begin; p < mine.end; ++p) {
      const std::int64_t first = first_row(p), count = first_row(p + 1) - first;
      pack(x + first * k_, count, k_, count, packed.as<float>() + first * k_);
    }
    team.barrier();
    const ChunkRange units = team.share(blocks * chunks);
    for (std::int64_t unit = units.begin; unit < units.end; ++unit) {
      const std::int64_t first_panel = unit / chunks * in_block, last_panel = std::min(panels, first_panel + in_block);
      const std::int64_t first_group = unit % chunks * kGroupsTogether;
      const std::int64_t last_group = std::min(groups_, first_group + kGroupsTogether);
      for (std::int64_t k = 0; k < k_; k += part) {
        for (std::int64_t g = first_group; g < last_group; g += kernels::kMostTogether) {
          std::array<kernels::SparseSteps, kernels::kMostTogether> groups;
          const auto together = static_cast<int>(std::min<std::int64_t>(kernels::kMostTogether, last_group - g));
          for (int t = 0; t < together; ++t) groups[t] = steps(g + t, k, k + part);
          for (std::int64_t p = first_panel; p < last_panel; ++p) {
            const std::int64_t first = first_row(p);
            kernel.rows({columns + first * k_, groups.data(), y + first * n_ + g * group_, n_,
                         static_cast<int>(first_row(p + 1) - first), together, k > 0},
                        static_cast<int>(group_));
          }
        }
      }
    }
  });
}

// Rows as the lanes of vectors: every output reads whole vectors of x, which those of a group share.
void SparseFloat::forward_lanes(const float* x, std::int64_t rows, float* y) const {
  const kernels::SparseTable& kernel = *active_kernels().sparse;
  const std::int64_t blocks = parts(rows, kernel.most_lanes(static_cast<int>(group_)));
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t first = rows * block / blocks, count = rows * (block + 1) / blocks - first;
    const std::int64_t lanes = parts(count, kernel.lane_step) * kernel.lane_step;
    Tensor packed(DType::f32, {k_, lanes}), turned = Tensor::uninitialized(DType::f32, {n_, lanes});
    pack(x + first * k_, count, k_, lanes, packed.as<float>());
    const auto work = static_cast<std::int64_t>(positions_.size()) * group_ * lanes;
    const std::int64_t chunks = work < kSerialWork ? 1 : parts(groups_, kGroupsTogether);
    const std::int64_t in_chunk = parts(groups_, chunks);
    parallel_for(chunks, [&](std::int64_t chunk) {
      const std::int64_t last = std::min(groups_, (chunk + 1) * in_chunk);
      for (std::int64_t g = chunk * in_chunk; g < last; g += kernels::kMostTogether) {
        std::array<kernels::SparseSteps, kernels::kMostTogether> groups;
        const auto together = static_cast<int>(std::min<std::int64_t>(kernels::kMostTogether, last - g));
        for (int t = 0; t < together; ++t) groups[t] = steps(g + t, 0, k_);
        float* to = turned.as<float>() + g * group_ * lanes;
        kernel.lanes(
            {packed.as<float>(), groups.data(), to, static_cast<int>(lanes), together, static_cast<int>(group_)});
        for (std::int64_t i = 0; i < count; ++i) {
          for (int j = 0; j < together * group_; ++j) y[(first + i) * n_ + g * group_ + j] = to[j * lanes + i];
        }
      }
    });
  }
}

void SparseFloat::backward_input(const float* dy, std::int64_t rows, float* dx) const {
  constexpr std::int64_t kLanes = kernels::kGradientLanes;
  const kernels::SparseTable& kernel = *active_kernels().sparse;
  parallel_for(parts(rows, kLanes), [&](std::int64_t panel) {
    const std::int64_t first = panel * kLanes, count = std::min(kLanes, rows - first);
    Tensor g(DType::f32, {n_, kLanes}), sums(DType::f32, {k_, kLanes});
    pack(dy + first * n_, count, n_, kLanes, g.as<float>());
    for (std::int64_t i = 0; i < groups_; ++i) {
      kernel.input_gradient(
          {steps(i, 0, k_), g.as<float>() + i * group_ * kLanes, sums.as<float>(), static_cast<int>(group_)});
    }
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t j = 0; j < k_; ++j) dx[(first + i) * k_ + j] = sums.as<float>()[j * kLanes + i];
    }
  });
}

void SparseFloat::backward_values(const float* dy, const float* x, std::int64_t rows, float* gradient) const {
  const kernels::SparseTable& kernel = *active_kernels().sparse;
  Tensor columns = Tensor::uninitialized(DType::f32, {k_, rows});
  pack(x, rows, k_, rows, columns.as<float>());
  parallel_for(parts(groups_, kGroupsTogether), [&](std::int64_t chunk) {
    Tensor g = Tensor::uninitialized(DType::f32, {rows, group_});
    for (std::int64_t i = chunk * kGroupsTogether; i < std::min(groups_, (chunk + 1) * kGroupsTogether); ++i) {
      for (std::int64_t row = 0; row < rows; ++row) {
        std::copy_n(dy + row * n_ + i * group_, group_, g.as<float>() + row * group_);
      }
      kernel.value_gradient({positions_.data() + starts_[i], starts_[i + 1] - starts_[i], columns.as<float>(),
                             g.as<float>(), gradient + starts_[i] * group_, rows, static_cast<int>(group_)});
    }
  });
}

}  // namespace petrain
