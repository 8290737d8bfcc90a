#include "petrain/quant.hpp"

#include <atomic>
#include <bit>
#include <cmath>
#include <vector>

#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_layout.hpp"
#include "quant_spec.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kElementsPerThread = 16384;   // below this a thread costs more than it saves
constexpr std::int64_t kStep = 4096;                 // elements at a time; even, so that no byte is in two steps
constexpr std::int64_t kRows = 256, kColumns = 256;  // of a block of which the ranges are taken

std::int64_t parts(std::int64_t size, std::int64_t most) { return (size + most - 1) / most; }

// The smallest and the largest number of those that share a scale, from whichever thread finds them.
class Range {
 public:
  void set(kernels::KeyRange part) {
    low_.store(part.low, std::memory_order_relaxed);
    high_.store(part.high, std::memory_order_relaxed);
  }
  void widen(kernels::KeyRange part) {
    std::int32_t low = low_.load(std::memory_order_relaxed), high = high_.load(std::memory_order_relaxed);
    while (part.low < low && !low_.compare_exchange_weak(low, part.low, std::memory_order_relaxed)) {
    }
    while (part.high > high && !high_.compare_exchange_weak(high, part.high, std::memory_order_relaxed)) {
    }
  }
  float low() const { return number(low_.load(std::memory_order_relaxed)); }
  float high() const { return number(high_.load(std::memory_order_relaxed)); }

 private:
  static float number(std::int32_t key) { return std::bit_cast<float>(kernels::order_key(key)); }
  std::atomic<std::int32_t> low_{kernels::KeyRange{}.low}, high_{kernels::KeyRange{}.high};
};

// One call of quantize. Its steps are those of one parallel region, with a barrier after each.
class Quantizer {
 public:
  Quantizer(const ConstTensorView& w, QuantTensor& q)
      : w_(w), q_(q), layout_(q.spec, q.shape), ranges_(static_cast<std::size_t>(layout_.places())) {
    if (layout_.in_stored_order()) return;
    walk_scale_ = Tensor::uninitialized(DType::f32, q.scale.shape());
    if (!q.zero_point.empty()) walk_zero_point_ = Tensor::uninitialized(DType::i8, q.scale.shape());
  }

  // False where a number is not finite.
  bool run() {
    const std::int64_t steps = parts(layout_.size(), kStep);
    std::atomic<bool> finite{true};
    in_step(threads_for(std::min(steps, layout_.size() / kElementsPerThread)), [&](const SteppingTeam& team) {
      const ChunkRange tasks = team.share(layout_.in_columns() ? blocks() : steps);
      for (std::int64_t i = tasks.begin; i < tasks.end; ++i) layout_.in_columns() ? range_block(i) : range_step(i);
      team.barrier();
      const ChunkRange places = team.share(layout_.places());
      for (std::int64_t i = places.begin; i < places.end; ++i) {
        if (!set_params(i)) finite = false;
      }
      team.barrier();
      if (!finite) return;
      const ChunkRange mine = team.share(steps);
      for (std::int64_t i = mine.begin; i < mine.end; ++i) quantize_step(i);
    });
    return finite;
  }

 private:
  // In float32: where they are or, converted, in `buffer`.
  const float* read(std::int64_t begin, std::int64_t size, float* buffer) const {
    if (w_.dtype == DType::f32) return w_.as<float>() + begin;
    kernels_.load(w_.data, storage_of(w_.dtype), begin, buffer, size);
    return buffer;
  }

  std::int64_t step_size(std::int64_t step) const { return std::min(kStep, layout_.size() - step * kStep); }

  void range_step(std::int64_t step) {
    alignas(64) float buffer[kStep];
    const std::int64_t begin = step * kStep, size = step_size(step);
    const float* x = read(begin, size, buffer);
    layout_.for_each_piece(
        begin, begin + size,
        [&](std::int64_t place, std::int64_t at, std::int64_t count) {
          const kernels::KeyRange range = kernels_.range_run(x + (at - begin), count);
          Range& all = ranges_[static_cast<std::size_t>(place)];
          count == layout_.group ? all.set(range) : all.widen(range);
        },
        [](std::int64_t, std::int64_t, std::int64_t) {});
  }

  // In columns: blocks of rows of one group. Block numbers run through the columns first.
  std::int64_t column_blocks() const { return parts(layout_.channels, kColumns); }
  std::int64_t row_blocks() const { return parts(layout_.group, kRows); }
  std::int64_t blocks() const { return layout_.groups * row_blocks() * column_blocks(); }

  void range_block(std::int64_t block) {
    const std::int64_t column = block % column_blocks() * kColumns, rows = block / column_blocks();
    const std::int64_t group = rows / row_blocks(), first = rows % row_blocks() * kRows;
    const std::int64_t last = std::min(first + kRows, layout_.group);
    const std::int64_t columns = std::min(kColumns, layout_.channels - column);
    std::int32_t low[kColumns], high[kColumns];
    std::fill_n(low, columns, kernels::KeyRange{}.low);
    std::fill_n(high, columns, kernels::KeyRange{}.high);
    alignas(64) float buffer[kColumns];
    for (std::int64_t row = group * layout_.group + first; row < group * layout_.group + last; ++row) {
      kernels_.range_columns(read(row * layout_.channels + column, columns, buffer), low, high, columns);
    }
    Range* ranges = ranges_.data() + group * layout_.channels + column;
    for (std::int64_t i = 0; i < columns; ++i) {
      row_blocks() == 1 ? ranges[i].set({low[i], high[i]}) : ranges[i].widen({low[i], high[i]});
    }
  }

  float* walk_scale() { return layout_.in_stored_order() ? q_.scale.as<float>() : walk_scale_.as<float>(); }
  std::int8_t* walk_zero_point() {  // null: none
    return layout_.in_stored_order() ? q_.zero_point.as<std::int8_t>() : walk_zero_point_.as<std::int8_t>();
  }

  bool set_params(std::int64_t place) {
    const Range& range = ranges_[static_cast<std::size_t>(place)];
    const float low = range.low(), high = range.high();
    if (!std::isfinite(low) || !std::isfinite(high)) return false;
    const QuantParams params = range_params(low, high, q_.spec.bits, q_.spec.scheme);
    q_.scale.as<float>()[layout_.stored(place)] = walk_scale()[place] = params.scale;
    if (q_.zero_point.empty()) return true;
    q_.zero_point.as<std::int8_t>()[layout_.stored(place)] = walk_zero_point()[place] =
        static_cast<std::int8_t>(params.zero_point);
    return true;
  }

  void quantize_step(std::int64_t step) {
    alignas(64) float buffer[kStep];
    alignas(64) std::int8_t integers[kStep];
    const std::int64_t begin = step * kStep, size = step_size(step);
    const float* x = read(begin, size, buffer);
    std::int8_t* to = q_.spec.bits == 8 ? q_.values.as<std::int8_t>() + begin : integers;
    const float* scale = walk_scale();
    const std::int8_t* zero_point = walk_zero_point();
    const kernels::Limits limits = limits_of(q_.spec);
    layout_.for_each_piece(
        begin, begin + size,
        [&](std::int64_t place, std::int64_t at, std::int64_t count) {
          kernels_.quantize_run(x + (at - begin), scale[place], zero_point == nullptr ? 0 : zero_point[place], limits,
                                to + (at - begin), count);
        },
        [&](std::int64_t place, std::int64_t at, std::int64_t count) {
          kernels_.quantize_columns(x + (at - begin), scale + place,
                                    zero_point == nullptr ? nullptr : zero_point + place, limits, to + (at - begin),
                                    count);
        });
    if (q_.spec.bits == 4) kernels_.pack4(integers, q_.values.as<std::uint8_t>() + begin / 2, size);
  }

  const kernels::QuantFormatTable& kernels_ = *active_kernels().quant_format;
  const ConstTensorView& w_;
  QuantTensor& q_;
  QuantLayout layout_;
  std::vector<Range> ranges_;            // in the order of the walk, as these:
  Tensor walk_scale_, walk_zero_point_;  // only where it is not that in which they are stored
};

}  // namespace

QuantTensor quantize(const ConstTensorView& w, const QuantSpec& spec) {
  require_quantizable(w, "w");
  QuantTensor q;
  q.spec = checked_spec(spec, w.shape, "w");
  q.shape = w.shape;
  q.values = Tensor::uninitialized(stored_dtype(q.spec), stored_shape(q.spec, q.shape));
  q.scale = Tensor::uninitialized(DType::f32, scale_shape(q.spec, q.shape));
  if (q.spec.scheme == Scheme::asymmetric) q.zero_point = Tensor::uninitialized(DType::i8, q.scale.shape());
  if (!Quantizer(w, q).run()) require_finite(w, "w");
  return q;
}

}  // namespace petrain
