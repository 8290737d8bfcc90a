#include "quant_rows.hpp"

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <cmath>

#include "checks.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kElementsPerThread = 1 << 16;

// Runs body(row), which is false where a number of the row is NaN or infinite, for all rows of x.
template <class Body>
void for_each_row(const ConstTensorView& x, std::int64_t m, std::int64_t k, const std::string& what, Body&& body) {
  std::atomic<bool> finite{true};
  parallel(threads_for(std::min(m, m * k / kElementsPerThread)), [&](const Team& team) {
    const ChunkRange mine = team.share(m);
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      if (body(i)) continue;
      finite = false;
      return;
    }
  });
  if (!finite) require_finite(x, what);
}

}  // namespace

void require_params(const QuantParams& params, const std::string& what) {
  if (!(params.scale > 0) || !std::isfinite(params.scale)) {
    throw std::invalid_argument(what + ": expected a positive, finite scale, got " + number_text(params.scale));
  }
  if (params.zero_point < -128 || params.zero_point > 127) {
    throw std::invalid_argument(what + ": expected a zero point from -128 to 127, got " +
                                std::to_string(params.zero_point));
  }
  if (params.scheme == Scheme::symmetric && params.zero_point != 0) {
    throw std::invalid_argument(what + ": expected a zero point of 0 with the symmetric scheme, got " +
                                std::to_string(params.zero_point));
  }
}

bool quantize_row(const float* row, std::int64_t k, float& scale, std::int8_t* to) {
  const float most = active_kernels().quant->max_abs_run(row, k);
  if (!std::isfinite(most)) return false;
  scale = row_scale(most);
  active_kernels().quant_format->quantize_run(row, scale, 0, {-127, 127}, to, k);
  return true;
}

std::int64_t require_rows(const ConstTensorView& x, std::int64_t k, const std::string& what) {
  const bool one_row = x.shape.size() == 1;
  if (!one_row && x.shape.size() != 2) {
    throw std::invalid_argument(what + ": expected two dimensions, got shape " + shape_text(x.shape));
  }
  const std::int64_t m = one_row ? 1 : x.shape[0];
  require(x, x.dtype, one_row ? Shape{k} : Shape{m, k}, what);
  require_elements(x, what);
  return m;
}

QuantRows quantize_rows(const ConstTensorView& x, std::int64_t k, const std::optional<QuantParams>& params,
                        const std::string& what) {
  if (params) require_params(*params, what);
  if (!params || x.dtype != DType::i8) require_dtype(x, DType::f32, what);
  QuantRows rows;
  rows.m = require_rows(x, k, what);
  rows.k = k;
  rows.scales = Tensor(DType::f32, {params ? 1 : rows.m});
  auto* scales = rows.scales.as<float>();
  if (params) {
    scales[0] = params->scale;
    rows.zero_point = params->zero_point;
  }
  if (x.dtype == DType::i8) {
    rows.values = x.as<std::int8_t>();
    rows.largest_scale = params->scale;
    return rows;
  }
  rows.storage = Tensor::uninitialized(DType::i8, {rows.m, k});
  auto* values = rows.storage.as<std::int8_t>();
  rows.values = values;
  const kernels::QuantTable& range = *active_kernels().quant;
  const kernels::QuantFormatTable& format = *active_kernels().quant_format;
  for_each_row(x, rows.m, k, what, [&](std::int64_t i) {
    const float* row = x.as<float>() + i * k;
    if (!params) return quantize_row(row, k, scales[i], values + i * k);
    if (!std::isfinite(range.max_abs_run(row, k))) return false;
    format.quantize_run(row, params->scale, params->zero_point, limits_of(*params), values + i * k, k);
    return true;
  });
  rows.largest_scale = *std::max_element(scales, scales + rows.scales.size());
  return rows;
}

QuantRows split_rows(const ConstTensorView& x, std::int64_t k, const std::string& what) {
  require_dtype(x, DType::f32, what);
  constexpr float kPlaces[kDigits] = {1, 0x1p-8F, 0x1p-16F};
  QuantRows rows;
  rows.m = require_rows(x, k, what);
  rows.k = k;
  rows.scales = Tensor::uninitialized(DType::f32, {rows.m});
  rows.digits = std::make_unique<QuantRows>();
  QuantRows& digits = *rows.digits;
  digits.m = rows.m * kDigits;
  digits.k = k;
  digits.storage = Tensor::uninitialized(DType::i8, {digits.m, k});
  digits.values = digits.storage.as<std::int8_t>();
  digits.scales = Tensor::uninitialized(DType::f32, {digits.m});
  for (std::int64_t i = 0; i < digits.m; ++i) digits.scales.as<float>()[i] = kPlaces[i % kDigits];
  const kernels::QuantTable& kernel = *active_kernels().quant;
  for_each_row(x, rows.m, k, what, [&](std::int64_t i) {
    const float* row = x.as<float>() + i * k;
    const float most = kernel.max_abs_run(row, k);
    if (!std::isfinite(most)) return false;
    int exponent = FLT_MIN_EXP;  // most <= 2^exponent
    if (most > 0 && std::frexp(most, &exponent) == 0.5F) --exponent;
    exponent = std::max(exponent - 22, FLT_MIN_EXP - 1);  // FLT_MIN, the least that has an inverse
    auto* to = digits.storage.as<std::int8_t>() + i * kDigits * k;
    kernel.digits({row, std::ldexp(1.0F, -exponent), to, to + k, to + 2 * k, k});
    rows.scales.as<float>()[i] = std::ldexp(1.0F, exponent + 8 * (kDigits - 1));
    return true;
  });
  const auto* scales = rows.scales.as<float>();
  rows.largest_scale = *std::max_element(scales, scales + rows.scales.size());
  return rows;
}

}  // namespace petrain
