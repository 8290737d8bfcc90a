#include <algorithm>
#include <limits>
#include <utility>

#include "checks.hpp"
#include "petrain/quant.hpp"
#include "petrain/sparse.hpp"
#include "quant_checks.hpp"
#include "sparse_steps.hpp"

namespace petrain {
namespace {

// Of one group: the inputs that any of its outputs wants.
std::vector<std::uint8_t> wanted_by(const std::uint8_t* mask, std::int64_t group, std::int64_t k) {
  std::vector<std::uint8_t> wanted(static_cast<std::size_t>(k));
  for (std::int64_t r = 0; r < group; ++r) {
    for (std::int64_t j = 0; j < k; ++j) wanted[static_cast<std::size_t>(j)] |= mask[r * k + j] != 0;
  }
  return wanted;
}

// The places of n of m that are stored: those that are wanted, and the first of the others.
void choose(const std::uint8_t* wanted, const SparsePattern& pattern, std::int64_t first_output, std::int64_t input,
            std::vector<std::uint8_t>& places) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < pattern.m; ++i) count += wanted[i];
  if (count > pattern.n) {
    throw std::invalid_argument("mask: expected at most " + pattern_text(pattern) + ", got " + std::to_string(count) +
                                " for the outputs from " + std::to_string(first_output) + " at the inputs from " +
                                std::to_string(input));
  }
  std::int64_t spare = pattern.n - count;
  for (std::int64_t i = 0; i < pattern.m; ++i) {
    if (wanted[i] != 0 || spare-- > 0) places.push_back(static_cast<std::uint8_t>(i));
  }
}

void index_n_m(const std::uint8_t* mask, SparseTensor& w) {
  const std::int64_t group = w.pattern.group, k = w.shape[1], m = w.pattern.m;
  std::vector<std::uint8_t> places;
  for (std::int64_t g = 0; g < w.groups(); ++g) {
    const auto wanted = wanted_by(mask + g * group * k, group, k);
    for (std::int64_t j = 0; j < k; j += m) choose(wanted.data() + j, w.pattern, g * group, j, places);
  }
  const auto count = static_cast<std::int64_t>(places.size());
  w.positions = Tensor(DType::u8, {position_bytes(count, m)});
  pack_positions(places, m, w.positions.as<std::uint8_t>());
}

void index_blocks(const std::uint8_t* mask, SparseTensor& w) {
  const std::int64_t group = w.pattern.group, k = w.shape[1], width = w.pattern.columns;
  std::vector<std::int32_t> columns;
  w.starts = Tensor(DType::i32, {w.groups() + 1});
  for (std::int64_t g = 0; g < w.groups(); ++g) {
    const auto wanted = wanted_by(mask + g * group * k, group, k);
    for (std::int64_t b = 0; b < k / width; ++b) {
      const auto first = wanted.begin() + b * width;
      if (std::find(first, first + width, 1) != first + width) columns.push_back(static_cast<std::int32_t>(b));
    }
    w.starts.as<std::int32_t>()[g + 1] = static_cast<std::int32_t>(columns.size());
  }
  w.columns = Tensor(DType::i32, {static_cast<std::int64_t>(columns.size())});
  std::copy(columns.begin(), columns.end(), w.columns.as<std::int32_t>());
}

Tensor masked(const ConstTensorView& w, const std::uint8_t* mask) {
  Tensor result = Tensor::uninitialized(DType::f32, w.shape);
  for (std::int64_t i = 0; i < w.size(); ++i) result.as<float>()[i] = mask[i] != 0 ? w.as<float>()[i] : 0.0F;
  return result;
}

template <class T>
void gather(const T* from, SparseTensor& w) {
  const StepIndex steps = steps_of(w);
  const std::int64_t group = w.pattern.group, k = w.shape[1];
  for (std::int64_t g = 0; g < w.groups(); ++g) {
    for (std::int64_t s = steps.starts[g]; s < steps.starts[g + 1]; ++s) {
      T* to = w.values.as<T>() + s * group;
      for (std::int64_t r = 0; r < group; ++r) to[r] = from[(g * group + r) * k + steps.positions[s]];
    }
  }
}

}  // namespace

SparseTensor compress(const ConstTensorView& w, const ConstTensorView& mask, const SparsePattern& pattern, int bits) {
  require_dtype(w, DType::f32, "w");
  require_pattern(pattern, w.shape, bits);
  require(mask, DType::u8, w.shape, "mask");
  require_finite(w, "w");
  if (element_count(w.shape) > std::numeric_limits<std::int32_t>::max()) {
    throw std::invalid_argument("w: expected fewer than 2^31 elements, got shape " + shape_text(w.shape));
  }
  SparseTensor result;
  result.pattern = pattern;
  result.shape = w.shape;
  const DType dtype = bits == 8 ? DType::i8 : DType::f32;
  const auto* kept = mask.as<std::uint8_t>();
  if (pattern.blocks()) {
    index_blocks(kept, result);
    result.values = Tensor(dtype, {result.columns.size(), pattern.columns, pattern.group});
  } else {
    index_n_m(kept, result);
    result.values = Tensor(dtype, {result.groups(), w.shape[1] / pattern.m * pattern.n, pattern.group});
  }
  const Tensor zeroed = masked(w, kept);
  if (bits == 32) {
    gather(zeroed.as<float>(), result);
  } else {
    QuantTensor quantized = quantize(zeroed.view());
    gather(std::as_const(quantized.values).as<std::int8_t>(), result);
    result.scale = std::move(quantized.scale);
  }
  return result;
}

}  // namespace petrain
