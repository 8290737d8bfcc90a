#include <algorithm>

#include "checks.hpp"
#include "int_gemm.hpp"
#include "petrain/quant_linear.hpp"
#include "quant_checks.hpp"
#include "quant_epilogue.hpp"

namespace petrain {
namespace {

void require_matrix(const ConstTensorView& array, const std::string& what) {
  if (array.shape.size() != 2) {
    throw std::invalid_argument(what + ": expected two dimensions, got shape " + shape_text(array.shape));
  }
  require_elements(array, what);
}

}  // namespace

Tensor matmul_int(const ConstTensorView& a, const ConstTensorView& b) {
  const bool shifted = a.dtype == DType::u8;
  if (!shifted && a.dtype != DType::i8)
    throw std::invalid_argument(std::string("a: expected dtype int8 or uint8, got ") + dtype_name(a.dtype));
  require_matrix(a, "a");
  require_matrix(b, "b");
  const std::int64_t m = a.shape[0], n = b.shape[0], k = a.shape[1];
  require(b, DType::i8, {n, k}, "b");
  require_depth(k, shifted, false, "a and b");
  Tensor result = Tensor::uninitialized(DType::i32, {m, n});
  const IntMatrix matrix(b.as<std::int8_t>(), n, k);
  // uint8 as int8: 128 less, which the sums of b's rows make up for.
  const auto row = [&](std::int64_t i, std::int8_t* scratch) {
    const std::int8_t* from = a.as<std::int8_t>() + i * k;
    if (!shifted) return from;
    std::transform(from, from + k, scratch, [](std::int8_t x) { return static_cast<std::int8_t>(x ^ -128); });
    return static_cast<const std::int8_t*>(scratch);
  };
  const std::int32_t* column_sums = shifted ? matrix.column_sums().as<std::int32_t>() : nullptr;
  int_product(m, row, matrix, [&](const Block<std::int32_t>& block) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
      std::int32_t* to = result.as<std::int32_t>() + (block.row + i) * n + block.column;
      std::copy_n(block.sums + i * block.stride, block.columns, to);
      for (std::int64_t j = 0; shifted && j < block.columns; ++j) {
        to[j] = static_cast<std::int32_t>(static_cast<std::int64_t>(to[j]) + 128 * column_sums[block.column + j]);
      }
    }
  });
  return result;
}

}  // namespace petrain
