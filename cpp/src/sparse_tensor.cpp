#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "checks.hpp"
#include "petrain/quant.hpp"
#include "petrain/sparse.hpp"
#include "quant_checks.hpp"
#include "sparse_steps.hpp"

namespace petrain {

std::string pattern_text(const SparsePattern& pattern) {
  const std::string group = std::to_string(pattern.group);
  if (pattern.blocks()) return "blocks of " + group + " x " + std::to_string(pattern.columns);
  return std::to_string(pattern.n) + ":" + std::to_string(pattern.m) + " in groups of " + group;
}

int position_bits(std::int64_t m) { return std::bit_width(static_cast<std::uint64_t>(m - 1)); }

std::int64_t position_bytes(std::int64_t count, std::int64_t m) { return (count * position_bits(m) + 7) / 8; }

std::vector<std::uint8_t> unpack_positions(const std::uint8_t* packed, std::int64_t count, std::int64_t m) {
  const int bits = position_bits(m);
  std::vector<std::uint8_t> places(static_cast<std::size_t>(count));
  unsigned window = 0;
  int held = 0;
  for (std::uint8_t& place : places) {
    if (held < bits) {
      window |= static_cast<unsigned>(*packed++) << held;
      held += 8;
    }
    place = static_cast<std::uint8_t>(window & ((1u << bits) - 1));
    window >>= bits;
    held -= bits;
  }
  return places;
}

void pack_positions(const std::vector<std::uint8_t>& places, std::int64_t m, std::uint8_t* packed) {
  const int bits = position_bits(m);
  unsigned window = 0;
  int held = 0;
  for (const std::uint8_t place : places) {
    window |= static_cast<unsigned>(place) << held;
    held += bits;
    if (held < 8) continue;
    *packed++ = static_cast<std::uint8_t>(window);
    window >>= 8;
    held -= 8;
  }
  if (held > 0) *packed = static_cast<std::uint8_t>(window);
}

void require_pattern(const SparsePattern& pattern, const Shape& shape, int bits) {
  constexpr std::int64_t kMostGroup = 16, kMostM = 16, kMostColumns = 64;
  const std::int64_t group = pattern.group;
  if (bits != 8 && bits != 32) throw std::invalid_argument("bits: expected 8 or 32, got " + std::to_string(bits));
  if (group != 1 && group != 2 && group != 4 && group != 8 && group != kMostGroup) {
    throw std::invalid_argument("group: expected 1, 2, 4, 8 or 16 outputs, got " + std::to_string(group));
  }
  if (bits == 8 && group != kMostGroup) {
    throw std::invalid_argument("group: expected 16 outputs with 8 bits, got " + std::to_string(group));
  }
  if (pattern.blocks()) {
    if (pattern.columns < 1 || pattern.columns > kMostColumns || pattern.n != 0) {
      throw std::invalid_argument("block: expected 1 to " + std::to_string(kMostColumns) + " inputs, got " +
                                  std::to_string(pattern.columns));
    }
  } else if (pattern.columns != 0 || pattern.n < 1 || pattern.m > kMostM || pattern.n >= pattern.m) {
    throw std::invalid_argument("n, m: expected 1 <= n < m <= " + std::to_string(kMostM) + ", got " +
                                std::to_string(pattern.n) + " and " + std::to_string(pattern.m));
  }
  const std::int64_t width = pattern.blocks() ? pattern.columns : pattern.m;
  if (shape.size() != 2 || element_count(shape) == 0 || shape[0] % group != 0 || shape[1] % width != 0 ||
      shape[1] > std::numeric_limits<std::int32_t>::max()) {
    throw std::invalid_argument("w: expected a matrix (out, in) of a multiple of " + std::to_string(group) +
                                " outputs and of " + std::to_string(width) + " inputs, not empty, got shape " +
                                shape_text(shape));
  }
}

std::size_t SparseTensor::nbytes() const {
  return values.nbytes() + scale.nbytes() + positions.nbytes() + columns.nbytes() + starts.nbytes();
}

SparseTensor SparseTensor::clone() const {
  SparseTensor copy{values.clone(), {}, {}, {}, {}, pattern, shape};
  if (!scale.empty()) copy.scale = scale.clone();
  if (pattern.blocks()) {
    copy.columns = columns.clone();
    copy.starts = starts.clone();
  } else {
    copy.positions = positions.clone();
  }
  return copy;
}

std::int64_t sparse_nbytes(const Shape& shape, const SparsePattern& pattern, int bits, std::int64_t blocks) {
  require_pattern(pattern, shape, bits);
  const std::int64_t group = pattern.group, groups = shape[0] / group, scales = bits == 8 ? 4 * shape[0] : 0;
  if (pattern.blocks()) {
    if (blocks < 0 || blocks > groups * (shape[1] / pattern.columns)) {
      throw std::invalid_argument("blocks: expected from 0 to " +
                                  std::to_string(groups * (shape[1] / pattern.columns)) + ", got " +
                                  std::to_string(blocks));
    }
    return blocks * (pattern.columns * group * bits / 8 + 4) + (groups + 1) * 4 + scales;
  }
  const std::int64_t steps = groups * (shape[1] / pattern.m * pattern.n);
  return steps * group * bits / 8 + position_bytes(steps, pattern.m) + scales;
}

namespace {

void require_none(const Tensor& part, const std::string& what) {
  if (!part.shape().empty() || !part.empty()) {
    throw std::invalid_argument(what + ": expected none, got shape " + shape_text(part.shape()));
  }
}

void require_numbers(const SparseTensor& w) {
  if (w.values.dtype() == DType::f32) {
    require_none(w.scale, "scale");
    return require_finite(w.values.view(), "values");
  }
  require(w.scale.view(), DType::f32, {w.shape[0]}, "scale");
  for (std::int64_t i = 0; i < w.scale.size(); ++i) {
    const float s = w.scale.as<float>()[i];
    if (!(s > 0) || !std::isfinite(s)) {
      throw std::invalid_argument("scale: expected positive, finite values, got " + number_text(s) + " at element " +
                                  std::to_string(i));
    }
  }
  const auto* values = w.values.as<std::int8_t>();
  const auto* end = values + w.values.size();
  if (const auto* low = std::find(values, end, std::int8_t{-128}); low != end) {
    throw std::invalid_argument("values: expected -127 to 127, got -128 at element " + std::to_string(low - values));
  }
}

void require_positions(const SparseTensor& w) {
  const std::int64_t n = w.pattern.n, m = w.pattern.m, count = w.groups() * (w.shape[1] / m * n);
  require(w.positions.view(), DType::u8, {position_bytes(count, m)}, "positions");
  require_none(w.columns, "columns");
  require_none(w.starts, "starts");
  const std::vector<std::uint8_t> places = unpack_positions(w.positions.as<std::uint8_t>(), count, m);
  for (std::int64_t i = 0; i < count; ++i) {
    const int least = i % n == 0 ? 0 : places[static_cast<std::size_t>(i - 1)] + 1;
    const int place = places[static_cast<std::size_t>(i)];
    if (place >= least && place < m) continue;
    throw std::invalid_argument("positions: expected " + std::to_string(least) + " to " + std::to_string(m - 1) +
                                " at " + std::to_string(i) + ", got " + std::to_string(place));
  }
  const std::int64_t used = count * position_bits(m) % 8;
  const int last = w.positions.as<std::uint8_t>()[w.positions.size() - 1];
  if (used != 0 && last >> used != 0) {
    throw std::invalid_argument("positions: expected 0 in the bits after the last one, got " +
                                std::to_string(last >> used));
  }
}

void require_blocks(const SparseTensor& w) {
  const std::int64_t blocks = w.values.shape()[0], across = w.shape[1] / w.pattern.columns;
  require(w.starts.view(), DType::i32, {w.groups() + 1}, "starts");
  require(w.columns.view(), DType::i32, {blocks}, "columns");
  require_none(w.positions, "positions");
  const auto* starts = w.starts.as<std::int32_t>();
  const auto* columns = w.columns.as<std::int32_t>();
  if (starts[0] != 0 || starts[w.groups()] != blocks) {
    throw std::invalid_argument("starts: expected 0 first and " + std::to_string(blocks) + " last, got " +
                                std::to_string(starts[0]) + " and " + std::to_string(starts[w.groups()]));
  }
  for (std::int64_t g = 0; g < w.groups(); ++g) {
    if (starts[g + 1] < starts[g] || starts[g + 1] > blocks) {
      throw std::invalid_argument("starts: expected " + std::to_string(starts[g]) + " to " + std::to_string(blocks) +
                                  " at " + std::to_string(g + 1) + ", got " + std::to_string(starts[g + 1]));
    }
    for (std::int64_t b = starts[g]; b < starts[g + 1]; ++b) {
      const std::int64_t least = b == starts[g] ? 0 : std::int64_t{columns[b - 1]} + 1;
      if (columns[b] >= least && columns[b] < across) continue;
      throw std::invalid_argument("columns: expected " + std::to_string(least) + " to " + std::to_string(across - 1) +
                                  " at " + std::to_string(b) + ", got " + std::to_string(columns[b]));
    }
  }
}

}  // namespace

void SparseTensor::validate() const {
  if (values.dtype() != DType::f32 && values.dtype() != DType::i8) {
    throw std::invalid_argument("values: expected dtype float32 or int8, got " +
                                std::string(dtype_name(values.dtype())));
  }
  require_pattern(pattern, shape, values.dtype() == DType::i8 ? 8 : 32);
  const bool three = values.shape().size() == 3;
  const Shape expected = pattern.blocks() ? Shape{three ? values.shape()[0] : 0, pattern.columns, pattern.group}
                                          : Shape{groups(), shape[1] / pattern.m * pattern.n, pattern.group};
  if (values.shape() != expected) {
    throw std::invalid_argument("values: expected shape " + std::string(pattern.blocks() ? "(blocks" : "(") +
                                shape_text(expected).substr(pattern.blocks() ? shape_text(expected).find(',') : 1) +
                                ", got " + shape_text(values.shape()));
  }
  if (pattern.blocks()) {
    require_blocks(*this);
  } else {
    require_positions(*this);
  }
  require_numbers(*this);
}

StepIndex steps_of(const SparseTensor& w) {
  const std::int64_t groups = w.groups(), group = w.pattern.group;
  StepIndex steps;
  steps.positions.reserve(static_cast<std::size_t>(w.values.size() / group));
  steps.starts.reserve(static_cast<std::size_t>(groups + 1));
  if (w.pattern.blocks()) {
    for (std::int64_t b = 0; b < w.columns.size(); ++b) {
      for (std::int64_t i = 0; i < w.pattern.columns; ++i) {
        const std::int64_t at = w.columns.as<std::int32_t>()[b] * w.pattern.columns + i;
        steps.positions.push_back(static_cast<std::int32_t>(at));
      }
    }
    for (std::int64_t g = 0; g <= groups; ++g) {
      steps.starts.push_back(w.starts.as<std::int32_t>()[g] * w.pattern.columns);
    }
    return steps;
  }
  const std::int64_t n = w.pattern.n, m = w.pattern.m, each = w.shape[1] / m * n;
  const auto places = unpack_positions(w.positions.as<std::uint8_t>(), groups * each, m);
  for (std::int64_t g = 0; g < groups; ++g) {
    steps.starts.push_back(g * each);
    for (std::int64_t s = 0; s < each; ++s) {
      steps.positions.push_back(static_cast<std::int32_t>(s / n * m + places[static_cast<std::size_t>(g * each + s)]));
    }
  }
  steps.starts.push_back(groups * each);
  return steps;
}

Tensor dense(const SparseTensor& w) {
  const StepIndex steps = steps_of(w);
  const std::int64_t group = w.pattern.group, k = w.shape[1];
  Tensor result(DType::f32, w.shape);
  for (std::int64_t g = 0; g < w.groups(); ++g) {
    for (std::int64_t s = steps.starts[g]; s < steps.starts[g + 1]; ++s) {
      for (std::int64_t r = 0; r < group; ++r) {
        const std::int64_t output = g * group + r, from = s * group + r;
        result.as<float>()[output * k + steps.positions[s]] =
            w.scale.empty() ? w.values.as<float>()[from]
                            : static_cast<float>(w.values.as<std::int8_t>()[from]) * w.scale.as<float>()[output];
      }
    }
  }
  return result;
}

}  // namespace petrain
