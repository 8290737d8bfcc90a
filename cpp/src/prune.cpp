#include "petrain/prune.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "checks.hpp"
#include "chunks.hpp"
#include "isa.hpp"
#include "keep_greatest.hpp"
#include "overlap.hpp"
#include "quant_checks.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr int kDigitBits = 11;
constexpr std::uint32_t kDigits = 1u << kDigitBits;
constexpr std::int64_t kSmallPool = 32;

// Keys that are ordered as the numbers are. -0 becomes 0 first.
std::uint32_t key_of(float score) {
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

// By how many go before each: quadratic, for a few neighbours.
void keep_in_small_pool(const float* scores, std::int64_t size, std::int64_t keep, std::uint8_t* mask) {
  for (std::int64_t i = 0; i < size; ++i) {
    std::int64_t before = 0;
    for (std::int64_t j = 0; j < i; ++j) before += scores[j] >= scores[i];
    for (std::int64_t j = i + 1; j < size; ++j) before += scores[j] > scores[i];
    mask[i] = before < keep;
  }
}

// Of elements of the size of T.
template <class T>
void zero_pruned(std::byte* bytes, const std::uint8_t* keep, std::int64_t size) {
  for (std::int64_t i = 0; i < size; ++i) {
    T value;
    std::memcpy(&value, bytes + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
    value = keep[i] != 0 ? value : T{0};
    std::memcpy(bytes + i * static_cast<std::int64_t>(sizeof(T)), &value, sizeof(T));
  }
}

}  // namespace

// The key of the last one that is kept, digit by digit from the top, by counting; then those above it, and the first of
// those that are equal to it.
void keep_in_pool(const float* scores, std::int64_t size, std::int64_t keep, std::uint8_t* mask) {
  if (size <= kSmallPool) return keep_in_small_pool(scores, size, keep, mask);
  if (keep == 0) {
    std::fill_n(mask, size, std::uint8_t{0});
    return;
  }
  std::uint32_t least = 0, decided = 0;  // the key, and which of its bits are known
  std::int64_t equal = keep;             // to keep of those that agree with it so far
  for (int shift = 32 - kDigitBits; decided != ~0u; shift = std::max(shift - kDigitBits, 0)) {
    const std::uint32_t digit = (kDigits - 1) << shift & ~decided;
    std::vector<std::int64_t> counts(kDigits);
    for (std::int64_t i = 0; i < size; ++i) {
      const std::uint32_t key = key_of(scores[i]);
      if ((key & decided) == least) ++counts[(key & digit) >> shift];
    }
    std::uint32_t value = kDigits - 1;
    for (; counts[value] < equal; --value) equal -= counts[value];
    least |= value << shift;
    decided |= digit;
  }
  for (std::int64_t i = 0; i < size; ++i) {
    const std::uint32_t key = key_of(scores[i]);
    mask[i] = key > least || (key == least && equal-- > 0);
  }
}

Tensor keep_greatest(const ConstTensorView& scores, std::int64_t pool, std::int64_t keep) {
  require_dtype(scores, DType::f32, "scores");
  const std::int64_t size = scores.size();
  if (pool < 1 || size % pool != 0) {
    throw std::invalid_argument("pool: expected a divisor of the " + std::to_string(size) + " scores, got " +
                                std::to_string(pool));
  }
  if (keep < 0 || keep > pool) {
    throw std::invalid_argument("keep: expected 0 to " + std::to_string(pool) + ", got " + std::to_string(keep));
  }
  require_finite(scores, "scores");
  Tensor mask = Tensor::uninitialized(DType::u8, scores.shape);
  const std::int64_t pools = size / pool, together = std::max<std::int64_t>(kChunk / pool, 1);
  parallel_for((pools + together - 1) / together, [&](std::int64_t chunk) {
    for (std::int64_t p = chunk * together; p < std::min((chunk + 1) * together, pools); ++p) {
      keep_in_pool(scores.as<float>() + p * pool, pool, keep, mask.as<std::uint8_t>() + p * pool);
    }
  });
  return mask;
}

Tensor block_means(const ConstTensorView& scores, std::int64_t rows, std::int64_t columns) {
  require_dtype(scores, DType::f32, "scores");
  if (scores.shape.size() != 2 || rows < 1 || columns < 1 || scores.shape[0] % rows != 0 ||
      scores.shape[1] % columns != 0) {
    throw std::invalid_argument("scores: expected a matrix that blocks of " + shape_text({rows, columns}) +
                                " fill, got shape " + shape_text(scores.shape));
  }
  require_finite(scores, "scores");
  const std::int64_t width = scores.shape[1], across = width / columns, down = scores.shape[0] / rows;
  Tensor means(DType::f32, {down, across});
  parallel_for(down, [&](std::int64_t block_row) {
    for (std::int64_t block = 0; block < across; ++block) {
      const float* first = scores.as<float>() + block_row * rows * width + block * columns;
      double sum = 0;
      for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < columns; ++j) sum += static_cast<double>(first[i * width + j]);
      }
      means.as<float>()[block_row * across + block] =
          static_cast<float>(sum / (static_cast<double>(rows) * static_cast<double>(columns)));
    }
  });
  return means;
}

void apply_masks(std::span<const TensorView> arrays, std::span<const ConstTensorView> masks) {
  require_count(masks.size(), arrays.size(), "masks");
  struct Chunk {
    std::size_t array;
    std::int64_t begin, size;
  };
  std::vector<Chunk> chunks;
  for (std::size_t a = 0; a < arrays.size(); ++a) {
    const std::string what = "mask " + std::to_string(a);
    require(masks[a], DType::u8, arrays[a].shape, what);
    if (share_memory(arrays[a], masks[a])) {
      throw std::invalid_argument(what + ": expected memory of its own, got some of its array");
    }
    for_each_chunk(a, arrays[a].size(), [&](std::size_t array, std::int64_t begin, std::int64_t size) {
      chunks.push_back({array, begin, size});
    });
  }
  if (overlap(arrays)) throw std::invalid_argument("arrays: expected memory of their own, got some that overlap");
  parallel_for(static_cast<std::int64_t>(chunks.size()), [&](std::int64_t c) {
    const Chunk& chunk = chunks[c];
    const std::size_t width = dtype_size(arrays[chunk.array].dtype);
    auto* bytes = arrays[chunk.array].as<std::byte>() + static_cast<std::size_t>(chunk.begin) * width;
    const auto* keep = masks[chunk.array].as<std::uint8_t>() + chunk.begin;
    if (width == 1) zero_pruned<std::uint8_t>(bytes, keep, chunk.size);
    if (width == 2) zero_pruned<std::uint16_t>(bytes, keep, chunk.size);
    if (width == 4) zero_pruned<std::uint32_t>(bytes, keep, chunk.size);
    if (width == 8) zero_pruned<std::uint64_t>(bytes, keep, chunk.size);
  });
}

ColumnSquares::ColumnSquares(std::int64_t columns) {
  if (columns < 1) throw std::invalid_argument("columns: expected at least 1, got " + std::to_string(columns));
  sums_ = Tensor(DType::f64, {columns});
}

void ColumnSquares::observe(const ConstTensorView& x) {
  require_dtype(x, DType::f32, "x");
  const std::int64_t columns = sums_.size();
  if (x.shape.empty() || x.shape.back() != columns) {
    throw std::invalid_argument("x: expected shape (…, " + std::to_string(columns) + "), got " + shape_text(x.shape));
  }
  require_finite(x, "x");
  const std::int64_t rows = x.size() / columns;
  const auto add_squares = active_kernels().reduce->add_squares;
  constexpr std::int64_t kColumns = 256;
  parallel_for((columns + kColumns - 1) / kColumns, [&](std::int64_t chunk) {
    const std::int64_t first = chunk * kColumns, count = std::min(kColumns, columns - first);
    for (std::int64_t i = 0; i < rows; ++i) {
      add_squares(x.as<float>() + i * columns + first, sums_.as<double>() + first, count);
    }
  });
  count_ += rows;
}

}  // namespace petrain
