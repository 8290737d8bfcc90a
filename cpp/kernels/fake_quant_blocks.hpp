// The loops of fake_quant.hpp over blocks of a chunk, for its own functions and for the steps of optimizers.
#pragma once

#include "fake_quant.hpp"
#include "lanes.hpp"
#include "load.hpp"

namespace petrain::kernels {
namespace {

// In [2²³, 2²⁴) the distance between floats is 1, so adding 1.5 * 2²³ rounds half to even, as every addition does, and
// leaves the integer in the low bits.
constexpr float kMagic = 12582912.0f;

inline float clamped(float u, float low, float high) {  // NaN: high
  u = u < high ? u : high;
  return u > low ? u : low;
}

// What quantizes each element of a block.
struct Levels {
  alignas(64) float scale[kBlock];
  alignas(64) float low[kBlock], high[kBlock];  // where there are zero points
  alignas(64) std::int32_t zero_point[kBlock];  // likewise
  float all;                                    // the one that fills `scale`, or 0

  Levels() : all(0) {}  // the rest is filled before it is read
};

inline void fill_scales(Levels& levels, std::ptrdiff_t at, const float* from, const Piece& piece) {
  float* scale = levels.scale + at;
  if (piece.step == 1) {
    for (std::ptrdiff_t j = 0; j < piece.size; ++j) scale[j] = from[j];
  } else if (piece.step == 0) {
    const float one = *from;
    for (std::ptrdiff_t j = 0; j < piece.size; ++j) scale[j] = one;
  } else {
    for (std::ptrdiff_t j = 0; j < piece.size; ++j) scale[j] = from[j * piece.step];
  }
}

inline void fill_zero_points(Levels& levels, std::ptrdiff_t at, const FakeQuantFormat& format, const Piece& piece) {
  for (std::ptrdiff_t j = 0; j < piece.size; ++j) {
    const std::int32_t zero_point = format.zero_point[piece.scale + j * piece.step];
    levels.low[at + j] = static_cast<float>(format.least - zero_point);
    levels.high[at + j] = static_cast<float>(format.most - zero_point);
    levels.zero_point[at + j] = zero_point;
  }
}

// Of the `size` elements at which the cursor stands; returns it behind them.
inline __attribute__((noinline)) ScaleCursor fill(Levels& levels, const FakeQuantFormat& format, ScaleCursor cursor,
                                                  std::ptrdiff_t size) {
  for (std::ptrdiff_t done = 0; done < size;) {
    Piece piece = cursor.next(size - done);
    const float* from = format.scale + piece.scale;
    const bool one = piece.step == 0 && piece.size == size;
    if (format.zero_point != nullptr) fill_zero_points(levels, done, format, piece);
    done += piece.size;
    if (one && levels.all == *from) continue;
    levels.all = one ? *from : 0;
    if (one) piece.size = kBlock;
    fill_scales(levels, done - (one ? size : piece.size), from, piece);
  }
  return cursor;
}

inline void write_one(float rounded, float scale, std::int32_t, float& out) { out = (rounded - kMagic) * scale; }
inline void write_one(float rounded, float, std::int32_t zero_point, std::int8_t& out) {  // the low byte of kMagic is 0
  out = static_cast<std::int8_t>(__builtin_bit_cast(std::int32_t, rounded) + zero_point);
}

template <bool zero_points, class Out>
__attribute__((noinline)) void write_elements(const float* x, const FakeQuantFormat& format, const Levels& levels,
                                              Out* out, std::ptrdiff_t size) {
  const float *scale = levels.scale, *lows = levels.low, *highs = levels.high;
  const std::int32_t* zeros = levels.zero_point;
  const float least = static_cast<float>(format.least), most = static_cast<float>(format.most);
#pragma omp simd
  for (std::ptrdiff_t j = 0; j < size; ++j) {
    const float low = zero_points ? lows[j] : least, high = zero_points ? highs[j] : most;
    write_one(clamped(x[j] / scale[j], low, high) + kMagic, scale[j], zero_points ? zeros[j] : 0, out[j]);
  }
}

// The gradients of x, and the parts of those of the scales.
template <bool zero_points>
__attribute__((noinline)) void gradients(const float* x, const FakeQuantFormat& format, const Levels& levels,
                                         const float* gradient, float* x_gradient, float* scale_parts,
                                         std::ptrdiff_t size) {
  const float *scale = levels.scale, *lows = levels.low, *highs = levels.high;
  const float least = static_cast<float>(format.least), most = static_cast<float>(format.most);
#pragma omp simd
  for (std::ptrdiff_t j = 0; j < size; ++j) {
    const float low = zero_points ? lows[j] : least, high = zero_points ? highs[j] : most;
    const float u = x[j] / scale[j], within = clamped(u, low, high), g = gradient[j];
    const bool inside = within == u;
    x_gradient[j] = inside ? g : 0.0f;
    scale_parts[j] = g * (((within + kMagic) - kMagic) - (inside ? u : 0.0f));
  }
}

// `rest` with fewer than kLanes elements, and zeros behind them.
inline void pad(float (&rest)[kLanes], const float* x, std::ptrdiff_t size) {
  for (int lane = 0; lane < kLanes; ++lane) rest[lane] = lane < size ? x[lane] : 0.0f;
}

// In float64, element i in lane i mod kLanes. The first ones are no addition to zeros: compilers clear so few of them
// by a call, which would take longer than the sum of a group of 32.
inline __attribute__((noinline)) double sum_of(const float* x, std::ptrdiff_t size) {
  float rest[kLanes];
  if (size < kLanes) pad(rest, x, size);
  const float* first = size < kLanes ? rest : x;
  double lanes[kLanes];
#pragma omp simd
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = first[lane];
  std::ptrdiff_t done = kLanes;
  for (; done + kLanes <= size; done += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += x[done + lane];
  }
  if (done < size) {
    pad(rest, x + done, size - done);
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += rest[lane];
  }
  return sum_lanes(lanes);
}

inline void add_parts(const Piece& piece, const float* parts, double* slots) {
  if (piece.step == 0) {
    slots[piece.slot] += sum_of(parts, piece.size);
  } else {
    for (std::ptrdiff_t j = 0; j < piece.size; ++j) slots[piece.slot + j] += parts[j];
  }
}

// At most kBlock elements, at which the cursor stands, of x to the same of out. `levels` are kept from block to block.
template <class Out>
void write_block(const FakeQuantFormat& format, Levels& levels, ScaleCursor& cursor, const float* x, Out* out,
                 std::ptrdiff_t size) {
  cursor = fill(levels, format, cursor, size);
  if (format.zero_point != nullptr) {
    write_elements<true>(x, format, levels, out, size);
  } else {
    write_elements<false>(x, format, levels, out, size);
  }
}

// Without slots, the gradient of x alone.
inline void gradient_block(const FakeQuantFormat& format, Levels& levels, ScaleCursor& cursor, const float* x,
                           const float* gradient, float* x_gradient, double* slots, std::ptrdiff_t size) {
  fill(levels, format, cursor, size);
  alignas(64) float parts[kBlock];
  if (format.zero_point != nullptr) {
    gradients<true>(x, format, levels, gradient, x_gradient, parts, size);
  } else {
    gradients<false>(x, format, levels, gradient, x_gradient, parts, size);
  }
  for (std::ptrdiff_t done = 0; done < size;) {
    const Piece piece = cursor.next(size - done);
    if (slots != nullptr) add_parts(piece, parts + done, slots);
    done += piece.size;
  }
}

}  // namespace
}  // namespace petrain::kernels
