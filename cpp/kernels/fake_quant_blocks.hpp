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

struct Levels {
  float scale, low, high;
};

inline float clamped(float u, float low, float high) {  // NaN: high
  u = u < high ? u : high;
  return u > low ? u : low;
}

inline void write_one(float x, Levels levels, std::int32_t, float& out) {
  out = ((clamped(x / levels.scale, levels.low, levels.high) + kMagic) - kMagic) * levels.scale;
}
inline void write_one(float x, Levels levels, std::int32_t zero_point, std::int8_t& out) {
  const float u = clamped(x / levels.scale, levels.low, levels.high);
  out = static_cast<std::int8_t>(__builtin_bit_cast(std::int32_t, u + kMagic) -
                                 __builtin_bit_cast(std::int32_t, kMagic) + zero_point);
}

// The derivative by the scale; the gradient of x from that of the output.
inline float gradient_one(float x, Levels levels, float gradient, float& x_gradient) {
  const float u = x / levels.scale, within = clamped(u, levels.low, levels.high);
  const bool inside = within == u;
  x_gradient = inside ? gradient : 0.0f;
  return ((within + kMagic) - kMagic) - (inside ? u : 0.0f);
}

template <class Out>
__attribute__((noinline)) void write_run(const float* x, Levels levels, std::int32_t zero_point, Out* out,
                                         std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) write_one(x[i], levels, zero_point, out[i]);
}

// Products of two float32 are exact in float64.
inline __attribute__((noinline)) double gradient_run(const float* x, Levels levels, const float* gradient,
                                                     float* x_gradient, std::ptrdiff_t size) {
  double lanes[kLanes];
#pragma omp simd
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = 0;  // = {} becomes a slow call for so few
  const std::ptrdiff_t whole = size - size % kLanes;
  for (std::ptrdiff_t i = 0; i < whole; i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      const float g = gradient[i + lane];
      lanes[lane] += static_cast<double>(g) * gradient_one(x[i + lane], levels, g, x_gradient[i + lane]);
    }
  }
  for (std::ptrdiff_t i = whole; i < size; ++i) {
    const float g = gradient[i];
    lanes[i - whole] += static_cast<double>(g) * gradient_one(x[i], levels, g, x_gradient[i]);
  }
  return sum_lanes(lanes);
}

inline Levels levels_of(const FakeQuantFormat& format, std::ptrdiff_t scale, std::int32_t& zero_point) {
  zero_point = format.zero_point == nullptr ? 0 : format.zero_point[scale];
  return {format.scale[scale], static_cast<float>(format.least - zero_point),
          static_cast<float>(format.most - zero_point)};
}

// Those of the columns of a piece, side by side.
struct ColumnLevels {
  alignas(64) float scale[kBlock], low[kBlock], high[kBlock];
  alignas(64) std::int32_t zero_point[kBlock];

  void fill(const FakeQuantFormat& format, const Piece& piece) {
    for (std::ptrdiff_t j = 0; j < piece.size; ++j) {
      const Levels levels = levels_of(format, piece.scale + j * piece.step, zero_point[j]);
      scale[j] = levels.scale;
      low[j] = levels.low;
      high[j] = levels.high;
    }
  }
  Levels operator[](std::ptrdiff_t j) const { return {scale[j], low[j], high[j]}; }
};

template <class Out>
__attribute__((noinline)) void write_columns(const FakeQuantFormat& format, const Piece& piece, const float* x,
                                             Out* out) {
  ColumnLevels levels;
  levels.fill(format, piece);
#pragma omp simd
  for (std::ptrdiff_t j = 0; j < piece.size; ++j) write_one(x[j], levels[j], levels.zero_point[j], out[j]);
}

inline __attribute__((noinline)) void gradient_columns(const FakeQuantFormat& format, const Piece& piece,
                                                       const float* x, const float* gradient, float* x_gradient,
                                                       double* slots) {
  ColumnLevels levels;
  levels.fill(format, piece);
  alignas(64) double sums[kBlock];
#pragma omp simd
  for (std::ptrdiff_t j = 0; j < piece.size; ++j) {
    const float g = gradient[j];
    sums[j] = static_cast<double>(g) * gradient_one(x[j], levels[j], g, x_gradient[j]);
  }
  for (std::ptrdiff_t j = 0; slots != nullptr && j < piece.size; ++j) slots[piece.slot + j] += sums[j];
}

// At most kBlock elements, at which `cursor` stands, of x to the same of out.
template <class Out>
void write_block(const FakeQuantFormat& format, ScaleCursor& cursor, const float* x, Out* out, std::ptrdiff_t size) {
  for (std::ptrdiff_t done = 0; done < size;) {
    const Piece piece = cursor.next(size - done);
    if (piece.step != 0) {
      write_columns(format, piece, x + done, out + done);
    } else {
      std::int32_t zero_point;
      const Levels levels = levels_of(format, piece.scale, zero_point);
      write_run(x + done, levels, zero_point, out + done, piece.size);
    }
    done += piece.size;
  }
}

// Without slots, only the gradient of x.
inline void gradient_block(const FakeQuantFormat& format, ScaleCursor& cursor, const float* x, const float* gradient,
                           float* x_gradient, double* slots, std::ptrdiff_t size) {
  for (std::ptrdiff_t done = 0; done < size;) {
    const Piece piece = cursor.next(size - done);
    if (piece.step != 0) {
      gradient_columns(format, piece, x + done, gradient + done, x_gradient + done, slots);
    } else {
      std::int32_t zero_point;
      const Levels levels = levels_of(format, piece.scale, zero_point);
      const double sum = gradient_run(x + done, levels, gradient + done, x_gradient + done, piece.size);
      if (slots != nullptr) slots[piece.slot] += sum;
    }
    done += piece.size;
  }
}

}  // namespace
}  // namespace petrain::kernels
