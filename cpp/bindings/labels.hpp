// Labels as users give them: a NumPy array of integers, one for each row.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "arrays.hpp"

namespace petrain::python {

using LabelArray = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;

inline LabelArray labels_from(const py::array& labels) {
  if (labels.dtype().kind() != 'i' && labels.dtype().kind() != 'u') {
    throw std::invalid_argument("labels: expected integers, got " + std::string(py::str(labels.dtype())));
  }
  if (labels.ndim() != 1) {
    throw std::invalid_argument("labels: expected shape (rows,), got " + std::to_string(labels.ndim()) + " dimensions");
  }
  return LabelArray(labels);
}

inline std::span<const std::int64_t> span_of(const LabelArray& labels) {
  return {labels.data(), static_cast<std::size_t>(labels.size())};
}

}  // namespace petrain::python
