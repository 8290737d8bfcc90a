// Blocks of stored numbers, read into the type of a computation.
#pragma once

#include "convert.hpp"
#include "storage.hpp"
#include "sums.hpp"

namespace petrain::kernels {
namespace {

constexpr std::ptrdiff_t kBlock = 512;  // a multiple of every group; five arrays of it stay in the first-level cache

// x within ± most; NaN stays.
template <class T>
T bounded(T x, T most) {
  x = x > most ? most : x;
  return x < -most ? -most : x;
}

template <class T>
__attribute__((noinline)) void load(const void* from, Storage storage, std::ptrdiff_t begin, T* to,
                                    std::ptrdiff_t size) {
  if (storage == Storage::f32) {
    const auto* x = static_cast<const float*>(from) + begin;
    for (std::ptrdiff_t i = 0; i < size; ++i) to[i] = static_cast<T>(x[i]);
  } else if (storage == Storage::f64) {
    const auto* x = static_cast<const double*>(from) + begin;
    for (std::ptrdiff_t i = 0; i < size; ++i) to[i] = static_cast<T>(x[i]);
  } else if (storage == Storage::sum_bf16) {
    load_sums(static_cast<const SumBf16*>(from), begin, to, size);
  } else if (storage == Storage::sum_code8) {
    load_sums(static_cast<const SumCode8*>(from), begin, to, size);
  } else {
    const auto* x = static_cast<const std::uint16_t*>(from) + begin;
    if (storage == Storage::bf16) {
#pragma omp simd
      for (std::ptrdiff_t i = 0; i < size; ++i) to[i] = static_cast<T>(from_bfloat16(x[i]));
    } else {
#pragma omp simd
      for (std::ptrdiff_t i = 0; i < size; ++i) to[i] = static_cast<T>(from_float16(x[i]));
    }
  }
}

}  // namespace
}  // namespace petrain::kernels
