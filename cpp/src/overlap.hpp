#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "petrain/tensor.hpp"

namespace petrain {

// Whether two of the arrays share memory. `View` is ConstTensorView or TensorView.
template <class View>
bool overlap(std::span<const View> arrays) {
  std::vector<std::pair<const std::byte*, const std::byte*>> ranges;
  ranges.reserve(arrays.size());
  for (const View& view : arrays) {
    const ConstTensorView array = view;
    if (array.size() == 0 || array.data == nullptr) continue;
    const auto* begin = array.as<std::byte>();
    ranges.emplace_back(begin, begin + static_cast<std::size_t>(array.size()) * dtype_size(array.dtype));
  }
  std::sort(ranges.begin(), ranges.end());
  const auto meet = [](const auto& a, const auto& b) { return b.first < a.second; };
  return std::adjacent_find(ranges.begin(), ranges.end(), meet) != ranges.end();
}

}  // namespace petrain
