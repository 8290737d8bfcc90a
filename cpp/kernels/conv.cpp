#include "conv.hpp"

#include "transpose.hpp"

namespace petrain::kernels {
namespace {

using std::int16_t;
using std::int32_t;
using std::int8_t;
using std::ptrdiff_t;
using std::uint32_t;

// Vectors of 16 bytes, which every instruction set has, for what a loop cannot say: transposing.
typedef int32_t Ints __attribute__((vector_size(16)));
typedef uint32_t Unsigned __attribute__((vector_size(16)));
typedef float Floats __attribute__((vector_size(16)));

template <class T>
T load_any(const void* from) {
  T x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}

template <class T>
void store_any(void* to, const T& x) {
  __builtin_memcpy(to, &x, sizeof x);
}

// The channels of an image in colour, known beforehand, make a loop that is vectorized.
void interleave_3(const InterleaveArgs& args) {
  const int8_t* __restrict from = args.from;
  int8_t* __restrict to = args.to;
  const ptrdiff_t stride = args.from_stride, pixels = args.pixels;
#pragma omp simd
  for (ptrdiff_t i = 0; i < pixels; ++i) {
    to[3 * i] = from[i];
    to[3 * i + 1] = from[stride + i];
    to[3 * i + 2] = from[2 * stride + i];
  }
}

void interleave(const InterleaveArgs& args) {
  if (args.channels == 3 && args.to_stride == 3) {
    interleave_3(args);
    return;
  }
  const ptrdiff_t whole_pixels = args.pixels - args.pixels % 16, whole = args.channels - args.channels % 16;
  for (ptrdiff_t i = 0; i < whole_pixels; i += 16) {
    for (ptrdiff_t j = 0; j < whole; j += 16) {
      transpose_16(args.from + j * args.from_stride + i, args.from_stride, args.to + i * args.to_stride + j,
                   args.to_stride);
    }
  }
  for (ptrdiff_t i = 0; i < args.pixels; ++i) {
    for (ptrdiff_t j = i < whole_pixels ? whole : 0; j < args.channels; ++j) {
      args.to[i * args.to_stride + j] = args.from[j * args.from_stride + i];
    }
  }
}

// T: four numbers.
template <class T>
void transpose_4(T (&x)[4]) {
  const T a = __builtin_shufflevector(x[0], x[1], 0, 4, 1, 5), b = __builtin_shufflevector(x[0], x[1], 2, 6, 3, 7),
          c = __builtin_shufflevector(x[2], x[3], 0, 4, 1, 5), d = __builtin_shufflevector(x[2], x[3], 2, 6, 3, 7);
  x[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  x[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  x[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  x[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

void pick(const int8_t* __restrict from, ptrdiff_t step, int8_t* __restrict to, ptrdiff_t size) {
  if (step == 2) {
#pragma omp simd
    for (ptrdiff_t i = 0; i < size; ++i) to[i] = from[2 * i];
    return;
  }
  for (ptrdiff_t i = 0; i < size; ++i) to[i] = from[step * i];
}

#if defined(__AVX2__)
#define PETRAIN_WIDE __attribute__((vector_size(32)))
#else
#define PETRAIN_WIDE __attribute__((vector_size(16)))
#endif
typedef int16_t Shorts PETRAIN_WIDE;
typedef int32_t WideInts PETRAIN_WIDE;

// Of four neighbours each has a vector of sums of its own, so that widening is shifting within lanes. Two
// products fit in int16: 2 * 128 * 127 < 2¹⁵.
void slide(const SlideArgs& args) {
  constexpr int kVectors = kSlideStep / static_cast<int>(sizeof(Shorts)), kInts = sizeof(WideInts) / sizeof(int32_t);
  for (ptrdiff_t i = 0; i < args.size; i += kSlideStep) {
    const int8_t* x = args.x + i;
    WideInts sums[kVectors][4] = {};
    for (ptrdiff_t t = 0; t < args.taps; t += 2) {
      // An odd kernel's last tap is paired with nothing.
      const bool paired = t + 1 < args.taps;
      const int8_t *first = x + args.offsets[t], *second = paired ? x + args.offsets[t + 1] : first;
      const int16_t w = args.w[t], next = paired ? args.w[t + 1] : int16_t{0};
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const auto a = load_any<Shorts>(first + v * sizeof(Shorts)), b = load_any<Shorts>(second + v * sizeof(Shorts));
        const Shorts even = (a << 8 >> 8) * w + (b << 8 >> 8) * next, odd = (a >> 8) * w + (b >> 8) * next;
        sums[v][0] += (WideInts)even << 16 >> 16;
        sums[v][1] += (WideInts)odd << 16 >> 16;
        sums[v][2] += (WideInts)even >> 16;
        sums[v][3] += (WideInts)odd >> 16;
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      for (int n = 0; n < kInts; n += 4) {
        Ints four[4];
        for (int m = 0; m < 4; ++m) four[m] = load_any<Ints>(reinterpret_cast<const int32_t*>(&sums[v][m]) + n);
        transpose_4(four);
        for (int m = 0; m < 4; ++m) store_any(args.sums + i + 4 * (v * kInts + n + m), four[m]);
      }
    }
  }
}

void planes(const PlaneArgs& args) {
  const ptrdiff_t pixels = args.pixels, stride = args.sums_stride;
  const ptrdiff_t whole_pixels = pixels - pixels % 4, whole = args.channels - args.channels % 4;
  const bool biased = args.bias != nullptr;
  for (ptrdiff_t j = 0; j < whole; j += 4) {
    const Floats scale = load_any<Floats>(args.w_scale + j) * args.x_scale;
    const Unsigned offset = args.offsets == nullptr ? Unsigned{} : load_any<Unsigned>(args.offsets + j);
    const Floats bias = biased ? load_any<Floats>(args.bias + j) : Floats{};
    for (ptrdiff_t i = 0; i < whole_pixels; i += 4) {
      Floats x[4];
#pragma GCC unroll 4
      for (int p = 0; p < 4; ++p) {
        // Unsigned: what wraps comes back, as the result fits.
        const auto sums = (Ints)(load_any<Unsigned>(args.sums + (i + p) * stride + j) - offset);
        x[p] = __builtin_convertvector(sums, Floats) * scale;
        if (biased) x[p] += bias;
      }
      transpose_4(x);
#pragma GCC unroll 4
      for (int p = 0; p < 4; ++p) store_any(args.y + (j + p) * pixels + i, x[p]);
    }
  }
  for (ptrdiff_t j = 0; j < args.channels; ++j) {
    const float scale = args.x_scale * args.w_scale[j];
    const uint32_t offset = args.offsets == nullptr ? 0 : static_cast<uint32_t>(args.offsets[j]);
    for (ptrdiff_t i = j < whole ? whole_pixels : 0; i < pixels; ++i) {
      const auto sum = static_cast<int32_t>(static_cast<uint32_t>(args.sums[i * stride + j]) - offset);
      const float product = static_cast<float>(sum) * scale;
      args.y[j * pixels + i] = biased ? product + args.bias[j] : product;
    }
  }
}

void plane_run(const PlaneRunArgs& args) {
  const int32_t* __restrict sums = args.sums;
  float* __restrict y = args.y;
  const auto offset = static_cast<uint32_t>(args.offset);
  const float scale = args.scale, bias = args.bias == nullptr ? 0.0f : *args.bias;
  const ptrdiff_t size = args.size;
  if (args.bias != nullptr) {
#pragma omp simd
    for (ptrdiff_t i = 0; i < size; ++i) {
      y[i] = static_cast<float>(static_cast<int32_t>(static_cast<uint32_t>(sums[i]) - offset)) * scale + bias;
    }
    return;
  }
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) {
    y[i] = static_cast<float>(static_cast<int32_t>(static_cast<uint32_t>(sums[i]) - offset)) * scale;
  }
}

}  // namespace

extern const ConvTable PETRAIN_TABLE(conv) = {interleave, pick, slide, planes, plane_run};

}  // namespace petrain::kernels
