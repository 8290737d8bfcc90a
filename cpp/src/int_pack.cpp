#include "int_pack.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "isa.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

using kernels::kDepthStep;
using kernels::kPanel;

// When the wide route is the faster one: where more than an eighth of the elements have something taken off, and where
// sums are so short that adding it takes longer than they do.
constexpr std::int64_t kMostExcess = 8, kShort = 64;

struct Excess {
  std::vector<std::int32_t> k;
  std::vector<std::int8_t> values;
  std::vector<std::int32_t> ends;  // of each column
};

// Takes off so much of the four numbers that those of one sign add up to 128 at most.
void limit(std::int8_t* const (&four)[4], const std::int32_t (&k)[4], int sign, Excess& excess) {
  constexpr int kMostSum = 128, kMostValue = 64;
  int sum = 0;
  for (const std::int8_t* number : four) sum += std::max(0, sign * *number);
  while (sum > kMostSum) {
    int largest = 0;
    for (int i = 1; i < 4; ++i) {
      if (sign * *four[i] > sign * *four[largest]) largest = i;
    }
    const int off = std::min({sum - kMostSum, kMostValue, sign * *four[largest]});
    *four[largest] = static_cast<std::int8_t>(*four[largest] - sign * off);
    excess.k.push_back(k[largest]);
    excess.values.push_back(static_cast<std::int8_t>(sign * off));
    sum -= off;
  }
}

// The columns of one panel.
Excess limit_panel(std::int8_t* panel, std::int64_t depth) {
  Excess excess;
  for (std::int64_t column = 0; column < kPanel; ++column) {
    for (std::int64_t p = 0; p < depth; p += kDepthStep) {
      for (std::int64_t pair = 0; pair < 4; pair += 2) {
        std::int8_t* first = panel + (p / 4 * kPanel + column) * 4 + pair;
        std::int8_t* second = first + kPanel * 4;
        std::int8_t* const four[4] = {first, first + 1, second, second + 1};
        const auto begin = static_cast<std::int32_t>(p + pair);
        const std::int32_t k[4] = {begin, begin + 1, begin + 4, begin + 5};
        limit(four, k, 1, excess);
        limit(four, k, -1, excess);
      }
    }
    while (excess.k.size() % 4 != 0) {
      excess.k.push_back(0);
      excess.values.push_back(0);
    }
    excess.ends.push_back(static_cast<std::int32_t>(excess.k.size()));
  }
  return excess;
}

// The numbers of panel `index`, each plus `shift`.
void fill_panel(const IntMatrix& matrix, const std::int8_t* values, std::int64_t index, int shift, std::int8_t* panel) {
  const std::int64_t k = matrix.k();
  for (std::int64_t j = 0; j < kPanel && index * kPanel + j < matrix.n(); ++j) {
    const std::int8_t* row = values + (index * kPanel + j) * k;
    for (std::int64_t p = 0; p < k; ++p)
      panel[(p / 4 * kPanel + j) * 4 + p % 4] = static_cast<std::int8_t>(row[p] + shift);
  }
}

PackedInt8 pack(const IntMatrix& matrix, const std::int8_t* values) {
  const std::int64_t n = matrix.n(), k = matrix.k(), depth = matrix.depth(), count = matrix.panel_count();
  PackedInt8 packed;
  packed.panels = Tensor(DType::i8, {count, depth / 4, kPanel, 4});
  const bool limited = active_kernels().int_gemm->limited;
  packed.narrow = depth > kShort || !limited;
  std::vector<Excess> excess(limited && packed.narrow ? count : 0);
  const auto panel = [&](std::int64_t i) { return packed.panels.as<std::int8_t>() + i * depth * kPanel; };
  parallel_for(count, [&](std::int64_t i) {
    fill_panel(matrix, values, i, 0, panel(i));
    if (!excess.empty()) excess[i] = limit_panel(panel(i), depth);
  });
  std::int64_t entries = 0;
  for (const Excess& of_panel : excess) entries += static_cast<std::int64_t>(of_panel.k.size());
  if (entries > n * k / kMostExcess) {
    packed.narrow = false;
    parallel_for(count, [&](std::int64_t i) { fill_panel(matrix, values, i, 0, panel(i)); });
  } else if (entries > 0) {
    packed.first.push_back(0);
    for (const Excess& of_panel : excess) {
      const auto begin = static_cast<std::int32_t>(packed.excess_k.size());
      for (const std::int32_t end : of_panel.ends) packed.first.push_back(begin + end);
      packed.excess_k.insert(packed.excess_k.end(), of_panel.k.begin(), of_panel.k.end());
      packed.excess_values.insert(packed.excess_values.end(), of_panel.values.begin(), of_panel.values.end());
    }
  }
  return packed;
}

}  // namespace

std::int64_t IntMatrix::depth() const { return (k_ + kDepthStep - 1) / kDepthStep * kDepthStep; }

std::int64_t IntMatrix::panel_count() const { return (n_ + kPanel - 1) / kPanel; }

const PackedInt8& IntMatrix::packed() const {
  std::call_once(packed_once_, [this] { packed_ = pack(*this, values_); });
  return packed_;
}

const Tensor& IntMatrix::column_sums() const {
  std::call_once(sums_once_, [this] {
    Tensor sums(DType::i32, {panel_count() * kPanel});
    for (std::int64_t j = 0; j < n_; ++j) {
      sums.as<std::int32_t>()[j] = std::accumulate(values_ + j * k_, values_ + (j + 1) * k_, 0);
    }
    column_sums_ = std::move(sums);
  });
  return column_sums_;
}

const Tensor& IntMatrix::shifted() const {
  std::call_once(shifted_once_, [this] {
    Tensor panels(DType::u8, {panel_count(), depth() / 4, kPanel, 4});
    parallel_for(panel_count(), [&](std::int64_t i) {
      fill_panel(*this, values_, i, 128, panels.as<std::int8_t>() + i * depth() * kPanel);
    });
    shifted_ = std::move(panels);
  });
  return shifted_;
}

GroupedMatrix::GroupedMatrix(const QuantTensor& w) : n_(w.shape[0]), k_(w.shape[1]), bits_(w.spec.bits) {
  constexpr std::int64_t kDepth = kernels::kInt4Depth;
  const bool grouped = w.spec.granularity == Granularity::group;
  group_size_ = grouped ? w.spec.group_size : (k_ + kDepth - 1) / kDepth * kDepth;
  groups_ = grouped ? k_ / group_size_ : 1;
  const std::int64_t count = (n_ + kPanel - 1) / kPanel, params = w.scale.size() / (groups_ * n_);
  scales_ = Tensor(DType::f32, {count, groups_, kPanel});
  if (!w.zero_point.empty()) zeros_ = Tensor(DType::i32, {count, groups_, kPanel});
  for (std::int64_t j = 0; j < n_; ++j) {
    for (std::int64_t g = 0; g < groups_; ++g) {
      const std::int64_t from = params == 0 ? 0 : j * groups_ + g,
                         to = (j / kPanel * groups_ + g) * kPanel + j % kPanel;
      scales_.as<float>()[to] = w.scale.as<float>()[from];
      if (!zeros_.empty()) zeros_.as<std::int32_t>()[to] = w.zero_point.as<std::int8_t>()[from];
    }
  }
  const std::int64_t panel_bytes = depth() * kPanel * bits_ / 8;
  panels_ = Tensor(bits_ == 8 ? DType::i8 : DType::u8, {count, panel_bytes});
  if (bits_ == 4) std::fill_n(panels_.as<std::uint8_t>(), panels_.size(), std::uint8_t{0x88});  // eights are zeros
  parallel_for(count, [&](std::int64_t i) {
    std::vector<std::int8_t> row(static_cast<std::size_t>(k_));
    for (std::int64_t j = 0; j < kPanel && i * kPanel + j < n_; ++j) {
      unpack(w, (i * kPanel + j) * k_, k_, row.data());
      for (std::int64_t p = 0; p < k_; ++p) {
        if (bits_ == 8) {
          panels_.as<std::int8_t>()[i * panel_bytes + (p / 4 * kPanel + j) * 4 + p % 4] = row[p];
        } else {
          const int shift = p % 8 < 4 ? 0 : 4;
          std::uint8_t& byte = panels_.as<std::uint8_t>()[i * panel_bytes + (p / 8 * kPanel + j) * 4 + p % 4];
          byte = static_cast<std::uint8_t>((byte & (shift == 0 ? 0xf0 : 0x0f)) | (row[p] + 8) << shift);
        }
      }
    }
  });
}

}  // namespace petrain
