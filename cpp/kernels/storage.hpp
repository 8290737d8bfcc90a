// How numbers are stored.
#pragma once

#include <cstdint>

namespace petrain::kernels {

enum class Storage : std::uint8_t { f32, f64, f16, bf16, code8, sum_bf16, sum_code8 };

// Sums of gradients, 64 of them; sums.hpp says what the bits are.
struct SumBf16 {
  std::uint16_t sum[64];
  std::uint8_t rest[64], last[16];
};
struct SumCode8 {
  float scale;
  std::uint8_t sum[64], rest[64];
};

// Bytes of an element; of sums, which are stored in groups, 1.
constexpr std::int64_t storage_size(Storage storage) {
  switch (storage) {
    case Storage::f64:
      return 8;
    case Storage::f32:
      return 4;
    case Storage::f16:
    case Storage::bf16:
      return 2;
    default:
      return 1;
  }
}

}  // namespace petrain::kernels
