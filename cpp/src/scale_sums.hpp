// Sums over the elements that share a scale. Each chunk has slots of its own, and they are added in the order of the
// chunks: the result depends on the shape alone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "chunks.hpp"
#include "kernels/scale_cursor.hpp"
#include "petrain/tensor.hpp"
#include "quant_layout.hpp"
#include "threads.hpp"

namespace petrain {

inline kernels::ScaleLayout scale_layout(const QuantSpec& spec, const Shape& shape) {
  const QuantLayout layout(spec, shape);
  return {layout.channels, layout.inner, layout.group, layout.groups};
}

class ScaleSums {
 public:
  ScaleSums(const kernels::ScaleLayout& layout, std::int64_t size)
      : layout_(layout),
        size_(size),
        slots_each_(kernels::slots_of_chunk(layout)),
        slots_(Tensor::uninitialized(DType::f64, {chunks() * slots_each_})),
        total_(DType::f64, {layout.channels * layout.groups}) {}

  std::int64_t chunks() const { return (size_ + kChunk - 1) / kChunk; }
  std::int64_t begin(std::int64_t chunk) const { return chunk * kChunk; }
  std::int64_t size(std::int64_t chunk) const { return std::min(kChunk, size_ - begin(chunk)); }

  // Of a chunk, all zero, for a kernel to add to.
  double* clear_slots(std::int64_t chunk) {
    double* slots = slots_.as<double>() + chunk * slots_each_;
    std::fill_n(slots, slots_each_, 0.0);
    return slots;
  }

  // Called by all of a team once all chunks have their slots: of(number of the scale, its sum).
  template <class Of>
  void finish(const Team& team, Of&& of) {
    if (closed()) {
      const ChunkRange mine = team.share(chunks());
      for (std::int64_t chunk = mine.begin; chunk < mine.end; ++chunk) {
        const double* slots = slots_.as<double>() + chunk * slots_each_;
        const std::int64_t first = begin(chunk) / layout_.group, count = size(chunk) / layout_.group;
        for (std::int64_t i = 0; i < count; ++i) of(first + i, slots[i]);
      }
      return;
    }
    if (team.rank != 0) return;
    auto* total = total_.as<double>();
    std::fill_n(total, total_.size(), 0.0);
    for (std::int64_t chunk = 0; chunk < chunks(); ++chunk) add_slots(chunk, total);
    for (std::int64_t i = 0; i < total_.size(); ++i) of(i, total[i]);
  }

 private:
  static_assert(kernels::kMostInChunk == kChunk);

  // Whether every scale has its elements side by side and in one chunk.
  bool closed() const {
    const bool one_row = layout_.channels * layout_.inner == size_;
    return one_row && !kernels::in_columns(layout_) && kChunk % layout_.group == 0;
  }

  void add_slots(std::int64_t chunk, double* total) const {
    const double* slots = slots_.as<double>() + chunk * slots_each_;
    if (kernels::in_columns(layout_)) {
      const std::ptrdiff_t width = kernels::slot_width(layout_), column = kernels::first_column(layout_, begin(chunk));
      const auto group_at = [&](std::int64_t i) { return i / layout_.channels / layout_.group; };
      const std::ptrdiff_t first = group_at(begin(chunk)), last = group_at(begin(chunk) + size(chunk) - 1);
      for (std::ptrdiff_t group = first; group <= last; ++group) {
        for (std::ptrdiff_t j = 0; j < width; ++j) {
          total[(column + j) % layout_.channels * layout_.groups + group] += *slots++;
        }
      }
      return;
    }
    kernels::ScaleCursor cursor(layout_, begin(chunk));
    for (std::int64_t done = 0; done < size(chunk);) {
      const kernels::Piece piece = cursor.next(size(chunk) - done);
      total[piece.scale] += slots[piece.slot];
      done += piece.size;
    }
  }

  kernels::ScaleLayout layout_;
  std::int64_t size_, slots_each_;
  Tensor slots_, total_;
};

}  // namespace petrain
