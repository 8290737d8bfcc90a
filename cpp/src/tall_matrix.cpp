#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "checks.hpp"
#include "chunks.hpp"
#include "isa.hpp"
#include "matrix_by_rows.hpp"
#include "svd.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

// Values between 2^-16 and 2^16 are used as they are.
constexpr int kPlainExponent = 16;

template <class T>
[[noreturn]] void refuse_non_finite(const T* values, const Shape& shape, const std::string& what) {
  std::int64_t i = 0;
  while (std::isfinite(values[i])) ++i;
  throw std::invalid_argument(what + ": expected finite values, got " + number_text(values[i]) + " at " +
                              shape_text({i / shape[1], i % shape[1]}));
}

// The largest magnitude, or infinity or NaN where a value is not finite. Bits without the sign are in the same order.
template <class T>
T largest_of(const T* values, std::int64_t size, bool drop) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  constexpr Bits kMagnitude = std::numeric_limits<Bits>::max();
  const std::int64_t chunks = (size + kChunk - 1) / kChunk;
  std::vector<Bits> largest(chunks);
  parallel_for(chunks, [&](std::int64_t chunk) {
    const std::int64_t end = std::min((chunk + 1) * kChunk, size);
    Bits most = 0;
    for (std::int64_t i = chunk * kChunk; i < end; ++i) {
      const Bits magnitude = std::bit_cast<Bits>(values[i]) & kMagnitude;
      most = magnitude > most ? magnitude : most;
    }
    largest[chunk] = most;
    if (drop) drop_pages(values + chunk * kChunk, (end - chunk * kChunk) * static_cast<std::int64_t>(sizeof(T)));
  });
  return std::bit_cast<T>(*std::max_element(largest.begin(), largest.end()));
}

template <class T>
double sum_of_squares(const T* values, std::int64_t size, bool drop) {
  const auto storage = sizeof(T) == 4 ? kernels::Storage::f32 : kernels::Storage::f64;
  const std::int64_t chunks = (size + kChunk - 1) / kChunk;
  std::vector<double> squares(chunks);
  const auto& table = active_kernels();
  parallel_for(chunks, [&](std::int64_t chunk) {
    const std::int64_t count = std::min(kChunk, size - chunk * kChunk);
    squares[chunk] = table.reduce->sum_of_squares(values + chunk * kChunk, storage, 0, count);
    if (drop) drop_pages(values + chunk * kChunk, count * static_cast<std::int64_t>(sizeof(T)));
  });
  return tree_sum(squares);
}

}  // namespace

template <class T>
TallMatrixOf<T> make_tall_of(const ConstTensorView& array, const std::string& what, bool drop) {
  if (array.dtype != dtype_of<T>()) {
    throw std::invalid_argument(what + ": expected dtype " + dtype_name(dtype_of<T>()) + ", got " +
                                dtype_name(array.dtype));
  }
  if (array.shape.size() != 2 || array.size() == 0) {
    throw std::invalid_argument(what + ": expected a matrix that is not empty, got shape " + shape_text(array.shape));
  }
  const T* values = array.as<T>();
  const std::int64_t size = array.size();
  const T most = largest_of(values, size, drop);
  if (!std::isfinite(most)) refuse_non_finite(values, array.shape, what);
  TallMatrixOf<T> tall;
  tall.transposed = array.shape[0] < array.shape[1];
  int exponent = 0;
  if (most > 0) std::frexp(most, &exponent);
  if (std::abs(exponent) > kPlainExponent) {
    if (drop) {
      throw std::invalid_argument(what + ": expected a largest magnitude between 2^-16 and 2^16 for a matrix beyond " +
                                  "memory_limit, got " + number_text(most));
    }
    tall.exponent = exponent;
    tall.storage = Tensor::uninitialized(dtype_of<T>(), array.shape);
    T* scaled = tall.storage.template as<T>();
    // In float64, for the sake of factors beyond float32's range; in two parts, for those beyond float64's.
    const double half = std::ldexp(1.0, -exponent / 2), other = std::ldexp(1.0, -exponent - -exponent / 2);
    for (std::int64_t i = 0; i < size; ++i) scaled[i] = static_cast<T>(values[i] * half * other);
    values = scaled;
  }
  tall.square = sum_of_squares(values, size, drop);
  const ConstMatrixOf<T> matrix(values, array.shape[0], array.shape[1]);
  tall.matrix = tall.transposed ? matrix.transposed() : matrix;
  return tall;
}

template TallMatrix make_tall_of(const ConstTensorView&, const std::string&, bool);
template TallMatrixOf<double> make_tall_of(const ConstTensorView&, const std::string&, bool);

}  // namespace petrain
