// Rows of activations as the integers that products take.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "int_gemm.hpp"
#include "kernels/quant_format.hpp"
#include "petrain/quant.hpp"

namespace petrain {

constexpr int kDigits = 3;

struct QuantRows {
  std::int64_t m = 0, k = 0;
  int digits = 1;                       // or kDigits: so many rows of values are, with their scales, a row of x
  const std::int8_t* values = nullptr;  // (m * digits, k)
  std::int32_t zero_point = 0;
  float largest_scale = 0;

  const std::int8_t* row(std::int64_t i) const { return values + i * k; }
  // Of m = 1 without digits; made once for all products with these rows. For one thread.
  const SingleRow& single() const {
    if (!single_) single_.emplace(values, k);
    return *single_;
  }
  float scale(std::int64_t i) const { return scales.as<float>()[scales.size() == 1 ? 0 : i]; }

  Tensor storage, scales;  // int8 (m * digits, k), or empty where x was int8; float32 (m * digits,) or (1,)

 private:
  mutable std::optional<SingleRow> single_;
};

// x: (m, k) or (k,). With `params` int8, or float32 that is quantized with them; else float32 that gets a symmetric
// scale for each row. Throws std::invalid_argument where x is not so, or NaN or infinite; `what` names it.
QuantRows quantize_rows(const ConstTensorView& x, std::int64_t k, const std::optional<QuantParams>& params,
                        const std::string& what);

// x, float32, in kDigits digits of 8 bits: within 2⁻²² of the largest magnitude in a row. Throws as quantize_rows.
QuantRows split_rows(const ConstTensorView& x, std::int64_t k, const std::string& what);

// One row of float32, symmetrically. False, and nothing is written, where a number is NaN or infinite.
bool quantize_row(const float* row, std::int64_t k, float& scale, std::int8_t* to);

// m. Throws std::invalid_argument where x is neither (m, k) nor (k,), or empty.
std::int64_t require_rows(const ConstTensorView& x, std::int64_t k, const std::string& what);

inline kernels::Limits limits_of(const QuantParams& params) {
  return {params.scheme == Scheme::symmetric ? -127 : -128, 127};
}

// Throws std::invalid_argument where they are none of int8.
void require_params(const QuantParams& params, const std::string& what);

}  // namespace petrain
