// Rows of activations as the integers that products take.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "int_gemm.hpp"
#include "kernels/quant_format.hpp"
#include "petrain/quant.hpp"
#include "quant_checks.hpp"

namespace petrain {

constexpr int kDigits = 3;

struct QuantRows {
  std::int64_t m = 0, k = 0;
  const std::int8_t* values = nullptr;  // (m, k)
  std::int32_t zero_point = 0;
  float largest_scale = 0;
  Tensor storage, scales;  // int8 (m, k), or empty where x was int8; float32 (m,) or (1,)
  // None, or the rows have no values of their own: kDigits rows for each, row i being Σ_d digits[i * kDigits + d]
  // scale(i), where the scales of the digits are their places 1, 2⁻⁸ and 2⁻¹⁶.
  std::unique_ptr<QuantRows> digits;

  const std::int8_t* row(std::int64_t i) const { return values + i * k; }
  float scale(std::int64_t i) const { return scales.as<float>()[scales.size() == 1 ? 0 : i]; }

  // Where they fit; made once for all products with these rows, at the first call, which is for one thread, and again
  // at the first one after the values have changed.
  const FewRows& few() const {
    if (!few_) few_.emplace(k);
    if (!few_ready_) {
      few_->prepare(m, [this](std::int64_t i, std::int8_t*) { return row(i); });
      few_ready_ = true;
    }
    return *few_;
  }
  void values_changed() { few_ready_ = false; }

 private:
  mutable std::optional<FewRows> few_;
  mutable bool few_ready_ = false;
};

// x: (m, k) or (k,). With `params` int8, or float32 that is quantized with them; else float32 that gets a symmetric
// scale for each row. Throws std::invalid_argument where x is not so, or NaN or infinite; `what` names it.
QuantRows quantize_rows(const ConstTensorView& x, std::int64_t k, const std::optional<QuantParams>& params,
                        const std::string& what);

// x, float32, in kDigits digits of 8 bits: within 2⁻²² of the largest magnitude in a row where that is 2⁻¹⁰⁴ or more,
// else within 2⁻¹²⁷. Throws as quantize_rows.
QuantRows split_rows(const ConstTensorView& x, std::int64_t k, const std::string& what);

// One row of float32, symmetrically. False, and nothing is written, where a number is NaN or infinite.
bool quantize_row(const float* row, std::int64_t k, float& scale, std::int8_t* to);

// m. Throws std::invalid_argument where x is neither (m, k) nor (k,), or empty.
std::int64_t require_rows(const ConstTensorView& x, std::int64_t k, const std::string& what);

// The symmetric scale of a row or an image. Of zeros any will do: the least makes no sum seem large.
inline float row_scale(float max_abs) { return max_abs == 0 ? FLT_MIN : scale_for(max_abs); }

inline kernels::Limits limits_of(const QuantParams& params) {
  return {params.scheme == Scheme::symmetric ? -127 : -128, 127};
}

// Throws std::invalid_argument where they are none of int8.
void require_params(const QuantParams& params, const std::string& what);

}  // namespace petrain
