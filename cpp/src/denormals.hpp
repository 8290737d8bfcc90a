// While one of these lives, and is on, its thread takes denormals for zero and gives zero in their place. States that
// fade away pass through the denormals, where some processors are a hundred times slower.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace petrain {

class FlushDenormals {
 public:
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

#if defined(__SSE2__)
  explicit FlushDenormals(bool on) : before_(_mm_getcsr()) {
    if (on) _mm_setcsr(before_ | kFlushToZero | kDenormalsAreZero);
  }
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  static constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x40;
  unsigned before_;
#elif defined(__aarch64__)
  explicit FlushDenormals(bool on) {
    __asm__ volatile("mrs %0, fpcr" : "=r"(before_));
    if (on) __asm__ volatile("msr fpcr, %0" : : "r"(before_ | kFlushToZero));
  }
  ~FlushDenormals() { __asm__ volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  static constexpr std::uint64_t kFlushToZero = std::uint64_t{1} << 24;
  std::uint64_t before_;
#else
  explicit FlushDenormals(bool) {}
#endif
};

}  // namespace petrain
