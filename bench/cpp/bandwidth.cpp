// The memory's own rate: loops that read and write the streams of an optimizer step and compute next to nothing.
// Built by bench/bandwidth.py into a shared library with plain C functions.
#include <cstddef>

namespace {

// Writes back what was there, so that the arrays may be those of an optimizer. The result means nothing.
template <int reads, int writes>
float pass(const float* const* read, float* const* written, std::ptrdiff_t begin, std::ptrdiff_t end) {
  const float* __restrict a = read[0];
  const float* __restrict b = read[reads > 1 ? 1 : 0];
  const float* __restrict c = read[reads > 2 ? 2 : 0];
  float* __restrict p = writes > 0 ? written[0] : nullptr;
  float* __restrict q = writes > 1 ? written[1] : nullptr;
  float* __restrict r = writes > 2 ? written[2] : nullptr;
  float* __restrict s = writes > 3 ? written[3] : nullptr;
#pragma omp simd
  for (std::ptrdiff_t i = begin; i < end; ++i) {
    float x = a[i];
    if constexpr (reads > 1) x += b[i];
    if constexpr (reads > 2) x += c[i];
    const float nothing = 0 * x;
    if constexpr (writes > 0) p[i] += nothing;
    if constexpr (writes > 1) q[i] += nothing;
    if constexpr (writes > 2) r[i] += nothing;
    if constexpr (writes > 3) s[i] += nothing;
  }
  return 0;
}

// Reads alone, but for up to 63 numbers at the end: many sums, or the time of one addition after the other would be
// measured.
template <int reads>
float read_pass(const float* const* read, float* const*, std::ptrdiff_t begin, std::ptrdiff_t end) {
  constexpr int kSums = 64;
  float sums[kSums] = {};
  std::ptrdiff_t i = begin;
  for (; i + kSums <= end; i += kSums) {
    for (int array = 0; array < reads; ++array) {
      const float* __restrict from = read[array] + i;
#pragma omp simd
      for (int j = 0; j < kSums; ++j) sums[j] += from[j];
    }
  }
  float sum = 0;
  for (const float each : sums) sum += each;
  return sum;
}

using Pass = float (*)(const float* const*, float* const*, std::ptrdiff_t, std::ptrdiff_t);
constexpr Pass kPasses[3][5] = {{read_pass<1>, pass<1, 1>, pass<1, 2>, pass<1, 3>, pass<1, 4>},
                                {read_pass<2>, pass<2, 1>, pass<2, 2>, pass<2, 3>, pass<2, 4>},
                                {read_pass<3>, pass<3, 1>, pass<3, 2>, pass<3, 3>, pass<3, 4>}};

}  // namespace

// Reads 1 to 3 arrays, and reads and writes 0 to 4: 4 and 8 bytes for each element and array. Each thread keeps its own
// part, as petrain's step does.
extern "C" float sweep(const float* const* read, int reads, float* const* written, int writes, std::ptrdiff_t size,
                       int threads) {
  float sum = 0;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : sum)
  for (int part = 0; part < threads; ++part) {
    sum += kPasses[reads - 1][writes](read, written, size * part / threads, size * (part + 1) / threads);
  }
  return sum;
}
