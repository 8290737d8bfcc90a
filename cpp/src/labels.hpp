// What losses ask of logits and labels.
#pragma once

#include <span>
#include <string>

#include "checks.hpp"

namespace petrain {

inline void require_logits(const ConstTensorView& logits, const std::string& what) {
  if (logits.shape.size() != 2 || logits.size() == 0) {
    throw std::invalid_argument(what + ": expected shape (rows, classes), not empty, got " + shape_text(logits.shape));
  }
  require(logits, DType::f32, logits.shape, what);
}

inline void require_labels(std::span<const std::int64_t> labels, std::int64_t rows, std::int64_t classes) {
  require_count(labels.size(), static_cast<std::size_t>(rows), "labels");
  for (std::int64_t row = 0; row < rows; ++row) {
    if (labels[row] < 0 || labels[row] >= classes) {
      throw std::invalid_argument("label " + std::to_string(row) + ": expected 0 to " + std::to_string(classes - 1) +
                                  ", got " + std::to_string(labels[row]));
    }
  }
}

}  // namespace petrain
