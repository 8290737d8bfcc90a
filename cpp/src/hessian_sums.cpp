#include "hessian_sums.hpp"

#include <algorithm>

#include "isa.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kGroup = 4;             // panels of H in one unit of work
constexpr std::int64_t kSerialWork = 1 << 19;  // multiply-adds below which a second thread costs more than it brings

}  // namespace

void HessianObserver::Sums::observe(const float* x, std::int64_t rows) {
  const std::int64_t size = h.size;
  count += rows;
  while (rows > 0) {
    const auto waiting = static_cast<std::int64_t>(pending.size()) / size;
    const std::int64_t taken = std::min(rows, kRows - waiting);
    if (taken == kRows) {
      add(x, kRows);
    } else {
      pending.insert(pending.end(), x, x + taken * size);
      if (waiting + taken == kRows) flush();
    }
    x += taken * size;
    rows -= taken;
  }
}

HessianObserver::Sums HessianObserver::Sums::flushed() const {
  Sums copy(*this);
  copy.flush();
  return copy;
}

void HessianObserver::Sums::mirror() {
  parallel_for(h.count, [&](std::int64_t p) {
    for (std::int64_t j = p * kPanel; j < std::min((p + 1) * kPanel, h.size); ++j) {
      for (std::int64_t i = j + 1; i < h.size; ++i) h.at(i, j) = h.at(j, i);
    }
  });
}

void HessianObserver::Sums::flush() {
  if (!pending.empty()) add(pending.data(), static_cast<std::int64_t>(pending.size()) / h.size);
  pending.clear();
}

// H += xᵀx and sum += x, for at most kRows rows. Of x, each panel is packed once and is both a factor's columns and, a
// row at a time, the other factor's.
void HessianObserver::Sums::add(const float* x, std::int64_t rows) {
  const std::int64_t size = h.size, groups = (h.count + kGroup - 1) / kGroup;
  const auto& kernel = *active_kernels().wide;
  packed_.resize(static_cast<std::size_t>(h.count * kPanel * kRows));
  const auto packed_panel = [&](std::int64_t p) { return packed_.data() + p * kPanel * rows; };
  const auto add_group = [&](std::int64_t group) {
    const std::int64_t first = group * kGroup, last = std::min(first + kGroup, h.count);
    for (std::int64_t i = 0; i < last; ++i) {
      for (std::int64_t j = std::max(i, first); j < last; ++j) {
        kernel.multiply64({packed_panel(i), 1, kPanel, packed_panel(j), h.panel(j) + i * kPanel * kPanel, kPanel,
                           std::min(kPanel, size - i * kPanel), rows});
      }
    }
  };
  // The first groups have few rows above the diagonal and the last many: a unit of work is one of each.
  const std::int64_t pairs = (groups + 1) / 2;
  in_step(size * size * rows <= kSerialWork ? 1 : threads_for(pairs), [&](const SteppingTeam& team) {
    const ChunkRange packing = team.share(h.count);
    for (std::int64_t p = packing.begin; p < packing.end; ++p) pack(x, rows, p, packed_panel(p));
    team.barrier();
    const ChunkRange units = team.share(pairs);
    for (std::int64_t unit = units.begin; unit < units.end; ++unit) {
      add_group(unit);
      if (groups - 1 - unit != unit) add_group(groups - 1 - unit);
    }
  });
}

void HessianObserver::Sums::pack(const float* x, std::int64_t rows, std::int64_t p, double* to) {
  const std::int64_t first = p * kPanel, columns = std::min(kPanel, h.size - first);
  for (std::int64_t r = 0; r < rows; ++r, to += kPanel) {
    for (std::int64_t j = 0; j < kPanel; ++j) to[j] = j < columns ? x[r * h.size + first + j] : 0.0;
    for (std::int64_t j = 0; j < kPanel; ++j) sum[first + j] += to[j];
  }
}

}  // namespace petrain
