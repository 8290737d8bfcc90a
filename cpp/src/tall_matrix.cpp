#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

#include "checks.hpp"
#include "chunks.hpp"
#include "isa.hpp"
#include "svd.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

// Values between 2^-16 and 2^16 are used as they are.
constexpr int kPlainExponent = 16;

[[noreturn]] void refuse_non_finite(const float* values, const Shape& shape, const std::string& what) {
  std::int64_t i = 0;
  while (std::isfinite(values[i])) ++i;
  throw std::invalid_argument(what + ": expected finite values, got " + number_text(values[i]) + " at " +
                              shape_text({i / shape[1], i % shape[1]}));
}

}  // namespace

TallMatrix make_tall(const ConstTensorView& array, const std::string& what) {
  if (array.dtype != DType::f32) {
    throw std::invalid_argument(what + ": expected dtype float32, got " + dtype_name(array.dtype));
  }
  if (array.shape.size() != 2 || array.size() == 0) {
    throw std::invalid_argument(what + ": expected a matrix that is not empty, got shape " + shape_text(array.shape));
  }
  const float* values = array.as<float>();
  const std::int64_t size = array.size(), chunks = (size + kChunk - 1) / kChunk;
  std::vector<double> squares(chunks);
  std::vector<float> largest(chunks);
  const auto& table = active_kernels();
  parallel_for(chunks, [&](std::int64_t chunk) {
    const float* begin = values + chunk * kChunk;
    const std::int64_t count = std::min(kChunk, size - chunk * kChunk);
    squares[chunk] = table.reduce->sum_of_squares(begin, kernels::Storage::f32, 0, count);
    float most = 0;
    for (std::int64_t i = 0; i < count; ++i) most = std::max(most, std::fabs(begin[i]));
    largest[chunk] = most;
  });
  TallMatrix tall;
  tall.square = tree_sum(squares);
  if (!std::isfinite(tall.square)) refuse_non_finite(values, array.shape, what);
  tall.transposed = array.shape[0] < array.shape[1];
  const float most = *std::max_element(largest.begin(), largest.end());
  int exponent = 0;
  if (most > 0) std::frexp(most, &exponent);
  if (std::abs(exponent) > kPlainExponent) {
    tall.exponent = exponent;
    tall.storage = Tensor(DType::f32, array.shape);
    float* scaled = tall.storage.as<float>();
    const double factor = std::ldexp(1.0, -exponent);  // beyond float32's range, where the values are denormal
    for (std::int64_t i = 0; i < size; ++i) scaled[i] = static_cast<float>(values[i] * factor);
    values = scaled;
  }
  const ConstMatrix matrix(values, array.shape[0], array.shape[1]);
  tall.matrix = tall.transposed ? matrix.transposed() : matrix;
  return tall;
}

}  // namespace petrain
