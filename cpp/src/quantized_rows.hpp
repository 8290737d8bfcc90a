// The integers and scales of a weight (N, K) as the methods of rounding change them: row by row, a byte an integer.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "hessian.hpp"
#include "kernels/quant_format.hpp"
#include "petrain/quant.hpp"

namespace petrain {

class QuantizedRows {
 public:
  // q: per tensor, or along axis 0.
  explicit QuantizedRows(const QuantTensor& q);
  QuantTensor tensor() &&;

  std::int64_t group() const { return group_; }    // neighbours of a row that share a scale
  std::int64_t groups() const { return groups_; }  // of a row
  std::int8_t* row(std::int64_t i) { return integers_.as<std::int8_t>() + i * columns_; }

  QuantParams params(std::int64_t i, std::int64_t g) const {
    const std::int64_t at = per_tensor_ ? 0 : i * groups_ + g;
    return {scale_.as<float>()[at], zero_point_.empty() ? 0 : zero_point_.as<std::int8_t>()[at]};
  }
  void set_params(std::int64_t i, std::int64_t g, const QuantParams& params) {
    scale_.as<float>()[i * groups_ + g] = params.scale;
    if (!zero_point_.empty())
      zero_point_.as<std::int8_t>()[i * groups_ + g] = static_cast<std::int8_t>(params.zero_point);
  }

  // As quantize and dequantize have it.
  std::int8_t nearest(double x, const QuantParams& params) const {
    const float quotient = to_float(x) / params.scale;
    const float rounded = std::nearbyint(quotient) + static_cast<float>(params.zero_point);
    return static_cast<std::int8_t>(
        std::clamp(rounded, static_cast<float>(limits_.least), static_cast<float>(limits_.most)));
  }
  static float number(std::int8_t q, const QuantParams& params) {
    return static_cast<float>(q - params.zero_point) * params.scale;
  }

 private:
  QuantSpec spec_;
  std::int64_t columns_, group_, groups_;
  bool per_tensor_;
  kernels::Limits limits_;
  Tensor integers_, scale_, zero_point_;
};

// Throws std::invalid_argument unless scales are per tensor or along axis 0.
void require_rows(const QuantSpec& spec);

// What a method returns whose rows had the errors `before` and, where it changed them, have `after`.
Rounded rounded(QuantizedRows rows, std::vector<double> before, std::vector<double> after, const Panels& h,
                const float* w);

}  // namespace petrain
