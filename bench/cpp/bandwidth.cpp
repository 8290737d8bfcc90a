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

}  // namespace

extern "C" {

// Reads `read`, and reads and writes the others: 4 bytes and 8 bytes for each element and stream.
void read_modify_write(const float* read, float* const* written, int streams, std::ptrdiff_t size, int threads) {
  parts(size, threads, [=](std::ptrdiff_t begin, std::ptrdiff_t end) {
    constexpr std::ptrdiff_t kBlock = 16384;
    for (std::ptrdiff_t block = begin; block < end; block += kBlock) {
      const std::ptrdiff_t stop = block + kBlock < end ? block + kBlock : end;
      float* a = written[0];
      float* b = written[streams > 1 ? 1 : 0];
      float* c = written[streams > 2 ? 2 : 0];
      switch (streams) {
        case 1:
#pragma omp simd
          for (std::ptrdiff_t i = block; i < stop; ++i) a[i] += read[i];
          break;
        case 2:
#pragma omp simd
          for (std::ptrdiff_t i = block; i < stop; ++i) {
            const float x = read[i];
            a[i] += x;
            b[i] += x;
          }
          break;
        default:
#pragma omp simd
          for (std::ptrdiff_t i = block; i < stop; ++i) {
            const float x = read[i];
            a[i] += x;
            b[i] += x;
            c[i] += x;
          }
      }
    }
  });
}

// Only reads.
double read_only(const std::uint64_t* words, std::ptrdiff_t size, int threads) {
  std::uint64_t sum = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : sum)
  for (std::ptrdiff_t i = 0; i < size; ++i) sum += words[i];
  return static_cast<double>(sum);
}
}
