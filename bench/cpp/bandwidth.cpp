// The memory's own rate: loops that read and write the streams of an optimizer step and compute next to nothing.
// Built by bench/bandwidth.py into a shared library with plain C functions.
#include <cstddef>
#include <cstdint>

namespace {

// Each thread keeps its own part, as petrain's step does.
template <class Body>
void parts(std::ptrdiff_t size, int threads, Body body) {
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int part = 0; part < threads; ++part) body(size * part / threads, size * (part + 1) / threads);
}

template <int streams>
void pass(const float* __restrict read, float* const* written, std::ptrdiff_t begin, std::ptrdiff_t end) {
  float* __restrict a = written[0];
  float* __restrict b = written[streams > 1 ? 1 : 0];
  float* __restrict c = written[streams > 2 ? 2 : 0];
  float* __restrict d = written[streams > 3 ? 3 : 0];
#pragma GCC ivdep
  for (std::ptrdiff_t i = begin; i < end; ++i) {
    const float nothing = 0 * read[i];
    a[i] += nothing;
    if constexpr (streams > 1) b[i] += nothing;
    if constexpr (streams > 2) c[i] += nothing;
    if constexpr (streams > 3) d[i] += nothing;
  }
}

}  // namespace

extern "C" {

// Reads `read`, and reads and writes the others, 1 to 4: 4 bytes and 8 bytes for each element and stream. What is
// written is what was there, so that the arrays may be those of an optimizer.
void read_modify_write(const float* read, float* const* written, int streams, std::ptrdiff_t size, int threads) {
  parts(size, threads, [=](std::ptrdiff_t begin, std::ptrdiff_t end) {
    switch (streams) {
      case 1:
        return pass<1>(read, written, begin, end);
      case 2:
        return pass<2>(read, written, begin, end);
      case 3:
        return pass<3>(read, written, begin, end);
      default:
        return pass<4>(read, written, begin, end);
    }
  });
}
}
