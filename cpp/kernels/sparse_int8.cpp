#include "sparse_int8.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace petrain::kernels {
namespace {

using std::ptrdiff_t;

#if defined(__AVX2__)
void gather_windows(const GatherArgs& args) {
  const std::int8_t* row = args.row;
  const std::uint8_t* places = args.places;
  std::int8_t* to = args.to;
  for (ptrdiff_t s = 0; s < args.count; s += args.in_window) {
    const __m128i window = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row));
    const __m128i at = _mm_loadu_si128(reinterpret_cast<const __m128i*>(places));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_shuffle_epi8(window, at));
    row += kWindow;
    places += args.in_window;
    to += args.in_window;
  }
}
#endif

void gather(const GatherArgs& args) {
#if defined(__AVX2__)
  if (args.places != nullptr) return gather_windows(args);
#endif
  if (args.fours) {
    for (ptrdiff_t s = 0; s < args.count; s += 4) __builtin_memcpy(args.to + s, args.row + args.positions[s], 4);
    return;
  }
  for (ptrdiff_t s = 0; s < args.count; ++s) args.to[s] = args.row[args.positions[s]];
}

#if defined(__AVX2__)
// |a| times b with the sign of a: two products are at most 2 · 127², which int16 holds.
void row(const SparseRowArgs& args) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sums[2] = {};
  const std::int8_t* panel = args.panel;
  for (ptrdiff_t s = 0; s < args.fours; ++s, panel += kSparseOutputs * 4) {
    int four;
    __builtin_memcpy(&four, args.a + s * 4, sizeof four);
    const __m256i a = _mm256_set1_epi32(four), size = _mm256_abs_epi8(a);
    for (int v = 0; v < 2; ++v) {
      const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + v * 32));
      const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(b, a));
      sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(pairs, ones));
    }
  }
  for (int v = 0; v < 2; ++v) _mm256_storeu_si256(reinterpret_cast<__m256i*>(args.sums + v * 8), sums[v]);
}
#endif

}  // namespace

#if defined(__AVX2__)
extern const SparseInt8Table PETRAIN_TABLE(sparse_int8) = {gather, row};
#else
extern const SparseInt8Table PETRAIN_TABLE(sparse_int8) = {gather, nullptr};
#endif

}  // namespace petrain::kernels
