// Where in an array the elements lie that share a scale.
#pragma once

#include <algorithm>
#include <cstdint>

#include "petrain/quant.hpp"

namespace petrain {

// An array seen as (outer, channels, inner). A channel has outer * inner elements, in groups of `group`. Where inner is
// 1, neighbours are of different channels ("columns"); else the elements of one group come in runs.
//
// The walk through the array in memory order meets the scales in its own order: that in which they are stored, or, in
// columns of several groups, (groups, channels). It counts in places of this order.
struct QuantLayout {
  std::int64_t outer = 1, channels = 1, inner = 1, group = 1, groups = 1;

  QuantLayout(const QuantSpec& spec, const Shape& shape) {
    if (spec.granularity == Granularity::tensor) {
      inner = element_count(shape);
    } else {
      for (std::size_t d = 0; d < shape.size(); ++d) {
        const auto axis = static_cast<std::size_t>(spec.axis);
        (d < axis ? outer : d == axis ? channels : inner) *= shape[d];
      }
    }
    if (channels == 1) {  // one long run in the place of columns of one element
      inner *= outer;
      outer = 1;
    }
    group = spec.granularity == Granularity::group ? spec.group_size : outer * inner;
    groups = outer * inner / group;
  }

  std::int64_t size() const { return outer * channels * inner; }
  std::int64_t places() const { return channels * groups; }
  bool in_columns() const { return inner == 1; }
  bool in_stored_order() const { return !in_columns() || groups == 1; }
  std::int64_t stored(std::int64_t place) const {
    return in_stored_order() ? place : place % channels * groups + place / channels;
  }

  // run(place, offset, size) or columns(first place, offset, size) for every piece of the elements begin … end - 1.
  template <class Run, class Columns>
  void for_each_piece(std::int64_t begin, std::int64_t end, Run&& run, Columns&& columns) const {
    if (in_columns()) {
      for (std::int64_t at = begin; at < end;) {
        const std::int64_t channel = at % channels, size = std::min(channels - channel, end - at);
        columns(at / channels / group * channels + channel, at, size);
        at += size;
      }
      return;
    }
    std::int64_t o = begin / (channels * inner), channel = begin / inner % channels, i = begin % inner;
    std::int64_t start = o * inner % group;  // of this row in its group
    std::int64_t first = o * inner / group;
    std::int64_t in_group = (start + i) % group, g = first + (start + i) / group;
    for (std::int64_t at = begin; at < end;) {
      const std::int64_t size = std::min({inner - i, group - in_group, end - at});
      run(channel * groups + g, at, size);
      at += size;
      i += size;
      in_group += size;
      if (in_group == group) {
        in_group = 0;
        ++g;
      }
      if (i < inner) continue;
      i = 0;
      if (++channel == channels) {
        channel = 0;
        ++o;
        start = o * inner % group;
        first = o * inner / group;
      }
      in_group = start;
      g = first;
    }
  }
};

}  // namespace petrain
