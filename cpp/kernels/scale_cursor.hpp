// Where in an array the elements lie that share a scale, for a walk in memory order.
#pragma once

#include <cstddef>

namespace petrain::kernels {

// The array as (outer, channels, inner). A channel's elements are cut, in memory order, into `groups` of `group`; the
// scale of group g of channel c is number c * groups + g. Where there is one channel, inner is the size of the array.
struct ScaleLayout {
  std::ptrdiff_t channels, inner, group, groups;
};

// The most elements of a chunk, the part of an array for which sums are kept apart.
constexpr std::ptrdiff_t kMostInChunk = 16384;

namespace {

constexpr bool in_columns(const ScaleLayout& layout) { return layout.inner == 1; }

// Neighbours. Element j has scale number scale + j * step: 0 for a run of one scale, `groups` for columns. A chunk has
// its sums in slots: of the piece they are slot + j in columns, else slot.
struct Piece {
  std::ptrdiff_t size, scale, step, slot;
};

// Slots of one group in columns. Where a chunk has less than a row, it counts from the column that it begins with.
constexpr std::ptrdiff_t slot_width(const ScaleLayout& layout) {
  return layout.channels < kMostInChunk ? layout.channels : kMostInChunk;
}
constexpr std::ptrdiff_t first_column(const ScaleLayout& layout, std::ptrdiff_t begin) {
  return layout.channels <= kMostInChunk ? 0 : begin % layout.channels;
}

// At least as many slots as a chunk needs.
constexpr std::ptrdiff_t slots_of_chunk(const ScaleLayout& layout) {
  if (in_columns(layout)) {
    const std::ptrdiff_t groups = (kMostInChunk / layout.channels + 2) / layout.group + 2;
    return (groups < layout.groups ? groups : layout.groups) * slot_width(layout);
  }
  // A piece ends with a channel's part of a row, or with a group, which may be once more in each of these parts.
  return 2 * (kMostInChunk / layout.inner) + kMostInChunk / layout.group + 4;
}

// Walks from the beginning of a chunk. A piece that next() had to cut goes on in the same slot.
class ScaleCursor {
 public:
  ScaleCursor() {}  // stands nowhere
  ScaleCursor(const ScaleLayout& layout, std::ptrdiff_t begin) : layout_(layout) {
    const std::ptrdiff_t row = begin / (layout.channels * layout.inner);
    channel_ = begin / layout.inner % layout.channels;
    place_ = begin % layout.inner;
    start_row(row * layout.inner);
    group_ = row_group_ + (row_place_ + place_) / layout.group;
    in_group_ = (row_place_ + place_) % layout.group;
    first_column_ = first_column(layout, begin);
    first_group_ = group_;
  }

  Piece next(std::ptrdiff_t most) { return in_columns(layout_) ? next_columns(most) : next_run(most); }

 private:
  Piece next_run(std::ptrdiff_t most) {
    std::ptrdiff_t size = layout_.inner - place_;
    if (layout_.group - in_group_ < size) size = layout_.group - in_group_;
    if (most < size) size = most;
    const Piece piece{size, channel_ * layout_.groups + group_, 0, slot_};
    place_ += size;
    in_group_ += size;
    if (place_ == layout_.inner) {
      place_ = 0;
      if (++channel_ == layout_.channels) {
        channel_ = 0;
        start_row(row_begin_ + layout_.inner);
      }
      group_ = row_group_;
      in_group_ = row_place_;
      ++slot_;
    } else if (in_group_ == layout_.group) {
      ++group_;
      in_group_ = 0;
      ++slot_;
    }
    return piece;
  }

  Piece next_columns(std::ptrdiff_t most) {
    const std::ptrdiff_t rest = layout_.channels - channel_, size = most < rest ? most : rest;
    const std::ptrdiff_t column = channel_ - first_column_ + (channel_ < first_column_ ? layout_.channels : 0);
    const Piece piece{size, channel_ * layout_.groups + group_, layout_.groups,
                      (group_ - first_group_) * slot_width(layout_) + column};
    channel_ += size;
    if (channel_ == layout_.channels) {
      channel_ = 0;
      if (++in_group_ == layout_.group) {
        ++group_;
        in_group_ = 0;
      }
    }
    return piece;
  }

  // begin: of the row's part among the elements of a channel.
  void start_row(std::ptrdiff_t begin) {
    row_begin_ = begin;
    row_group_ = begin / layout_.group;
    row_place_ = begin % layout_.group;
  }

  ScaleLayout layout_;
  std::ptrdiff_t channel_, place_, group_, in_group_;  // of the next element; place_: in its part of the row
  std::ptrdiff_t row_begin_, row_group_, row_place_;   // of the first element of each channel in this row
  std::ptrdiff_t slot_ = 0, first_column_, first_group_;
};

}  // namespace
}  // namespace petrain::kernels
