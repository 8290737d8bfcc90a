// The integer peak of this machine: a loop over registers of the best exact instruction that it has. Built by
// bench/int_peak.py.
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr int kChains = 10;  // more than the latency of an instruction times how many begin in a cycle

}  // namespace

// Multiply-adds of 8-bit integers that `repeats` rounds of the loop did; 0 where this file knows no instruction.
extern "C" double int8_peak(std::int64_t repeats) {
#if defined(__AVX512VNNI__)
  __m512i sums[kChains] = {};
  __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
  for (std::int64_t i = 0; i < repeats; ++i) {
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
    asm volatile("" : "+v"(a), "+v"(b));
  }
  for (auto& sum : sums) asm volatile("" ::"v"(sum));
  return static_cast<double>(repeats) * kChains * 64;
#elif defined(__AVX2__)
  // Two vpmaddubsw, added in int16, widened once: 64 products.
  __m256i sums[kChains] = {};
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2);
  for (std::int64_t i = 0; i < repeats; ++i) {
    for (auto& sum : sums) {
      asm volatile("" : "+x"(a), "+x"(b));  // or the compiler would compute one product for all sums
      const __m256i first = _mm256_maddubs_epi16(a, b), second = _mm256_maddubs_epi16(b, a);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_add_epi16(first, second), ones));
    }
  }
  for (auto& sum : sums) asm volatile("" ::"x"(sum));
  return static_cast<double>(repeats) * kChains * 64;
#else
  return 0 * static_cast<double>(repeats);
#endif
}
