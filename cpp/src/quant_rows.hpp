// Rows of activations as the integers that products take.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "int_gemm.hpp"
#include "petrain/quant.hpp"

namespace petrain {

struct QuantRows {
  std::int64_t m = 0, k = 0;
  const std::int8_t* values = nullptr;  // (m, k)
  std::int32_t zero_point = 0;
  float largest_scale = 0;

  const std::int8_t* row(std::int64_t i) const { return values + i * k; }
  // Of m = 1; made once for all products with these rows. For one thread.
  const SingleRow& single() const {
    if (!single_) single_.emplace(values, k);
    return *single_;
  }
  float scale(std::int64_t i) const { return scales.as<float>()[scales.size() == 1 ? 0 : i]; }

  Tensor storage, scales;  // int8 (m, k), or empty where x was int8; float32 (m,) or (1,)

 private:
  mutable std::optional<SingleRow> single_;
};

// x: (m, k) or (k,). With `params` int8, or float32 that is quantized with them; else float32 that gets a symmetric
// scale for each row. Throws std::invalid_argument where x is not so, or NaN or infinite; `what` names it.
QuantRows quantize_rows(const ConstTensorView& x, std::int64_t k, const std::optional<QuantParams>& params,
                        const std::string& what);

// Throws std::invalid_argument where they are none of int8.
void require_params(const QuantParams& params, const std::string& what);

}  // namespace petrain
