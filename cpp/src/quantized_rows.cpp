#include "quantized_rows.hpp"

#include <stdexcept>
#include <string>
#include <utility>

#include "quant_spec.hpp"

namespace petrain {

void require_rows(const QuantSpec& spec) {
  if (spec.granularity == Granularity::tensor || spec.axis == 0) return;
  throw std::invalid_argument("axis: expected 0, the outputs of w, got " + std::to_string(spec.axis));
}

QuantizedRows::QuantizedRows(const QuantTensor& q)
    : spec_(q.spec),
      columns_(q.shape[1]),
      group_(q.spec.granularity == Granularity::group ? q.spec.group_size : columns_),
      groups_(columns_ / group_),
      per_tensor_(q.spec.granularity == Granularity::tensor),
      limits_(limits_of(q.spec)),
      integers_(Tensor::uninitialized(DType::i8, q.shape)),
      scale_(q.scale.clone()) {
  if (!q.zero_point.empty()) zero_point_ = q.zero_point.clone();
  unpack(q, 0, integers_.size(), integers_.as<std::int8_t>());
}

QuantTensor QuantizedRows::tensor() && {
  return QuantTensor::from_integers(integers_.view(), std::move(scale_), std::move(zero_point_), spec_);
}

Rounded rounded(QuantizedRows rows, std::vector<double> before, std::vector<double> after, const Panels& h,
                const float* w) {
  Rounded result;
  for (std::size_t i = 0; i < after.size(); ++i) {
    if (after[i] < before[i]) continue;
    after[i] = before[i];
    ++result.kept;
  }
  const std::vector<double> squares = row_squares(h, w, static_cast<std::int64_t>(after.size()));
  result.q = std::move(rows).tensor();
  result.before = relative_error(std::move(before), squares);
  result.after = relative_error(std::move(after), squares);
  return result;
}

}  // namespace petrain
