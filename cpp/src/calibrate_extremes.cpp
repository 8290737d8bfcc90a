#include <algorithm>
#include <utility>

#include "calibrate_checks.hpp"
#include "chunks.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_spec.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

struct Ordered {
  std::vector<std::int32_t> low, high;

  explicit Ordered(std::int64_t channels)
      : low(channels, kernels::Extremes().low), high(channels, kernels::Extremes().high) {}
};

// x as (…, channels, inner).
struct Layout {
  std::int64_t channels = 1, inner = 1;

  Layout(const Shape& shape, std::optional<int> axis) {
    if (axis) {
      const auto at = static_cast<std::size_t>(normalized_axis(*axis, shape));
      channels = shape[at];
      for (std::size_t d = at + 1; d < shape.size(); ++d) inner *= shape[d];
    }
    if (channels == 1) inner = element_count(shape);  // one long run in the place of columns of one element
  }

  // Elements begin … end - 1, which may start and stop anywhere.
  void widen(const kernels::CalibrateTable& kernels, const ConstTensorView& x, std::int64_t begin, std::int64_t end,
             Ordered& result) const {
    const auto storage = storage_of(x.dtype);
    for (std::int64_t at = begin; at < end;) {
      std::int64_t size;
      if (inner == 1) {
        const std::int64_t channel = at % channels;
        size = std::min(channels - channel, end - at);
        kernels.extremes_columns(x.data, storage, at, &result.low[channel], &result.high[channel], size);
      } else {
        const std::int64_t channel = at / inner % channels;
        size = std::min(inner - at % inner, end - at);
        kernels::Extremes found;
        kernels.extremes(x.data, storage, at, size, &found);
        result.low[channel] = std::min(result.low[channel], found.low);
        result.high[channel] = std::max(result.high[channel], found.high);
      }
      at += size;
    }
  }
};

void require_state(std::optional<int> axis, const std::vector<Range>& ranges, std::int64_t count) {
  require_count_within(count, 0, "count");
  if ((count == 0) != ranges.empty() || (!axis && ranges.size() > 1)) {
    throw std::invalid_argument("expected " +
                                std::string(count == 0 ? "no range"
                                            : axis     ? "ranges"
                                                       : "one range") +
                                " after " + std::to_string(count) + " numbers, got " + std::to_string(ranges.size()));
  }
  for (const Range& range : ranges) require_range(range, "range");
}

void require_channels(const std::vector<Range>& own, const std::vector<Range>& other) {
  if (own.empty() || other.empty() || own.size() == other.size()) return;
  throw std::invalid_argument("expected " + std::to_string(own.size()) + " channels, as before, got " +
                              std::to_string(other.size()));
}

// Means of lows and of highs, whose rounding may not let them cross.
Range between(double low, double high) { return {low, std::max(low, high)}; }

void require_axis(std::optional<int> own, std::optional<int> other) {
  const auto text = [](std::optional<int> axis) { return axis ? std::to_string(*axis) : "none"; };
  if (own != other) throw std::invalid_argument("axis: expected " + text(own) + ", got " + text(other));
}

}  // namespace

std::vector<Range> extremes(const ConstTensorView& x, std::optional<int> axis) {
  require_quantizable(x, "x");
  const Layout layout(x.shape, axis);
  require_elements(x, "x");
  const std::int64_t size = x.size(), chunks = (size + kChunk - 1) / kChunk;
  const int threads = threads_for(size / kElementsPerThread);
  std::vector<Ordered> parts(static_cast<std::size_t>(threads), Ordered(layout.channels));
  const auto& kernels = *active_kernels().calibrate;
  parallel(threads, [&](const Team& team) {
    const ChunkRange mine = team.share(chunks);
    layout.widen(kernels, x, mine.begin * kChunk, std::min(mine.end * kChunk, size), parts[team.rank]);
  });
  std::vector<Range> ranges(static_cast<std::size_t>(layout.channels));
  for (std::size_t c = 0; c < ranges.size(); ++c) {
    for (const Ordered& part : parts) {
      parts[0].low[c] = std::min(parts[0].low[c], part.low[c]);
      parts[0].high[c] = std::max(parts[0].high[c], part.high[c]);
    }
    ranges[c] = {number_of(parts[0].low[c]), number_of(parts[0].high[c])};
    if (!std::isfinite(ranges[c].low) || !std::isfinite(ranges[c].high)) require_finite(x, "x");
  }
  return ranges;
}

MinMax::MinMax(std::optional<int> axis, std::vector<Range> ranges, std::int64_t count)
    : axis_(axis), ranges_(std::move(ranges)), count_(count) {
  require_state(axis_, ranges_, count_);
}

void MinMax::observe(const ConstTensorView& x) {
  std::vector<Range> found = petrain::extremes(x, axis_);
  merge(MinMax(axis_, std::move(found), x.size()));
}

void MinMax::merge(const MinMax& other) {
  require_axis(axis_, other.axis_);
  require_channels(ranges_, other.ranges_);
  const std::int64_t count = added(count_, other.count_);
  if (ranges_.empty()) ranges_ = other.ranges_;
  for (std::size_t c = 0; c < other.ranges_.size(); ++c) {
    ranges_[c].low = std::min(ranges_[c].low, other.ranges_[c].low);
    ranges_[c].high = std::max(ranges_[c].high, other.ranges_[c].high);
  }
  count_ = count;
}

MovingAverage::MovingAverage(double constant, std::optional<int> axis) : MovingAverage(constant, axis, {}, 0, 0) {}

MovingAverage::MovingAverage(double constant, std::optional<int> axis, std::vector<Range> ranges, std::int64_t count,
                             std::int64_t arrays)
    : constant_(constant), axis_(axis), ranges_(std::move(ranges)), count_(count), arrays_(arrays) {
  if (!(constant > 0) || !(constant <= 1)) {
    throw std::invalid_argument("averaging_constant: expected more than 0 and at most 1, got " + number_text(constant));
  }
  require_state(axis_, ranges_, count_);
  require_count_within(arrays, count > 0 ? 1 : 0, "arrays");
  if (arrays > count) {
    throw std::invalid_argument("arrays: expected at most " + std::to_string(count) + ", the numbers in them, got " +
                                std::to_string(arrays));
  }
}

void MovingAverage::observe(const ConstTensorView& x) {
  std::vector<Range> found = petrain::extremes(x, axis_);
  require_channels(ranges_, found);
  const std::int64_t count = added(count_, x.size());
  if (ranges_.empty()) {
    ranges_ = std::move(found);
  } else {
    for (std::size_t c = 0; c < found.size(); ++c) {
      ranges_[c] = between(std::lerp(ranges_[c].low, found[c].low, constant_),
                           std::lerp(ranges_[c].high, found[c].high, constant_));
    }
  }
  count_ = count;
  ++arrays_;
}

void MovingAverage::merge(const MovingAverage& other) {
  require_axis(axis_, other.axis_);
  if (constant_ != other.constant_) {
    throw std::invalid_argument("averaging_constant: expected " + number_text(constant_) + ", got " +
                                number_text(other.constant_));
  }
  require_channels(ranges_, other.ranges_);
  const std::int64_t count = added(count_, other.count_);
  if (ranges_.empty()) {
    ranges_ = other.ranges_;
  } else if (!other.ranges_.empty()) {
    const auto mine = static_cast<double>(arrays_), theirs = static_cast<double>(other.arrays_);
    const auto mean = [&](double a, double b) {
      return std::clamp((a * mine + b * theirs) / (mine + theirs), std::min(a, b), std::max(a, b));
    };
    for (std::size_t c = 0; c < ranges_.size(); ++c) {
      ranges_[c] = between(mean(ranges_[c].low, other.ranges_[c].low), mean(ranges_[c].high, other.ranges_[c].high));
    }
  }
  count_ = count;
  arrays_ += other.arrays_;
}

}  // namespace petrain
